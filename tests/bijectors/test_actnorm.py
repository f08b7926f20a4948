"""Data-dependent initialisation of actnorm; that of stacked steps is in test_steps.py."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_genens.bijectors.actnorm import ActNorm
from tfp_genens.bijectors.glow import Glow


@pytest.fixture
def batch():
    values = np.random.default_rng(0).normal(size=(16, 4, 4, 3))
    return tf.constant(values * [0.1, 1.0, 30.0] + [5.0, 0.0, -7.0], tf.float64)


def test_first_batch_has_zero_mean_and_unit_variance(batch):
    actnorm = ActNorm(3, dtype="float64")
    actnorm.initialize(batch)
    latent = actnorm.inverse(batch).numpy()
    np.testing.assert_allclose(latent.mean(axis=(0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(latent.var(axis=(0, 1, 2)), 1, rtol=1e-4)  # the floor of 1e-6
    assert actnorm.initialized.numpy()


def test_later_batches_change_nothing(batch):
    actnorm = ActNorm(3, dtype="float64")
    before = [v.numpy() for v in actnorm.variables]
    actnorm.inverse(batch)
    actnorm.forward(batch)
    for variable, value in zip(actnorm.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    actnorm.initialize(batch)
    before = [v.numpy() for v in actnorm.variables]
    actnorm.inverse(10 * batch)
    for variable, value in zip(actnorm.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ActNorm(3, dtype="float64"),
        lambda: Glow((4, 4, 3), num_levels=2, num_steps=1, width=2, seed=0, dtype="float64"),
    ],
)
def test_initialises_once_and_eagerly(make, batch):
    bijector = make()
    with pytest.raises(ValueError, match="`initialize` must be called eagerly"):
        tf.function(bijector.initialize)(batch)
    with pytest.raises(ValueError, match="must be initialised with data"):
        bijector.check_initialized()
    bijector.initialize(batch)
    bijector.check_initialized()
    with pytest.raises(ValueError, match="must be initialised only once"):
        bijector.initialize(batch)


def test_a_checkpoint_carries_the_initialisation(batch, tmp_path):
    actnorm, restored = ActNorm(3, dtype="float64"), ActNorm(3, dtype="float64")
    actnorm.initialize(batch)
    path = tf.train.Checkpoint(model=actnorm).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=restored).read(path).assert_consumed()
    restored.check_initialized()
    np.testing.assert_array_equal(restored.inverse(batch), actnorm.inverse(batch))
