"""ODIN and maximum softmax against SciPy, finite differences and a linear classifier."""

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import TrainingData
from tfp_genens.errors import UserError
from tfp_genens.models.classifier import (
    PERTURBATIONS,
    ClassifierConfig,
    ClassifierLearner,
    FrozenClassifier,
    choose_perturbation,
    log_max_softmax,
)

SPEC = InputSpec((4, 4, 1), "uint8", (0.0, 255.0), "x / 255")
TEMPERATURE = 1000.0


class LinearNetworks(tf.Module):
    """logits = x W: every gradient is known in closed form."""

    def __init__(self, weights):
        super().__init__()
        self.weights = tf.Variable(weights, dtype=tf.float32)

    def logits(self, x, dropout_seed=None):
        return tf.matmul(tf.reshape(x, [tf.shape(x)[0], -1]), self.weights)


@pytest.fixture(scope="module")
def weights():
    return np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (8, 4, 4, 1)).astype(np.uint8)


def frozen(weights, perturbation=0.0, temperature=TEMPERATURE):
    return FrozenClassifier(LinearNetworks(weights), SPEC, temperature, perturbation)


def logits_of(x, weights):
    return x.reshape(len(x), -1).astype(np.float64) @ weights.astype(np.float64)


def odin_by_hand(images, weights, perturbation, temperature):
    """Liang et al. (2017), equations 1 and 2, of a linear classifier."""
    x = images / 255.0
    probabilities = scipy.special.softmax(logits_of(x, weights) / temperature, axis=1)
    best = probabilities.argmax(axis=1)
    gradient = (weights[:, best].T - probabilities @ weights.T) / temperature
    stepped = x - perturbation * np.sign(-gradient).reshape(x.shape)
    return scipy.special.softmax(logits_of(stepped, weights) / temperature, axis=1).max(axis=1)


def test_max_softmax_and_class_probabilities_are_scipys(weights, images):
    module = frozen(weights)
    expected = scipy.special.softmax(logits_of(images / 255.0, weights), axis=1)
    probabilities = module.classify(tf.constant(images))["probabilities"]
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)
    scores = module.serving_default(tf.constant(images))
    np.testing.assert_allclose(scores["max_softmax"], expected.max(axis=1), rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 1000.0])
@pytest.mark.parametrize("perturbation", [0.0, 0.01, 0.08])
def test_odin_by_hand(weights, images, perturbation, temperature):
    module = frozen(weights, perturbation, temperature)
    expected = odin_by_hand(images, weights, perturbation, temperature)
    scores = module.serving_default(tf.constant(images))["odin"]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    if perturbation:  # what the step adds is more than the tolerance would hide
        unmoved = odin_by_hand(images, weights, 0.0, temperature)
        assert (expected > unmoved * (1 + 5e-6)).all()


def test_the_step_goes_where_finite_differences_rise(weights, images):
    module = frozen(weights)
    x = (images / 255.0).astype(np.float32)
    ascent = module.ascent(tf.constant(x)).numpy()
    for position in np.ndindex(4, 4, 1):
        ends = []
        for side in (1, -1):
            moved = x.astype(np.float64)
            moved[(slice(None), *position)] += side * 1e-3
            probabilities = scipy.special.softmax(logits_of(moved, weights) / TEMPERATURE, axis=1)
            ends.append(np.log(probabilities.max(axis=1)))
        np.testing.assert_array_equal(ascent[(slice(None), *position)], np.sign(ends[0] - ends[1]))


def test_at_temperature_one_without_a_step_odin_is_max_softmax(weights, images):
    module = frozen(weights, 0.0, 1.0)
    scores = module.serving_default(tf.constant(images))
    np.testing.assert_allclose(scores["odin"], scores["max_softmax"], rtol=1e-6)


