"""p(x) of the toy example: a 2-D normal with identity covariance (paper, Figure 2)."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from tfp_genens.seeds import numpy_generator

CENTRE = (5.0, 5.0)


def draws(num: int, seed: int, *path: str | int) -> np.ndarray:
    """Draws of p(x) for one purpose, float32 [num, 2]."""
    noise = numpy_generator(seed, *path).standard_normal((num, 2))
    return (noise + CENTRE).astype(np.float32)


def tensor_draws(shape: list[int], seed: tf.Tensor) -> tf.Tensor:
    """Draws of p(x) in a graph, float32 [*shape, 2], with a stateless seed."""
    return tf.random.stateless_normal([*shape, 2], seed) + tf.constant(CENTRE)


def log_prob(x: np.ndarray) -> np.ndarray:
    """log p(x) in nats, float64 [...], of x [..., 2]."""
    squared = np.square(np.asarray(x, np.float64) - CENTRE).sum(axis=-1)
    return -0.5 * squared - math.log(2 * math.pi)
