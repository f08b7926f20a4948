"""What variational autoencoders of any inputs share: estimators, training, the frozen form."""

import abc
import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, OutputSpec
from tfp_genens.data import TrainingData
from tfp_genens.models.descent import DescentLearner
from tfp_genens.models.freezing import (
    GRADIENT_NORM,
    TWO_SEEDS,
    as_float32,
    frozen,
    gradient_norm,
    gradient_of_statistics,
    of_two_seeds,
)
from tfp_genens.models.priors import Prior
from tfp_genens.models.variational_candidates import (
    LATENT,
    NUM_REFERENCES,
    REGRET,
    LatentReferences,
    likelihood_regret,
)
from tfp_genens.seeds import numpy_generator

NUM_SCORE_SAMPLES = 16
"""Importance samples behind log_prob at scoring time (paper, section 4)."""

SCALE_FLOOR = 1e-5
"""Smallest posterior standard deviation: keeps log q(z|x) finite for any input."""

OUT_OF_RANGE_NATS = 100.0
"""What a unit of the range costs where an input is clipped.

So scores stay finite for any finite input, and further out is ever less likely.
"""

_BATCH_SIZE = 500
_LOG_2PI = math.log(2.0 * math.pi)


class VariationalNetworks(tf.Module, abc.ABC):
    """Encoder q(z|x), decoder p(x|z) and prior p(z); x as the networks see it."""

    latent_size: int
    prior: Prior

    @abc.abstractmethod
    def encode(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Observations -> loc and scale of q(z|x), each [batch, latent_size]."""

    @abc.abstractmethod
    def distortion(self, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """-log p(x|z), float64 nats [batch]; z is [batch, latent_size]."""

    @abc.abstractmethod
    def decode_mean(self, z: tf.Tensor) -> tf.Tensor:
        """What stands for x given z in reconstructions and samples: [batch, *event_shape]."""

    def posterior(self, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The encoder's outputs [batch, 2 * latent_size] -> loc and scale of q(z|x)."""
        loc, raw_scale = tf.split(outputs, 2, axis=-1)
        scale = tf.nn.softplus(raw_scale + math.log(math.expm1(1.0))) + SCALE_FLOOR
        return loc, scale

    def rate(self, loc, scale, noise) -> tuple[tf.Tensor, tf.Tensor]:
        """Latent samples z [num_samples, batch, latent_size] and their log q(z|x) - log p(z).

        loc and scale are [batch, latent_size], the noise is standard normal and broadcasts with z;
        rates are float64 nats [num_samples, batch].
        """
        z = loc + scale * noise
        log_q = -0.5 * tf.square(noise) - tf.math.log(scale) - 0.5 * _LOG_2PI
        log_q = tf.reduce_sum(tf.cast(log_q, tf.float64), axis=-1)
        return z, log_q - self.prior.log_prob(z)


def scores_of_weights(distortion: tf.Tensor, rate: tf.Tensor) -> dict[str, tf.Tensor]:
    """The four scores [batch] of distortions and rates, each float64 nats [num_samples, batch]."""
    log_weights = -distortion - rate
    num_samples = tf.cast(tf.shape(rate)[0], tf.float64)
    return {
        "log_prob": tf.reduce_logsumexp(log_weights, axis=0) - tf.math.log(num_samples),
        "elbo": tf.reduce_mean(log_weights, axis=0),
        "rate": tf.reduce_mean(rate, axis=0),
        "distortion": tf.reduce_mean(distortion, axis=0),
    }


OUTPUTS = {
    "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL, "log p(x)", main=True),
    "elbo": OutputSpec("nats", HIGHER_IS_NORMAL, "ELBO"),
    "rate": OutputSpec("nats", LOWER_IS_NORMAL, "Rate", main=True),
    "distortion": OutputSpec("nats", LOWER_IS_NORMAL, "Distortion"),
}

STATISTICS = {
    "prior_log_prob": OutputSpec("nats", HIGHER_IS_NORMAL, "log p(z) at the mean", statistic=True),
    "log_scale": OutputSpec(
        "nats", HIGHER_IS_NORMAL, "Log of the posterior's scale", statistic=True
    ),
    "distortion_at_mean": OutputSpec(
        "nats", LOWER_IS_NORMAL, "Distortion at the mean", statistic=True
    ),
    "loc_norm": OutputSpec("1", LOWER_IS_NORMAL, "Norm of the mean"),
}
"""Of q(z|x) and its mean: the terms of the ELBO there, but for a constant, and the mean's norm.

The norm does not decide (docs/protocol.md).
"""


def references_of(data: TrainingData, seed: int) -> np.ndarray:
    """NUM_REFERENCES training inputs, drawn by a member's seed; all where there are no more."""
    chosen = numpy_generator(seed, "references").permutation(len(data.train))[:NUM_REFERENCES]
    return data.train[np.sort(chosen)]


class FrozenVariational(tf.Module, abc.ABC):
    """A VAE as it is exported: scores of raw inputs, all noise drawn from an explicit seed.

    The noise is drawn once and shared by all examples of a batch, so that a score depends neither
    on the batch size nor on its neighbours.

    Attributes:
      STATISTICS: what `statistics` returns.
      references: codes of normal inputs, see `refer_to`; None: `candidates` has no distances.
    """

    STATISTICS: Mapping[str, OutputSpec] = STATISTICS
    references: LatentReferences | None = None

    def __init__(
        self, networks: VariationalNetworks, num_samples: int = NUM_SCORE_SAMPLES, *, name: str
    ):
        super().__init__(name=name)
        self.networks = networks
        self._num_samples = num_samples

    @abc.abstractmethod
    def _observe(self, inputs: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Raw inputs -> x as the networks see it, and float64 nats [batch] of distortion to add."""

    def _observe_smoothly(self, inputs: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The same, differentiable with respect to the inputs."""
        return self._observe(inputs, seed)

    @abc.abstractmethod
    def _raw(self, x: tf.Tensor) -> tf.Tensor:
        """x as the networks see it -> float32 on the inputs' scale."""

    def _noise(self, seed: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_normal([self._num_samples, 1, self.networks.latent_size], seed)

    def _scores(
        self, observed: tuple[tf.Tensor, tf.Tensor], seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        x, penalty = observed
        loc, scale = self.networks.encode(x)
        z, rate = self.networks.rate(loc, scale, self._noise(seed))
        # One sample at a time: the decoder's activations of 16 samples would not fit any cache.
        distortion = penalty + tf.map_fn(
            lambda z_i: self.networks.distortion(x, z_i),
            z,
            parallel_iterations=1,
            fn_output_signature=tf.TensorSpec([None], tf.float64),
        )
        return scores_of_weights(distortion, rate)

    @tf.function
    def serving_default(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Every score: log_prob is the 16-sample importance-weighted bound (IWAE), in nats."""
        scores = self._scores(self._observe(inputs, seed), seed) | self._statistics(inputs)
        return {name: as_float32(x) for name, x in scores.items()}

    def _smooth_log_prob(self, inputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return self._scores(self._observe_smoothly(inputs, seed), seed)["log_prob"]

    def _statistics(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        x, penalty = self._observe_smoothly(inputs, tf.zeros([2], tf.int32))
        loc, scale = self.networks.encode(x)
        exact_loc, exact_scale = (tf.cast(y, tf.float64) for y in (loc, scale))
        found = {
            "prior_log_prob": self.networks.prior.log_prob(loc),
            "log_scale": tf.reduce_sum(tf.math.log(exact_scale), axis=-1),
            "distortion_at_mean": self.networks.distortion(x, loc) + penalty,
            "loc_norm": tf.norm(exact_loc, axis=-1),
        }
        return found | self._own_statistics(inputs, x, loc)

    def _own_statistics(
        self, inputs: tf.Tensor, x: tf.Tensor, loc: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """What STATISTICS has of this kind of input alone: of raw inputs, x and its mean z."""
        return {}

    @tf.function
    def statistics(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Numbers of one encoder and one decoder pass, without noise; see STATISTICS."""
        return {name: as_float32(x) for name, x in self._statistics(inputs).items()}

    @tf.function
    def statistics_gradient(self, inputs: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        """The gradient of a weighted sum of statistics, see `freezing.gradient_of_statistics`."""
        return gradient_of_statistics(self._statistics, inputs, weights, self.STATISTICS)

    def refer_to(self, inputs: np.ndarray) -> None:
        """Keeps the codes of normal raw inputs, which `candidates` then has distances to."""
        parts = [inputs[i : i + _BATCH_SIZE] for i in range(0, len(inputs), _BATCH_SIZE)]
        codes = [self._code(tf.constant(part)).numpy() for part in parts]
        self.references = LatentReferences(np.concatenate(codes))

    def _code(self, inputs: tf.Tensor) -> tf.Tensor:
        x, _ = self._observe_smoothly(inputs, tf.zeros([2], tf.int32))
        return self.networks.encode(x)[0]

    @property
    def candidate_outputs(self) -> dict[str, OutputSpec]:
        """What `candidates` returns."""
        return {**TWO_SEEDS, **GRADIENT_NORM, **REGRET, **(LATENT if self.references else {})}

    @tf.function
    def candidates(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores that others have proposed; several times as dear as `serving_default`."""
        found = of_two_seeds(
            lambda seed: self._scores(self._observe(inputs, seed), seed)["log_prob"], seed
        )
        found |= gradient_norm(lambda inputs: self._smooth_log_prob(inputs, seed), inputs)
        x, _ = self._observe_smoothly(inputs, seed)
        noise = tf.random.stateless_normal([1, self.networks.latent_size], seed)
        found["likelihood_regret"] = likelihood_regret(self.networks, x, noise)
        if self.references:
            found |= self.references.distances(self._code(inputs))
        return {name: as_float32(x) for name, x in found.items()}

    @tf.function
    def rate(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """KL(q(z|x) || p(z)) alone, estimated with the same samples; the decoder does not run."""
        x, _ = self._observe(inputs, seed)
        loc, scale = self.networks.encode(x)
        _, rate = self.networks.rate(loc, scale, self._noise(seed))
        return {"rate": as_float32(tf.reduce_mean(rate, axis=0))}

    @tf.function
    def log_prob_gradient(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """log_prob [batch], and its gradient with respect to the raw inputs."""
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            log_prob = self._smooth_log_prob(inputs, seed)
        gradient = tape.gradient(log_prob, inputs)
        return {"log_prob": as_float32(log_prob), "gradient": gradient}

    @tf.function
    def reconstruct(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the decoder makes of the posterior's mean, on the inputs' scale."""
        x, _ = self._observe(inputs, seed)
        loc, _ = self.networks.encode(x)
        return {"inputs": self._raw(self.networks.decode_mean(loc))}

    @tf.function
    def sample(self, num: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Decoded draws from the prior (means, without observation noise), on the inputs' scale."""
        z = self.networks.prior.sample(num, seed)
        return {"inputs": self._raw(self.networks.decode_mean(z))}


class VariationalLearner(DescentLearner):
    """Trains a VAE on distortion + beta * rate with Adam and cosine decay (paper, appendix B).

    Its configuration is a VariationalConfig with `train_samples`.

    Attributes:
      references: normal raw inputs that the exported VAE compares codes with, see `references_of`.
    """

    METRICS = ("loss", "distortion", "rate")
    references: np.ndarray | None = None

    @abc.abstractmethod
    def frozen_module(self) -> FrozenVariational:
        """The VAE as it is exported."""

    def freeze(self):
        module = self.frozen_module()
        if self.references is not None:
            module.refer_to(self.references)
        also = ("rate", "statistics_gradient", "log_prob_gradient", "reconstruct", "sample")
        outputs = {**OUTPUTS, **module.STATISTICS}
        groups = {"statistics": module.STATISTICS, "candidates": module.candidate_outputs}
        return frozen(module, outputs, also, decides=("dose", "waic", "rate_mean"), groups=groups)

    @abc.abstractmethod
    def _observe(self, inputs: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | float]:
        """Raw inputs -> x as the networks see it, and nats [batch] of distortion to add."""

    def _weights(
        self, inputs: tf.Tensor, seed: tf.Tensor, num_samples: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Distortions and rates of raw inputs, each float64 nats [num_samples, batch]."""
        noise_seed, observation_seed = tf.unstack(tf.random.split(seed, 2))
        x, penalty = self._observe(inputs, observation_seed)
        loc, scale = self.networks.encode(x)
        latent_size = self.networks.latent_size
        shape = [num_samples, tf.shape(x)[0], latent_size]
        z, rate = self.networks.rate(loc, scale, tf.random.stateless_normal(shape, noise_seed))
        distortion = self.networks.distortion(
            tf.tile(x, [num_samples, *[1] * (x.shape.rank - 1)]), tf.reshape(z, [-1, latent_size])
        )
        return tf.reshape(distortion, tf.shape(rate)) + penalty, rate

    def losses(self, examples, seed):
        weights = self._weights(examples.inputs, seed, self._config.train_samples)
        distortion, rate = map(tf.reduce_mean, weights)
        loss = distortion + self._config.beta * rate
        return {"loss": loss, "distortion": distortion, "rate": rate}

    def validate(self, examples, seed):
        distortion, rate = map(tf.reduce_mean, self._weights(examples.inputs, seed, 1))
        return {"elbo": -distortion - rate, "distortion": distortion, "rate": rate}
