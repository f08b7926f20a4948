"""Files: written so that a reader never meets half of one, and read with plain errors."""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from tfp_genens.errors import UserError


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())  # else a power cut may leave the new name without its content
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Writes JSON atomically; NaN and infinity are refused, as JSON has none."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike, argument: str) -> dict[str, Any]:
    """Reads a JSON object; raises UserError naming `argument` where it is none."""
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError) as e:
        raise UserError(argument, f"a JSON file at {path}", str(e)) from e
    if not isinstance(content, dict):
        raise UserError(argument, f"a JSON object in {path}", type(content).__name__)
    return content


def require_keys(content: Mapping[str, Any], keys: Iterable[str], path, argument: str) -> None:
    """Raises UserError naming `argument` unless a file's content has all keys."""
    missing = [key for key in keys if key not in content]
    if missing:
        raise UserError(argument, f"{path} to have {', '.join(keys)}", f"no {', '.join(missing)}")


def remove_partial(directory: Path) -> None:
    """Removes what a killed process left half-written; call it under the directory's lock."""
    for path in directory.glob(".*.partial"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def make_directory(path: str | os.PathLike, argument: str) -> Path:
    """Makes a directory that can be written to, or raises UserError naming `argument`."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".write_test.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as e:
        raise UserError(argument, "a directory that can be written to", f"{path} ({e})") from e
    return path


def sha256_of_tree(directory: str | os.PathLike) -> str:
    """SHA-256 over the names and contents of all files below a directory."""
    directory = Path(directory)
    digest = hashlib.sha256()
    for file in sorted(p for p in directory.rglob("*") if p.is_file()):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(directory).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def sha256_of_file(path: str | os.PathLike) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@functools.cache
def packaged(package: str, name: str) -> dict[str, Any]:
    """A JSON or TOML document that comes with a package of ours."""
    text = resources.files(package).joinpath(name).read_text(encoding="utf-8")
    return tomllib.loads(text) if name.endswith(".toml") else json.loads(text)
