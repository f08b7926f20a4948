"""Wasserstein GAN on images: a critic as detector (paper, sections 2.1 and 4)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, InputSpec, OutputSpec
from tfp_genens.data import TrainingData
from tfp_genens.models import pixels
from tfp_genens.models.configs import LONG_EVERY, WganConfig
from tfp_genens.models.descent import descend
from tfp_genens.models.freezing import frozen, with_values_of
from tfp_genens.models.learner import Batches, Learner, Phase
from tfp_genens.models.networks import (
    Network,
    check_image_spec,
    convolutional_decoder,
    convolutional_encoder,
)
from tfp_genens.seeds import derive_int

CODE_DEPTH = 512
DENSE_UNITS = (128, 1)
"""The critic past the VAE's encoder trunk: 4 x 128 channels, dense 128, dense 1 (released code)."""

VALIDATE_EVERY = 200  # generator steps
NUM_CHECKED = 1000
MIN_ACCURACY = 0.9
"""Of D on held-out images and samples; fine-tuned for long it tells nearly all of them apart."""

_WARNING = (
    "D tells only {:.0f} % of held-out images and samples apart: samples are good, its loss was at "
    "a peak when it was frozen, or fine-tuning ended too soon"
)

NORM_EPSILON = 1e-12
"""Under the square root of the gradient's norm, whose derivative at zero is infinite without it."""


@dataclasses.dataclass(frozen=True)
class CriticSchedule:
    """How many critic steps go before each generator step, as a function of its number.

    `long` before the first `opening` generator steps and every LONG_EVERY-th, `usual` before
    others.
    """

    usual: int
    long: int
    opening: int

    def steps(self, step: tf.Tensor) -> tf.Tensor:
        """Critic steps before generator step `step` (int64 [], from 0), int64 []."""
        is_long = (step < self.opening) | (step % LONG_EVERY == 0)
        return tf.where(is_long, tf.constant(self.long, tf.int64), self.usual)

    def steps_before(self, step: tf.Tensor) -> tf.Tensor:
        """Critic steps of all generator steps below `step`: the sum of `steps`, int64 []."""
        multiples = (step + LONG_EVERY - 1) // LONG_EVERY  # of LONG_EVERY, below `step`
        in_opening = tf.minimum(step, self.opening)
        opening_multiples = (in_opening + LONG_EVERY - 1) // LONG_EVERY
        num_long = in_opening + multiples - opening_multiples
        return self.usual * step + (self.long - self.usual) * num_long


def gradient_penalty(critic, x: tf.Tensor) -> tf.Tensor:
    """Mean of (|d critic / d x| - 1)^2, float32 (Gulrajani et al. 2017, equation 3).

    `critic` maps [batch, ...] to [batch], each example by itself.
    """
    with tf.GradientTape() as tape:
        tape.watch(x)
        values = critic(x)
    gradient = tape.gradient(values, x)
    squared = tf.reduce_sum(tf.square(gradient), axis=list(range(1, x.shape.rank)))
    return tf.reduce_mean(tf.square(tf.sqrt(squared + NORM_EPSILON) - 1.0))


