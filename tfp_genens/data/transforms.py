"""Images changed on their way, lazily: turned over, or anything done to a batch at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from tfp_genens.data.sources import Batch, Source


@dataclasses.dataclass(frozen=True)
class Mapped:
    """A source with a function applied to its values; ids and labels stay those of the examples.

    `function` maps values [batch, *source.shape] to [batch, *shape], each example by itself.
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


def _flipped(source: Source, axis: int, name: str) -> Mapped:
    if len(source.shape) != 3:
        raise ValueError(f"`source` must hold images; got shape {source.shape}.")
    return Mapped(source, lambda images: np.flip(images, axis), source.shape, name)


def hflip(source: Source, name: str = "hflip") -> Mapped:
    """Images mirrored left to right."""
    return _flipped(source, 2, name)


def vflip(source: Source, name: str = "vflip") -> Mapped:
    """Images upside down."""
    return _flipped(source, 1, name)
