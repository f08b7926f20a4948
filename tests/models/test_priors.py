"""Priors against SciPy, a grid, and far-out codes."""

import itertools

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_genens.models.freezing import with_values_of
from tfp_genens.models.priors import PRIORS


@pytest.mark.parametrize("name", PRIORS)
def test_density_integrates_to_one_in_two_dimensions(name):
    prior = PRIORS[name](2, 5)
    side = np.linspace(-12, 12, 401)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2).astype(np.float32)
    log_prob = prior.log_prob(tf.constant(grid)).numpy()
    area = (side[1] - side[0]) ** 2
    assert np.exp(scipy.special.logsumexp(log_prob)) * area == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("name", PRIORS)
def test_samples_follow_the_density(name):
    """E[log p] under samples equals minus the entropy integrated on a grid."""
    prior = PRIORS[name](2, 5)
    samples = prior.sample(20000, tf.constant([1, 2]))
    assert samples.shape == (20000, 2)
    side = np.linspace(-12, 12, 401)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2).astype(np.float32)
    log_prob = prior.log_prob(tf.constant(grid)).numpy()
    expected = np.sum(np.exp(log_prob) * log_prob) * (side[1] - side[0]) ** 2
    sampled = prior.log_prob(samples).numpy()
    standard_error = sampled.std() / np.sqrt(len(sampled))
    assert abs(sampled.mean() - expected) < 5 * standard_error + 0.02


def test_normal_equals_scipy():
    z = np.random.default_rng(0).normal(size=(3, 4, 6)) * 3
    expected = scipy.stats.norm.logpdf(z).sum(axis=-1)
    np.testing.assert_allclose(
        PRIORS["normal"](6, 0).log_prob(tf.constant(z)), expected, rtol=1e-12
    )


def test_mixture_equals_scipy():
    prior = PRIORS["mixture"](3, 0)
    rng = np.random.default_rng(0)
    prior.mixture_logits.assign(rng.normal(size=100))
    prior.raw_scale.assign(rng.normal(size=(100, 3)))
    z = rng.normal(size=(5, 3)).astype(np.float32)
    scale = np.log1p(np.exp(prior.raw_scale.numpy() + np.log(np.expm1(1.0)))) + 1e-5
    components = scipy.stats.norm.logpdf(z[:, np.newaxis, :], prior.loc.numpy(), scale).sum(axis=-1)
    weights = scipy.special.log_softmax(prior.mixture_logits.numpy().astype(np.float64))
    expected = scipy.special.logsumexp(components + weights, axis=-1)
    np.testing.assert_allclose(prior.log_prob(tf.constant(z)), expected, rtol=1e-5)


def test_mixture_is_exact_to_1e_3_nats_at_its_smallest_scale():
    prior = PRIORS["mixture"](2, 0)
    prior.raw_scale.assign(np.full((100, 2), -50.0))
    prior.loc.assign(np.random.default_rng(0).normal(size=(100, 2)) * 5)
    loc = prior.loc.numpy()[:10].astype(np.float64)
    z = loc + np.linspace(-3e-5, 3e-5, 10)[:, np.newaxis]
    expected = scipy.stats.norm.logpdf(z, loc, 1e-5).sum(axis=-1) - np.log(100)
    np.testing.assert_allclose(prior.log_prob(tf.constant(z)), expected, atol=1e-3)


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_far_codes_are_finite_and_ever_less_likely(name, factor):
    prior = PRIORS[name](16, 1)
    for variable in prior.trainable_variables:
        variable.assign(factor * variable)
    direction = np.random.default_rng(0).normal(size=(20, 16))
    distances = [1e6, 1e7, 1e8, 1e9]
    log_prob = np.stack(
        [prior.log_prob(tf.constant(d * direction, tf.float32)).numpy() for d in distances]
    )
    assert np.isfinite(log_prob).all()
    assert (np.diff(log_prob, axis=0) < 0).all()


@pytest.mark.parametrize("name", PRIORS)
def test_most_codes_on_the_way_out_are_ever_less_likely(name):
    """Near the data a density may rise along a ray; the median over rays falls all the way."""
    prior = PRIORS[name](16, 1)
    direction = np.random.default_rng(0).normal(size=(50, 16))
    log_prob = np.stack(
        [prior.log_prob(tf.constant(d * direction, tf.float32)) for d in 4.0 ** np.arange(10)]
    )
    assert (np.diff(np.median(log_prob, axis=1)) < 0).all()


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("factor", [3.0, 10.0])
def test_large_weights_stay_finite(name, factor):
    prior = PRIORS[name](16, 1)
    for variable in prior.trainable_variables:
        variable.assign(factor * variable)
    z = tf.constant(np.random.default_rng(0).normal(size=(20, 16)), tf.float32)
    for distance in (1.0, 1e2, 1e4):
        assert np.isfinite(prior.log_prob(distance * z)).all()


@pytest.mark.parametrize("name", PRIORS)
def test_gradients_reach_every_variable(name):
    prior = PRIORS[name](4, 1)
    z = tf.constant(np.random.default_rng(0).normal(size=(64, 4)), tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(prior.log_prob(z))
    for variable, gradient in zip(
        prior.trainable_variables, tape.gradient(loss, prior.trainable_variables), strict=True
    ):
        assert gradient is not None, variable.name
        assert np.isfinite(gradient).all()


def test_maf_has_six_flows_and_six_permutations():
    prior = PRIORS["maf"](16, 1)
    kinds = [type(b).__name__ for b in prior.bijector.bijectors]
    assert kinds.count("MaskedAutoregressiveFlow") == 6
    assert kinds.count("StoredPermutation") == 6
    assert all(a != b for a, b in itertools.pairwise(kinds))


def test_a_maf_is_its_variables_permutations_included():
    z = tf.constant(np.random.default_rng(0).normal(size=(5, 16)), tf.float32)
    prior, other = PRIORS["maf"](16, 1), PRIORS["maf"](16, 2)
    assert (prior.log_prob(z).numpy() != other.log_prob(z).numpy()).all()
    with_values_of(prior, other)
    np.testing.assert_array_equal(other.log_prob(z), prior.log_prob(z))


def test_checkpoints_hold_no_permutations(tmp_path):
    """Those written when permutations were constants restore, and so do all others."""
    path = tf.train.Checkpoint(prior=PRIORS["maf"](4, 1)).save(str(tmp_path / "c"))
    assert not [name for name, _ in tf.train.list_variables(path) if "permut" in name]
    prior = PRIORS["maf"](4, 1)
    prior.trainable_variables[0].assign_add(tf.ones_like(prior.trainable_variables[0]))
    tf.train.Checkpoint(prior=prior).restore(path).assert_consumed()
    for restored, first in zip(prior.variables, PRIORS["maf"](4, 1).variables, strict=True):
        np.testing.assert_array_equal(restored, first)


def test_maf_density_is_that_of_its_chain():
    """`log_prob` goes flow by flow; TFP's own chain and base distribution are the oracle."""
    prior = PRIORS["maf"](6, 1)
    for variable in prior.trainable_variables:
        variable.assign(3.0 * variable)
    z = tf.constant(2.0 * np.random.default_rng(0).normal(size=(5, 3, 6)), tf.float32)
    chain = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros([6])), prior.bijector)
    np.testing.assert_allclose(prior.log_prob(z), chain.log_prob(z), rtol=1e-5)
