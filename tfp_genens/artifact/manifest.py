"""Manifests: what a frozen artefact is, written last and verified when read.

RUN_DIR/member_I/saved_model/      loads with `tf.saved_model.load` where only tensorflow is
RUN_DIR/member_I/held_out.npz      scores of held-out normal inputs, see `artifact.held_out`
RUN_DIR/member_I/manifest.json     written last: no manifest, not finished
RUN_DIR/ensemble/1/, manifest.json all members in one, see `scoring.freeze`
"""

import datetime
import functools
import importlib.metadata
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tfp_genens import __version__
from tfp_genens.errors import UserError
from tfp_genens.files import read_json, require_keys, sha256_of_file, sha256_of_tree, write_json

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
SAVED_MODEL = "saved_model"
CONFIG = "config.json"
RENEW = "python -m tfp_genens.export --run_dir={}"
REQUIRED = (
    *("model", "train_dataset", "data_fingerprint", "member", "seed", "config", "config_sha256"),
    *("weights_sha256", "input", "signatures", "decides"),
)
_PACKAGES = (
    *("tensorflow", "tensorflow-probability", "tf_keras", "tensorflow-datasets"),
    *("numpy", "scikit-learn"),
)


def member_dir(run_dir: str | os.PathLike, member: int) -> Path:
    return Path(run_dir) / f"member_{member}"


def write_manifest(directory: Path, fields: Mapping[str, Any]) -> None:
    """Writes manifest.json, which declares the artefact in `directory` finished."""
    write_json(
        directory / MANIFEST,
        {
            "schema_version": SCHEMA_VERSION,
            **fields,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "package_versions": {
                "tfp_genens": __version__,
                **{name: _version(name) for name in _PACKAGES},
            },
        },
    )


def _version(package: str) -> str | None:
    """None where it comes under another name, as builds of vendors do."""
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


def schema_version(directory: Path) -> int | None:
    """Of a finished member: older ones than SCHEMA_VERSION can be renewed."""
    return read_json(directory / MANIFEST, "--run_dir").get("schema_version")


def read_manifest(directory: Path, argument: str = "--run_dir") -> dict[str, Any]:
    """Reads and verifies one member's manifest.

    Raises:
      UserError: unfinished, of another schema version, or its files have changed since.
    """
    if not is_finished(directory):
        raise UserError(argument, f"a finished member at {directory}", f"no {MANIFEST} in it")
    path = directory / MANIFEST
    manifest = read_json(path, argument)
    check_schema_version(manifest, path, argument, RENEW.format(directory.parent))
    require_keys(manifest, REQUIRED, path, argument)
    again = f"remove {directory} and train it again"
    verify(argument, directory / SAVED_MODEL, sha256_of_tree, manifest["weights_sha256"], again)
    held_out = manifest.get("held_out")
    if held_out:
        verify(argument, directory / held_out["file"], sha256_of_file, held_out["sha256"], again)
    return manifest


def check_schema_version(
    manifest: Mapping[str, Any], path: Path, argument: str, renew: str
) -> None:
    """Raises UserError, with the command that renews an older artefact, unless it is ours."""
    found = manifest.get("schema_version")
    if found != SCHEMA_VERSION:
        is_older = isinstance(found, int) and 0 < found < SCHEMA_VERSION
        hint = f" (renew it: {renew})" if is_older else ""
        raise UserError(argument, f"schema_version {SCHEMA_VERSION} in {path}", f"{found!r}{hint}")


def verify(
    argument: str, path: Path, digest: Callable[[Path], str], expected: str, remedy: str
) -> None:
    """Raises UserError unless the files at `path` still have their digest."""
    if not path.exists():
        raise UserError(argument, f"{path}", "nothing there")
    actual = digest(path)
    if actual != expected:
        got = f"changed files (SHA-256 {actual[:12]}...); {remedy}"
        raise UserError(argument, f"{path} as it was frozen (SHA-256 {expected[:12]}...)", got)
