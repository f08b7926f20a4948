"""Frozen, validated configurations; every command-line flag is a field of one of these classes."""

import dataclasses
import hashlib
import json
import math
import operator
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Self

from tfp_genens.errors import UserError


def option(
    default: Any = dataclasses.MISSING,
    help: str = "",
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """A dataclass field that is also a command-line flag; without a default the flag is required.

    `above` is the largest number that is still too small.
    """
    limits = {"minimum": minimum, "above": above, "maximum": maximum, "choices": choices}
    return dataclasses.field(default=default, metadata={"help": help, **limits})


def value_type(annotation: Any) -> type:
    """The type that one value of a field has: `int | None` is int, `tuple[str, ...]` is tuple."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        (annotation,) = (a for a in typing.get_args(annotation) if a is not type(None))
    return typing.get_origin(annotation) or annotation


_TYPE_NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "text"}
# A limit's name -> how it reads, and what holds of a value within it.
_LIMITS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "minimum": ("of at least", operator.ge),
    "above": ("above", operator.gt),
    "maximum": ("at most", operator.le),
}


def describe_limits(field: dataclasses.Field, kind: type) -> str:
    """What a valid value is, in words: "an integer of at least 1"."""
    limits = field.metadata
    if limits["choices"]:
        return "one of " + ", ".join(limits["choices"])
    given = [f"{words} {limits[k]}" for k, (words, _) in _LIMITS.items() if limits[k] is not None]
    return " ".join([_TYPE_NAMES.get(kind, "a comma-separated list"), " and ".join(given)]).strip()


def _is_valid(value: Any, kind: type, limits: Mapping[str, Any]) -> bool:
    is_one = isinstance(value, (int, float) if kind is float else kind)
    if not is_one or (isinstance(value, bool) and kind is not bool):
        return False
    if limits["choices"] and value not in limits["choices"]:
        return False
    if kind is float and not math.isfinite(value):
        return False
    return all(limits[k] is None or holds(value, limits[k]) for k, (_, holds) in _LIMITS.items())


@dataclasses.dataclass(frozen=True)
class Config:
    """Base of all configurations: fields made with `option`, checked when constructed.

    Raises UserError naming the flag where a value is of the wrong type or out of its limits.
    """

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            kind = value_type(hints[field.name])
            if value is None and field.default is None:
                continue
            if not _is_valid(value, kind, field.metadata):
                raise UserError(f"--{field.name}", describe_limits(field, kind), repr(value))
            if kind is float:
                object.__setattr__(self, field.name, float(value))

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Builds it from the given values; fields not given take their defaults.

        Raises UserError where a required value is missing.
        """
        given = {}
        for field in dataclasses.fields(cls):
            if values.get(field.name) is not None:
                given[field.name] = values[field.name]
            elif field.default is dataclasses.MISSING:
                raise UserError(f"--{field.name}", field.metadata["help"], "nothing")
        return cls(**given)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


PRECISIONS = ("float32", "mixed_bfloat16")


@dataclasses.dataclass(frozen=True)
class FamilyConfig(Config):
    """A model family's own flags. One that is not a `ModelConfig` is fitted as it is built."""


@dataclasses.dataclass(frozen=True)
class ModelConfig(FamilyConfig):
    """What every family trained in steps has; its own configuration adds to it, sets defaults."""

    train_steps: int = option(5000, "training steps (parameter updates)", minimum=1)
    batch_size: int = option(32, "examples a training step", minimum=1)
    learning_rate: float = option(1e-3, "initial learning rate", above=0)
    precision: str = option(
        "float32",
        "mixed_bfloat16 runs convolutions in bfloat16 while training; everything probabilistic, "
        "and the frozen model, stays in float32 or float64",
        choices=PRECISIONS,
    )


@dataclasses.dataclass(frozen=True)
class RunConfig(Config):
    """What is trained: everything that decides the members' weights, and nothing else."""

    model: str = option("vae", "model family")
    dataset: str = option(
        "mnist", "training data: a registered name, or a SPEC such as npz:PATH or images:FOLDER"
    )
    seed: int = option(0, "every random number of the run derives from it", minimum=0)
    validation_fraction: float = option(
        0.05, "share of the training split held out to validate and calibrate", above=0, maximum=0.5
    )
    bootstrap: bool = option(
        False, "train each member on a sample of its own of the training inputs, with replacement"
    )


DECISION_SCORE = (
    "the ensemble score that p-values are made of, e.g. waic; default: the model family's choice"
)


@dataclasses.dataclass(frozen=True)
class TrainOptions(Config):
    """How it is trained. Only `num_threads` touches the weights: in their last bits, as sums are
    taken in another order.
    """

    run_dir: str | None = option(
        None, "where the run is kept; default: runs/ and a name made of the configuration"
    )
    num_members: int | None = option(
        None,
        "members of the ensemble; default: what the run has, or 5 (1 where all would be alike)",
        minimum=1,
    )
    member: int | None = option(None, "train this member only, for batch schedulers", minimum=0)
    num_threads: int = option(0, "threads for TensorFlow; 0: all cores", minimum=0)
    decision_score: str | None = option(None, DECISION_SCORE)
    checkpoint_secs: float = option(60.0, "seconds between checkpoints", minimum=0)
    data_dir: str | None = option(None, "tensorflow-datasets directory; default: tfds's own")


def member_numbers(members: tuple[str, ...] | None) -> list[int] | None:
    """The numbers behind `--members=0,2`; None, for all members, where it was not given.

    Raises UserError for something else than numbers.
    """
    if members is None:
        return None
    if not all(member.isdecimal() for member in members):
        raise UserError("--members", "comma-separated numbers, e.g. 0,2", ",".join(members))
    return [int(member) for member in members]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _EnsembleConfig(Config):
    """What every command has that uses a trained ensemble."""

    run_dir: str = option(help="the run directory of a trained ensemble")
    members: tuple[str, ...] | None = option(
        None, "members to use, e.g. 0,2,3; default: all of the run, which must be finished"
    )
    data_dir: str | None = option(None, "tensorflow-datasets directory; default: tfds's own")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig(_EnsembleConfig):
    """`python -m tfp_genens.export`."""

    decision_score: str | None = option(None, DECISION_SCORE)
    renew: bool = option(
        False,
        "first freeze each member anew from its last checkpoint, for outputs that the version "
        "which trained it lacked",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _ScoringConfig(_EnsembleConfig):
    outputs: tuple[str, ...] | None = option(
        None, "scores to compute, of members or of the ensemble, e.g. dose; default: all"
    )
    batch_size: int = option(100, "inputs scored at once", minimum=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreConfig(_ScoringConfig):
    """`python -m tfp_genens.score`."""

    input: str = option(
        help="what to score: tfds:NAME:SPLIT, npz:PATH, csv:PATH, parquet:PATH, "
        "images:FOLDER-OR-GLOB or digits:test"
    )
    output: str = option(help="file to write: .parquet, .csv or .jsonl")
    alpha: float = option(
        0.05,
        "is_outlier is p_value <= alpha: the share of normal inputs flagged",
        above=0,
        maximum=1,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig(_ScoringConfig):
    """`python -m tfp_genens.evaluate`."""

    output_dir: str = option(help="where results, scores and figures are written")
    ood: tuple[str, ...] | None = option(
        None, "out-of-distribution sets: registered names or SPECs; default: all registered"
    )
    in_distribution: str | None = option(
        None,
        "SPEC of in-distribution test inputs, or held_out:tune for some that the run held out of "
        "training; default: the training set's test split",
    )
    num_examples: int = option(2000, "inputs of each set, at most", minimum=2)
    num_bootstrap: int = option(1000, "bootstrap resamples behind the intervals", minimum=10)
    seed: int = option(0, "seed of noise sets and bootstrap", minimum=0)
    figures: bool = option(True, "draw figures")


@dataclasses.dataclass(frozen=True)
class ReportConfig(Config):
    """`python -m tfp_genens.report`."""

    output: str = option(
        help="the file to write: .html; .md, .csv or .html (all three are) with --table; .png with "
        "--figure"
    )
    evaluation_dir: tuple[str, ...] = option(
        (), "one or more directories that evaluate wrote; none with --figure=2, which trains a toy"
    )
    table: str | None = option(None, "write this table of the paper instead, e.g. 2")
    figure: str | None = option(None, "draw this figure of the paper instead, e.g. 3")
    seed: int | None = option(None, "seed of what --figure=2 trains; default: 0", minimum=0)
    costs: tuple[str, ...] = option(
        (), "with --table=leaderboard: files of benchmarks/dose.py, for milliseconds an input"
    )


def config_sha256(config: Mapping[str, Any]) -> str:
    """A name for a configuration: SHA-256 of its canonical JSON."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
