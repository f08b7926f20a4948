"""What there is to do for the names that a user gave, and where each step of it stands."""

import dataclasses
import functools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfp_genens.config import EvaluateConfig
from tfp_genens.errors import UserError
from workflow.flagfiles import Flagfiles, read_flags
from workflow.suites import SUITES, Document, Suite

FLAGS = Path("flags")
PYTHON = sys.executable
CODE_OF_TABLES = tuple(
    path
    for path in sorted(Path("tfp_genens/paper").rglob("*.*"))
    if path.suffix in (".py", ".j2", ".json", ".toml")
)


def module(name: str, *arguments: str) -> list[str]:
    """A command of the package."""
    return [PYTHON, "-m", f"tfp_genens.{name}", *arguments]


@dataclasses.dataclass(frozen=True)
class Step:
    """One job of the engine.

    Attributes:
      title: what it is called where a person reads it.
      outputs: files that are there when it is done.
      command: what is run.
      log: what it says.
      inputs: files that it is made of: it is done again where one is newer than an output.
      summary: where its standard output goes, if not to the log.
      members: members that it trains.
      is_resumable: whether it goes on from what an interrupted one left.
    """

    title: str
    outputs: tuple[Path, ...]
    command: list[str]
    log: Path
    inputs: tuple[Path, ...] = ()
    summary: Path | None = None
    members: tuple[int, ...] = ()
    is_resumable: bool = False


@dataclasses.dataclass(frozen=True)
class Run:
    """An experiment with its overlays: members that are trained, evaluated and reported.

    Attributes:
      name: EXPERIMENT[+OVERLAY...].
      directory: where it is kept.
      flags: flag -> value, as training gets them.
      arguments: the same as arguments of `train`.
      evaluation_files: flagfiles of `evaluate`.
      is_quick: whether it trains in seconds, see `workflow.suites.Suite`.
    """

    name: str
    directory: Path
    flags: Mapping[str, str]
    arguments: tuple[str, ...]
    evaluation_files: tuple[Path, ...]
    is_quick: bool = False

    @property
    def num_members(self) -> int:
        return int(self.flags["num_members"])

    @property
    def num_steps(self) -> int:
        """Steps of one member; 0 where it is fitted in none."""
        return sum(int(self.flags.get(flag, 0)) for flag in ("train_steps", "finetune_steps"))

    @property
    def manifests(self) -> tuple[Path, ...]:
        members = range(self.num_members)
        return tuple(self.directory / f"member_{i}/manifest.json" for i in members)

    @property
    def ensemble(self) -> Path:
        return self.directory / "ensemble/manifest.json"

    @property
    def results(self) -> Path:
        return self.directory / "evaluation/results.json"

    @property
    def report(self) -> Path:
        return self.directory / "report.html"

    @property
    def summary(self) -> Path:
        """What `evaluate` printed."""
        return self.directory / "logs/evaluate.log"

    @functools.cached_property
    def steps(self) -> list[Step]:
        """In the order in which they can be taken."""
        report = [] if self.is_quick else [self._report()]
        return [*self._training(), self._export(), self._evaluation(), *report]

    def _step(self, title: str, outputs: tuple[Path, ...], *command: str, **more: Any) -> Step:
        log = self.directory / "logs" / f"{title.replace(' ', '_')}.log"
        return Step(f"{self.name}: {title}", outputs, list(command), log, **more)

    def _training(self) -> list[Step]:
        """A step a member, or one for all where that is quick."""
        train = module("train", *self.arguments, f"--run_dir={self.directory}")
        more: dict[str, Any] = {"is_resumable": True}
        members = tuple(range(self.num_members))
        if self.is_quick:
            return [self._step("members", self.manifests, *train, members=members, **more)]
        return [
            self._step(f"member {i}", (path,), *train, f"--member={i}", members=(i,), **more)
            for i, path in enumerate(self.manifests)
        ]

    def _export(self) -> Step:
        command = module("export", f"--run_dir={self.directory}")
        return self._step("ensemble", (self.ensemble,), *command, inputs=self.manifests)

    def _evaluation(self) -> Step:
        files = (f"--flagfile={path}" for path in self.evaluation_files)
        where = (f"--run_dir={self.directory}", f"--output_dir={self.results.parent}")
        figures = ("--figures=false",) if self.is_quick else ()
        return self._step(
            "evaluation",
            (self.results,),
            *module("evaluate", *files, *where, *figures),
            inputs=(self.ensemble,),
            summary=self.summary,
            is_resumable=True,
        )

    def _report(self) -> Step:
        evaluation = f"--evaluation_dir={self.results.parent}"
        command = module("report", evaluation, f"--output={self.report}")
        return self._step("report", (self.report,), *command, inputs=(self.results,))

    def missing_sets(self) -> list[str]:
        """Sets that the evaluation there is could not have, and why, a line each."""
        return [
            f"{self.directory}: {entry['ood_dataset']} was not evaluated: {entry['reason']}"
            for entry in read(self.results).get("missing", ())
        ]

    def stale(self) -> Iterator[Path]:
        """Outputs that are there and were made with other flags, or with sets missing."""
        asked = read(self.directory / "config.json")
        config = {**asked.get("config", {}), "num_members": asked.get("num_members")}
        if asked and differs(self.flags, config):
            yield from (path for path in self.manifests if path.is_file())
        if self.missing_sets() or differs(self._evaluation_flags(), self._evaluated_with()):
            yield self.results

    def _evaluation_flags(self) -> dict[str, Any]:
        """flag -> value, defaults included."""
        flags: dict[str, Any] = {}
        for field in dataclasses.fields(EvaluateConfig):
            if field.name in ("ood", "num_examples", "num_bootstrap", "seed"):
                flags[field.name] = field.default
        for path in self.evaluation_files:
            flags |= read_flags(path)
        return flags

    def _evaluated_with(self) -> dict[str, Any]:
        return read(self.results).get("settings", {})


