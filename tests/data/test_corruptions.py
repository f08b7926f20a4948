"""Corruptions: what each keeps, and what it changes."""

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import corruptions
from tfp_genens.data.corruptions import CORRUPTIONS, ROW_CORRUPTIONS
from tfp_genens.data.ood import OodContext, open_ood
from tfp_genens.data.sources import array_source, read_all
from tfp_genens.errors import UserError


def generator(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def images():
    white = generator(5).random((6, 12, 8, 3))
    return np.clip(scipy.ndimage.gaussian_filter(white, (0, 1, 1, 0)) * 3 - 1, 0, 1)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_images_keep_shape_and_range_and_do_not_stay_the_same(name, images):
    found = CORRUPTIONS[name](images.copy(), generator())
    assert found.shape == images.shape
    assert found.min() >= 0
    assert found.max() <= 1
    assert (found != images).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(found, CORRUPTIONS[name](images.copy(), generator()))


@pytest.mark.parametrize("kind", ["noise", "blur", "contrast", "elastic", "shift"])
def test_strong_is_further_away_than_mild(kind, images):
    mild, strong = (
        np.abs(CORRUPTIONS[f"{kind}_{how}"](images, generator()) - images).mean()
        for how in ("mild", "strong")
    )
    assert strong > 1.2 * mild


def test_noise_has_the_spread_that_it_says():
    grey = np.full((4, 50, 50, 1), 0.5)
    found = corruptions.noisy(grey, generator(), 0.1)
    assert np.std(found - grey) == pytest.approx(0.1, rel=0.05)


def test_contrast_keeps_the_mean():
    images = generator().uniform(0.3, 0.7, (3, 5, 5, 1))
    found = corruptions.contrast(images, generator(), 0.4)
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), images.mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(found.std(axis=(1, 2, 3)), 0.4 * images.std(axis=(1, 2, 3)))


@given(st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_shuffled_tiles_are_the_same_tiles_elsewhere(num, seed):
    images = generator(1).random((2, 12, 12, 1))
    found = corruptions.shuffled(images, generator(seed), num)

    def tiles(image):
        parts = np.split(image, num)
        return sorted(tile.tobytes() for part in parts for tile in np.split(part, num, axis=1))

    for image, shuffled in zip(images, found, strict=True):
        assert tiles(image) == tiles(shuffled)
        assert (image != shuffled).any()


def test_elastic_moves_by_the_share_of_the_side():
    """Of a ramp, the change in brightness is the displacement."""
    ramp = np.broadcast_to(np.linspace(0, 1, 29)[:, np.newaxis, np.newaxis], (50, 29, 29, 1))
    moved = corruptions.elastic(ramp, generator(), 1 / 14) - ramp
    middle = moved[:, 8:-8, 8:-8]
    assert np.sqrt(np.mean(middle**2)) * 28 / 29 == pytest.approx(1 / 14, rel=0.3)


def test_halves_come_from_two_images(images):
    found = corruptions.mixed_halves(images, generator())
    np.testing.assert_array_equal(found[:, :, :4], images[:, :, :4])
    owners = [
        [k for k, other in enumerate(images) if (half == other[:, 4:]).all()]
        for half in found[:, :, 4:]
    ]
    assert sorted(owner for (owner,) in owners) == list(range(len(images)))
    assert all(owner != k for k, (owner,) in enumerate(owners))


def test_shift_by_hand():
    image = np.arange(16.0).reshape(1, 4, 4, 1) / 15
    found = corruptions.shifted(image, generator(), 1 / 4)[0, :, :, 0] * 15
    expected = [[0, 0, 1, 2], [0, 0, 1, 2], [4, 4, 5, 6], [8, 8, 9, 10]]
    np.testing.assert_allclose(found, expected)


ROWS = generator(2).normal(size=(400, 20)) * np.geomspace(1e-2, 1e3, 20)


def test_all_columns_come_from_other_rows():
    found = ROW_CORRUPTIONS["columns_mixed"](ROWS, generator())
    assert (found != ROWS).all()
    assert all(np.isin(found[:, k], ROWS[:, k]).all() for k in range(20))


def test_half_of_the_columns_come_from_other_rows():
    found = ROW_CORRUPTIONS["columns_half_mixed"](ROWS, generator())
    assert np.mean(found != ROWS) == pytest.approx(0.5, abs=0.03)
    assert all(np.isin(found[:, k], ROWS[:, k]).all() for k in range(20))


@pytest.mark.parametrize(("num_columns", "expected"), [(20, 2), (3, 1)])
def test_a_tenth_of_the_columns_is_noisy(num_columns, expected):
    rows = ROWS[:, :num_columns]
    found = ROW_CORRUPTIONS["columns_noisy"](rows, generator())
    assert (np.sum(found != rows, axis=1) == expected).all()
    moved = (found - rows) / rows.std(axis=0)
    assert np.std(moved[moved != 0]) == pytest.approx(1, abs=0.1)


IMAGES = InputSpec((8, 8, 1), "uint8", (0.0, 255.0), "x / 255")
TABLE = InputSpec((20,), "float32", None, "none")


def source(values, spec):
    return array_source("normal", values.astype(spec.dtype), "normal")


def context(values, spec):
    return OodContext(source(values, spec), spec, len(values), seed=0)


def values_of(name, given_context):
    return read_all(open_ood(name, given_context)[1])[1]


def test_sets_are_on_the_raw_scale():
    images = generator().integers(0, 256, (20, 8, 8, 1))
    found = values_of("corrupted_contrast_strong", context(images, IMAGES))
    assert found.dtype == np.uint8
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(found, mean + 0.4 * (images - mean), atol=0.51)
    found = values_of("corrupted_columns_noisy", context(ROWS, TABLE))
    assert found.shape == ROWS.shape
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("name", "values", "spec"),
    [
        ("corrupted_blur_mild", ROWS, TABLE),
        ("corrupted_columns_mixed", np.zeros((3, 8, 8, 1)), IMAGES),
    ],
)
def test_sets_need_what_they_are_made_of(name, values, spec):
    with pytest.raises(UserError, match=f"--ood={name}: expected a model of "):
        open_ood(name, context(values, spec))