def test_log_max_softmax_far_out():
    logits = tf.constant([[1e5, 0.0, 0.0], [0.0, -1e30, 1e30], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(log_max_softmax(logits), [0.0, 0.0, -np.log(3)], atol=1e-12)


class TestChoiceOfThePerturbation:
    def test_is_the_one_with_the_highest_mean_score(self, weights, images):
        x = images / 255.0
        # In a linear classifier a longer step is always better.
        module = frozen(weights)
        assert choose_perturbation(module, tf.constant(x, tf.float32)) == PERTURBATIONS[-1]

        class Peaked(LinearNetworks):
            """Confident at the images, ever less so the further away: no step helps."""

            def logits(self, x, dropout_seed=None):
                distance = tf.reduce_sum((x - images / np.float32(255.0)) ** 2, axis=[1, 2, 3])
                return tf.stack([10.0 - 100.0 * distance, 0.0 * distance], axis=1)

        peaked = FrozenClassifier(Peaked(weights), SPEC, TEMPERATURE, 0.0)
        assert choose_perturbation(peaked, tf.constant(x, tf.float32), batch_size=8) == 0.0

    def test_agrees_with_scores_by_hand(self, weights, images):
        chosen = choose_perturbation(
            frozen(weights), tf.constant(images / 255.0, tf.float32), [0.0, 0.02, 0.01], 3
        )
        means = [odin_by_hand(images, weights, c, TEMPERATURE).mean() for c in (0.0, 0.02, 0.01)]
        assert chosen == (0.0, 0.02, 0.01)[int(np.argmax(means))]


class TestFreezing:
    @pytest.fixture(scope="class")
    def data(self):
        rng = np.random.default_rng(0)
        return TrainingData(
            name="test",
            train=rng.integers(0, 256, (20, 4, 4, 1)).astype(np.uint8),
            validation=rng.integers(0, 256, (10, 4, 4, 1)).astype(np.uint8),
            validation_ids=tuple(map(str, range(10))),
            input_spec=SPEC,
            fingerprint="",
            labels=np.arange(20) % 3,
            validation_labels=np.arange(10) % 3,
        )

    def learner(self, data, **settings):
        config = ClassifierConfig(**{"base_depth": 2, "code_depth": 8, **settings})
        return ClassifierLearner(config, data, seed=1)

    def test_the_frozen_classifier_has_the_trained_logits(self, data):
        learner = self.learner(data)
        module = learner.freeze().module
        probabilities = module.classify(tf.constant(data.validation))
        logits = learner.networks.logits(data.validation.astype(np.float32) / 255)
        np.testing.assert_allclose(
            probabilities["probabilities"], scipy.special.softmax(logits, axis=1), rtol=1e-5
        )

    def test_only_held_out_images_choose_and_the_choice_is_told(self, data, monkeypatch, capsys):
        seen = []

        def choose(module, images):
            seen.append(images.numpy())
            return 0.04

        monkeypatch.setattr("tfp_genens.models.classifier.choose_perturbation", choose)
        module = self.learner(data).freeze().module
        tuning = data.validation[: len(data.validation) // 4].astype(np.float32)
        np.testing.assert_allclose(seen[0], tuning / 255, rtol=1e-6)
        assert float(module.odin_settings()["perturbation"]) == pytest.approx(0.04)
        assert float(module.odin_settings()["temperature"]) == 1000.0
        assert f"perturbation 0.04, chosen on {len(tuning)} held-out" in capsys.readouterr().err

    def test_a_perturbation_given_is_used(self, data, monkeypatch):
        def choose(*_):
            raise AssertionError

        monkeypatch.setattr("tfp_genens.models.classifier.choose_perturbation", choose)
        for given in (0.0, 0.01):
            module = self.learner(data, odin_perturbation=given).freeze().module
            assert float(module.odin_settings()["perturbation"]) == pytest.approx(given)

    def test_max_softmax_alone_takes_no_second_pass(self, data):
        module = self.learner(data).freeze().module

        def num_convolutions(function):
            graph = function.get_concrete_function(tf.constant(data.validation)).graph
            return sum("Conv2D" in operation.type for operation in graph.get_operations())

        assert num_convolutions(module.max_softmax) == 5
        assert num_convolutions(module.odin) > 10

    def test_images_of_other_sizes_are_refused(self, data):
        import dataclasses

        spec = InputSpec((5, 4, 1), "uint8", (0.0, 255.0), "x / 255")
        with pytest.raises(UserError, match="divide by 4"):
            self.learner(dataclasses.replace(data, input_spec=spec))
