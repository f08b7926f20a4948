"""What `evaluate` leaves on disk: the names that its writers and its readers share.

O/results.json            see README
O/scores/NAME.parquet     scores of one set
O/examples/NAME.npz       a few of its inputs
O/training/member_I.csv   what training recorded of a member
O/held_out/member_I/      its scores of held-out inputs, see `artifact.held_out`
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
IN_DISTRIBUTION = "in_distribution"  # NAME of the in-distribution set
MODEL_SAMPLES = "model_samples"  # NAME of the file of samples drawn from the members
NUM_EXTREME = 10  # least and most normal inputs kept of each set, and shown


def scores_path(output_dir: Path, name: str) -> Path:
    return output_dir / "scores" / f"{name}.parquet"


def examples_path(output_dir: Path, name: str) -> Path:
    return output_dir / "examples" / f"{name}.npz"


def training_path(output_dir: Path, member: int) -> Path:
    return output_dir / "training" / f"member_{member}.csv"


def held_out_dir(output_dir: Path, member: int) -> Path:
    return output_dir / "held_out" / f"member_{member}"


def score_label(document: Mapping[str, Any], score: str) -> str:
    """What tables and figures call a score, e.g. "log p(x)"; `document` is results.json."""
    return _label(document, "scores", score)


def dataset_label(document: Mapping[str, Any], name: str) -> str:
    """What tables and figures call a set, e.g. "Fashion-MNIST"; a SPEC stands for itself."""
    return _label(document, "datasets", name)


def _label(document: Mapping[str, Any], kind: str, name: str) -> str:
    return document.get("labels", {}).get(kind, {}).get(name, name)
