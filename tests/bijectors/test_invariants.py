"""What must hold of every bijector of images: one table of them, each against automatic oracles."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_genens.bijectors.actnorm import ActNorm, ChannelAffine
from tfp_genens.bijectors.convolution import Invertible1x1Conv
from tfp_genens.bijectors.coupling import AdditiveCoupling, AffineCoupling
from tfp_genens.bijectors.glow import Glow
from tfp_genens.bijectors.split import Split
from tfp_genens.bijectors.squeeze import Squeeze
from tfp_genens.bijectors.steps import GlowSteps


@dataclasses.dataclass(frozen=True)
class Case:
    make: Callable
    image_shape: tuple[int, int, int]


def glow(image_shape, **settings):
    def make(dtype):
        return Glow(image_shape, **{"width": 5, "seed": 3, **settings}, dtype=dtype)

    return Case(make, image_shape)


CASES = {
    "channel_affine": Case(lambda dtype: ChannelAffine(3, dtype=dtype), (4, 4, 3)),
    "actnorm": Case(lambda dtype: ActNorm(2, dtype=dtype), (4, 4, 2)),
    "conv": Case(lambda dtype: Invertible1x1Conv(3, seed=1, dtype=dtype), (4, 4, 3)),
    "affine": Case(lambda dtype: AffineCoupling(2, 5, seed=1, dtype=dtype), (4, 4, 2)),
    "affine_odd": Case(lambda dtype: AffineCoupling(3, 5, seed=1, dtype=dtype), (4, 4, 3)),
    "additive": Case(lambda dtype: AdditiveCoupling(3, 5, seed=1, dtype=dtype), (4, 2, 3)),
    "squeeze": Case(lambda dtype: Squeeze(dtype=dtype), (4, 4, 3)),
    "split": Case(lambda dtype: Split(3, 2, dtype=dtype), (4, 4, 3)),
    "steps": Case(lambda dtype: GlowSteps(4, 3, 5, seed=2, dtype=dtype), (4, 4, 4)),
    "additive_steps": Case(
        lambda dtype: GlowSteps(4, 2, 5, coupling="additive", seed=2, dtype=dtype), (2, 2, 4)
    ),
    "glow_one_level": glow((2, 2, 1), num_levels=1, num_steps=2),
    "glow_two_levels": glow((4, 4, 2), num_levels=2, num_steps=2),
    "glow_standard_top": glow((4, 4, 3), num_levels=2, num_steps=2, learned_top=False),
    "glow_three_levels": glow(
        (8, 8, 3), num_levels=3, num_steps=2, coupling="additive", split_fractions=[0.25, 0.75]
    ),
}


@pytest.fixture(params=CASES, scope="module")
def case(request, perturbed):
    """A bijector away from its initial values, and the shape of its images."""
    row = CASES[request.param]
    return perturbed(row.make("float64")), row.image_shape


def test_round_trip(case, images):
    bijector, shape = case
    y = images(3, *shape)
    x, ildj = bijector.inverse_and_log_det(y)
    y_again, fldj = bijector.forward_and_log_det(x)
    np.testing.assert_allclose(y_again, y, atol=1e-10)
    np.testing.assert_allclose(fldj, -ildj, atol=1e-10)
    assert float(tf.reduce_max(tf.abs(tf.reshape(x - tf.reshape(y, x.shape), [-1])))) > 0.01


def test_an_example_does_not_depend_on_its_neighbours(case, images):
    bijector, shape = case
    x, ildj = bijector.inverse_and_log_det(images(5, *shape))
    alone, ildj_alone = bijector.inverse_and_log_det(images(5, *shape)[3:4])
    np.testing.assert_allclose(alone[0], x[3], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(ildj_alone[0], ildj[3], rtol=1e-10, atol=1e-10)


def test_log_det_equals_autodiff_jacobian(case, images):
    bijector, shape = case
    size = int(np.prod(shape))
    for seed in range(2):
        # Row i of the Jacobian is the gradient of output i of copy i: one backward pass for all.
        copies = tf.repeat(images(1, *shape, seed=seed), size, axis=0)
        with tf.GradientTape() as tape:
            tape.watch(copies)
            x, ildj = bijector.inverse_and_log_det(copies)
            outputs = tf.linalg.diag_part(tf.reshape(x, [size, size]))
        jacobian = tf.reshape(tape.gradient(outputs, copies), [size, size])
        _, expected = np.linalg.slogdet(jacobian)
        np.testing.assert_allclose(ildj, np.full(size, expected), atol=1e-8)


def test_tfp_gets_what_one_pass_gives(case, images):
    bijector, shape = case
    x, ildj = bijector.inverse_and_log_det(images(3, *shape))
    np.testing.assert_array_equal(bijector.inverse(images(3, *shape)), x)
    log_det = bijector.inverse_log_det_jacobian(images(3, *shape), event_ndims=3)
    np.testing.assert_allclose(log_det, ildj, rtol=1e-12)
    np.testing.assert_allclose(bijector.forward(x), images(3, *shape), atol=1e-10)
    event_ndims = bijector.forward_min_event_ndims
    log_det = bijector.forward_log_det_jacobian(tf.identity(x), event_ndims=event_ndims)
    np.testing.assert_allclose(log_det, -ildj, atol=1e-10)


@pytest.mark.parametrize("batch", [(), (2, 3), (0,)])
def test_any_batch_shape(case, images, batch):
    bijector, shape = case
    check_there_and_back(bijector, shape, bijector.inverse_and_log_det, images, batch)


def test_batch_shape_unknown_at_trace_time(case, images):
    bijector, shape = case
    for batches in [[(5,), (1,), (0,)], [(2, 3), (3, 1)]]:
        signature = [tf.TensorSpec([*[None] * len(batches[0]), *shape], tf.float64)]
        inverse = tf.function(bijector.inverse_and_log_det, input_signature=signature)
        for batch in batches:
            check_there_and_back(bijector, shape, inverse, images, batch)


def check_there_and_back(bijector, shape, inverse, images, batch):
    y = images(int(np.prod(batch)), *shape)
    x, ildj = inverse(tf.reshape(y, [*batch, *shape]))
    expected_x, expected_ildj = bijector.inverse_and_log_det(y)
    assert ildj.shape == batch
    assert x.shape == (*batch, *expected_x.shape[1:])
    np.testing.assert_allclose(x, np.reshape(expected_x, x.shape), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(ildj, np.reshape(expected_ildj, batch), rtol=1e-10, atol=1e-10)
    y_again, fldj = bijector.forward_and_log_det(x)
    np.testing.assert_allclose(y_again, np.reshape(y, [*batch, *shape]), atol=1e-10)
    np.testing.assert_allclose(fldj, -ildj, atol=1e-10)


@pytest.mark.parametrize("direction", ["inverse_and_log_det", "forward_and_log_det"])
def test_every_variable_gets_a_finite_gradient(case, images, direction):
    bijector, shape = case
    y = images(3, *shape)
    inputs = bijector.inverse(y) if direction.startswith("forward") else y

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            outputs, log_det = getattr(bijector, direction)(inputs)
            loss = tf.reduce_sum(outputs**3) - tf.reduce_sum(log_det)
        return tape.gradient(loss, bijector.trainable_variables)

    for variable, gradient in zip(bijector.trainable_variables, gradients(), strict=True):
        assert np.isfinite(gradient).all(), variable.name
        assert np.abs(gradient).max() > 0, variable.name


def test_composes_with_tfp(case, images):
    bijector, shape = case
    y = images(4, *shape)
    chain = tfb.Chain([tfb.Shift(tf.constant(0.5, tf.float64)), tfb.Scale(np.float64(2)), bijector])
    x, ildj = bijector.inverse_and_log_det((y - 0.5) / 2)
    size = int(np.prod(shape))
    latent_shape = list(x.shape[1:])
    base = tfd.MultivariateNormalDiag(tf.zeros(size, tf.float64))
    if len(latent_shape) == 3:
        base = tfd.Sample(tfd.Normal(np.float64(0), np.float64(1)), latent_shape)
    flow = tfd.TransformedDistribution(base, chain)
    expected = base.log_prob(x) + ildj - size * np.log(2)
    np.testing.assert_allclose(flow.log_prob(y), expected, rtol=1e-12)
    samples = flow.sample(7, seed=[1, 2])
    assert samples.shape == (7, *shape)
    assert np.isfinite(flow.log_prob(samples)).all()
    assert flow.event_shape == shape
    assert flow.sample(seed=[1, 2]).shape == shape
    assert tuple(flow.event_shape_tensor()) == shape


def test_transformed_distribution_runs_one_pass(case, images, monkeypatch):
    bijector, shape = case
    passes = []
    run = bijector._inverse_pass
    monkeypatch.setattr(bijector, "_inverse_pass", lambda y: passes.append(1) or run(y))
    latent_shape = bijector.inverse_event_shape(shape)
    base = tfd.Sample(tfd.Normal(np.float64(0), np.float64(1)), latent_shape)
    flow = tfd.TransformedDistribution(base, bijector)
    y = images(2, *shape, seed=9)
    log_prob = flow.log_prob(y)
    assert len(passes) == 1
    x, ildj = bijector.inverse_and_log_det(y)
    np.testing.assert_allclose(log_prob, base.log_prob(x) + ildj, rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_event_shapes(name):
    case = CASES[name]
    bijector = case.make("float32")
    latent_shape = bijector.inverse(tf.zeros(case.image_shape)).shape
    assert bijector.inverse_event_shape(case.image_shape) == latent_shape
    assert bijector.forward_event_shape(latent_shape) == case.image_shape
    latent = bijector.inverse_event_shape_tensor(list(case.image_shape))
    assert list(latent) == latent_shape.as_list()
    image = bijector.forward_event_shape_tensor(latent_shape.as_list())
    assert tuple(image) == case.image_shape


@pytest.mark.parametrize("name", CASES)
def test_float32_follows_float64(name, perturbed, images):
    case = CASES[name]
    # Little moved: the round trip of badly conditioned matrices costs digits of any type.
    single, double = (perturbed(case.make(dtype), 0.03) for dtype in ("float32", "float64"))
    y = images(3, *case.image_shape)
    x, ildj = single.inverse_and_log_det(tf.cast(y, tf.float32))
    expected_x, expected_ildj = double.inverse_and_log_det(y)
    assert x.dtype == tf.float32
    assert ildj.dtype == tf.float64
    np.testing.assert_allclose(x, expected_x, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ildj, expected_ildj, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(single.forward(tf.identity(x)), y, atol=1e-4)
    ldj = single.inverse_log_det_jacobian(tf.cast(y, tf.float32), event_ndims=3)
    assert ldj.dtype == tf.float32