def read(path: Path) -> dict[str, Any]:
    """A JSON file's content; nothing where there is no such file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def differs(flags: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """Whether a flag asks for another value than a JSON file has for it; others do not count."""
    return any(flag in there and as_json(flags[flag], there[flag]) != there[flag] for flag in flags)


def as_json(text: Any, like: Any) -> Any:
    """A flag's text as the kind of value that stands in a JSON file."""
    if not isinstance(text, str):
        return text
    if isinstance(like, bool):
        return text.lower() in ("true", "t", "1", "yes")
    if isinstance(like, int | float):
        return float(text)
    return text.split(",") if isinstance(like, list) else text


@dataclasses.dataclass(frozen=True)
class Plan:
    """Runs by name, and the steps of suites that make tables and figures of them."""

    runs: dict[str, Run]
    tables: list[Step]

    @property
    def steps(self) -> list[Step]:
        """In the order in which they can be taken."""
        return [*(step for run in self.runs.values() for step in run.steps), *self.tables]

    @property
    def stale(self) -> list[Path]:
        """Outputs that are there and were not made with the present flags."""
        return [path for run in self.runs.values() for path in run.stale()]

    @property
    def targets(self) -> list[Path]:
        """Everything: Snakemake does not miss a file that only others are made of."""
        return [path for step in self.steps for path in step.outputs]

    def pending(self) -> list[Step]:
        """Steps to take, by the rules of the engine."""
        to_make = set(self.stale)
        pending = []
        for step in self.steps:
            if not to_make.isdisjoint((*step.inputs, *step.outputs)) or not is_made(step):
                pending.append(step)
                to_make.update(step.outputs)
        return pending


def is_made(step: Step) -> bool:
    """Whether a step's outputs are there, and none of its inputs is newer."""
    if not all(path.exists() for path in step.outputs):
        return False
    oldest = min(path.stat().st_mtime for path in step.outputs)
    return not any(path.exists() and path.stat().st_mtime > oldest for path in step.inputs)


