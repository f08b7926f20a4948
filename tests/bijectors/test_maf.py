"""MAF against automatic differentiation and its definition."""

import numpy as np
import pytest
import tensorflow as tf

from tfp_genens.bijectors import masked_autoregressive_flow, random_permutation


@pytest.fixture
def flow():
    return masked_autoregressive_flow(5, (16, 16), seed=3, dtype="float64")


@pytest.fixture
def points():
    return tf.constant(np.random.default_rng(0).normal(size=(4, 5)), tf.float64)


def jacobian(function, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.batch_jacobian(y, x).numpy()


def test_log_det_equals_autodiff_jacobian(flow, points):
    _, expected = np.linalg.slogdet(jacobian(flow.inverse, points))
    actual = flow.inverse_log_det_jacobian(points, event_ndims=1)
    np.testing.assert_allclose(actual, expected, atol=1e-10)


def test_round_trip(flow, points):
    np.testing.assert_allclose(flow.forward(tf.identity(flow.inverse(points))), points, atol=1e-9)


def test_is_autoregressive_after_training(flow, points):
    import tf_keras

    optimizer = tf_keras.optimizers.legacy.Adam(0.05)
    for _ in range(5):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(flow.inverse(points) ** 2)
        gradients = tape.gradient(loss, flow.trainable_variables)
        optimizer.apply_gradients(zip(gradients, flow.trainable_variables, strict=True))
    inverse_jacobian = jacobian(flow.inverse, points)
    upper = np.triu(np.ones((5, 5), bool), k=1)
    assert (inverse_jacobian[:, upper] == 0).all()
    below = np.tril(np.ones((5, 5), bool), k=-1)
    assert (inverse_jacobian[:, below] != 0).any()


def test_log_scale_is_bounded(flow):
    for variable in flow.trainable_variables:
        variable.assign(100.0 * variable)
    far = tf.constant(np.random.default_rng(1).normal(size=(8, 5)) * 1e6, tf.float64)
    log_det = flow.inverse_log_det_jacobian(far, event_ndims=1)
    assert np.abs(log_det).max() <= 5 * 3.0
    assert np.isfinite(flow.inverse(far)).all()


def test_bounds_hardly_change_small_values(points):
    bounds = {"input_bound": 1e6, "log_scale_bound": 1e6}
    loose = masked_autoregressive_flow(5, (16,), seed=3, dtype="float64", **bounds)
    tight = masked_autoregressive_flow(5, (16,), seed=3, dtype="float64")
    small = 0.1 * points
    np.testing.assert_allclose(tight.inverse(small), loose.inverse(small), rtol=1e-2, atol=1e-5)


def test_far_out_it_is_affine(flow):
    direction = tf.constant(np.random.default_rng(1).normal(size=(8, 5)), tf.float64)
    far = [flow.inverse(distance * direction).numpy() for distance in (1e7, 2e7, 3e7)]
    np.testing.assert_allclose(far[1] - far[0], far[2] - far[1], rtol=1e-9)


def test_every_variable_gets_a_gradient(flow, points):
    with tf.GradientTape() as tape:
        noise = flow.inverse(points)
        log_det = flow.inverse_log_det_jacobian(points, event_ndims=1)
        loss = tf.reduce_sum(noise**2) - tf.reduce_sum(log_det)
    for gradient in tape.gradient(loss, flow.trainable_variables):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0


def test_seed_decides_the_weights():
    def weights(seed):
        flow = masked_autoregressive_flow(5, (16, 16), seed=seed)
        return np.concatenate([v.numpy().ravel() for v in flow.variables])

    np.testing.assert_array_equal(weights(1), weights(1))
    assert (weights(1) != weights(2)).any()


def test_permutation_is_a_fixed_bijection():
    x = np.arange(12.0, dtype=np.float32).reshape(2, 6)
    permute = random_permutation(6, seed=7)
    y = permute.forward(x)
    assert sorted(y.numpy()[0]) == sorted(x[0])
    np.testing.assert_array_equal(permute.inverse(tf.identity(y)), x)
    np.testing.assert_array_equal(random_permutation(6, seed=7).forward(x), y)
    assert (random_permutation(6, seed=8).forward(x).numpy() != y.numpy()).any()
    assert float(permute.forward_log_det_jacobian(x, event_ndims=1)) == 0.0


@pytest.mark.parametrize("name", ["input_bound", "log_scale_bound"])
def test_bounds_must_be_positive(name):
    with pytest.raises(ValueError, match=f"`{name}` must be positive"):
        masked_autoregressive_flow(2, (4,), seed=0, **{name: 0.0})
