"""What others have made of a variational autoencoder to tell strange inputs: none of it decides.

Latent distances are to codes of training inputs, of which a frozen model keeps NUM_REFERENCES.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfp_genens.artifact.spec import LOWER_IS_NORMAL, OutputSpec

if TYPE_CHECKING:
    from tfp_genens.models.variational import VariationalNetworks

NUM_REFERENCES = 5000
NUM_NEIGHBORS = 10
VARIANCE_FLOOR = 1e-6
"""Added to the codes' variances: a model may not use all dimensions of its code."""

NUM_REGRET_STEPS = 10
REGRET_LEARNING_RATE = 0.1
"""Of Adam, in units of the code and of the logarithm of its scale."""

REGRET = {
    "likelihood_regret": OutputSpec("nats", LOWER_IS_NORMAL, "Likelihood regret"),
}
LATENT = {
    "latent_mahalanobis": OutputSpec("1", LOWER_IS_NORMAL, "Mahalanobis distance in z"),
    "latent_neighbor_distance": OutputSpec("1", LOWER_IS_NORMAL, "Distance to neighbours in z"),
}


class LatentReferences(tf.Module):
    """Codes of normal inputs, float32 [num_references, latent_size]."""

    def __init__(self, codes: np.ndarray):
        super().__init__(name="latent_references")
        exact = codes.astype(np.float64)
        covariance = np.atleast_2d(np.cov(exact, rowvar=False, bias=True))
        covariance += VARIANCE_FLOOR * np.eye(len(covariance))
        whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T
        self._codes = tf.Variable(codes.astype(np.float32), trainable=False)
        self._loc = tf.Variable(exact.mean(axis=0), trainable=False)
        self._whitening = tf.Variable(whitening, trainable=False)

    def distances(self, z: tf.Tensor) -> dict[str, tf.Tensor]:
        """Distances of codes z [batch, latent_size], float64 [batch] each; see LATENT.

        Mahalanobis': Lee et al. (2018, "A Simple Unified Framework for Detecting
        Out-of-Distribution Samples"), with one Gaussian, as there are no classes. Euclidean to
        the NUM_NEIGHBORS-th nearest code: Sun et al. (2022, "Out-of-Distribution Detection with
        Deep Nearest Neighbors"), without their normalisation.
        """
        exact, codes = tf.cast(z, tf.float64), tf.cast(self._codes, tf.float64)
        squares = (
            tf.reduce_sum(exact**2, axis=-1, keepdims=True)
            - 2.0 * tf.matmul(exact, codes, transpose_b=True)
            + tf.reduce_sum(codes**2, axis=-1)
        )
        num = min(NUM_NEIGHBORS, self._codes.shape[0])
        furthest = -tf.math.top_k(-squares, num).values[:, -1]
        return {
            "latent_mahalanobis": tf.norm((exact - self._loc) @ self._whitening, axis=-1),
            "latent_neighbor_distance": tf.sqrt(tf.maximum(furthest, 0.0)),
        }


def likelihood_regret(networks: VariationalNetworks, x: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """By how much a posterior fitted to each input alone raises its ELBO, nats, float64 [batch].

    Xiao et al. (2020, "Likelihood Regret"), equation 5: the encoder says what is best for normal
    inputs, and is wrong by the more the stranger the input. Here loc and scale of q(z|x) are
    fitted, as in their section 3.2, and in a few steps.

    Args:
      networks: encoder, decoder and prior.
      x: observations as the networks see them.
      noise: standard normal [1, latent_size]; it is used with both signs.
    """
    both = tf.stack([noise, -noise])

    def elbo(loc: tf.Tensor, log_scale: tf.Tensor) -> tf.Tensor:
        z, rate = networks.rate(loc, tf.exp(log_scale), both)
        distortion = tf.stack([networks.distortion(x, sample) for sample in tf.unstack(z)])
        return -tf.reduce_mean(distortion + rate, axis=0)

    loc, scale = networks.encode(x)
    start = tf.stack([loc, tf.math.log(scale)])
    zeros, nothing = tf.zeros_like(start), tf.zeros(tf.shape(loc)[:1], tf.float64)

    def step(i, at, first, second, at_start, best):
        with tf.GradientTape() as tape:
            tape.watch(at)
            value = elbo(at[0], at[1])
        gradient = tape.gradient(value, at)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        count = tf.cast(i + 1, tf.float32)
        unbiased = first / (1.0 - 0.9**count), second / (1.0 - 0.999**count)
        at += REGRET_LEARNING_RATE * unbiased[0] / (tf.sqrt(unbiased[1]) + 1e-8)
        at_start = tf.where(i == 0, value, at_start)
        return i + 1, at, first, second, at_start, tf.maximum(best, value - at_start)

    *_, best = tf.while_loop(
        lambda i, *_: i <= NUM_REGRET_STEPS,
        step,
        (tf.constant(0), start, zeros, zeros, nothing, nothing),
        parallel_iterations=1,
    )
    return best
