"""Score files: Parquet, CSV and JSON lines, written batch by batch."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tfp_genens.errors import UserError
from tfp_genens.files import atomic_path, make_directory

Write = Callable[[pa.Table], None]

ROW_GROUP_SIZE = 50_000
"""Rows of a Parquet row group, at least (the last may have fewer). Every group costs a footer entry
a column, which is held until the file is closed: one a batch would let memory grow with the input.
"""


@contextlib.contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[Write]:
    waiting: list[pa.Table] = []
    num_waiting = 0

    def flush() -> None:
        nonlocal num_waiting
        writer.write_table(pa.concat_tables(waiting))
        waiting.clear()
        num_waiting = 0

    def write(table: pa.Table) -> None:
        nonlocal num_waiting
        waiting.append(table)
        num_waiting += len(table)
        if num_waiting >= ROW_GROUP_SIZE:
            flush()

    with pq.ParquetWriter(path, schema) as writer:
        yield write
        if waiting:
            flush()


@contextlib.contextmanager
def _csv(path: Path, schema: pa.Schema) -> Iterator[Write]:
    with pyarrow.csv.CSVWriter(path, schema) as writer:
        yield writer.write_table


@contextlib.contextmanager
def _jsonl(path: Path, schema: pa.Schema) -> Iterator[Write]:
    del schema
    with open(path, "w") as file:
        yield lambda table: table.to_pandas().to_json(
            file, orient="records", lines=True, double_precision=15
        )


WRITERS = {".parquet": _parquet, ".csv": _csv, ".jsonl": _jsonl}


def check_writable(path: str | os.PathLike, argument: str) -> Path:
    """Raises UserError unless `path` has a known ending and its directory can be written to."""
    path = Path(path)
    if path.suffix not in WRITERS:
        raise UserError(argument, "a file name ending in " + ", ".join(WRITERS), str(path))
    if path.is_dir():
        raise UserError(argument, "a file", f"{path}, a directory")
    make_directory(path.parent, argument)
    return path


@contextlib.contextmanager
def open_writer(path: str | os.PathLike, schema: pa.Schema, argument: str) -> Iterator[Write]:
    """A function that appends tables to a file, which appears only when the block has ended well.

    Args:
      path: ends in .parquet, .csv or .jsonl.
      schema: of the tables.
      argument: what to name in errors.

    Raises:
      UserError: an unknown ending, or a place that cannot be written to.
    """
    path = check_writable(path, argument)
    with atomic_path(path) as temporary, WRITERS[path.suffix](temporary, schema) as write:
        yield write
