"""The frozen artefact: a SavedModel and the manifest that says what it is.

Layout of one member's directory (the line between training and everything after it):

    saved_model/              loads with `tf.saved_model.load` where only tensorflow is installed
    validation_scores.npz     scores of held-out in-distribution inputs, for calibration
    manifest.json             written last: no manifest, not finished
"""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_genens import __version__
from tfp_genens.artifact.frozen import Frozen
from tfp_genens.artifact.spec import InputSpec
from tfp_genens.errors import UserError
from tfp_genens.files import (
    atomic_path,
    read_json,
    require_keys,
    sha256_of_file,
    sha256_of_tree,
    write_json,
)

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
SAVED_MODEL = "saved_model"
VALIDATION_SCORES = "validation_scores.npz"
REQUIRED = (
    "model",
    "train_dataset",
    "data_fingerprint",
    "member",
    "seed",
    "config",
    "config_sha256",
    "weights_sha256",
    "input",
    "signatures",
)
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

_PACKAGES = (
    "tensorflow",
    "tensorflow-probability",
    "tf_keras",
    "tensorflow-datasets",
    "numpy",
    "scikit-learn",
)


def member_dir(run_dir: str | os.PathLike, member: int) -> Path:
    return Path(run_dir) / f"member_{member}"


def export_saved_model(frozen: Frozen, input_spec: InputSpec, directory: Path) -> None:
    """Writes a SavedModel; an existing one is replaced only when the new one is complete.

    Signatures take float32 inputs; the restored object's functions of the same names also take
    the inputs' natural dtype.
    """
    signatures = {}
    for name, entry in frozen.functions.items():
        signatures[name] = entry.function.get_concrete_function(
            *_argument_specs(entry.arguments, input_spec.shape, "float32")
        )
        if entry.outputs and input_spec.dtype != "float32":
            entry.function.get_concrete_function(
                *_argument_specs(entry.arguments, input_spec.shape, input_spec.dtype)
            )
    # Only variables and functions are saved, no layer objects: quicker to write and to load, and
    # nothing in the file asks for Keras or TensorFlow Probability.
    exported = tf.Module()
    exported.weights = list(frozen.module.variables)
    for name, entry in frozen.functions.items():
        setattr(exported, name, entry.function)
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.partial")
    tf.saved_model.save(exported, str(temporary), signatures=signatures)
    shutil.rmtree(directory, ignore_errors=True)
    os.replace(temporary, directory)


def _argument_specs(
    arguments: tuple[str, ...], shape: tuple[int, ...], dtype: str
) -> list[tf.TensorSpec]:
    specs = {
        "inputs": tf.TensorSpec([None, *shape], dtype, "inputs"),
        "seed": tf.TensorSpec([2], tf.int32, "seed"),
        "num": tf.TensorSpec([], tf.int32, "num"),
    }
    return [specs[name] for name in arguments]


def describe_signatures(frozen: Frozen, input_spec: InputSpec) -> dict[str, Any]:
    """The manifest's "signatures": arguments, and unit and direction of every score."""
    return {
        name: {
            "arguments": {
                spec.name: {"shape": spec.shape.as_list(), "dtype": spec.dtype.name}
                for spec in _argument_specs(entry.arguments, input_spec.shape, "float32")
            },
            "outputs": {score: spec.to_json() for score, spec in entry.outputs.items()},
        }
        for name, entry in frozen.functions.items()
    }


def write_validation_scores(
    directory: Path, example_ids: tuple[str, ...], scores: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Keeps the scores of held-out inputs; returns the manifest's "calibration"."""
    path = directory / VALIDATION_SCORES
    arrays: dict[str, Any] = dict(scores)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, example_id=np.array(example_ids), **arrays)
    quantiles = {
        name: {str(q): float(v) for q, v in zip(QUANTILES, np.quantile(x, QUANTILES), strict=True)}
        for name, x in scores.items()
    }
    return {
        "file": VALIDATION_SCORES,
        "sha256": sha256_of_file(path),
        "num_examples": len(example_ids),
        "quantiles": quantiles,
    }


def write_manifest(directory: Path, fields: Mapping[str, Any]) -> None:
    """Writes manifest.json, which declares the member finished."""
    write_json(
        directory / MANIFEST,
        {
            "schema_version": SCHEMA_VERSION,
            **fields,
            "weights_sha256": sha256_of_tree(directory / SAVED_MODEL),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "package_versions": {
                "tfp_genens": __version__,
                **{name: _version(name) for name in _PACKAGES},
            },
        },
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def git_commit() -> str | None:
    """The commit of the source tree this process runs from, as it was when first asked.

    "-dirty" follows where files differ from it; None where the package is not under git.
    """

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # not some repository around it
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def is_finished(directory: Path) -> bool:
    return (directory / MANIFEST).exists()


def read_manifest(directory: Path, argument: str = "--run_dir") -> dict[str, Any]:
    """Reads and verifies one member's manifest.

    Raises:
      UserError: unfinished, of an unknown schema version, or its files have changed since.
    """
    if not is_finished(directory):
        raise UserError(argument, f"a finished member at {directory}", f"no {MANIFEST} in it")
    manifest = read_json(directory / MANIFEST, argument)
    require_keys(manifest, ["schema_version"], directory / MANIFEST, argument)
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise UserError(
            argument,
            f"schema_version {SCHEMA_VERSION} in {directory / MANIFEST}",
            repr(manifest.get("schema_version")),
        )
    require_keys(manifest, REQUIRED, directory / MANIFEST, argument)
    _verify(argument, directory / SAVED_MODEL, sha256_of_tree, manifest["weights_sha256"])
    calibration = manifest.get("calibration")
    if calibration:
        _verify(argument, directory / calibration["file"], sha256_of_file, calibration["sha256"])
    return manifest


def _verify(argument: str, path: Path, digest, expected: str) -> None:
    if not path.exists():
        raise UserError(argument, f"{path}", "nothing there")
    actual = digest(path)
    if actual != expected:
        raise UserError(
            argument,
            f"{path} as it was frozen (SHA-256 {expected[:12]}...)",
            f"changed files (SHA-256 {actual[:12]}...); remove {path.parent} and train it again",
        )
