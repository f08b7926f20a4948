"""What an evaluation left on disk, read back: all that figures and reports are made from."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfp_genens.artifact import held_out
from tfp_genens.artifact.spec import OutputSpec
from tfp_genens.errors import UserError
from tfp_genens.evaluation import results
from tfp_genens.files import read_json
from tfp_genens.scoring.columns import ScoreFile, member_column, read_scores

ARGUMENT = "--evaluation_dir"
REMEDY = "`tfp_genens.export --renew` and `tfp_genens.evaluate` make them"


@dataclasses.dataclass(frozen=True)
class EvaluatedSet:
    """One scored set, and a few of its inputs (see `evaluation.store`), if there are any.

    Single-model figures show the member at position `member`: the attacked one, or the first.
    """

    name: str
    label: str
    scores: ScoreFile
    examples: Mapping[str, np.ndarray]
    member: int

    def values(self, score: str, member: int | None = None) -> np.ndarray:
        """A score of all inputs, float64 [num_inputs]; of one member where it is a member's."""
        if score in self.scores.member_scores:
            position = self.member if member is None else member
            score = member_column(score, self.scores.members[position])
        return self.scores.frame[score].to_numpy(np.float64)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One evaluation: results.json, the sets that were evaluated, in order, and draws.

    model_samples: [num_members, num_samples, *shape] drawn from the members, or None.
    """

    directory: Path
    document: Mapping[str, Any]
    in_distribution: EvaluatedSet
    ood: tuple[EvaluatedSet, ...]
    model_samples: np.ndarray | None
    argument: str = ARGUMENT

    def spec(self, score: str) -> OutputSpec:
        """Unit and direction of a member's or an ensemble's score."""
        scores = self.in_distribution.scores
        return {**scores.ensemble_scores, **scores.member_scores}[score]

    def score_label(self, score: str) -> str:
        """What figures call a score, e.g. "log p(x)"."""
        return results.score_label(self.document, score)

    def find_row(self, ood_dataset: str, score: str) -> Mapping[str, Any] | None:
        """The row of results.json; None where the set was not evaluated, or not by this score."""
        rows = self.document["rows"]
        found = (r for r in rows if (r["ood_dataset"], r["score"]) == (ood_dataset, score))
        return next(found, None)

    def row(self, ood_dataset: str, score: str) -> Mapping[str, Any]:
        """As `find_row`; KeyError where there is none."""
        found = self.find_row(ood_dataset, score)
        if found is None:
            raise KeyError((ood_dataset, score))
        return found

    @property
    def sets(self) -> tuple[EvaluatedSet, ...]:
        """The in-distribution set, then the OoD sets."""
        return (self.in_distribution, *self.ood)

    @property
    def has_held_out(self) -> bool:
        """Whether there are scores of held-out inputs by every member."""
        members = self.in_distribution.scores.members
        directories = [results.held_out_dir(self.directory, member) for member in members]
        return all((directory / held_out.FILE).is_file() for directory in directories)

    def held_out(self, part: str, outputs: Sequence[str]) -> dict[str, np.ndarray]:
        """Member outputs of normal inputs held out of training: float64 [num_members, num_inputs].

        part: FIT or CALIBRATE, see `artifact.held_out`. Raises UserError where it is empty, or
        the evaluation has none, as those have not that an earlier version made.
        """
        members = self.in_distribution.scores.members
        directories = [results.held_out_dir(self.directory, member) for member in members]
        try:
            found = held_out.read(directories, outputs, part)
        except (FileNotFoundError, KeyError) as e:
            expected = f"held-out scores ({', '.join(outputs)}) beside {self.directory}"
            raise UserError(self.argument, expected, f"none; {REMEDY}") from e
        if not all(values.size for values in found.values()):
            expected = f"an ensemble with held-out inputs of the part {part!r}"
            raise UserError(self.argument, expected, str(self.directory))
        return found

    @property
    def has_images(self) -> bool:
        """Whether inputs are [height, width, 1 or 3]."""
        first = self.in_distribution.examples.get("first")
        return first is not None and first.ndim == 4 and first.shape[-1] in (1, 3)


def load(directory: str | os.PathLike, argument: str = ARGUMENT) -> Evaluation:
    """Reads an evaluation's output directory.

    Raises:
      UserError: it holds none, or one of a schema version that is not known here.
    """
    path = Path(directory)
    document = read_json(path / "results.json", argument)
    version = document.get("schema_version")
    if version != results.SCHEMA_VERSION:
        expected = f"schema_version {results.SCHEMA_VERSION} in {path / 'results.json'}"
        raise UserError(argument, expected, repr(version))

    def read_set(name: str, file: str, label: str, attacked: list[int] | None) -> EvaluatedSet:
        scores_path = results.scores_path(path, file)
        if not scores_path.exists():
            raise UserError(argument, f"the score file {scores_path}", "nothing there")
        examples = _arrays(results.examples_path(path, file))
        member = attacked[0] if attacked else 0
        return EvaluatedSet(name, label, read_scores(scores_path), examples, member)

    name, label = results.IN_DISTRIBUTION, partial(results.dataset_label, document)
    return Evaluation(
        directory=path,
        document=document,
        in_distribution=read_set(name, name, f"{label(document['train_dataset'])} test", None),
        ood=tuple(
            read_set(s["name"], s["file"], label(s["name"]), s["attacked_members"])
            for s in document["sets"]
        ),
        model_samples=_arrays(results.examples_path(path, results.MODEL_SAMPLES)).get("samples"),
        argument=argument,
    )


def training_metrics(evaluation: Evaluation) -> dict[int, pd.DataFrame]:
    """The metrics.csv of every member that left one: its cells as text, "" for what has no value.

    Raises:
      UserError: one is damaged.
    """
    members = [manifest["member"] for manifest in evaluation.document["manifests"]]
    paths = {member: results.training_path(evaluation.directory, member) for member in members}
    return {
        member: _metrics(path, evaluation.argument)
        for member, path in paths.items()
        if path.exists()
    }


def numbers(metrics: pd.DataFrame) -> pd.DataFrame:
    """The same with numbers: float64, NaN for what has no value; `phase` stays text."""
    columns = metrics.columns.drop("phase")
    return metrics.assign(**metrics[columns].replace("", "nan").astype(float))


def _metrics(path: Path, argument: str) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        if not {"step", "phase"} <= set(frame):
            raise ValueError("the columns step and phase must be there")
        if not frame["step"].str.fullmatch(r"\d+").all():
            raise ValueError("steps must be whole numbers")
        numbers(frame)
    except ValueError as e:
        expected = f"what training recorded, in {path}"
        raise UserError(argument, expected, f"a damaged file: {e}".splitlines()[0]) from e
    return frame


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
