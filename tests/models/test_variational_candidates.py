"""Other scores of a VAE, against exact posteriors and scikit-learn's distances."""

import numpy as np
import pytest
import sklearn.covariance
import sklearn.neighbors
import tensorflow as tf

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.models.priors import NormalPrior
from tfp_genens.models.vae import VaeConfig, VaeLearner, VaeNetworks
from tfp_genens.models.variational_candidates import LatentReferences, likelihood_regret

SEED = tf.constant([3, 4])
SPEC = InputSpec((8, 8, 1), "uint8", (0.0, 255.0), "x / 255")


class OneDimension(VaeNetworks):
    """x = 2 z + noise of scale 0.7, whose posterior is known; the encoder's is off by `offset` in
    loc and by the factor `spread` in scale.
    """

    def __init__(self, offset, spread):
        tf.Module.__init__(self)
        self.latent_size, self.prior = 1, NormalPrior(1, 0)
        self.offset, self.spread = offset, spread
        self.variance = 1.0 / (1.0 + 4.0 / 0.49)

    def encode(self, x):
        loc = tf.reshape(x, [-1, 1]) * self.variance * 2.0 / 0.49 + self.offset
        return loc, tf.fill(tf.shape(loc), np.float32(self.spread * np.sqrt(self.variance)))

    def distortion(self, x, z):
        residual = tf.cast(tf.reshape(x, [-1]) - 2.0 * z[:, 0], tf.float64) / 0.7
        return 0.5 * residual**2 + np.log(0.7) + 0.5 * np.log(2 * np.pi)


def regret(offset, spread):
    """With noise of plus and minus one, whose moments are those of a normal deviate: exact."""
    x = tf.constant([[-1.0], [0.5], [2.0]])
    return likelihood_regret(OneDimension(offset, spread), x, tf.ones([1, 1])).numpy()


def test_regret_is_nothing_for_the_exact_posterior():
    np.testing.assert_allclose(regret(0.0, 1.0), 0.0, atol=2e-3)


@pytest.mark.parametrize(("offset", "spread"), [(0.3, 1.0), (0.0, 1.6), (-0.4, 0.7)])
def test_regret_is_what_the_encoders_posterior_lacks(offset, spread):
    """At the best posterior the ELBO is log p(x): what lacked is KL(encoder's || exact)."""
    scale = np.sqrt(1.0 / (1.0 + 4.0 / 0.49))
    kl = 0.5 * (spread**2 + (offset / scale) ** 2 - 1.0) - np.log(spread)
    found = regret(offset, spread)
    assert (found <= kl + 1e-3).all()
    assert (found > 0.8 * kl).all()


def test_distances_are_scikit_learns():
    rng = np.random.default_rng(0)
    codes = (rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3)) + 5.0).astype(np.float32)
    z = rng.normal(5.0, 3.0, size=(20, 3)).astype(np.float32)
    found = LatentReferences(codes).distances(tf.constant(z))
    squares = sklearn.covariance.EmpiricalCovariance().fit(codes.astype(np.float64)).mahalanobis(z)
    np.testing.assert_allclose(found["latent_mahalanobis"], np.sqrt(squares), rtol=1e-4)
    neighbors = sklearn.neighbors.NearestNeighbors(n_neighbors=10).fit(codes)
    furthest = neighbors.kneighbors(z)[0][:, -1]
    np.testing.assert_allclose(found["latent_neighbor_distance"], furthest, rtol=1e-4)


def test_few_references_and_unused_dimensions_give_finite_distances():
    codes = np.array([[1.0, 0.0], [2.0, 0.0], [4.0, 0.0]], np.float32)
    found = LatentReferences(codes).distances(tf.constant([[0.0, 0.0], [1e3, -1e3]]))
    np.testing.assert_allclose(found["latent_neighbor_distance"][0], 4.0)
    assert np.isfinite(found["latent_mahalanobis"]).all()


class TestFrozen:
    @pytest.fixture(scope="class")
    def images(self):
        return np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1)).astype(np.uint8)

    @pytest.fixture(scope="class")
    def learner(self, images):
        learner = VaeLearner(VaeConfig(latent_size=2, base_depth=4), SPEC, seed=1)
        learner.references = images
        return learner

    def test_candidates_are_offered_beside_the_scores(self, learner, images):
        frozen = learner.freeze()
        inputs = tf.cast(images, tf.float32)
        found = frozen.module.candidates(inputs, SEED)
        assert set(found) == set(frozen.functions["candidates"].outputs)
        assert not set(found) & set(frozen.functions["serving_default"].outputs)
        assert (found["likelihood_regret"].numpy() >= 0).all()
        loc, _ = learner.networks.encode(inputs / 255.0)
        expected = LatentReferences(loc.numpy()).distances(loc)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-3)

    def test_two_seeds_are_the_same_estimate_twice(self, learner, images):
        frozen = learner.freeze().module
        inputs = tf.cast(images, tf.float32)
        found = frozen.candidates(inputs, SEED)
        for name, seed in zip(("log_prob_1", "log_prob_2"), tf.random.split(SEED, 2), strict=True):
            expected = frozen.serving_default(inputs, seed)["log_prob"]
            np.testing.assert_allclose(found[name], expected, rtol=1e-5)

    def test_without_references_there_are_no_distances(self):
        learner = VaeLearner(VaeConfig(latent_size=2, base_depth=4), SPEC, seed=1)
        outputs = learner.freeze().functions["candidates"].outputs
        expected = {"log_prob_1", "log_prob_2", "gradient_norm", "likelihood_regret"}
        assert set(outputs) == expected

    def test_the_gradients_norm_is_that_of_the_gradient(self, learner, images):
        frozen = learner.freeze().module
        inputs = tf.cast(images[:3], tf.float32)
        gradient = frozen.log_prob_gradient(inputs, SEED)["gradient"].numpy()
        norms = np.linalg.norm(gradient.reshape(3, -1), axis=1)
        found = frozen.candidates(inputs, SEED)["gradient_norm"]
        np.testing.assert_allclose(found, norms, rtol=1e-4)
