"""`csv:PATH` and `parquet:PATH`: tables with one input a row, streamed.

Rows are numbered from 0 at the first row below the header, as pandas numbers them.

`csv:PATH?label=COLUMN` takes that column for the class of each row and not for a feature;
`csv:PATH?label=COLUMN&only=VALUE` reads the rows that have VALUE there, and no others.
"""

from __future__ import annotations

import contextlib
import dataclasses
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
from tfp_genens.data.sources import Batch, rebatch

ID_COLUMN = "example_id"
_ROWS_AT_A_TIME = 1000
_MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>"]


@dataclasses.dataclass(frozen=True)
class _Table:
    """A table file: its header, and a way to stream frames of some of its columns."""

    header: tuple[str, ...]
    num_rows: int | None
    frames: Callable[[Sequence[str]], Iterator[pd.DataFrame]]


@dataclasses.dataclass(frozen=True)
class _Labels:
    """What `?label=COLUMN&only=VALUE` asks for.

    Classes are whole numbers from 0, or anything where the rows with one value alone are read.
    """

    column: str
    only: str | None


@dataclasses.dataclass(frozen=True)
class TableSource:
    """Rows of a table as float32 [batch, *shape]; one column a scalar of the flattened event."""

    request: Request
    table: _Table
    columns: tuple[str, ...]
    shape: tuple[int, ...]
    labels: _Labels | None

    @property
    def name(self) -> str:
        return self.request.spec

    @property
    def num_examples(self) -> int | None:
        if self.labels is not None and self.labels.only is not None:
            return None
        return self.table.num_rows

    def batches(self, batch_size: int) -> Iterator[Batch]:
        return rebatch(self._read(), batch_size)

    def _read(self) -> Iterator[Batch]:
        has_ids = ID_COLUMN in self.table.header
        wanted = [*self.columns, *([ID_COLUMN] if has_ids else [])]
        if self.labels is not None:
            wanted.append(self.labels.column)
        first_row = 0
        for frame in self.table.frames(list(dict.fromkeys(wanted))):
            frame.index = pd.RangeIndex(first_row, first_row + len(frame))
            first_row += len(frame)
            labels = None
            if self.labels is not None:
                frame, labels = _labelled(self.request, frame, self.labels)
            ids = _ids(self.request, frame[ID_COLUMN]) if has_ids else _row_names(frame.index)
            values = np.empty((len(frame), len(self.columns)), np.float32)
            with np.errstate(over="ignore"):  # the finite check finds what overflows
                for i, column in enumerate(self.columns):
                    values[:, i] = _numbers(self.request, frame[column])
            yield Batch(ids, values.reshape(len(frame), *self.shape), labels)


@contextlib.contextmanager
def _readable(request: Request) -> Iterator[None]:
    """Turns what pandas and PyArrow raise about files into the user's error."""
    try:
        yield
    except FileNotFoundError as e:
        raise request.error("an existing file", "no such file") from e
    except pd.errors.EmptyDataError as e:
        raise request.error("at least one input", "an empty file") from e
    except (OSError, EOFError, ValueError, pd.errors.ParserWarning, pyarrow.ArrowException) as e:
        raise request.error("a readable table", str(e)) from e


def _streamed(request: Request, parts: Iterator[Any]) -> Iterator[Any]:
    while True:
        with _readable(request), warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            part = next(parts, None)
        if part is None:
            return
        yield part


