"""The WGAN: its penalty, schedule and phases."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.special import log_expit

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import TrainingData
from tfp_genens.errors import UserError
from tfp_genens.models.learner import Examples
from tfp_genens.models.wgan import (
    LONG_EVERY,
    CriticSchedule,
    WganConfig,
    WganLearner,
    gradient_penalty,
)
from tfp_genens.training.loop import TrainingLoop
from tfp_genens.training.signals import Stopped, StopRequest

SPEC = InputSpec((8, 8, 1), "uint8", (0.0, 255.0), "x / 255")


def small_learner(**kwargs):
    config = {
        "train_steps": 6,
        "finetune_steps": 4,
        "batch_size": 4,
        "latent_size": 3,
        "base_depth": 2,
        "critic_steps": 2,
        "opening_steps": 2,
        "long_critic_steps": 3,
        **kwargs,
    }
    return WganLearner(WganConfig(**config), SPEC, seed=1)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1)).astype(np.uint8)


def values_of(module):
    return [variable.numpy() for variable in module.variables]


def assert_same_bits(left, right):
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one, other)


class TestGradientPenalty:
    x = tf.constant(np.random.default_rng(1).normal(size=(5, 2, 3, 1)).astype(np.float32))

    def test_of_a_linear_critic_is_that_of_its_weights(self):
        weights = np.random.default_rng(2).normal(size=(2, 3, 1)).astype(np.float32)
        penalty = gradient_penalty(lambda x: tf.reduce_sum(weights * x, [1, 2, 3]), self.x)
        assert float(penalty) == pytest.approx((np.linalg.norm(weights) - 1) ** 2, rel=1e-5)

    def test_of_a_quadratic_critic_is_taken_example_by_example(self):
        penalty = gradient_penalty(lambda x: 0.5 * tf.reduce_sum(x**2, [1, 2, 3]), self.x)
        norms = np.linalg.norm(self.x.numpy().reshape(5, -1), axis=1)
        assert float(penalty) == pytest.approx(np.mean((norms - 1) ** 2), rel=1e-5)

    def test_has_a_finite_gradient_where_the_critic_is_flat(self):
        weights = tf.Variable(tf.zeros([2, 3, 1]))
        with tf.GradientTape() as tape:
            penalty = gradient_penalty(lambda x: tf.reduce_sum(weights * x, [1, 2, 3]), self.x)
        assert float(penalty) == pytest.approx(1.0, rel=1e-5)
        assert np.isfinite(tape.gradient(penalty, weights).numpy()).all()


class TestSchedule:
    released = CriticSchedule(usual=5, long=100, opening=25)

    def test_counts_of_the_released_code(self):
        steps = [int(self.released.steps(tf.constant(i, tf.int64))) for i in range(1001)]
        assert steps[:25] == [100] * 25
        assert steps[25] == steps[499] == steps[501] == 5
        assert steps[500] == steps[1000] == 100
        assert sum(steps) == 25 * 100 + 2 * 100 + (1001 - 27) * 5

    @settings(deadline=None, max_examples=30)
    @given(
        usual=st.integers(1, 9),
        long=st.integers(1, 200),
        opening=st.integers(0, 2 * LONG_EVERY),
        step=st.integers(0, 3 * LONG_EVERY),
    )
    def test_steps_before_is_the_sum_of_steps(self, usual, long, opening, step):
        schedule = CriticSchedule(usual, long, opening)
        numbers = tf.range(step, dtype=tf.int64)
        total = int(tf.reduce_sum(schedule.steps(numbers)))
        assert int(schedule.steps_before(tf.constant(step, tf.int64))) == total

    def test_every_critic_step_sees_a_batch_of_its_own(self, images):
        learner = small_learner()
        adversarial, finetune = learner.phases()
        seen = []

        def batches(number):
            seen.append(int(number))
            return Examples(tf.constant(images[:4]))

        for phase in (adversarial, finetune):
            for step in range(phase.num_steps):
                phase.step(tf.constant(step, tf.int64), tf.constant([1, step]), batches)
        # 3 critic steps at generator steps 0 and 1, 2 at the four others, then fine-tuning.
        assert seen == list(range(2 * 3 + 4 * 2 + 4))


def test_clipping_bounds_every_weight_of_the_critic(images):
    learner = small_learner(lipschitz="clip", clip_value=0.02)
    largest = max(abs(value).max() for value in values_of(learner.networks.critic))
    assert largest > 0.02
    for step in range(2):
        learner.phases()[0].step(
            tf.constant(step, tf.int64),
            tf.constant([1, step]),
            lambda _: Examples(tf.constant(images[:4])),
        )
    assert all(abs(value).max() <= 0.02 for value in values_of(learner.networks.critic))


def test_the_penalty_enters_the_loss_with_its_weight(images):
    for weight in (0.0, 10.0):
        values = small_learner(penalty_weight=weight)._critic_step(
            tf.constant(images[:4]), tf.constant([1, 2])
        )
        expected = weight * float(values["penalty"]) - float(values["wasserstein"])
        assert float(values["loss"]) == pytest.approx(expected, rel=1e-5)
        assert float(values["penalty"]) > 0


def test_the_critic_learns_to_part_data_from_samples(images):
    learner = small_learner(learning_rate=1e-3, base_depth=8)
    step = tf.function(lambda i: learner._critic_step(tf.constant(images[:32]), i))
    values = [float(step(tf.constant([5, i]))["wasserstein"]) for i in range(40)]
    assert np.mean(values[-5:]) > np.mean(values[:5]) + 1.0


def test_the_generator_moves_towards_what_the_critic_likes():
    learner = small_learner(learning_rate=1e-3)
    before = values_of(learner.networks.critic)
    step = tf.function(learner._generator_step)
    losses = [float(step(tf.constant([5, 0]))) for _ in range(20)]
    assert losses[-1] < losses[0]
    assert_same_bits(values_of(learner.networks.critic), before)


def test_fine_tuning_begins_with_the_critic_and_leaves_it_and_the_generator(images):
    learner = small_learner(learning_rate=1e-3)
    networks = learner.networks
    networks.critic.variables[0].assign_add(tf.ones_like(networks.critic.variables[0]))
    before = values_of(networks.generator), values_of(networks.critic)
    finetune = learner.phases()[1].step

    def batches(_):
        return Examples(tf.constant(images[:4]))

    learner.discriminator_optimizer.learning_rate.assign(0.0)
    finetune(tf.constant(0, tf.int64), tf.constant([1, 2]), batches)
    assert_same_bits(values_of(networks.discriminator), before[1])

    learner.discriminator_optimizer.learning_rate.assign(1e-2)
    losses = [
        float(finetune(tf.constant(i, tf.int64), tf.constant([1, 2]), batches)["loss"])
        for i in range(1, 20)
    ]
    assert losses[-1] < losses[0]
    assert_same_bits(values_of(networks.generator), before[0])
    assert_same_bits(values_of(networks.critic), before[1])


def test_the_compiled_loop_does_what_single_steps_do(tmp_path, images):
    """The order of critic, generator and copy steps is Python's here, the graph's there."""
    compiled = train(tmp_path, images, StopRequest())
    eager = small_learner()
    number = 0
    for phase in eager.phases():
        for step in range(phase.num_steps):
            seed = tf.random.experimental.stateless_fold_in(
                tf.constant([3, 4]), tf.constant(number, tf.int64)
            )
            phase.step(tf.constant(step, tf.int64), seed, batches_of(images))
            number += 1
    for one, other in zip(compiled.state_variables(), eager.state_variables(), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=2e-6, err_msg=one.name)


def batches_of(images):
    examples = tf.constant(images)

    def batch(number):
        return Examples(tf.gather(examples, (4 * number + tf.range(4, dtype=tf.int64)) % 50))

    return batch


def train(directory, images, stop):
    learner = small_learner()
    loop = TrainingLoop(
        learner,
        batches_of(images),
        Examples(images[:8]),
        np.array([3, 4], np.int32),
        directory,
        checkpoint_secs=1e9,
        label="test",
    )
    loop.run(stop, lambda _: None)
    return learner


@pytest.mark.parametrize(("looks", "phase"), [(2, "adversarial"), (15, "finetune")])
def test_interrupted_in_either_phase_it_ends_with_the_same_bits(
    tmp_path, images, looks, phase, monkeypatch, stop_after
):
    monkeypatch.setattr("tfp_genens.training.loop.CALL_SECS", 0.0)  # one step a call
    whole = train(tmp_path / "whole", images, StopRequest())
    with pytest.raises(Stopped) as stopped:
        train(tmp_path / "parts", images, stop_after(looks))
    assert 0 < stopped.value.step < 10
    assert (stopped.value.step > 6) == (phase == "finetune")
    continued = train(tmp_path / "parts", images, StopRequest())
    for one, other in zip(whole.state_variables(), continued.state_variables(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.name)


def test_samples_are_within_the_range_of_the_inputs():
    module = small_learner().freeze().module
    samples = module.sample(5, tf.constant([1, 2]))["inputs"].numpy()
    assert samples.shape == (5, 8, 8, 1)
    assert samples.min() >= 0
    assert samples.max() <= 255


def test_the_gradient_of_the_critic_is_that_of_finite_differences(images):
    module = small_learner().freeze().module
    x = images[:1].astype(np.float32)
    gradient = module.critic_gradient(tf.constant(x))["gradient"].numpy()
    direction = np.random.default_rng(3).normal(size=x.shape).astype(np.float32)
    ends = [
        float(module.critic(tf.constant(x + sign * direction))["critic"][0]) for sign in (1, -1)
    ]
    assert (ends[0] - ends[1]) / 2 == pytest.approx(float((gradient * direction).sum()), rel=0.05)


def test_other_inputs_than_images_are_refused():
    with pytest.raises(UserError, match="divide by 4"):
        WganLearner(WganConfig(), InputSpec((7, 8, 1), "uint8", (0.0, 255.0), "x / 255"), seed=0)


class TestChecks:
    """Of the exported D, which a stand-in plays: what it says of held-out images, then samples."""

    def found(self, images, of_images, of_samples):
        answers = iter([np.asarray(of_images, float), np.asarray(of_samples, float)])
        seen = []

        class Member:
            def score(self, inputs, seed):
                seen.append(inputs)
                return {"critic": next(answers)}

        held_out = np.tile(images, [4, 1, 1, 1])  # of which a quarter may be looked at
        data = TrainingData("test", images, held_out, tuple(map(str, range(200))), SPEC, "")
        learner = small_learner()
        return learner, seen, learner.checks(Member(), data, np.array([1, 2], np.int32))

    def test_a_d_that_tells_all_apart_is_not_warned_of(self, images):
        learner, (real, fake), found = self.found(images, [4.0] * 50, [-3.0] * 50)
        np.testing.assert_array_equal(real, images)
        assert found["accuracy"] == 1.0
        expected = -(log_expit(4.0) + log_expit(3.0)) / 2
        assert found["cross_entropy"] == pytest.approx(expected)
        assert found["warnings"] == []
        samples = learner.networks.generate(50, tf.constant([1, 2])).numpy()
        np.testing.assert_allclose(fake, 255.0 * samples, rtol=1e-6)
        x, y = images.reshape(50, -1) / 255.0, samples.reshape(50, -1)
        distance = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
        assert found["energy_distance"] == pytest.approx(distance, rel=1e-3)

    def test_a_d_that_takes_samples_for_data_is(self, images):
        _, _, found = self.found(images, [1.0] * 50, [1.0] * 25 + [-1.0] * 25)
        assert found["accuracy"] == 0.75
        assert "only 75 %" in found["warnings"][0]
