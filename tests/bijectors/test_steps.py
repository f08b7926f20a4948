"""The stacked steps against a plain chain of the single bijectors."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfp_genens.bijectors.actnorm import ActNorm
from tfp_genens.bijectors.convolution import Invertible1x1Conv
from tfp_genens.bijectors.coupling import COUPLINGS
from tfp_genens.bijectors.steps import GlowSteps

NUM_STEPS = 3


def single_steps(steps, coupling):
    """(actnorm, convolution, coupling) a step, with the stack's parameters."""
    rows = []
    for k in range(NUM_STEPS):
        actnorm = ActNorm(4, dtype="float64")
        actnorm.loc.assign(steps.loc[k])
        actnorm.log_scale.assign(steps.log_scale[k])
        conv = Invertible1x1Conv(4, seed=99, dtype="float64")
        couple = COUPLINGS[coupling](4, 5, seed=99, dtype="float64")
        for single, stacked in ((conv.weight, steps.weight), (couple.network, steps.network)):
            for to, source in zip(single.variables, stacked.variables, strict=True):
                to.assign(source[k])
        rows.append((actnorm, conv, couple))
    return rows


@pytest.mark.parametrize("coupling", COUPLINGS)
def test_equals_a_chain_of_single_bijectors(coupling, perturbed, images):
    steps = perturbed(GlowSteps(4, NUM_STEPS, 5, coupling=coupling, seed=1, dtype="float64"))
    image_to_latent = [b for row in single_steps(steps, coupling) for b in row]
    chain = tfb.Chain(image_to_latent)  # forward applies the last first: latent to image
    y = images(3, 4, 2, 4)
    x, ildj = steps.inverse_and_log_det(y)
    np.testing.assert_allclose(chain.inverse(y), x, atol=1e-10)
    expected = chain.inverse_log_det_jacobian(images(3, 4, 2, 4), event_ndims=3)
    np.testing.assert_allclose(ildj, expected, atol=1e-10)
    np.testing.assert_allclose(chain.forward(tf.identity(x)), steps.forward(x), atol=1e-10)


def test_initialises_as_a_chain_would(images):
    steps = GlowSteps(4, NUM_STEPS, 5, seed=1, dtype="float64")
    steps.network.last.bias.assign(0.5 * images(NUM_STEPS, 4))
    x = batch = 2.0 + 3.0 * images(8, 4, 2, 4)
    latent = steps.initialize(batch)
    for k, (trained, conv, couple) in enumerate(single_steps(steps, "affine")):
        actnorm = ActNorm(4, dtype="float64")
        actnorm.initialize(x)
        np.testing.assert_allclose(trained.loc, actnorm.loc, atol=1e-10, err_msg=str(k))
        np.testing.assert_allclose(trained.log_scale, actnorm.log_scale, atol=1e-10)
        normalised = actnorm.inverse(x)
        mean, variance = tf.nn.moments(normalised, axes=[0, 1, 2])
        np.testing.assert_allclose(mean, 0, atol=1e-10)
        np.testing.assert_allclose(variance, 1, rtol=1e-5)
        x = couple.inverse(conv.inverse(normalised))
    np.testing.assert_allclose(latent, x, atol=1e-10)
    np.testing.assert_allclose(steps.inverse(batch), x, atol=1e-10)


def test_graph_and_eager_gradients_agree(perturbed, images):
    steps = perturbed(GlowSteps(4, NUM_STEPS, 5, seed=1, dtype="float64"))
    y = images(3, 4, 2, 4)

    def gradients():
        with tf.GradientTape() as tape:
            tape.watch(y)
            x, log_det = steps.inverse_and_log_det(y)
            loss = tf.reduce_sum(x**2) - tf.reduce_sum(log_det)
        return tape.gradient(loss, [y, *steps.trainable_variables])

    for eager, graph in zip(gradients(), tf.function(gradients)(), strict=True):
        np.testing.assert_allclose(graph, eager, rtol=1e-9, atol=1e-9)


def test_steps_share_one_traced_function():
    def num_functions(num_steps):
        steps = GlowSteps(4, num_steps, 5, seed=1)

        @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 4])])
        def gradient(y):
            with tf.GradientTape() as tape:
                x, log_det = steps.inverse_and_log_det(y)
                loss = tf.reduce_sum(x) - tf.cast(tf.reduce_sum(log_det), tf.float32)
            return tape.gradient(loss, steps.trainable_variables)

        return len(gradient.get_concrete_function().graph.as_graph_def().library.function)

    assert num_functions(2) == num_functions(6) > 0


def test_bfloat16_runs_in_the_networks_alone(perturbed, images):
    make = {"num_channels": 4, "num_steps": NUM_STEPS, "width": 8, "seed": 1}
    plain = perturbed(GlowSteps(**make))
    half = perturbed(GlowSteps(**make, convolution_dtype="bfloat16"))
    y = tf.cast(images(3, 4, 4, 4), tf.float32)
    x, ildj = half.inverse_and_log_det(y)
    assert x.dtype == tf.float32
    expected, expected_ildj = plain.inverse_and_log_det(y)
    difference = np.abs(x - expected).max()
    assert 0 < difference < 0.2  # bfloat16 has 8 bits
    np.testing.assert_allclose(ildj, expected_ildj, rtol=0.02)
    # The same network's outputs are taken off again, so the round trip keeps float32's digits.
    np.testing.assert_allclose(half.forward(tf.identity(x)), y, atol=1e-4)
    assert {v.dtype for v in half.trainable_variables} == {tf.float32}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_steps": 0}, "`num_steps` must be positive; got 0"),
        ({"width": 0}, "`width` must be positive; got 0"),
        ({"num_channels": 1}, "`num_channels` must be at least 2; got 1"),
        ({"coupling": "cubic"}, "`coupling` must be one of .*'affine'.*; got 'cubic'"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        GlowSteps(**{"num_channels": 4, "num_steps": 1, "width": 2, "seed": 0, **settings})
