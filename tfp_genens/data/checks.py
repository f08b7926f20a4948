"""The one place where inputs are looked at before they reach a model.

NaN and infinite values are refused. Values outside the model's range are let through, because
scoring strange inputs is the point of the package, but are warned about once a source.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
from absl import logging

from tfp_genens.data.requests import Request, listed
from tfp_genens.data.sources import Batch, Source

OUTLIER_SPREADS = 1e6
NUM_FOR_SPREAD = 10_000  # rows, evenly spaced, that say how wide a column's middle half is


def checked(source: Source, request: Request) -> Source:
    """A source whose batches are all non-empty, numeric, finite and of the expected shape.

    Raises UserError, at once or while it is read: no examples; NaN, or a value that is infinite as
    float32; other columns than the model's; a wrong event shape.
    """
    spec = request.input_spec
    if spec is not None and source.columns not in (None, spec.column_names()):
        expected, got = map(listed, (spec.column_names(), source.columns or ()))
        raise request.error(f"the columns {expected}", got)
    if spec is not None and source.shape != spec.shape:
        raise request.error(f"inputs of shape {spec.shape}", f"shape {source.shape}")
    if source.num_examples == 0:
        raise request.error("at least one input", "none")
    return dataclasses.replace(source, read=_Checks(source, request).read)


class _Checks:
    def __init__(self, source: Source, request: Request):
        self._source = source
        self._request = request
        spec = request.input_spec
        self._range = None if spec is None else spec.value_range
        self._given_warnings: set[str] = set()

    def read(self, batch_size: int) -> Iterator[Batch]:
        num_read = 0
        lowest, highest = math.inf, -math.inf  # of values that are no integers
        try:
            for batch in self._source.batches(batch_size):
                self._check_finite(batch)
                self._warn_outside(batch)
                num_read += len(batch)
                if batch.values.dtype.kind == "f":
                    lowest = min(lowest, float(batch.values.min()))
                    highest = max(highest, float(batch.values.max()))
                yield batch
            if not num_read:
                raise self._request.error("at least one input", "none")
        finally:  # also where the reader stops early
            if self._range is not None and 0 <= lowest <= highest <= 1 < self._range[1]:
                self._warn(
                    "%s: all values of the %d inputs read lie in [0, 1], but the model's range is "
                    "%g to %g; if these are images scaled to [0, 1], multiply them by %g.",
                    *(num_read, *self._range, self._range[1]),
                )

    def _check_finite(self, batch: Batch) -> None:
        with np.errstate(over="ignore"):  # what overflows is found just below
            finite = np.isfinite(batch.values.astype(np.float32, copy=False))
        if finite.all():
            return
        row, *index = (int(i) for i in np.argwhere(~finite)[0])
        place = f"at {index}"
        if columns := self._source.columns:
            place = f"in column {columns[np.ravel_multi_index(index, self._source.shape)]!r}"
        value = batch.values[(row, *index)]
        raise self._request.error(
            "finite values", f"{value} {place} of example {batch.example_ids[row]!r}"
        )

    def _warn_outside(self, batch: Batch) -> None:
        if self._range is None:
            return
        low, high = self._range
        outside = (batch.values < low) | (batch.values > high)
        if outside.any():
            first = tuple(np.argwhere(outside)[0])
            self._warn(
                "%s: values outside the model's range, %g to %g, e.g. %g in example %r; "
                "scored as they are.",
                *(low, high, batch.values[first], batch.example_ids[first[0]]),
            )

    def _warn(self, message: str, *values: object) -> None:
        """Warns of one thing once a source."""
        if message not in self._given_warnings:
            self._given_warnings.add(message)
            logging.warning(message, self._source.name, *values)


def warn_of_odd_columns(name: str, columns: Sequence[str], rows: Batch) -> None:
    """Warns of columns of a training table that are likely to spoil what is learnt from it.

    They are used as they are: a column with one value throughout, and one with a value further from
    the median than OUTLIER_SPREADS times the range of the middle half. `rows` is the whole table.
    """
    values = rows.values
    lowest, highest = values.min(axis=0), values.max(axis=0)
    if (lowest == highest).any():
        logging.warning(
            "%s: columns with one value throughout: %s; nothing is learnt from them.",
            *(name, listed(np.array(columns)[lowest == highest])),
        )
    some = values[:: max(1, len(values) // NUM_FOR_SPREAD)].astype(np.float64)
    low, median, high = np.percentile(some, (25, 50, 75), axis=0)
    furthest = np.where(highest - median > median - lowest, highest, lowest)
    far = np.abs(furthest - median) > OUTLIER_SPREADS * (high - low)
    for i in map(int, np.flatnonzero(far & (high > low))):
        row = int(np.argmax(values[:, i] == furthest[i]))
        logging.warning(
            "%s: column %r has %g in example %r, where half of all values lie within %g to %g; "
            "whatever scales by mean and standard deviation will see little else.",
            *(name, columns[i], values[row, i], rows.example_ids[row], low[i], high[i]),
        )
