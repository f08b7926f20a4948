from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfp_genens.data.sources import (
    BLOCK_SIZE,
    ArraySource,
    Batch,
    BlockSource,
    read_all,
    rebatch,
    take,
)


def numbered(sizes):
    """Batches of the given sizes whose values count up from 0."""
    start = 0
    for size in sizes:
        values = np.arange(start, start + size)[:, np.newaxis]
        yield Batch(tuple(map(str, range(start, start + size))), values)
        start += size


@given(st.lists(st.integers(0, 20), max_size=8), st.integers(1, 15))
def test_rebatch_keeps_every_example_in_order(sizes, batch_size):
    batches = list(rebatch(numbered(sizes), batch_size))
    total = sum(sizes)
    assert [len(batch) for batch in batches] == [
        min(batch_size, total - start) for start in range(0, total, batch_size)
    ]
    values = [int(value) for batch in batches for value in batch.values[:, 0]]
    ids = [name for batch in batches for name in batch.example_ids]
    assert values == list(range(total))
    assert ids == list(map(str, range(total)))


@given(st.lists(st.integers(0, 20), min_size=1, max_size=8), st.integers(1, 15))
def test_rebatch_keeps_labels_beside_their_values(sizes, batch_size):
    labelled = (
        dataclasses.replace(batch, labels=batch.values[:, 0] % 3) for batch in numbered(sizes)
    )
    for batch in rebatch(labelled, batch_size):
        np.testing.assert_array_equal(batch.labels, batch.values[:, 0] % 3)


def test_labels_are_in_all_batches_or_in_none():
    first, second = numbered([2, 3])
    mixed = [first, dataclasses.replace(second, labels=np.zeros(3, np.int64))]
    with pytest.raises(ValueError, match="`labels` must be in all batches"):
        list(rebatch(mixed, 5))


def test_batch_needs_one_label_a_value():
    with pytest.raises(ValueError, match="`labels`"):
        Batch(("a",), np.zeros((1, 1)), np.zeros((1, 1), np.int64))


def test_rebatch_reads_no_further_than_it_must():
    num_read = 0

    def endless():
        nonlocal num_read
        while True:
            num_read += 1
            yield Batch(("x", "y"), np.zeros((2, 1)))

    next(rebatch(endless(), 5))
    assert num_read == 3


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batch_size_must_be_positive(batch_size):
    source = ArraySource("x", np.zeros((3, 2)), "x")
    with pytest.raises(ValueError, match="`batch_size` must be positive"):
        list(source.batches(batch_size))


def test_batch_needs_one_id_a_value():
    with pytest.raises(ValueError, match="`example_ids`"):
        Batch(("a",), np.zeros((2, 1)))


@given(st.integers(1, 30), st.integers(1, 12))
def test_take_is_a_prefix_and_reiterable(num_examples, batch_size):
    source = ArraySource("x", np.arange(20.0).reshape(10, 2), "x")
    taken = take(source, num_examples)
    expected = min(num_examples, 10)
    assert taken.num_examples == expected
    assert taken.name == "x"
    assert taken.shape == (2,)
    for _ in range(2):
        batches = list(taken.batches(batch_size))
        assert sum(map(len, batches)) == expected
        assert all(len(batch) == batch_size for batch in batches[:-1])
        np.testing.assert_array_equal(
            np.concatenate([batch.values for batch in batches]), source.values[:expected]
        )


def test_take_reads_no_more_than_it_needs():
    asked = []

    class Spy(ArraySource):
        def batches(self, batch_size):
            asked.append(batch_size)
            return super().batches(batch_size)

    assert len(read_all(take(Spy("x", np.zeros((30, 2)), "x"), 5))[0]) == 5
    assert asked == [5]


def test_take_refuses_none():
    with pytest.raises(ValueError, match="`num_examples` must be positive"):
        take(ArraySource("x", np.zeros((3, 2)), "x"), 0)


def test_read_all():
    source = ArraySource("x", np.arange(4500).reshape(2250, 2), "file.npz")
    ids, values = read_all(source)
    assert ids == tuple(f"file.npz/{i}" for i in range(2250))
    np.testing.assert_array_equal(values, source.values)


def make_block(block):
    return np.full((BLOCK_SIZE, 2), block) + np.linspace(0, 0.5, BLOCK_SIZE)[:, np.newaxis]


@given(st.integers(1, 350), st.integers(1, 130))
def test_blocks_depend_on_nothing_but_their_number(num_examples, batch_size):
    batches = list(BlockSource("noise", (2,), num_examples, make_block).batches(batch_size))
    ids = [name for batch in batches for name in batch.example_ids]
    values = np.concatenate([batch.values for batch in batches])
    assert ids == [f"noise/{i}" for i in range(num_examples)]
    np.testing.assert_array_equal(
        values, np.concatenate([make_block(b) for b in range(4)])[:num_examples]
    )


def test_blocks_that_cost_much_are_computed_once():
    asked = []

    def costly(block):
        asked.append(block)
        return make_block(block)

    source = BlockSource("attack", (2,), 150, costly, keep=True)
    first, second = read_all(source), read_all(source)
    assert asked == [0, 1]
    np.testing.assert_array_equal(first[1], second[1])


def test_block_source_refuses_none():
    with pytest.raises(ValueError, match="`num_examples` must be positive"):
        BlockSource("noise", (2,), 0, make_block)