def table_step(document: Document, directory: Path, runs: Sequence[Run]) -> Step:
    """The step that makes a table or figure of evaluations, again where its code has changed."""
    path = directory / document.file
    evaluations = ",".join(str(run.results.parent) for run in runs)
    arguments = (document.name, f"--evaluation_dir={evaluations}", f"--output={path}")
    return Step(
        title=f"{directory.name}: {document.file}",
        outputs=(path,),
        command=module("paper", *arguments),
        log=directory / f"logs/{document.file}.log",
        inputs=(*(run.results for run in runs), *CODE_OF_TABLES),
    )


class Planner:
    """Makes plans out of names.

    Args:
      flagfiles: the experiments and overlays there are.
      suites: the suites there are.
      runs_dir: where runs are kept.
      overlay: one to use in every experiment, before any of its own; or none, "".
    """

    def __init__(
        self, flagfiles: Flagfiles, suites: Mapping[str, Suite], runs_dir: Path, overlay: str = ""
    ):
        self.flagfiles = flagfiles
        self.suites = suites
        self.runs_dir = runs_dir
        self.overlay = overlay
        if overlay and flagfiles.overlay(overlay) is None:
            raise UserError(f"--overlay={overlay}", self._one_of_overlays(), overlay)

    def plan(self, names: Sequence[str]) -> Plan:
        """What `./run_all.sh NAMES` does.

        Raises:
          UserError: a name that is none, or an experiment that an overlay does not suit.
        """
        plan = Plan({}, [])
        for name in names:
            suite = self.suites.get(name)
            if suite is None:
                self._add(plan, name)
                continue
            for run in suite.runs:
                self._add(plan, run, run in suite.quick)
            directory = self.runs_dir / self.with_overlay(name)
            for document in suite.documents:
                runs = [plan.runs[self.with_overlay(run)] for run in document.runs]
                plan.tables.append(table_step(document, directory, runs))
        return plan

    def with_overlay(self, name: str) -> str:
        """The name with the overlay for all, where it is not there yet."""
        head, *overlays = name.split("+")
        if self.overlay and self.overlay not in overlays:
            overlays.insert(0, self.overlay)
        return "+".join([head, *overlays])

    def _add(self, plan: Plan, name: str, is_quick: bool = False) -> None:
        run = self.run(name, is_quick)
        plan.runs.setdefault(run.name, run)

    def run(self, name: str, is_quick: bool = False) -> Run:
        full_name = self.with_overlay(name)
        head, *rest = full_name.split("+")
        experiment = self.flagfiles.experiment(head)
        if experiment is None:
            known = " ".join([*self.flagfiles.experiments, *self.suites])
            raise UserError(name, f"one of {known}", head or "nothing")
        overlays = []
        for part in rest:
            overlay = self.flagfiles.overlay(part)
            if overlay is None:
                raise UserError(name, f"+OVERLAY to be {self._one_of_overlays()}", part)
            self.flagfiles.check_suits(name, experiment, overlay)
            overlays.append(overlay)
        parts = [experiment, *overlays]
        flags = {flag: value for part in parts for flag, value in part.flags.items()}
        check_number(full_name, flags, "num_members")
        evaluation = self.flagfiles.evaluation(experiment, overlays, flags.get("dataset", ""))
        return Run(
            name=full_name,
            directory=self.runs_dir / full_name,
            flags=flags,
            arguments=tuple(argument for part in parts for argument in part.arguments),
            evaluation_files=tuple(evaluation),
            is_quick=is_quick,
        )

    def _one_of_overlays(self) -> str:
        return "one of " + " ".join(self.flagfiles.overlays)


def check_number(run: str, flags: Mapping[str, str], flag: str) -> None:
    """Raises UserError unless a flag is a whole number of at least 1."""
    value = flags.get(flag, "")
    if not value.isdecimal() or int(value) < 1:
        raise UserError(run, f"a flagfile with --{flag}=N, N at least 1", value or "none")


def planner(runs_dir: str, overlay: str = "") -> Planner:
    """Of this repository; the working directory is its root."""
    return Planner(Flagfiles(FLAGS), SUITES, Path(runs_dir), overlay)
