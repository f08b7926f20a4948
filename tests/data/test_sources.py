import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tfp_genens.data.sources import (
    BLOCK_SIZE,
    Batch,
    Source,
    array_source,
    block_source,
    mapped,
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
    source = array_source("x", np.zeros((3, 2)), "x")
    with pytest.raises(ValueError, match="`batch_size` must be positive"):
        list(source.batches(batch_size))


def test_batch_needs_one_id_a_value():
    with pytest.raises(ValueError, match="`example_ids`"):
        Batch(("a",), np.zeros((2, 1)))


@given(st.integers(1, 30), st.integers(1, 12))
def test_take_is_a_prefix_and_reiterable(num_examples, batch_size):
    values = np.arange(20.0).reshape(10, 2)
    taken = take(array_source("x", values, "x"), num_examples)
    expected = min(num_examples, 10)
    assert taken.num_examples == expected
    assert taken.name == "x"
    assert taken.shape == (2,)
    for _ in range(2):
        batches = list(taken.batches(batch_size))
        assert sum(map(len, batches)) == expected
        assert all(len(batch) == batch_size for batch in batches[:-1])
        np.testing.assert_array_equal(
            np.concatenate([batch.values for batch in batches]), values[:expected]
        )


def test_take_reads_no_more_than_it_needs():
    asked = []

    def read(batch_size):
        asked.append(batch_size)
        for batch in numbered([3] * 10):
            asked.append(len(batch))
            yield batch

    source = Source("x", (1,), 30, read, "x")
    assert len(read_all(take(source, 5))[0]) == 5
    assert asked == [5, 3, 3]


def test_take_refuses_none():
    with pytest.raises(ValueError, match="`num_examples` must be positive"):
        take(array_source("x", np.zeros((3, 2)), "x"), 0)


def test_read_all():
    stored = np.arange(4500).reshape(2250, 2)
    ids, values = read_all(array_source("x", stored, "file.npz"))
    assert ids == tuple(f"file.npz/{i}" for i in range(2250))
    np.testing.assert_array_equal(values, stored)


def make_block(block):
    return np.full((BLOCK_SIZE, 2), block) + np.linspace(0, 0.5, BLOCK_SIZE)[:, np.newaxis]


@given(st.integers(1, 350), st.integers(1, 130))
def test_blocks_depend_on_nothing_but_their_number(num_examples, batch_size):
    batches = list(block_source("noise", (2,), num_examples, make_block).batches(batch_size))
    ids = [name for batch in batches for name in batch.example_ids]
    values = np.concatenate([batch.values for batch in batches])
    assert ids == [f"noise/{i}" for i in range(num_examples)]
    np.testing.assert_array_equal(
        values, np.concatenate([make_block(b) for b in range(4)])[:num_examples]
    )


@given(arrays(np.uint8, array_shapes(min_dims=4, max_dims=4, max_side=6)), st.integers(1, 5))
def test_mapping_is_of_values_alone(values, batch_size):
    labels = np.arange(len(values))
    source = array_source("x", values, "x", labels)
    inverted = mapped(source, lambda batch: 255 - batch[:, :1], (1, *source.shape[1:]), "inverted")
    assert (inverted.name, inverted.num_examples) == ("inverted", len(values))
    batches = list(inverted.batches(batch_size))
    assert {batch.values.shape[1:] for batch in batches} == {inverted.shape}
    np.testing.assert_array_equal(np.concatenate([b.values for b in batches]), 255 - values[:, :1])
    np.testing.assert_array_equal(np.concatenate([b.labels for b in batches]), labels)
    assert tuple(i for b in batches for i in b.example_ids) == read_all(source)[0]
