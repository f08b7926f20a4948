"""`csv:PATH` and `parquet:PATH`: tables with one input a row, streamed.

Rows are numbered from 0 at the first row below the header, as pandas numbers them.

`csv:PATH?label=COLUMN` takes that column for the class of each row and not for a feature;
`csv:PATH?label=COLUMN&only=VALUE` reads the rows that have VALUE there, and no others.
"""

import contextlib
import dataclasses
import functools
import os
import urllib.parse
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
from absl import logging

from tfp_genens.data.requests import Request, listed
from tfp_genens.data.sources import Batch, Source

ID_COLUMN = "example_id"
_ROWS_AT_A_TIME = 1000
_MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>"]


@dataclasses.dataclass(frozen=True)
class _Table:
    """A table file: its header, and a way to stream frames of some of its columns."""

    header: tuple[str, ...]
    num_rows: int | None
    frames: Callable[[Sequence[str]], Iterator[pd.DataFrame]]


@contextlib.contextmanager
def _readable(request: Request) -> Iterator[None]:
    """Turns what pandas and PyArrow raise about files into the user's error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            yield
    except FileNotFoundError as e:
        raise request.error("an existing file", "no such file") from e
    except pd.errors.EmptyDataError as e:
        raise request.error("at least one input", "an empty file") from e
    except (OSError, EOFError, ValueError, pd.errors.ParserWarning, pyarrow.ArrowException) as e:
        raise request.error("a readable table", str(e)) from e


def _frames(request: Request, table: _Table, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    frames = table.frames(columns)
    while True:
        with _readable(request):
            frame = next(frames, None)
        if frame is None:
            return
        yield frame


def _csv(path: str) -> _Table:
    options: Any = {"encoding": "utf-8-sig", "skipinitialspace": True}
    # Read as a row, not as a header: pandas would rename columns that appear twice.
    top = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, **options)
    header = tuple(top.iloc[0])

    def frames(columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        with pd.read_csv(
            path,
            chunksize=_ROWS_AT_A_TIME,
            dtype={ID_COLUMN: str},
            keep_default_na=False,
            # Ids stay as they are written: "007" and "NA" are names.
            na_values={name: [""] if name == ID_COLUMN else _MISSING for name in header},
            index_col=False,
            float_precision="round_trip",
            skip_blank_lines=len(header) > 1,  # in a single column a blank is a missing value
            **options,
        ) as reader:
            for frame in reader:
                yield frame[list(columns)]

    return _Table(header, None, frames)


def _parquet(path: str) -> _Table:
    def frames(columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_AT_A_TIME, columns=list(columns)):
                yield batch.to_pandas(ignore_metadata=True)  # a pandas index is a column too

    with pyarrow.parquet.ParquetFile(path) as file:
        return _Table(tuple(file.schema_arrow.names), file.metadata.num_rows, frames)


def _parse(request: Request) -> tuple[str, dict[str, str]]:
    """The path, and what is asked for after a question mark; a file's name may hold one too.

    Labels are whole numbers from 0, or anything where the rows with one value alone are read.
    """
    path, mark, query = request.location.rpartition("?")
    if not mark or "=" not in query or os.path.exists(os.path.expanduser(request.location)):
        return os.path.expanduser(request.location), {}
    try:
        asked = dict(urllib.parse.parse_qsl(query, strict_parsing=True))
    except ValueError:
        asked = {}
    if not {"label"} <= set(asked) <= {"label", "only"}:
        raise request.error("?label=COLUMN or ?label=COLUMN&only=VALUE after the path", f"?{query}")
    return os.path.expanduser(path), asked


def _open(request: Request, open_file: Callable[[str], _Table]) -> Source:
    """Rows of a table as float32 [batch, *shape]; one column a scalar of the flattened event.

    With an input spec the columns are its column names; without one, all numeric columns but
    `example_id` and that of the labels, in the file's order. Ids come from `example_id` where there
    is such a column, else they are "row 0", "row 1", ... Raises UserError: a missing or repeated
    column; a header of numbers; no rows; while it is read, a cell that is no number.
    """
    path, asked = _parse(request)
    with _readable(request):
        table = open_file(path)
    columns = _columns(request, table, asked.get("label"))
    spec = request.input_spec
    shape = (len(columns),) if spec is None else tuple(spec.shape)

    wanted = [*columns, *([ID_COLUMN] if ID_COLUMN in table.header else [])]
    wanted += [asked["label"]] if asked else []

    def read(batch_size: int) -> Iterator[Batch]:
        first_row = 0
        for frame in _frames(request, table, list(dict.fromkeys(wanted))):
            frame.index = pd.RangeIndex(first_row, first_row + len(frame))
            first_row += len(frame)
            labels = None
            if asked:
                frame, labels = _labelled(request, frame, asked["label"], asked.get("only"))
            ids = tuple(f"row {row}" for row in frame.index)
            if ID_COLUMN in frame:
                _check_all_there(request, frame[ID_COLUMN])
                ids = tuple(map(str, frame[ID_COLUMN]))
            values = np.column_stack([_numbers(request, frame[column]) for column in columns])
            with np.errstate(over="ignore"):  # the finite check finds what overflows
                values = values.astype(np.float32).reshape(len(frame), *shape)
            yield Batch(ids, values, labels)

    num_rows = None if "only" in asked else table.num_rows
    return Source(request.spec, shape, num_rows, read, request.spec, columns)


def _columns(request: Request, table: _Table, label: str | None) -> tuple[str, ...]:
    """The columns that make up an input."""
    spec = request.input_spec
    if label is not None and label not in table.header:
        expected = f"a column named {label!r} for the labels"
        raise request.error(expected, f"the columns {listed(table.header)}")
    counts = Counter(table.header)
    for column in (*(table.header if spec is None else spec.column_names()), ID_COLUMN):
        if counts[column] > 1:
            raise request.error(f"a single column named {column!r}", f"{counts[column]} of them")
    if spec is None:
        _check_header(request, table.header)
        return _numeric_columns(request, table, {ID_COLUMN, label})
    columns = spec.column_names()
    missing = [column for column in columns if column not in table.header]
    if missing:
        raise request.error(
            f"a column named {missing[0]!r}",
            f"the columns {listed(table.header)} ({len(missing)} of {len(columns)} are missing)",
        )
    return columns


open_csv = functools.partial(_open, open_file=_csv)  # compressed ones too, by their suffix
open_parquet = functools.partial(_open, open_file=_parquet)


def _check_header(request: Request, header: tuple[str, ...]) -> None:
    """Refuses columns without names, and a first row that is no header.

    The names 0, 1, 2, ... pass: pandas writes them where columns have no others.
    """
    if "" in header:
        raise request.error("a name for every column", f"none for column {header.index('')}")
    numbers = pd.to_numeric(pd.Series(header, dtype=str), errors="coerce")
    if numbers.notna().all() and header != tuple(map(str, range(len(header)))):
        raise request.error("the columns' names in the first row", f"numbers: {listed(header)}")


def _numeric_columns(request: Request, table: _Table, apart: set[str | None]) -> tuple[str, ...]:
    """All columns but those kept apart that have a number among their first rows.

    A column with a bad cell among numbers counts, so that the cell is reported.
    """
    head = next(_frames(request, table, table.header), None)
    if head is None or not len(head):
        raise request.error("at least one input", "none")
    others = [name for name in table.header if name not in apart]
    numeric = tuple(
        name for name in others if _is_number(head[name].dtype) or _coerce(head[name]).notna().any()
    )
    if not numeric:
        raise request.error("at least one column of numbers", f"the columns {listed(others)}")
    left_out = [name for name in others if name not in numeric]
    if left_out:
        logging.warning("%s: columns without numbers left out: %s", request.spec, listed(left_out))
    return numeric


def _is_number(dtype) -> bool:
    return pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)


def _coerce(column: pd.Series) -> pd.Series:
    """Numbers where cells are numbers or their text, NaN elsewhere."""
    if _is_number(column.dtype):
        return column
    if pd.api.types.is_string_dtype(column.dtype):
        return pd.to_numeric(column, errors="coerce")
    return pd.Series(np.nan, index=column.index, dtype=float)


def _check_cells(
    request: Request, column: pd.Series, is_bad: Any, expected: str, shown: Callable[[Any], str]
) -> None:
    """Raises UserError naming column and row of the first bad cell."""
    if is_bad.any():
        at = int(np.argmax(is_bad))
        got = f"{shown(column.iloc[at])} in row {column.index[at]}"
        raise request.error(expected.format(f"column {column.name!r}"), got)


def _check_all_there(request: Request, column: pd.Series) -> None:
    expected = "a value in {} of every row"
    _check_cells(request, column, column.isna(), expected, lambda cell: "none")


def _numbers(request: Request, column: pd.Series) -> np.ndarray:
    """One column, indexed by row, as float64; missing cells are NaN, which `checks` refuses."""
    numbers = _coerce(column)
    is_bad = numbers.isna() & column.notna()
    _check_cells(request, column, is_bad, "numbers in {}", lambda cell: repr(str(cell)))
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def _labelled(
    request: Request, frame: pd.DataFrame, label: str, only: str | None
) -> tuple[pd.DataFrame, np.ndarray | None]:
    """The rows to be read, and their class numbers where these are not all the same."""
    column = frame[label]
    _check_all_there(request, column)
    if only is not None:
        is_wanted = column.astype(str) == only
        wanted_number = pd.to_numeric(only, errors="coerce")
        if not np.isnan(wanted_number):  # 0, 0.0 and "0" are one
            is_wanted |= pd.to_numeric(column, errors="coerce") == wanted_number
        return frame[is_wanted], None
    numbers = _numbers(request, column)
    is_bad = (numbers < 0) | (numbers != np.floor(numbers)) | (numbers > np.iinfo(np.int32).max)
    _check_cells(request, column, is_bad, "whole numbers from 0 in {}", str)
    return frame, numbers.astype(np.int64)
