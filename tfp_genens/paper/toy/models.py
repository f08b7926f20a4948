"""What Figure 2 trains: a flow and several small GANs on points of the plane.

A step of tiny networks is shorter than a Python call, so one graph call takes many. The GANs are
trained side by side but independently: members are the leading axis of every tensor. None touches
another, as the losses are summed, and the optimizer works on each weight by itself.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd
from tqdm import tqdm

from tfp_genens.bijectors import masked_autoregressive_flow
from tfp_genens.models.descent import descend
from tfp_genens.models.wgan import gradient_penalty
from tfp_genens.paper.toy.regions import CENTRE
from tfp_genens.seeds import derive_int, derive_seed, numpy_generator

STEPS_A_CALL = 500
_fold_in = tf.random.experimental.stateless_fold_in
_split = tf.random.experimental.stateless_split

Step = Callable[[tf.Tensor], tf.Tensor]
"""The step's number (int64 []) -> its losses, float32 of one shape; it updates the weights."""


def train(step: Step, num_steps: int, losses_shape: list[int], name: str) -> np.ndarray:
    """Takes steps 0 to `num_steps` - 1, with a progress bar on stderr.

    Returns:
      float32 [num_calls, *losses_shape]: means of the losses over successive STEPS_A_CALL steps
      (the last mean may be over fewer).

    Raises:
      FloatingPointError: a loss became NaN or infinite.
    """

    @tf.function
    def call(first: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
        _, total = tf.while_loop(
            lambda i, _: i < end,
            lambda i, total: (i + 1, total + step(i)),
            (first, tf.zeros(losses_shape)),
            parallel_iterations=1,
        )
        return total / tf.cast(end - first, tf.float32)

    curve = []
    with tqdm(total=num_steps, desc=name, unit="step", disable=None) as bar:
        for first in range(0, num_steps, STEPS_A_CALL):
            end = min(first + STEPS_A_CALL, num_steps)
            losses = call(tf.constant(first, tf.int64), tf.constant(end, tf.int64)).numpy()
            if not np.isfinite(losses).all():
                raise FloatingPointError(f"{name}: a loss is not finite before step {end}.")
            curve.append(losses)
            bar.update(end - first)
    return np.stack(curve)


def adam(variables, learning_rate, **kwargs) -> Callable[[tf.GradientTape, tf.Tensor], None]:
    """An optimizer of these variables, as a function of a tape and the loss that it has seen."""
    optimizer = tf_keras.optimizers.legacy.Adam(learning_rate, **kwargs)
    optimizer._create_all_weights(variables)

    def minimize(tape: tf.GradientTape, loss: tf.Tensor) -> None:
        descend(optimizer, tape, loss, variables)

    return minimize


_gan_adam = functools.partial(adam, beta_1=0.5, beta_2=0.9)  # Gulrajani et al. (2017)


def tensor_draws(shape: list[int], seed: tf.Tensor) -> tf.Tensor:
    """Draws of p(x) in a graph, float32 [*shape, 2], with a stateless seed."""
    return tf.random.stateless_normal([*shape, 2], seed) + tf.constant(CENTRE)


@dataclasses.dataclass(frozen=True)
class FlowSettings:
    """What the paper leaves open."""

    num_flows: int = 4  # MAF bijectors; between them the two dimensions change places
    hidden_units: tuple[int, ...] = (32, 32)  # of each bijector's network, ReLU
    batch_size: int = 256
    learning_rate: float = 5e-3  # of Adam at the start; it falls to zero along a half cosine
    steps: int = 3000  # of maximum likelihood on fresh draws of p(x)


class Flow(tf.Module):
    """MAF bijectors on a standard normal, with weights and data of a seed."""

    def __init__(self, settings: FlowSettings, seed: int):
        super().__init__(name="flow")
        self._settings, self._seed = settings, seed
        layers: list[tfb.Bijector] = []
        for i in range(settings.num_flows):
            weights, units = derive_int(seed, "toy", "flow", i), settings.hidden_units
            maf = masked_autoregressive_flow(2, hidden_units=units, seed=weights)
            layers += [maf, tfb.Permute([1, 0])]
        base = tfd.MultivariateNormalDiag(loc=tf.zeros(2))
        self.distribution = tfd.TransformedDistribution(base, tfb.Chain(layers[:-1]))

    def train(self) -> np.ndarray:
        """Returns the mean negative log-likelihoods in nats, float32 [num_calls]."""
        settings = self._settings
        schedule = tf_keras.optimizers.schedules.CosineDecay(settings.learning_rate, settings.steps)
        minimize = adam(self.distribution.trainable_variables, schedule)
        seed = tf.constant(derive_seed(self._seed, "toy", "flow"))

        def step(i: tf.Tensor) -> tf.Tensor:
            x = tensor_draws([settings.batch_size], _fold_in(seed, i))
            with tf.GradientTape() as tape:
                loss = -tf.reduce_mean(self.distribution.log_prob(x))
            minimize(tape, loss)
            return loss

        return train(step, settings.steps, [], "flow")

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log density in nats: [num, 2] -> float64 [num]."""
        return self.distribution.log_prob(tf.constant(x, tf.float32)).numpy().astype(np.float64)


@dataclasses.dataclass(frozen=True)
class GanSettings:
    """What the paper leaves open, but for the number of fine-tuning steps."""

    num_members: int = 5  # GANs, as in the paper's other ensembles
    hidden_units: tuple[int, ...] = (64, 64)  # of generator and critic alike, leaky ReLU
    latent_size: int = 2  # dimensions of the generator's noise
    batch_size: int = 128  # real points a step, and as many generated ones
    critic_learning_rate: float = 1e-3  # of Adam; of fine-tuning, too
    # At a tenth of the critics', samples kept closer to p(x)'s moments than at the same.
    generator_learning_rate: float = 1e-4
    generator_steps: int = 3000  # with more, the moments came no closer
    critic_steps: int = 5  # before each generator step
    penalty_weight: float = 10.0  # of the gradient penalty
    finetune_steps: int = 10000  # of the discriminators (paper, Figure 2)
    # Whether the networks work with x less p(x)'s centre, as those on images do with pixels about
    # zero. Else all generators start at the origin and approach p(x) from one side.
    is_centred: bool = True


class Networks(tf.Module):
    """One dense network a member, of the same sizes and with weights of their own.

    Args:
      num_members: the networks.
      sizes: units of input, hidden layers and output.
      seed: of the initial weights (Glorot uniform).
      name: tells their weights from others of the same seed.
    """

    def __init__(self, num_members: int, sizes: tuple[int, ...], seed: int, name: str):
        super().__init__(name=name)
        self.kernels, self.biases = [], []
        for layer, shape in enumerate(itertools.pairwise(sizes)):
            limit = np.sqrt(6.0 / sum(shape))
            kernels = [
                numpy_generator(seed, name, "member", member, layer).uniform(-limit, limit, shape)
                for member in range(num_members)
            ]
            self.kernels.append(tf.Variable(np.stack(kernels).astype(np.float32)))
            self.biases.append(tf.Variable(tf.zeros([num_members, 1, shape[1]])))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """[num_members, batch, input] -> [num_members, batch, output]."""
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            x = tf.nn.leaky_relu(x) if layer else x
            x = tf.matmul(x, kernel) + bias
        return x


class Gans(tf.Module):
    """Generators, and critics that become discriminators when they are fine-tuned.

    `seed` is that of weights, data and noise; the progress bar says `label` before the phase.
    """

    def __init__(self, settings: GanSettings, seed: int, label: str = ""):
        super().__init__(name="gans")
        self._settings, self._seed, self._label = settings, seed, label
        self._origin = tf.constant(CENTRE if settings.is_centred else (0.0, 0.0))
        num, hidden, latent = settings.num_members, settings.hidden_units, settings.latent_size
        self.generators = Networks(num, (latent, *hidden, 2), seed, "toy_generator")
        self.critics = Networks(num, (2, *hidden, 1), seed, "toy_critic")

    def train(self) -> np.ndarray:
        """WGAN-GP. Returns the critics' distance of data and samples, [num_calls, num_members]."""
        settings = self._settings
        for_critics = _gan_adam(self.critics.variables, settings.critic_learning_rate)
        for_generators = _gan_adam(self.generators.variables, settings.generator_learning_rate)
        seed = tf.constant(derive_seed(self._seed, "toy", "adversarial"))

        def step(i: tf.Tensor) -> tf.Tensor:
            seeds = _split(_fold_in(seed, i), settings.critic_steps + 1)
            total = tf.zeros([settings.num_members])
            for k in range(settings.critic_steps):
                with tf.GradientTape() as tape:
                    loss, distance = self._critic_loss(seeds[k])
                for_critics(tape, loss)
                total += distance
            with tf.GradientTape() as tape:
                fake = self.generate(settings.batch_size, seeds[-1])
                loss = -tf.reduce_sum(tf.reduce_mean(self.discriminate(fake), axis=1))
            for_generators(tape, loss)
            return total / settings.critic_steps

        return train(step, settings.generator_steps, [settings.num_members], f"{self._label}GANs")

    def finetune(self) -> np.ndarray:
        """Trains the critics on as discriminators, the generators standing still.

        Returns their mean sigmoid cross-entropy in nats (log 2 where data and samples cannot be
        told apart), float32 [num_calls, num_members], see `train`.
        """
        settings = self._settings
        minimize = _gan_adam(self.critics.variables, settings.critic_learning_rate)
        seed = tf.constant(derive_seed(self._seed, "toy", "finetune"))

        def step(i: tf.Tensor) -> tf.Tensor:
            real, fake = self._points(_fold_in(seed, i))
            with tf.GradientTape() as tape:
                logits = self.discriminate(tf.concat([real, fake], axis=1))
                labels = tf.concat([tf.ones(real.shape[:2]), tf.zeros(fake.shape[:2])], axis=1)
                loss = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
                loss = tf.reduce_mean(loss, axis=1)
            minimize(tape, loss)
            return loss

        shape = [settings.num_members]
        return train(step, settings.finetune_steps, shape, f"{self._label}discriminators")

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
        found = self.discriminate(tf.broadcast_to(tf.constant(x, tf.float32), shape))
        return found.numpy().astype(np.float64)

    def samples(self, num: int) -> np.ndarray:
        """float32 [num_members, num, 2]."""
        return self.generate(num, tf.constant(derive_seed(self._seed, "toy", "samples"))).numpy()

    def _points(self, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Fresh draws of p(x) and of the generators, each [num_members, batch_size, 2]."""
        seeds, size = _split(seed, 2), self._settings.batch_size
        real = tensor_draws([self._settings.num_members, size], seeds[0])
        return real, self.generate(size, seeds[1])

    def _critic_loss(self, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The critics' loss, and their estimates of the distance, [num_members]."""
        settings = self._settings
        seeds = _split(seed, 2)
        real, fake = self._points(seeds[0])
        share = tf.random.stateless_uniform([*real.shape[:2], 1], seeds[1])
        between = real + share * (fake - real)
        values = self.discriminate(tf.concat([real, fake], axis=1))
        real_mean, fake_mean = (tf.reduce_mean(v, axis=1) for v in tf.split(values, 2, axis=1))
        distance = real_mean - fake_mean

        def criticize(line: tf.Tensor) -> tf.Tensor:
            grouped = tf.reshape(line, between.shape)
            return tf.reshape(self.discriminate(grouped), [-1])

        # Of all members' points in one line: the mean over members, made their sum.
        line = tf.reshape(between, [-1, 2])
        penalty = settings.num_members * gradient_penalty(criticize, line)
        return settings.penalty_weight * penalty - tf.reduce_sum(distance), distance
