"""Several small GANs on points of the plane, trained side by side but independently of each other.

The members are the leading axis of every tensor, so that all take a step in one graph call. None
touches another: the losses are summed, and the optimizer works on each weight by itself.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_genens.models.wgan import gradient_penalty
from tfp_genens.paper.toy.normal import CENTRE, tensor_draws
from tfp_genens.paper.toy.steps import train
from tfp_genens.seeds import derive_seed, numpy_generator


@dataclasses.dataclass(frozen=True)
class GanSettings:
    """What the paper leaves open, but for the number of fine-tuning steps.

    Attributes:
      num_members: GANs, five as in the paper's other ensembles.
      hidden_units: of generator and critic alike, leaky ReLU.
      latent_size: dimensions of the generator's noise.
      batch_size: real points a step, and as many generated ones.
      critic_learning_rate: of Adam, with beta_1 and beta_2 as Gulrajani et al. (2017) have them;
        of fine-tuning, too.
      generator_learning_rate: likewise; at a tenth of the critic's, samples kept closer to p(x)'s
        mean and covariance than at the same.
      generator_steps: of the adversarial phase; with more, the moments came no closer.
      critic_steps: before each generator step.
      penalty_weight: of the gradient penalty.
      finetune_steps: of the discriminators against their finished generators (paper, Figure 2).
      is_centred: whether the networks work with x less p(x)'s centre, as those on images do with
        pixels about zero. Else all generators start at the origin and approach p(x) from one side.
    """

    num_members: int = 5
    hidden_units: tuple[int, ...] = (64, 64)
    latent_size: int = 2
    batch_size: int = 128
    critic_learning_rate: float = 1e-3
    generator_learning_rate: float = 1e-4
    generator_steps: int = 3000
    critic_steps: int = 5
    penalty_weight: float = 10.0
    finetune_steps: int = 10000
    is_centred: bool = True


BETAS = {"beta_1": 0.5, "beta_2": 0.9}


class Networks(tf.Module):
    """One dense network a member, of the same sizes and with weights of their own.

    Args:
      num_members: the networks.
      sizes: units of input, hidden layers and output.
      seed: of the initial weights (Glorot uniform), which for each member are its own.
      name: of the networks, which also tells their weights from others of the same seed.
    """

    def __init__(self, num_members: int, sizes: tuple[int, ...], seed: int, name: str):
        super().__init__(name=name)
        self.kernels = []
        self.biases = []
        for layer, (num_in, num_out) in enumerate(itertools.pairwise(sizes)):
            limit = np.sqrt(6.0 / (num_in + num_out))
            kernels = [
                numpy_generator(seed, name, "member", member, layer).uniform(
                    -limit, limit, (num_in, num_out)
                )
                for member in range(num_members)
            ]
            self.kernels.append(tf.Variable(np.stack(kernels).astype(np.float32)))
            self.biases.append(tf.Variable(tf.zeros([num_members, 1, num_out])))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """[num_members, batch, input] -> [num_members, batch, output]."""
        last = len(self.kernels) - 1
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            x = tf.matmul(x, kernel) + bias
            if layer < last:
                x = tf.nn.leaky_relu(x)
        return x


def _adam(learning_rate: float, networks: Networks) -> tf_keras.optimizers.legacy.Optimizer:
    optimizer = tf_keras.optimizers.legacy.Adam(learning_rate, **BETAS)
    optimizer._create_all_weights(networks.trainable_variables)
    return optimizer


class Gans(tf.Module):
    """Generators, and critics that become discriminators when they are fine-tuned.

    Args:
      settings: sizes and steps.
      seed: of weights, data and noise.
      label: what the progress bar says before the phase.
    """

    def __init__(self, settings: GanSettings, seed: int, label: str = ""):
        super().__init__(name="gans")
        self._settings = settings
        self._seed = seed
        self._label = label
        self._origin = tf.constant(CENTRE if settings.is_centred else (0.0, 0.0))
        num, hidden = settings.num_members, settings.hidden_units
        sizes = (settings.latent_size, *hidden, 2)
        self.generators = Networks(num, sizes, seed, "toy_generator")
        self.critics = Networks(num, (2, *hidden, 1), seed, "toy_critic")

    def train(self) -> np.ndarray:
        """The adversarial phase: WGAN-GP.

        Returns:
          float32 [num_calls, num_members]: the critics' estimate of the distance between data and
          samples, see `steps.train`.
        """
        settings = self._settings
        critic_optimizer = _adam(settings.critic_learning_rate, self.critics)
        generator_optimizer = _adam(settings.generator_learning_rate, self.generators)
        seed = tf.constant(derive_seed(self._seed, "toy", "adversarial"))

        def step(i: tf.Tensor) -> tf.Tensor:
            step_seed = tf.random.experimental.stateless_fold_in(seed, i)
            seeds = tf.random.experimental.stateless_split(step_seed, settings.critic_steps + 1)
            distance = tf.zeros([settings.num_members])
            for k in range(settings.critic_steps):
                distance += self._critic_step(critic_optimizer, seeds[k])
            self._generator_step(generator_optimizer, seeds[-1])
            return distance / settings.critic_steps

        return train(step, settings.generator_steps, [settings.num_members], f"{self._label}GANs")

    def finetune(self) -> np.ndarray:
        """Trains the critics on as discriminators, the generators standing still.

        Returns:
          float32 [num_calls, num_members]: their mean sigmoid cross-entropy in nats (log 2 where
          data and samples cannot be told apart), see `steps.train`.
        """
        settings = self._settings
        variables = self.critics.trainable_variables
        optimizer = _adam(settings.critic_learning_rate, self.critics)
        seed = tf.constant(derive_seed(self._seed, "toy", "finetune"))

        def step(i: tf.Tensor) -> tf.Tensor:
            real, fake = self._points(tf.random.experimental.stateless_fold_in(seed, i))
            with tf.GradientTape() as tape:
                logits = self.discriminate(tf.concat([real, fake], axis=1))
                labels = tf.concat([tf.ones(real.shape[:2]), tf.zeros(fake.shape[:2])], axis=1)
                loss = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
                loss = tf.reduce_mean(loss, axis=1)
            gradients = tape.gradient(loss, variables)
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
            return loss

        return train(
            step, settings.finetune_steps, [settings.num_members], f"{self._label}discriminators"
        )

    def discriminate(self, x: tf.Tensor) -> tf.Tensor:
        """D: [num_members, batch, 2] -> logits of being real, [num_members, batch]."""
        return self.critics(x - self._origin)[..., 0]

    def generate(self, num: int, seed: tf.Tensor) -> tf.Tensor:
        """Samples of each generator, [num_members, num, 2]."""
        shape = [self._settings.num_members, num, self._settings.latent_size]
        return self.generators(tf.random.stateless_normal(shape, seed)) + self._origin

    def logits(self, x: np.ndarray) -> np.ndarray:
        """D of the same points for all members: [num, 2] -> float64 [num_members, num]."""
        shape = [self._settings.num_members, *x.shape]
        return (
            self.discriminate(tf.broadcast_to(tf.constant(x, tf.float32), shape))
            .numpy()
            .astype(np.float64)
        )

    def samples(self, num: int) -> np.ndarray:
        """float32 [num_members, num, 2]."""
        return self.generate(num, tf.constant(derive_seed(self._seed, "toy", "samples"))).numpy()

    def _points(self, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Fresh draws of p(x) and of the generators, each [num_members, batch_size, 2]."""
        seeds = tf.random.experimental.stateless_split(seed, 2)
        size = self._settings.batch_size
        return (
            tensor_draws([self._settings.num_members, size], seeds[0]),
            self.generate(size, seeds[1]),
        )

    def _critic_step(self, optimizer, seed: tf.Tensor) -> tf.Tensor:
        """One update of the critics; their estimates of the distance, [num_members]."""
        settings = self._settings
        seeds = tf.random.experimental.stateless_split(seed, 2)
        real, fake = self._points(seeds[0])
        share = tf.random.stateless_uniform([*real.shape[:2], 1], seeds[1])
        between = real + share * (fake - real)
        variables = self.critics.trainable_variables
        with tf.GradientTape() as tape:
            real_values, fake_values = tf.split(
                self.discriminate(tf.concat([real, fake], axis=1)), 2, axis=1
            )
            distance = tf.reduce_mean(real_values, axis=1) - tf.reduce_mean(fake_values, axis=1)
            # Of all members' points in one line: the mean over members, made their sum.
            penalty = settings.num_members * gradient_penalty(
                self._criticize_line, tf.reshape(between, [-1, 2])
            )
            loss = settings.penalty_weight * penalty - tf.reduce_sum(distance)
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return distance

    def _criticize_line(self, x: tf.Tensor) -> tf.Tensor:
        """[num_members * batch, 2], member by member -> [num_members * batch]."""
        grouped = tf.reshape(x, [self._settings.num_members, -1, 2])
        return tf.reshape(self.discriminate(grouped), [-1])

    def _generator_step(self, optimizer, seed: tf.Tensor) -> None:
        variables = self.generators.trainable_variables
        with tf.GradientTape() as tape:
            fake = self.generate(self._settings.batch_size, seed)
            values = tf.reduce_mean(self.discriminate(fake), axis=1)
            loss = -tf.reduce_sum(values)
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
