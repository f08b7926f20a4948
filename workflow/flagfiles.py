"""What `flags/` holds: experiments, overlays, and how each is evaluated."""

import dataclasses
import re
from pathlib import Path

from tfp_genens.errors import UserError

FLAG = re.compile(r"--(\w+)=(.*)")
TEMPLATE = "_N"  # flags/seed_N.cfg stands for seed_0, seed_1, ...


def read_flags(path: Path) -> dict[str, str]:
    """flag -> value, of one flagfile."""
    lines = (FLAG.fullmatch(line.strip()) for line in path.read_text().splitlines())
    return {match[1]: match[2] for match in lines if match}


@dataclasses.dataclass(frozen=True)
class Part:
    """An experiment or overlay by the name that the user gave it.

    Attributes:
      name: as given, e.g. seed_1.
      stem: its flagfile's, e.g. seed_N.
      flags: flag -> value.
      arguments: what `train` is given for it.
    """

    name: str
    stem: str
    flags: dict[str, str]
    arguments: tuple[str, ...]


class Flagfiles:
    """The flagfiles of one directory.

    A flagfile that chooses a --model is an experiment, any other an overlay. What is called
    WHAT_N.cfg is an overlay for each number that may stand in N's place.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self._flags = {path.stem: read_flags(path) for path in sorted(directory.glob("*.cfg"))}

    @property
    def experiments(self) -> list[str]:
        return [stem for stem, flags in self._flags.items() if "model" in flags]

    @property
    def overlays(self) -> list[str]:
        return [stem for stem, flags in self._flags.items() if "model" not in flags]

    @property
    def families(self) -> set[str]:
        """Every --model that some experiment has."""
        return {flags["model"] for flags in self._flags.values() if "model" in flags}

    def experiment(self, name: str) -> Part | None:
        return self._part(name) if name in self.experiments else None

    def overlay(self, name: str) -> Part | None:
        if name in self.overlays and not name.endswith(TEMPLATE):
            return self._part(name)
        match = re.fullmatch(r"(\w+_)(0|[1-9]\d*)", name)
        stem = f"{match[1]}N" if match else ""
        if match is None or stem not in self.overlays:
            return None
        flags = {
            flag: re.sub(r"\bN\b", match[2], value) for flag, value in self._flags[stem].items()
        }
        arguments = tuple(f"--{flag}={value}" for flag, value in flags.items())
        return Part(name, stem, flags, arguments)

    def _part(self, name: str) -> Part:
        path = self.directory / f"{name}.cfg"
        return Part(name, name, self._flags[name], (f"--flagfile={path}",))

    def check_suits(self, run: str, experiment: Part, overlay: Part) -> None:
        """Raises UserError where an overlay is named after another family."""
        model = experiment.flags["model"]
        owners = [family for family in self.families if overlay.stem.startswith(f"{family}_")]
        if owners and model not in owners:
            expected = f"no overlay of --model={owners[0]} for an experiment of --model={model}"
            raise UserError(run, expected, overlay.name)

    def evaluation(self, experiment: Part, overlays: list[Part], dataset: str) -> list[Path]:
        """The flagfiles for evaluation that there are for a run, in the order they are read."""
        stems = [dataset.partition("/")[0], experiment.flags["model"], experiment.stem]
        for overlay in overlays:
            stems += [*self._settings_of_families(overlay.stem), overlay.stem]
        stems += [f"{experiment.stem}+{overlay.stem}" for overlay in overlays]
        paths = (self.directory / f"evaluate/{stem}.cfg" for stem in dict.fromkeys(stems))
        return [path for path in paths if path.is_file()]

    def _settings_of_families(self, overlay: str) -> list[str]:
        """cpu, for vae_cpu: what all families' overlays of that kind share."""
        families = [family for family in self.families if overlay.startswith(f"{family}_")]
        return [overlay.removeprefix(f"{family}_") for family in families]
