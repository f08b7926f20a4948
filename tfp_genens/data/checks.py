"""The one place where inputs are looked at before they reach a model.

NaN and infinite values are refused. Values outside the model's range are let through, because
scoring strange inputs is the point of the package, but are warned about once a source.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from absl import logging

from tfp_genens.data.requests import Request, listed
from tfp_genens.data.sources import Batch, Source

OUTLIER_SPREADS = 1e6
NUM_FOR_SPREAD = 10_000  # rows, evenly spaced, that say how wide a column's middle half is


class CheckedSource:
    """A source whose batches are all non-empty, numeric, finite and of the expected shape.

    `columns` names the features of tables. Raises UserError, at once or from `batches`: no
    examples; NaN, or a value that is infinite as float32; a wrong event shape.
    """

    def __init__(self, source: Source, request: Request, columns: tuple[str, ...] | None = None):
        self.source = source
        self._request = request
        self.columns = columns
        self._warned_outside = False
        self._warned_unit = False
        self.name = source.name
        self.shape = source.shape
        self.num_examples = source.num_examples
        request.check_shape(self.shape)
        if self.num_examples == 0:
            raise self._empty()

    def batches(self, batch_size: int) -> Iterator[Batch]:
        num_read = 0
        lowest, highest = math.inf, -math.inf
        is_float = False
        try:
            for batch in self.source.batches(batch_size):
                self._request.check_shape(batch.values.shape[1:], batch.example_ids[0])
                self._check_finite(batch)
                self._warn_outside(batch)
                num_read += len(batch)
                lowest = min(lowest, float(batch.values.min()))
                highest = max(highest, float(batch.values.max()))
                is_float = batch.values.dtype.kind == "f"
                yield batch
            if not num_read:
                raise self._empty()
        finally:  # also where the reader stops early
            if num_read and is_float and lowest >= 0 and highest <= 1:
                self._warn_unit(num_read)

    def _empty(self):
        return self._request.error("at least one input", "none")

    def _check_finite(self, batch: Batch) -> None:
        with np.errstate(over="ignore"):  # what overflows is found just below
            finite = np.isfinite(batch.values.astype(np.float32, copy=False))
        if finite.all():
            return
        row, *index = (int(i) for i in np.argwhere(~finite)[0])
        if self.columns is None:
            place = f"at {index}"
        else:
            place = f"in column {self.columns[np.ravel_multi_index(index, self.shape)]!r}"
        value = batch.values[(row, *index)]
        raise self._request.error(
            "finite values", f"{value} {place} of example {batch.example_ids[row]!r}"
        )

    def _range(self) -> tuple[float, float] | None:
        spec = self._request.input_spec
        return None if spec is None else spec.value_range

    def _warn_outside(self, batch: Batch) -> None:
        limits = self._range()
        if limits is None or self._warned_outside:
            return
        low, high = limits
        outside = (batch.values < low) | (batch.values > high)
        if outside.any():
            self._warned_outside = True
            first = tuple(np.argwhere(outside)[0])
            logging.warning(
                "%s: values outside the model's range, %g to %g, e.g. %g in example %r; "
                "scored as they are.",
                *(self.name, low, high, batch.values[first], batch.example_ids[first[0]]),
            )

    def _warn_unit(self, num_read: int) -> None:
        limits = self._range()
        if limits is None or self._warned_unit or limits[1] <= 1:
            return
        self._warned_unit = True
        logging.warning(
            "%s: all values of the %d inputs read lie in [0, 1], but the model's range is %g "
            "to %g; if these are images scaled to [0, 1], multiply them by %g.",
            *(self.name, num_read, *limits, limits[1]),
        )


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
