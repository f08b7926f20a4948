"""The words behind ./run_all.sh."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tfp_genens.errors import UserError
from workflow.plan import Planner

USAGE = Path(__file__).with_name("usage.txt")
PROFILES = Path(__file__).with_name("profiles")
OPTIONS = "--overlay=NAME, --jobs=N, --profile=NAME, --dry_run or --help"


@dataclasses.dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
      names: experiments and suites.
      overlay: one for all experiments, or "".
      jobs: members to train at once; 0: as many as there are cores.
      profile: a directory with a Snakemake profile, for batch systems.
      dry_run: whether to list what would be done, and do nothing.
      help: whether to explain all this.
    """

    names: tuple[str, ...] = ("digits",)
    overlay: str = ""
    jobs: int = 0
    profile: Path | None = None
    dry_run: bool = False
    help: bool = False


def parse(arguments: Sequence[str]) -> Request:
    """Raises UserError for what is no option; names are checked when a plan is made of them."""
    names = [argument for argument in arguments if not argument.startswith("-")]
    if "test" in names:
        raise UserError("test", "it as the first argument, ./run_all.sh test [...]", "it later")
    given: dict = {"names": tuple(names)} if names else {}
    for argument in arguments:
        option, _, value = argument.partition("=")
        if argument in ("--help", "-h"):
            given["help"] = True
        elif argument == "--dry_run":
            given["dry_run"] = True
        elif option == "--overlay" and value:
            given["overlay"] = value
        elif option == "--jobs":
            given["jobs"] = _jobs(argument, value)
        elif option == "--profile":
            given["profile"] = _profile(argument, value)
        elif argument.startswith("-"):
            raise UserError(argument, OPTIONS, "another option")
    return Request(**given)


def _jobs(argument: str, value: str) -> int:
    if not value.isdecimal() or value.startswith("0"):
        raise UserError(argument, "a whole number of at least 1", value or "nothing")
    return int(value)


def _profile(argument: str, value: str) -> Path:
    ours = PROFILES / value
    profile = ours if (ours / "config.yaml").is_file() else Path(value)
    if not (profile / "config.yaml").is_file():
        known = " ".join(sorted(path.name for path in PROFILES.iterdir()))
        raise UserError(argument, f"a directory with a config.yaml, or one of {known}", value)
    return profile


def usage(planner: Planner) -> str:
    """What --help prints."""
    return USAGE.read_text().format(
        experiments=" ".join(planner.flagfiles.experiments),
        overlays=" ".join(planner.flagfiles.overlays),
        suites=" ".join(planner.suites),
    )
