"""What the tests of bijectors share."""

import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture(scope="session")
def perturbed():
    """bijector -> the same, its trainable variables moved away from where they start."""

    def perturb(bijector, scale=0.1):
        generator = np.random.default_rng(17)
        for variable in bijector.trainable_variables:
            noise = scale * generator.normal(size=variable.shape)
            variable.assign_add(tf.cast(noise, variable.dtype))
        return bijector

    return perturb


@pytest.fixture(scope="session")
def images():
    """(batch, *image_shape) -> float64 images."""

    def draw(*shape, seed=0):
        return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float64)

    return draw
