"""Images changed on their way, lazily: turned over, or anything done to a batch at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from tfp_genens.data.sources import Batch, Source

HEIGHT_AXIS, WIDTH_AXIS = 0, 1


@dataclasses.dataclass(frozen=True)
class Flipped:
    """Images with one axis reversed; ids and labels stay those of the images that were flipped.

    Attributes:
      axis: HEIGHT_AXIS (upside down) or WIDTH_AXIS (mirrored), of the event.

    Raises:
      ValueError: the source does not hold images [height, width, channels].
    """

    source: Source
    axis: int
    name: str

    def __post_init__(self):
        if len(self.source.shape) != 3 or self.axis not in (HEIGHT_AXIS, WIDTH_AXIS):
            raise ValueError(
                "`source` must hold images and `axis` be 0 or 1; "
                f"got shape {self.source.shape} and axis {self.axis}."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def num_examples(self) -> int | None:
        return self.source.num_examples

    def batches(self, batch_size: int) -> Iterator[Batch]:
        reverse = [slice(None)] * (self.axis + 1) + [slice(None, None, -1)]
        for batch in self.source.batches(batch_size):
            yield dataclasses.replace(batch, values=batch.values[tuple(reverse)])


def hflip(source: Source, name: str = "hflip") -> Flipped:
    """Images mirrored left to right."""
    return Flipped(source, WIDTH_AXIS, name)


def vflip(source: Source, name: str = "vflip") -> Flipped:
    """Images upside down."""
    return Flipped(source, HEIGHT_AXIS, name)


@dataclasses.dataclass(frozen=True)
class Mapped:
    """A source with a function applied to its values; ids and labels stay those of the examples.

    Attributes:
      function: values [batch, *source.shape] -> [batch, *shape], each example by itself.
      shape: the event shape after it.
    """

    source: Source
    function: Callable[[np.ndarray], np.ndarray]
    shape: tuple[int, ...]
    name: str

    @property
    def num_examples(self) -> int | None:
        return self.source.num_examples

    def batches(self, batch_size: int) -> Iterator[Batch]:
        for batch in self.source.batches(batch_size):
            yield dataclasses.replace(batch, values=self.function(batch.values))
