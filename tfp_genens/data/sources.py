"""What every kind of input looks like to the rest of the package: a re-iterable stream of batches.

Each call of `batches` starts anew and yields the same examples in the same order whatever the batch
size, and reading on costs no more memory.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np

BLOCK_SIZE = 100


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some consecutive examples of a source.

    Attributes:
      example_ids: stable and unique within a source, e.g. "mnist/test/17", "photo.png", "row 12".
      values: [batch, *shape], the source's dtype, on the scale people have their data in.
      labels: int64 [batch], class numbers from 0, or -1 where a labelled set leaves one open; None
        where the source has none.
    """

    example_ids: tuple[str, ...]
    values: np.ndarray
    labels: np.ndarray | None = None

    def __post_init__(self):
        num = len(self.values)
        if len(self.example_ids) != num:
            raise ValueError(
                f"`example_ids` must name every value; got {len(self.example_ids)} for {num}."
            )
        if self.labels is not None and self.labels.shape != (num,):
            raise ValueError(
                f"`labels` must hold one number a value; got shape {self.labels.shape} for {num}."
            )

    def __len__(self) -> int:
        return len(self.example_ids)

    def __getitem__(self, part: slice) -> Batch:
        labels = None if self.labels is None else self.labels[part]
        return Batch(self.example_ids[part], self.values[part], labels)


class Source(Protocol):
    """A re-iterable stream of examples of event shape `shape`, under the SPEC or registered `name`.

    `num_examples` is None where it is not known before everything is read.
    """

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def num_examples(self) -> int | None: ...

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Batches of `batch_size`, of which only the last may be smaller; each call starts anew."""
        ...


def rebatch(batches: Iterable[Batch], batch_size: int) -> Iterator[Batch]:
    """The same examples, `batch_size` at a time (the last batch may be smaller)."""
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be positive; got {batch_size}.")
    waiting: list[Batch] = []
    num_waiting = 0
    for batch in batches:
        waiting.append(batch)
        num_waiting += len(batch)
        if num_waiting < batch_size:
            continue
        joined = _join(waiting)
        num_whole = num_waiting - num_waiting % batch_size
        for start in range(0, num_whole, batch_size):
            yield joined[start : start + batch_size]
        waiting = [joined[num_whole:]]
        num_waiting -= num_whole
    if num_waiting:
        yield _join(waiting)


def _join(batches: list[Batch]) -> Batch:
    batches = [batch for batch in batches if len(batch)] or batches[:1]
    if len(batches) == 1:
        return batches[0]
    ids = itertools.chain.from_iterable(batch.example_ids for batch in batches)
    labels = [batch.labels for batch in batches if batch.labels is not None]
    if len(labels) not in (0, len(batches)):
        raise ValueError("`labels` must be in all batches of a source or in none; got some.")
    return Batch(
        tuple(ids),
        np.concatenate([batch.values for batch in batches]),
        np.concatenate(labels) if labels else None,
    )


@dataclasses.dataclass(frozen=True)
class ArraySource:
    """Examples that are in memory already, [N, *shape]; ids are `{prefix}/{index}`."""

    name: str
    values: np.ndarray
    prefix: str
    labels: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape[1:]

    @property
    def num_examples(self) -> int:
        return len(self.values)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        return rebatch(self._blocks(max(batch_size, 1)), batch_size)

    def _blocks(self, size: int) -> Iterator[Batch]:
        for start in range(0, len(self.values), size):
            values = self.values[start : start + size]
            ids = (f"{self.prefix}/{i}" for i in range(start, start + len(values)))
            labels = None if self.labels is None else self.labels[start : start + size]
            yield Batch(tuple(ids), values, labels)


class BlockSource:
    """Examples computed on demand in blocks of BLOCK_SIZE; ids are `{name}/{index}`.

    Blocks are always computed whole, so example i depends neither on the batch size nor on how many
    examples are asked for. `make_block` is a pure function of the block's number. With `keep`,
    blocks are remembered, where they are so costly that a second reading must not pay again.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        num_examples: int,
        make_block: Callable[[int], np.ndarray],
        *,
        keep: bool = False,
    ):
        if num_examples < 1:
            raise ValueError(f"`num_examples` must be positive; got {num_examples}.")
        self.name = name
        self.shape = shape
        self.num_examples = num_examples
        self._make_block = functools.cache(make_block) if keep else make_block

    @property
    def origin(self) -> str:
        return "made from the seed"

    def batches(self, batch_size: int) -> Iterator[Batch]:
        return rebatch(self._blocks(), batch_size)

    def _blocks(self) -> Iterator[Batch]:
        for start in range(0, self.num_examples, BLOCK_SIZE):
            values = self._make_block(start // BLOCK_SIZE)[: self.num_examples - start]
            yield Batch(tuple(f"{self.name}/{start + i}" for i in range(len(values))), values)


@dataclasses.dataclass(frozen=True)
class _Taken:
    source: Source
    limit: int

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def num_examples(self) -> int | None:
        known = self.source.num_examples
        return None if known is None else min(known, self.limit)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        left = self.limit
        for batch in self.source.batches(min(batch_size, self.limit)):
            yield batch[:left]
            left -= len(batch)
            if left <= 0:
                return


def take(source: Source, num_examples: int) -> Source:
    """The first `num_examples` of a source, or all where it has fewer."""
    if num_examples < 1:
        raise ValueError(f"`num_examples` must be positive; got {num_examples}.")
    return _Taken(source, num_examples)


def read_batch(source: Source) -> Batch:
    """Everything a source has, in memory, as one batch."""
    return _join(list(source.batches(1000)))


def read_all(source: Source) -> tuple[tuple[str, ...], np.ndarray]:
    """Everything a source has, in memory: ids, and values [N, *shape]."""
    joined = read_batch(source)
    return joined.example_ids, joined.values


def origin_of(source: Source) -> str:
    """Where the examples come from, for results: the SPEC, and what its files were made of.

    What is done to a source on its way (its attribute `source`) is passed over; sources that know
    more of themselves than their name have an attribute `origin`.
    """
    while (inner := getattr(source, "source", None)) is not None:
        source = inner
    return getattr(source, "origin", source.name)
