from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tfp_genens.data.sources import ArraySource, read_all
from tfp_genens.data.transforms import Mapped, hflip, vflip

images = arrays(np.uint8, array_shapes(min_dims=4, max_dims=4, max_side=6))


@pytest.mark.parametrize(("flip", "axis"), [(hflip, 2), (vflip, 1)])
@given(values=images, batch_size=st.integers(1, 5))
def test_flips_reverse_one_axis_and_undo_themselves(flip, axis, values, batch_size):
    source = ArraySource("x", values, "x")
    once = flip(source)
    flipped = np.concatenate([batch.values for batch in once.batches(batch_size)])
    np.testing.assert_array_equal(flipped, np.flip(values, axis))
    twice_ids, twice = read_all(flip(once))
    np.testing.assert_array_equal(twice, values)
    assert twice_ids == read_all(source)[0]
    assert (once.shape, once.num_examples) == (source.shape, source.num_examples)


def test_labels_stay_with_their_examples():
    source = ArraySource("x", np.arange(20.0).reshape(5, 2, 2, 1), "x", np.array([4, 0, 2, 1, 1]))
    for changed in (hflip(source), vflip(source), Mapped(source, np.negative, (2, 2, 1), "x")):
        batches = list(changed.batches(2))
        np.testing.assert_array_equal(np.concatenate([b.labels for b in batches]), source.labels)


def test_flips_are_named():
    source = ArraySource("x", np.zeros((1, 2, 2, 1)), "x")
    assert (hflip(source).name, vflip(source).name) == ("hflip", "vflip")


def test_only_images_can_be_flipped():
    with pytest.raises(ValueError, match="`source` must hold images"):
        hflip(ArraySource("x", np.zeros((4, 3)), "x"))


@given(values=images, batch_size=st.integers(1, 5))
def test_mapping_is_of_values_alone(values, batch_size):
    source = ArraySource("x", values, "x")
    mapped = Mapped(source, lambda batch: 255 - batch[:, :1], (1, *source.shape[1:]), "inverted")
    assert (mapped.name, mapped.num_examples) == ("inverted", len(values))
    batches = list(mapped.batches(batch_size))
    assert {batch.values.shape[1:] for batch in batches} == {mapped.shape}
    np.testing.assert_array_equal(np.concatenate([b.values for b in batches]), 255 - values[:, :1])
    assert tuple(i for b in batches for i in b.example_ids) == read_all(source)[0]
