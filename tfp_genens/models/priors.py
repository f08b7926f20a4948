"""Priors p(z) over a VAE's latent code: masked autoregressive flow, mixture, standard normal."""

import abc
import math
from collections.abc import Callable

import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_genens.bijectors import masked_autoregressive_flow, random_permutation
from tfp_genens.seeds import derive_int, numpy_generator

NUM_FLOWS = 6
HIDDEN_UNITS = (512, 512)
NUM_COMPONENTS = 100


class Prior(tf.Module, abc.ABC):
    """A density over latent codes z [..., latent_size]."""

    @abc.abstractmethod
    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """log p(z) in nats, float64 [...]: a float32 square overflows far from the data."""

    @abc.abstractmethod
    def sample(self, num: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draws [num, latent_size] with a stateless seed."""


def _standard_normal_log_prob(z: tf.Tensor) -> tf.Tensor:
    z = tf.cast(z, tf.float64)
    return tf.reduce_sum(-0.5 * tf.square(z) - 0.5 * math.log(2 * math.pi), axis=-1)


class NormalPrior(Prior):
    """N(0, I)."""

    def __init__(self, latent_size: int, seed: int):
        super().__init__(name="normal_prior")
        self.latent_size = latent_size

    def log_prob(self, z):
        return _standard_normal_log_prob(z)

    def sample(self, num, seed):
        return tf.random.stateless_normal([num, self.latent_size], seed)


class MixturePrior(Prior):
    """A learned mixture of 100 diagonal normals, the prior of TFP's VAE example."""

    def __init__(self, latent_size: int, seed: int):
        super().__init__(name="mixture_prior")
        init = numpy_generator(seed, "mixture").standard_normal
        shape = [NUM_COMPONENTS, latent_size]
        self.loc = tf.Variable(init(shape).astype("float32"), name="loc")
        self.raw_scale = tf.Variable(tf.zeros(shape), name="raw_scale")
        self.mixture_logits = tf.Variable(tf.zeros([NUM_COMPONENTS]), name="mixture_logits")

    def _scale(self) -> tf.Tensor:
        return tf.nn.softplus(self.raw_scale + math.log(math.expm1(1.0))) + 1e-5

    def log_prob(self, z):
        # Squares are expanded into matrix products, which are faster than differences of every
        # pair. In float64 their cancellation is about 1e-16 (|z| / scale)^2 nats: 1e-4 for |z| of
        # 10 at the smallest scale.
        z = tf.cast(z, tf.float64)
        loc = tf.cast(self.loc, tf.float64)
        scale = tf.cast(self._scale(), tf.float64)
        precision = 1.0 / tf.square(scale)
        squares = (
            tf.tensordot(tf.square(z), precision, [[-1], [-1]])
            - 2.0 * tf.tensordot(z, loc * precision, [[-1], [-1]])
            + tf.reduce_sum(tf.square(loc) * precision, axis=-1)
        )
        log_norm = tf.reduce_sum(tf.math.log(scale) + 0.5 * math.log(2 * math.pi), axis=-1)
        log_weights = tf.nn.log_softmax(tf.cast(self.mixture_logits, tf.float64))
        return tf.reduce_logsumexp(log_weights - log_norm - 0.5 * squares, axis=-1)

    def sample(self, num, seed):
        mixture = tfd.MixtureSameFamily(
            tfd.Categorical(logits=self.mixture_logits),
            tfd.MultivariateNormalDiag(loc=self.loc, scale_diag=self._scale()),
        )
        return mixture.sample(num, seed=seed)


class MafPrior(Prior):
    """Six MAF bijectors alternating with six fixed random permutations (paper, appendix B)."""

    def __init__(self, latent_size: int, seed: int):
        super().__init__(name="maf_prior")
        self.latent_size = latent_size
        layers = []
        for i in range(NUM_FLOWS):
            layers.append(
                masked_autoregressive_flow(
                    latent_size, HIDDEN_UNITS, seed=derive_int(seed, "maf", i)
                )
            )
            layers.append(random_permutation(latent_size, seed=derive_int(seed, "permutation", i)))
        # Chain applies its last bijector first, so the noise meets MAF 0, then permutation 0, ...
        self.bijector = tfb.Chain(layers[::-1])

    def log_prob(self, z):
        # The chain's inverse and its log-determinant would each run every flow's network.
        layers = self.bijector.bijectors
        sum_log_scale = tf.zeros(tf.shape(z)[:-1])
        for permutation, flow in zip(layers[0::2], layers[1::2], strict=True):
            z = permutation.inverse(z)
            shift, log_scale = flow.parameters["shift_and_log_scale_fn"](z)
            z = (z - shift) * tf.exp(-log_scale)
            sum_log_scale += tf.reduce_sum(log_scale, axis=-1)
        return _standard_normal_log_prob(z) - tf.cast(sum_log_scale, tf.float64)

    def sample(self, num, seed):
        return self.bijector.forward(tf.random.stateless_normal([num, self.latent_size], seed))


PRIORS: dict[str, Callable[[int, int], Prior]] = {
    "maf": MafPrior,
    "mixture": MixturePrior,
    "normal": NormalPrior,
}
"""name -> (latent size, seed) -> Prior."""