def open_csv(request: Request) -> TableSource:
    """Opens a CSV file with a header (compressed ones too, by their suffix); see `open_table`."""
    path, labels = _parse(request)
    options: Any = {"encoding": "utf-8-sig", "skipinitialspace": True}
    with _readable(request):
        # Read as a row, not as a header: pandas would rename columns that appear twice.
        top = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, **options)
    header = tuple(top.iloc[0])
    # Ids stay as they are written: "007" and "NA" are names.
    missing = {name: [""] if name == ID_COLUMN else _MISSING for name in header}

    def frames(columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        with _readable(request), warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            reader = pd.read_csv(
                path,
                chunksize=_ROWS_AT_A_TIME,
                dtype={ID_COLUMN: str},
                keep_default_na=False,
                na_values=missing,
                index_col=False,
                float_precision="round_trip",
                skip_blank_lines=len(header) > 1,  # in a single column a blank is a missing value
                **options,
            )
        with reader:
            for frame in _streamed(request, reader):
                yield frame[list(columns)]

    return open_table(request, _Table(header, None, frames), labels)


def open_parquet(request: Request) -> TableSource:
    """Opens a Parquet file; see `open_table`."""
    path, labels = _parse(request)
    with _readable(request), pyarrow.parquet.ParquetFile(path) as file:
        header = tuple(file.schema_arrow.names)
        num_rows = file.metadata.num_rows

    def frames(columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        with _readable(request):
            file = pyarrow.parquet.ParquetFile(path)
        with file:
            batches = file.iter_batches(_ROWS_AT_A_TIME, columns=list(columns))
            for batch in _streamed(request, batches):
                yield batch.to_pandas(ignore_metadata=True)  # a pandas index is a column too

    return open_table(request, _Table(header, num_rows, frames), labels)


def _parse(request: Request) -> tuple[str, _Labels | None]:
    """The path, and what is asked for after a question mark; a file's name may hold one too."""
    path, mark, query = request.location.rpartition("?")
    if not mark or "=" not in query or os.path.exists(os.path.expanduser(request.location)):
        return os.path.expanduser(request.location), None
    try:
        asked = dict(urllib.parse.parse_qsl(query, strict_parsing=True))
    except ValueError:
        asked = {}
    if not {"label"} <= set(asked) <= {"label", "only"}:
        raise request.error("?label=COLUMN or ?label=COLUMN&only=VALUE after the path", f"?{query}")
    return os.path.expanduser(path), _Labels(asked["label"], asked.get("only"))


def open_table(request: Request, table: _Table, labels: _Labels | None = None) -> TableSource:
    """Chooses the columns that make up an input.

    With an input spec these are its column names; without one, all numeric columns but `example_id`
    and that of the labels, in the file's order. Ids come from `example_id` where there is such a
    column, else they are "row 0", "row 1", ... Raises UserError: a missing or repeated column; a
    header of numbers; no rows; while it is read, a cell that is no number.
    """
    spec = request.input_spec
    if labels is not None and labels.column not in table.header:
        expected = f"a column named {labels.column!r} for the labels"
        raise request.error(expected, f"the columns {listed(table.header)}")
    counts = Counter(table.header)
    for column in (*(table.header if spec is None else spec.column_names()), ID_COLUMN):
        if counts[column] > 1:
            raise request.error(f"a single column named {column!r}", f"{counts[column]} of them")
    if spec is None:
        _check_header(request, table)
        columns = _numeric_columns(request, table, labels)
        shape: tuple[int, ...] = (len(columns),)
    else:
        columns, shape = spec.column_names(), tuple(spec.shape)
    missing = [column for column in columns if column not in table.header]
    if missing:
        raise request.error(
            f"a column named {missing[0]!r}",
            f"the columns {listed(table.header)} ({len(missing)} of {len(columns)} are missing)",
        )
    return TableSource(request, table, columns, shape, labels)


def _check_header(request: Request, table: _Table) -> None:
    """Refuses columns without names, and a first row that is no header.

    The names 0, 1, 2, ... pass: pandas writes them where columns have no others.
    """
    header = table.header
    if "" in header:
        raise request.error("a name for every column", f"none for column {header.index('')}")
    numbers = pd.to_numeric(pd.Series(header, dtype=str), errors="coerce")
    if numbers.notna().all() and tuple(header) != tuple(map(str, range(len(header)))):
        raise request.error("the columns' names in the first row", f"numbers: {listed(header)}")


def _numeric_columns(request: Request, table: _Table, labels: _Labels | None) -> tuple[str, ...]:
    """All columns but ids and labels that begin with at least one number among their first rows.

    A column with a bad cell among numbers counts, so that the cell is reported.
    """
    head = next(table.frames(table.header), None)
    if head is None or not len(head):
        raise request.error("at least one input", "none")
    apart = {ID_COLUMN, labels.column if labels else ID_COLUMN}
    others = [name for name in table.header if name not in apart]
    numeric = tuple(name for name in others if _looks_numeric(head[name]))
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
    if pd.api.types.is_string_dtype(column.dtype):
        return pd.to_numeric(column, errors="coerce")
    return pd.Series(np.nan, index=column.index, dtype=float)


def _looks_numeric(column: pd.Series) -> bool:
    return _is_number(column.dtype) or bool(_coerce(column).notna().any())


def _numbers(request: Request, column: pd.Series) -> np.ndarray:
    """One column, indexed by row, as float64; missing cells are NaN, which `checks` refuses.

    Raises UserError naming column and row of a cell that is no number.
    """
    if not _is_number(column.dtype):
        coerced = _coerce(column)
        bad = (coerced.isna() & column.notna()).to_numpy()
        if bad.any():
            at = int(np.argmax(bad))
            raise request.error(
                f"numbers in column {column.name!r}",
                f"{str(column.iloc[at])!r} in row {column.index[at]}",
            )
        column = coerced
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _labelled(
    request: Request, frame: pd.DataFrame, labels: _Labels
) -> tuple[pd.DataFrame, np.ndarray | None]:
    """The rows to be read, and their class numbers where these are not all the same."""
    column = frame[labels.column]
    _check_all_there(request, column)
    if labels.only is not None:
        is_wanted = column.astype(str) == labels.only
        wanted_number = pd.to_numeric(labels.only, errors="coerce")
        if not np.isnan(wanted_number):  # 0, 0.0 and "0" are one
            is_wanted |= pd.to_numeric(column, errors="coerce") == wanted_number
        return frame[is_wanted], None
    numbers = _numbers(request, column)
    bad = (numbers < 0) | (numbers != np.floor(numbers)) | (numbers > np.iinfo(np.int32).max)
    if bad.any():
        at = int(np.argmax(bad))
        raise request.error(
            f"whole numbers from 0 in column {column.name!r}",
            f"{column.iloc[at]} in row {column.index[at]}",
        )
    return frame, numbers.astype(np.int64)


def _row_names(rows: pd.Index) -> tuple[str, ...]:
    return tuple(f"row {row}" for row in rows)


def _check_all_there(request: Request, column: pd.Series) -> None:
    missing = column.isna().to_numpy()
    if missing.any():
        row = column.index[int(np.argmax(missing))]
        raise request.error(f"a value in column {column.name!r} of every row", f"none in row {row}")


def _ids(request: Request, column: pd.Series) -> tuple[str, ...]:
    _check_all_there(request, column)
    return tuple(map(str, column))
