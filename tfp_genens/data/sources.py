"""What every kind of input looks like to the rest of the package: a re-iterable stream of batches.

Nothing here reads files. A source promises that each call of `batches` starts anew and yields the
same examples in the same order whatever the batch size, and that reading on costs no more memory.
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
      values: [batch, *shape], the source's dtype, on the scale people have their data in (images
        0 to 255, table rows in raw units).
      labels: int64 [batch], class numbers from 0, or -1 where a labelled set leaves one open; None
        where the source has none.
    """

    example_ids: tuple[str, ...]
    values: np.ndarray
    labels: np.ndarray | None = None

    def __post_init__(self):
        if len(self.example_ids) != len(self.values):
            raise ValueError(
                "`example_ids` must name every value; "
                f"got {len(self.example_ids)} for {len(self.values)}."
            )
        if self.labels is not None and self.labels.shape != (len(self.values),):
            raise ValueError(
                "`labels` must hold one number a value; "
                f"got shape {self.labels.shape} for {len(self.values)}."
            )

    def __len__(self) -> int:
        return len(self.example_ids)

    def __getitem__(self, part: slice) -> Batch:
        labels = None if self.labels is None else self.labels[part]
        return Batch(self.example_ids[part], self.values[part], labels)


class Source(Protocol):
    """A re-iterable stream of examples.

    Attributes:
      name: the SPEC or registered name that it came from.
      shape: the event shape.
      num_examples: None where it is not known before everything is read.
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
    """The same examples in the same order, `batch_size` at a time (the last batch may be smaller).

    Raises:
      ValueError: `batch_size` is not positive.
    """
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
    """Examples that are in memory already; ids are `{prefix}/{index}`.

    Attributes:
      values: [N, *shape].
      labels: int64 [N]; None where there are none.
    """

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

    Blocks are always computed whole, so example i depends neither on the batch size nor on how
    many examples are asked for.

    Args:
      name: the registered name.
      shape: event shape.
      num_examples: how many there are to be.
      make_block: block number -> values [BLOCK_SIZE, *shape]; a pure function.
      keep: remember computed blocks, for blocks so costly that a second reading must not pay
        again; memory is then bounded by `num_examples`.
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
    """The first `num_examples` of a source, or all where it has fewer.

    Raises:
      ValueError: `num_examples` is not positive.
    """
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
