"""The energy distance against SciPy's, which is of one dimension, and against its sums."""

import numpy as np
import pytest
import scipy.spatial
import scipy.stats
import tensorflow as tf

from tfp_genens.models.wgan import energy_distance


def test_in_one_dimension_it_is_the_square_of_scipys():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, 60), rng.normal(1, 2, 40)
    expected = scipy.stats.energy_distance(x, y) ** 2
    found = energy_distance(tf.constant(x[:, None]), tf.constant(y[:, None]))
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_images_are_points_of_all_their_pixels():
    rng = np.random.default_rng(1)
    x, y = rng.uniform(size=(7, 4, 4, 1)), rng.uniform(size=(5, 4, 4, 1)) ** 2
    flat = [z.reshape(len(z), -1) for z in (x, y)]
    mean = [
        scipy.spatial.distance.cdist(*pair).mean() for pair in (flat, flat[:1] * 2, flat[1:] * 2)
    ]
    found = energy_distance(tf.constant(x), tf.constant(y))
    assert float(found) == pytest.approx(2 * mean[0] - mean[1] - mean[2], rel=1e-7)


def test_it_is_nothing_between_the_same_examples():
    x = tf.random.stateless_uniform([50, 8, 8, 1], [1, 2])
    assert abs(float(energy_distance(x, x))) < 1e-6