def energy_distance(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """2 E|x - y| - E|x - x'| - E|y - y'|, float32, 0 for equal distributions (Szekely & Rizzo
    2013).

    x: [batch, ...]; y: [other_batch, ...]. Expectations are means over all pairs, an example with
    itself included: never negative, and larger by a term of order 1 / batch than for the
    distributions.
    """
    x, y = (tf.reshape(z, [tf.shape(z)[0], -1]) for z in (x, y))
    return 2.0 * _mean_distance(x, y) - _mean_distance(x, x) - _mean_distance(y, y)


def _mean_distance(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    squared = (
        tf.reduce_sum(x * x, axis=1)[:, tf.newaxis]
        + tf.reduce_sum(y * y, axis=1)
        - 2.0 * tf.matmul(x, y, transpose_b=True)
    )
    return tf.reduce_mean(tf.sqrt(tf.maximum(squared, 0.0)))


class WganNetworks(tf.Module):
    """Generator, critic, and the discriminator that the critic becomes when it is fine-tuned."""

    def __init__(self, config: WganConfig, input_spec: InputSpec, precision: str, seed: int):
        super().__init__(name="wgan")

        def make_critic(name: str) -> Network:
            return convolutional_encoder(
                input_spec.shape,
                base_depth=config.base_depth,
                code_depth=CODE_DEPTH,
                dense_units=DENSE_UNITS,
                precision=precision,
                seed=derive_int(seed, "critic"),
                name=name,
            )

        self.latent_size = config.latent_size
        self.generator = convolutional_decoder(
            input_spec.shape,
            base_depth=config.base_depth,
            code_size=config.latent_size,
            precision=precision,
            seed=derive_int(seed, "generator"),
            name="generator",
        )
        self.critic = make_critic("critic")
        self.discriminator = make_critic("discriminator")

    def generate(self, num: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws of the generator, about [0, 1]: [num, height, width, channels]."""
        return self.generator(tf.random.stateless_normal([num, self.latent_size], seed))

    def criticize(self, x: tf.Tensor) -> tf.Tensor:
        """The Wasserstein critic of images in [0, 1], float32 [batch]."""
        return self.critic(2.0 * x - 1.0)[:, 0]

    def discriminate(self, x: tf.Tensor) -> tf.Tensor:
        """The fine-tuned critic: logits of being real, float32 [batch]."""
        return self.discriminator(2.0 * x - 1.0)[:, 0]


class FrozenWgan(tf.Module):
    """The WGAN as it is exported: scores of raw inputs. They are deterministic."""

    def __init__(self, networks: WganNetworks, input_spec: InputSpec):
        super().__init__(name="frozen_wgan")
        self.networks = networks
        self._input_spec = input_spec

    @tf.function
    def serving_default(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """D, the fine-tuned critic, and the Wasserstein critic that it was."""
        x = pixels.observed(inputs, self._input_spec)
        return {
            "critic": self.networks.discriminate(x),
            "wasserstein_critic": self.networks.criticize(x),
        }

    @tf.function
    def critic(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """D alone."""
        return {"critic": self.networks.discriminate(pixels.observed(inputs, self._input_spec))}

    @tf.function
    def wasserstein_critic(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The Wasserstein critic alone."""
        x = pixels.observed(inputs, self._input_spec)
        return {"wasserstein_critic": self.networks.criticize(x)}

    @tf.function
    def critic_gradient(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """D [batch], and its gradient with respect to the raw inputs."""
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            critic = self.networks.discriminate(pixels.observed(inputs, self._input_spec))
        return {"critic": critic, "gradient": tape.gradient(critic, inputs)}

    @tf.function
    def sample(self, num: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Draws of the generator on the inputs' scale, clipped to their range."""
        x = tf.clip_by_value(self.networks.generate(num, seed), 0.0, 1.0)
        return {"inputs": pixels.unscaled(x, self._input_spec)}


# D is the paper's name for the critic after fine-tuning: the networks' `discriminator`.
OUTPUTS = {
    "critic": OutputSpec("logits", HIGHER_IS_NORMAL, "D", main=True),
    "wasserstein_critic": OutputSpec("1", HIGHER_IS_NORMAL, "Wasserstein critic"),
}


class WganLearner(Learner):
    """Trains generator and critic, then fine-tunes the critic against the finished generator.

    The first phase counts generator steps. The critic steps that the schedule puts before each are
    in the same graph call. In the second phase the generator stands still: a copy of the critic
    learns by sigmoid cross-entropy to tell data from samples (paper, section 4). Raises UserError
    unless the inputs are images whose sides divide by 4.
    """

    def __init__(self, config: WganConfig, input_spec: InputSpec, seed: int):
        super().__init__(name="wgan_learner")
        check_image_spec(input_spec)
        self._config = config
        self._input_spec = input_spec
        self._schedule = CriticSchedule(
            config.critic_steps, config.long_critic_steps, config.opening_steps
        )
        self.networks = WganNetworks(config, input_spec, config.precision, seed)
        networks = self.networks
        self.generator_optimizer = self._optimizer(networks.generator)
        self.critic_optimizer = self._optimizer(networks.critic)
        self.discriminator_optimizer = self._optimizer(networks.discriminator)

    def _optimizer(self, network: Network) -> tf_keras.optimizers.legacy.Optimizer:
        optimizer = tf_keras.optimizers.legacy.RMSprop(self._config.learning_rate)
        optimizer._create_all_weights(network.trainable_variables)
        return optimizer

    def state_variables(self):
        return [
            *self.networks.variables,
            *self.generator_optimizer.variables(),
            *self.critic_optimizer.variables(),
            *self.discriminator_optimizer.variables(),
        ]

    def phases(self):
        config = self._config
        adversarial = ("loss", "wasserstein", "penalty", "generator_loss")
        return [
            Phase(
                "adversarial",
                config.train_steps,
                adversarial,
                self._adversarial_step,
                validation=("wasserstein", "energy_distance"),
                validate_every=VALIDATE_EVERY,
                pace_from=config.opening_steps,
            ),
            Phase(
                "finetune",
                config.finetune_steps,
                ("loss", "accuracy"),
                self._finetune_step,
                validation=("cross_entropy", "accuracy"),
            ),
        ]

    def _adversarial_step(self, step, seed, batches: Batches) -> Mapping[str, tf.Tensor]:
        num_critic_steps = self._schedule.steps(step)
        first_batch = self._schedule.steps_before(step)
        seeds = tf.random.split(seed, 2)
        names = ("loss", "wasserstein", "penalty")

        def critic_step(i, sums):
            values = self._critic_step(
                batches(first_batch + i).inputs,
                tf.random.experimental.stateless_fold_in(seeds[0], i),
            )
            return i + 1, {name: sums[name] + values[name] for name in names}

        _, sums = tf.while_loop(
            lambda i, _: i < num_critic_steps,
            critic_step,
            (tf.constant(0, tf.int64), dict.fromkeys(names, tf.constant(0.0))),
            parallel_iterations=1,
        )
        with tf.control_dependencies(list(sums.values())):
            generator_loss = self._generator_step(seeds[1])
        count = tf.cast(num_critic_steps, tf.float32)
        return {name: sums[name] / count for name in names} | {"generator_loss": generator_loss}

    def _critic_step(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """One update of the critic on raw inputs; its loss and the loss's terms."""
        seeds = tf.random.split(seed, 2)
        real = pixels.scaled(inputs, self._input_spec)
        fake = self.networks.generate(tf.shape(real)[0], seeds[0])
        variables = self.networks.critic.trainable_variables
        with tf.GradientTape() as tape:
            wasserstein = self._wasserstein(real, fake)
            penalty = self._penalty(real, fake, seeds[1])
            loss = self._config.penalty_weight * penalty - wasserstein
        descend(self.critic_optimizer, tape, loss, variables)
        if self._config.lipschitz == "clip":
            limit = self._config.clip_value
            for variable in variables:
                variable.assign(tf.clip_by_value(variable, -limit, limit))
        return {"loss": loss, "wasserstein": wasserstein, "penalty": penalty}

    def _wasserstein(self, real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
        """The critic's estimate of the distance between data and samples, up to its slope."""
        values = self.networks.criticize(tf.concat([real, fake], axis=0))
        real_values, fake_values = tf.split(values, [tf.shape(real)[0], tf.shape(fake)[0]])
        return tf.reduce_mean(real_values) - tf.reduce_mean(fake_values)

    def _penalty(self, real: tf.Tensor, fake: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Of the critic's slope between data and samples; 0 where weights are clipped instead."""
        if self._config.lipschitz == "clip":
            return tf.constant(0.0)
        share = tf.random.stateless_uniform([tf.shape(real)[0], 1, 1, 1], seed)
        return gradient_penalty(self.networks.criticize, real + share * (fake - real))

    def _generator_step(self, seed: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            fake = self.networks.generate(self._config.batch_size, seed)
            loss = -tf.reduce_mean(self.networks.criticize(fake))
        variables = self.networks.generator.trainable_variables
        descend(self.generator_optimizer, tape, loss, variables)
        return loss

    def _finetune_step(self, step, seed, batches: Batches) -> Mapping[str, tf.Tensor]:
        critic, discriminator = self.networks.critic, self.networks.discriminator

        def begin():
            for old, new in zip(critic.variables, discriminator.variables, strict=True):
                new.assign(old)
            return True

        with tf.control_dependencies([tf.cond(step == 0, begin, lambda: False)]):
            first_batch = self._schedule.steps_before(
                tf.constant(self._config.train_steps, tf.int64)
            )
            real = pixels.scaled(batches(first_batch + step).inputs, self._input_spec)
            fake = self.networks.generate(tf.shape(real)[0], seed)
        with tf.GradientTape() as tape:
            loss, accuracy = self._discrimination(real, fake)
        descend(self.discriminator_optimizer, tape, loss, discriminator.trainable_variables)
        return {"loss": loss, "accuracy": accuracy}

    def _discrimination(self, real: tf.Tensor, fake: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean sigmoid cross-entropy (real = 1) and accuracy of the discriminator."""
        logits = self.networks.discriminate(tf.concat([real, fake], axis=0))
        labels = tf.concat([tf.ones(tf.shape(real)[0]), tf.zeros(tf.shape(fake)[0])], axis=0)
        loss = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
        is_right = tf.equal(logits > 0.0, labels > 0.5)
        return tf.reduce_mean(loss), tf.reduce_mean(tf.cast(is_right, tf.float32))

    def validate(self, examples, seed):
        real = pixels.scaled(examples.inputs, self._input_spec)
        fake = self.networks.generate(tf.shape(real)[0], seed)
        loss, accuracy = self._discrimination(real, fake)
        return {
            "wasserstein": self._wasserstein(real, fake),
            "energy_distance": energy_distance(real, fake),
            "cross_entropy": loss,
            "accuracy": accuracy,
        }

    def summary_images(self, inputs, seed):
        samples = self.networks.generate(tf.shape(inputs)[0], seed)
        return {"samples": tf.clip_by_value(samples, 0.0, 1.0)}

    def freeze(self):
        networks = with_values_of(
            self.networks, WganNetworks(self._config, self._input_spec, "float32", seed=0)
        )
        module = FrozenWgan(networks, self._input_spec)
        return frozen(
            module, OUTPUTS, (*OUTPUTS, "critic_gradient", "sample"), decides=("critic_var",)
        )

    def checks(self, member, data, seed) -> dict[str, Any]:
        """How D, as exported, tells held-out images from fresh samples; and how far those are."""
        real = data.tuning[:NUM_CHECKED].astype(np.float32)
        fake = pixels.unscaled(
            self.networks.generate(len(real), tf.constant(seed)), self._input_spec
        )
        logits = {
            name: member.score(x, seed)["critic"]
            for name, x in (("real", real), ("fake", fake.numpy()))
        }
        signed = np.concatenate([logits["real"], -logits["fake"]]).astype(np.float64)
        accuracy = float(np.mean(signed > 0))
        distance = energy_distance(
            pixels.scaled(real, self._input_spec), pixels.scaled(fake, self._input_spec)
        )
        return {
            "num_examples": len(real),
            "accuracy": accuracy,
            "cross_entropy": float(np.mean(np.logaddexp(0.0, -signed))),
            "energy_distance": float(distance),
            "warnings": [_WARNING.format(100 * accuracy)] if accuracy < MIN_ACCURACY else [],
        }


def build(config: WganConfig, data: TrainingData, seed: int) -> WganLearner:
    """A WGAN for images whose sides divide by 4; raises UserError for other inputs."""
    return WganLearner(config, data.input_spec, seed)
