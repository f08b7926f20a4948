"""What every kind of input looks like to the rest of the package: a re-iterable stream of batches.

Each reading yields the same examples in the same order whatever the batch size, and reading on
costs no more memory.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator

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
        num, num_ids = len(self.values), len(self.example_ids)
        labels_fit = self.labels is None or self.labels.shape == (num,)
        if num_ids != num or not labels_fit:
            raise ValueError(
                f"`example_ids` and `labels` must hold one for each of {num} values; got {num_ids} "
                f"and shape {getattr(self.labels, 'shape', None)}."
            )

    def __len__(self) -> int:
        return len(self.example_ids)

    def __getitem__(self, part: slice) -> Batch:
        labels = None if self.labels is None else self.labels[part]
        return Batch(self.example_ids[part], self.values[part], labels)


@dataclasses.dataclass(frozen=True)
class Source:
    """A re-iterable stream of examples.

    Attributes:
      name: the SPEC or the registered name.
      shape: event shape.
      num_examples: None where it is not known before everything is read.
      read: starts anew. It is told how many examples are wanted at a time, and yields batches of
        any size.
      origin: where the examples come from, for results: the SPEC, and what its files were made of.
      columns: names of the features of a table, where it has some.
    """

    name: str
    shape: tuple[int, ...]
    num_examples: int | None
    read: Callable[[int], Iterator[Batch]]
    origin: str
    columns: tuple[str, ...] | None = None

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Batches of `batch_size`, of which only the last may be smaller; each call starts anew."""
        return rebatch(self.read(batch_size), batch_size)


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


def array_source(
    name: str, values: np.ndarray, prefix: str, labels: np.ndarray | None = None
) -> Source:
    """Examples that are in memory already, [N, *shape]; ids are `{prefix}/{index}`."""

    def read(batch_size: int) -> Iterator[Batch]:
        yield Batch(tuple(f"{prefix}/{i}" for i in range(len(values))), values, labels)

    return Source(name, values.shape[1:], len(values), read, origin=name)


def block_source(
    name: str, shape: tuple[int, ...], num_examples: int, make_block: Callable[[int], np.ndarray]
) -> Source:
    """Examples computed on demand in blocks of BLOCK_SIZE; ids are `{name}/{index}`.

    Blocks are always computed whole, so example i depends neither on the batch size nor on how many
    examples are asked for. `make_block` is a pure function of the block's number.
    """

    def read(batch_size: int) -> Iterator[Batch]:
        for start in range(0, num_examples, BLOCK_SIZE):
            values = make_block(start // BLOCK_SIZE)[: num_examples - start]
            yield Batch(tuple(f"{name}/{start + i}" for i in range(len(values))), values)

    return Source(name, shape, num_examples, read, origin="made from the seed")


def mapped(
    source: Source,
    function: Callable[[np.ndarray], np.ndarray],
    shape: tuple[int, ...],
    name: str,
) -> Source:
    """A source with a function applied to its values; ids and labels stay those of the examples.

    `function` maps values [batch, *source.shape] to [batch, *shape], each example by itself.
    """

    def read(batch_size: int) -> Iterator[Batch]:
        for batch in source.batches(batch_size):
            yield dataclasses.replace(batch, values=function(batch.values))

    return dataclasses.replace(source, name=name, shape=shape, read=read)


def take(source: Source, num_examples: int) -> Source:
    """The first `num_examples` of a source, or all where it has fewer."""
    if num_examples < 1:
        raise ValueError(f"`num_examples` must be positive; got {num_examples}.")

    def read(batch_size: int) -> Iterator[Batch]:
        left = num_examples
        for batch in source.batches(min(batch_size, num_examples)):
            yield batch[:left]
            left -= len(batch)
            if left <= 0:
                return

    known = source.num_examples
    num_taken = None if known is None else min(known, num_examples)
    return dataclasses.replace(source, num_examples=num_taken, read=read)


def read_batch(source: Source) -> Batch:
    """Everything a source has, in memory, as one batch."""
    return _join(list(source.batches(1000)))


def read_all(source: Source) -> tuple[tuple[str, ...], np.ndarray]:
    """Everything a source has, in memory: ids, and values [N, *shape]."""
    joined = read_batch(source)
    return joined.example_ids, joined.values
