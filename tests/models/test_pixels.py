"""How complex an image is: against Pillow's PNG, and the gradient that stands in for it."""

import io

import numpy as np
import PIL.Image
import pytest
import scipy.stats
import tensorflow as tf

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.models import pixels


@pytest.mark.parametrize("num_channels", [1, 2, 3])
def test_complexity_is_the_length_of_pillows_png(num_channels):
    """About: the format leaves it to the encoder by which rule it filters a row."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (1, 16, 16, num_channels))
    images = np.concatenate([noise, np.full_like(noise, 7), noise // 64 * 64]).astype(np.uint8)
    spec = InputSpec(images.shape[1:], "uint8", (0.0, 255.0), "x / 255")
    found = pixels.png_length(pixels.scaled(tf.constant(images), spec)).numpy()
    for image, length in zip(images, found, strict=True):
        parts = [image] if num_channels == 3 else np.split(image, num_channels, axis=2)
        expected = 0
        for part in parts:
            file = io.BytesIO()
            PIL.Image.fromarray(part.squeeze()).save(file, "PNG", compress_level=6)
            expected += len(file.getvalue())
        assert length == pytest.approx(expected, rel=0.25, abs=20 * len(parts))
    assert found[1] < found[2] < found[0]


def test_complexity_goes_down_along_its_gradients_descent():
    """The stand-in's slope is worth something for the PNG itself."""
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.normal(0, 4, (6, 16, 16, 1)), axis=2)
    images = np.clip(128 + smooth + rng.normal(0, 4, (6, 16, 16, 1)), 0, 255) / 255.0
    x = tf.constant(images.astype(np.float32))
    before = pixels.png_length(x).numpy()
    for _ in range(10):
        with tf.GradientTape() as tape:
            tape.watch(x)
            length = pixels.png_length(x)
        x = tf.clip_by_value(x - tf.sign(tape.gradient(length, x)) / 255.0, 0.0, 1.0)
    assert (pixels.png_length(x).numpy() < 0.95 * before).all()


def test_smooth_length_orders_images_as_their_png_does():
    """Up to noise that no compressor makes anything of."""
    rng = np.random.default_rng(0)
    scales = np.linspace(0, 12, 25)[:, None, None, None]
    x = tf.constant(np.clip(128 + rng.normal(0, 1, (25, 16, 16, 1)) * scales, 0, 255) / 255.0)
    orders = scipy.stats.spearmanr(pixels.smooth_length(x), pixels.png_length(x))
    assert orders.statistic > 0.95


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_mutated_images_are_noise_at_the_rate_and_themselves_elsewhere(dtype):
    spec = InputSpec((20, 20, 1), dtype, (0.0, 255.0), "x / 255")
    inputs = tf.fill([50, 20, 20, 1], tf.constant(300 if dtype == "float32" else 7, dtype))
    found = pixels.mutated(inputs, 0.3, spec, tf.constant([1, 2])).numpy()
    drawn = found[found != inputs.numpy()]
    assert found.dtype == dtype
    assert len(drawn) / found.size == pytest.approx(0.3, abs=0.02)
    assert scipy.stats.kstest(drawn, "uniform", args=(0, 255 + (dtype == "uint8"))).statistic < 0.02
    assert drawn.min() >= 0
    assert drawn.max() <= 255
    again = pixels.mutated(inputs, 0.3, spec, tf.constant([1, 2])).numpy()
    np.testing.assert_array_equal(found, again)
    assert pixels.mutated(inputs, 0.0, spec, tf.constant([1, 2])) is inputs
