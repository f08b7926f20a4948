import dataclasses

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import OOD_SETS, OodContext, open_ood, open_source, read_all, take
from tfp_genens.data.ood import THICK_DILATION
from tfp_genens.data.sources import array_source
from tfp_genens.data.transforms import disc, thicken, white_on_black

FORMS = ["omniglot", "omniglot_nearest", "omniglot_bilinear", "omniglot_thick"]


def test_inverting():
    values = np.array([[[[255, 255, 255], [0, 0, 0], [200, 200, 200], [255, 0, 0]]]], np.uint8)
    inverted = white_on_black(values)
    assert inverted.dtype == np.uint8
    np.testing.assert_array_equal(inverted[..., 0], [[[0, 255, 55, 179]]])  # 255 - 0.299 255


def test_discs():
    np.testing.assert_array_equal(disc(1), [[True]])
    np.testing.assert_array_equal(disc(3), np.ones((3, 3), bool))
    expected = np.ones((5, 5), bool)
    expected[[0, 0, -1, -1], [0, -1, 0, -1]] = False
    np.testing.assert_array_equal(disc(5), expected)


@pytest.mark.parametrize("diameter", [1, 3, 5])
def test_thickening_draws_with_a_disc(diameter):
    """One point becomes the disc; a line of width w one of width w + diameter - 1."""
    values = np.zeros((2, 20, 20, 1), np.uint8)
    values[0, 10, 9] = 200
    values[1, :, 8:11] = 100
    thick = thicken(values, diameter)
    reach = diameter // 2
    expected = np.zeros((20, 20), np.uint8)
    expected[10 - reach : 11 + reach, 9 - reach : 10 + reach] = 200 * disc(diameter)
    np.testing.assert_array_equal(thick[0, ..., 0], expected)
    np.testing.assert_array_equal(
        np.flatnonzero(thick[1, 10, :, 0]), np.arange(8 - reach, 11 + reach)
    )
    assert thick[1].max() == 100


@pytest.fixture
def context():
    spec = InputSpec((28, 28, 1), "uint8", (0.0, 255.0), "x / 255")
    test = array_source("test", np.zeros((130, 28, 28, 1), np.uint8), "test")
    return OodContext(test, spec, 130, seed=0)


@pytest.mark.parametrize("name", FORMS)
def test_omniglot_for_a_model(context, needs_tfds, name):
    needs_tfds("omniglot")
    row, source = open_ood(name, context)
    assert (row.name, source.name, source.shape) == (name, name, (28, 28, 1))
    ids, values = read_all(source)
    assert ids == tuple(f"omniglot/test/{i}" for i in range(130))
    assert values.shape == (130, 28, 28, 1)
    assert values.dtype == np.uint8
    assert np.median(values) == 0  # black paper
    drawn = read_all(take(open_source("tfds:omniglot:test", None), 130))[1]
    ink = (drawn[..., 0] == 0).mean()
    if name == "omniglot":
        assert values.mean() / 255 == pytest.approx(ink, abs=0.5 / 255)
    for batch_size in (1, 7):
        again = np.concatenate([batch.values for batch in source.batches(batch_size)])
        np.testing.assert_array_equal(again, values)


def test_the_forms_of_omniglot_differ(context, needs_tfds):
    needs_tfds("omniglot")
    values = {name: read_all(open_ood(name, context)[1])[1] for name in FORMS}
    assert len({v.tobytes() for v in values.values()}) == len(FORMS)
    assert (values["omniglot_thick"] >= values["omniglot"]).all()
    assert set(np.unique(values["omniglot_nearest"])) == {0, 255}


def test_omniglot_for_another_size(context, needs_tfds):
    needs_tfds("omniglot")
    spec = dataclasses.replace(context.input_spec, shape=(8, 8, 1))
    source = open_ood("omniglot", dataclasses.replace(context, input_spec=spec))[1]
    assert read_all(source)[1].shape == (130, 8, 8, 1)


def stroke_width(images):
    """Mean over images [n, height, width, 1] of the median width along their strokes, in pixels.

    A stroke's middle is where the distance to the background is largest nearby.
    """
    widths = []
    for image in images[..., 0]:
        drawn = np.pad(image > 127, 2)
        distance = scipy.ndimage.distance_transform_edt(drawn)
        middle = drawn & (distance == scipy.ndimage.maximum_filter(distance, 3))
        if middle.any():
            widths.append(2 * np.median(distance[middle]) - 1)
    return np.mean(widths)


def test_thick_strokes_are_as_wide_as_mnists(needs_tfds):
    """The choice of the disc, and the numbers said beside it."""
    needs_tfds("omniglot")
    needs_tfds("mnist")
    mnist = read_all(take(open_source("tfds:mnist:train", None), 400))[1]
    enlarged = tf.image.resize(mnist, (105, 105), "bilinear").numpy()
    drawn = white_on_black(read_all(take(open_source("tfds:omniglot:test", None), 400))[1])
    target = stroke_width(enlarged)
    assert target == pytest.approx(8.8, abs=0.3)
    widths = {diameter: stroke_width(thicken(drawn, diameter)) for diameter in (1, 3, 5, 7)}
    assert list(widths.values()) == pytest.approx([4.9, 7.0, 9.0, 11.0], abs=0.3)
    assert min(widths, key=lambda diameter: abs(widths[diameter] - target)) == THICK_DILATION
    assert f"disc of {THICK_DILATION} pixels" in OOD_SETS["omniglot_thick"].description
