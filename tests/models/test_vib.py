"""VIB's rate and entropy against TFP's closed forms and SciPy."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import TrainingData
from tfp_genens.models.vib import NUM_SCORE_SAMPLES, FrozenVib, VibConfig, VibLearner

SPEC = InputSpec((8, 8, 1), "uint8", (0.0, 255.0), "x / 255")
SEED = tf.constant([3, 4])


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1)).astype(np.uint8)


def learner(images, **settings):
    data = TrainingData(
        name="test",
        train=images,
        validation=images,
        validation_ids=tuple(map(str, range(len(images)))),
        input_spec=SPEC,
        fingerprint="",
        labels=np.arange(len(images)) % 3,
        validation_labels=np.arange(len(images)) % 3,
    )
    config = VibConfig(**{"base_depth": 4, "code_depth": 16, "latent_size": 3, **settings})
    return VibLearner(config, data, seed=1)


def encoded(networks, images):
    loc, scale = networks.encode(tf.cast(images, tf.float32) / 255.0)
    return loc.numpy().astype(np.float64), scale.numpy().astype(np.float64)


class TestRate:
    num_draws = 300

    def draws(self, module, images):
        return np.stack(
            [
                module.rate(tf.constant(images), tf.constant([17, i]))["rate"].numpy()
                for i in range(self.num_draws)
            ]
        ).astype(np.float64)

    def test_with_a_normal_marginal_is_the_divergence_in_closed_form(self, images):
        module = learner(images, prior="normal").freeze().module
        loc, scale = encoded(module.networks, images)
        exact = tfd.kl_divergence(
            tfd.MultivariateNormalDiag(loc, scale), tfd.MultivariateNormalDiag(np.zeros(3))
        )
        draws = self.draws(module, images)
        error = draws.std(axis=0) / np.sqrt(self.num_draws)
        assert (np.abs(draws.mean(axis=0) - exact) < 4 * error).all()

    def test_with_a_mixture_is_scipys_on_the_same_codes(self, images):
        module = learner(images).freeze().module
        prior = module.networks.prior
        prior.mixture_logits.assign(np.random.default_rng(0).normal(size=100))
        loc, scale = encoded(module.networks, images)
        noise = tf.random.stateless_normal([NUM_SCORE_SAMPLES, 1, 3], SEED).numpy()
        z = loc + scale * noise
        log_q = scipy.stats.norm.logpdf(z, loc, scale).sum(axis=-1)
        component_scale = np.log1p(np.exp(prior.raw_scale.numpy() + np.log(np.expm1(1)))) + 1e-5
        component = scipy.stats.norm.logpdf(
            z[..., None, :], prior.loc.numpy().astype(np.float64), component_scale
        ).sum(axis=-1)
        log_m = scipy.special.logsumexp(
            component + scipy.special.log_softmax(prior.mixture_logits.numpy()), axis=-1
        )
        rate = module.rate(tf.constant(images), SEED)["rate"]
        np.testing.assert_allclose(rate, (log_q - log_m).mean(axis=0), rtol=1e-4, atol=1e-5)

    def test_is_lower_for_a_code_like_the_marginal_than_far_from_it(self, images):
        module = learner(images, prior="normal").freeze().module
        bias = module.networks.encoder.layers[-1].bias
        near = module.rate(tf.constant(images), SEED)["rate"].numpy()
        bias.assign_add([30.0] * 3 + [0.0] * 3)
        assert (module.rate(tf.constant(images), SEED)["rate"].numpy() > near + 100).all()


class TestClassProbabilities:
    def test_are_softmax_averaged_over_codes_and_entropy_is_scipys(self, images):
        module = learner(images).freeze().module
        for variable in module.networks.classifier.variables:
            variable.assign(3.0 * variable)
        networks = module.networks
        loc, scale = encoded(networks, images)
        noise = tf.random.stateless_normal([NUM_SCORE_SAMPLES, 1, 3], SEED).numpy()
        kernel, bias = (v.numpy().astype(np.float64) for v in networks.classifier.layers[0].weights)
        logits = (loc + scale * noise) @ kernel + bias
        expected = scipy.special.softmax(logits, axis=-1).mean(axis=0)
        probabilities = module.classify(tf.constant(images), SEED)["probabilities"]
        np.testing.assert_allclose(probabilities, expected, rtol=1e-4)
        entropy = module.serving_default(tf.constant(images), SEED)["entropy"]
        np.testing.assert_allclose(entropy, scipy.stats.entropy(expected, axis=-1), rtol=1e-4)

    def test_a_certain_class_has_no_entropy(self, images):
        module = learner(images).freeze().module
        bias = module.networks.classifier.layers[0].bias
        bias.assign([1e6, 0.0, 0.0])
        entropy = module.entropy(tf.constant(images), SEED)["entropy"]
        np.testing.assert_array_equal(entropy, np.zeros(7))


def test_the_loss_is_cross_entropy_and_beta_times_rate(images):
    from tfp_genens.models.learner import Examples

    batch = Examples(tf.constant(images), tf.constant(np.arange(7) % 3))
    for beta in (0.0, 0.5):
        (phase,) = learner(images, beta=beta).phases()
        values = phase.step(tf.constant(0, tf.int64), SEED, lambda _: batch)
        expected = float(values["cross_entropy"]) + beta * float(values["rate"])
        assert float(values["loss"]) == pytest.approx(expected, rel=1e-6)
        assert float(values["rate"]) != 0.0


def test_rate_alone_does_not_classify(images):
    module = learner(images).freeze().module
    graph = module.rate.get_concrete_function(tf.constant(images), SEED).graph
    captured = {id(tensor) for tensor in graph.external_captures}
    assert not captured & {id(v.handle) for v in module.networks.classifier.variables}
    assert {id(v.handle) for v in module.networks.encoder.variables} <= captured


def test_the_frozen_form_has_the_trained_weights(images):
    trained = learner(images, prior="maf")
    frozen = trained.freeze().module
    again = FrozenVib(trained.networks, SPEC)
    for name in ("rate", "entropy"):
        np.testing.assert_allclose(
            frozen.serving_default(tf.constant(images), SEED)[name],
            again.serving_default(tf.constant(images), SEED)[name],
            rtol=1e-6,
        )
