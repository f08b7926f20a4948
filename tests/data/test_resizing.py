"""Resizing against its definition, written out as weights of input pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tfp_genens.data.transforms import AREA, BILINEAR, NEAREST, centre_square, resize


def area_weights(size, new_size):
    """[new_size, size]: the share of each output pixel that each input pixel has."""
    edges = np.linspace(0, size, new_size + 1)
    pixels = np.arange(size)
    low = np.maximum(edges[:-1, None], pixels)
    high = np.minimum(edges[1:, None], pixels + 1)
    return (high - low).clip(0) * new_size / size


def nearest_weights(size, new_size):
    centres = (np.arange(new_size) + 0.5) * size / new_size
    return np.eye(size)[np.floor(centres).astype(int)]


def bilinear_weights(size, new_size):
    """Hat functions around the centres, both in coordinates where input pixel j is at j."""
    centres = ((np.arange(new_size) + 0.5) * size / new_size - 0.5).clip(0, size - 1)
    return (1 - np.abs(centres[:, None] - np.arange(size))).clip(0)


@pytest.mark.parametrize(
    ("method", "weights"),
    [(AREA, area_weights), (NEAREST, nearest_weights), (BILINEAR, bilinear_weights)],
)
@pytest.mark.parametrize(
    ("size", "new_size"),
    [((105, 105), (28, 28)), ((105, 105), (8, 8)), ((7, 10), (4, 3)), ((5, 6), (5, 6))],
)
def test_resizing_is_what_its_weights_say(method, weights, size, new_size):
    values = np.random.default_rng(0).integers(0, 256, (3, *size, 1), np.uint8)
    rows, columns = (weights(*pair) for pair in zip(size, new_size, strict=True))
    np.testing.assert_allclose(rows.sum(axis=1), 1)
    exact = np.einsum("ih,jw,nhwc->nijc", rows, columns, values.astype(np.float64))
    resized = resize(values, new_size, method)
    assert resized.dtype == np.uint8
    assert np.abs(resized - exact).max() <= 0.5 + 1e-3  # rounding; float32 under TensorFlow


@given(arrays(np.uint8, st.just((2, 7, 7, 1))), st.sampled_from([AREA, NEAREST, BILINEAR]))
def test_resizing_keeps_within_the_values_and_examples_apart(values, method):
    resized = resize(values, (3, 3), method)
    for one, value in zip(resized, values, strict=True):
        assert value.min() <= one.min() <= one.max() <= value.max()
        np.testing.assert_array_equal(resize(value[None], (3, 3), method)[0], one)


def test_plain_bilinear_sampling_passes_over_pixels():
    """A lit line on every eighth row is lost wherever no centre comes near it."""
    values = np.zeros((1, 32, 8, 1), np.uint8)
    values[:, 1::8] = 255
    assert (resize(values, (4, 1), AREA) == 32).all()
    assert (resize(values, (4, 1), BILINEAR) == 0).all()
    assert (resize(values, (4, 1), NEAREST) == 0).all()


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [
        ((218, 178), slice(20, 198), slice(None)),  # CelebA
        ((4, 7), slice(None), slice(1, 5)),
        ((5, 5), slice(None), slice(None)),
    ],
)
def test_centre_square(shape, rows, columns):
    values = np.arange(2 * shape[0] * shape[1] * 3).reshape(2, *shape, 3)
    np.testing.assert_array_equal(centre_square(values), values[:, rows, columns])
