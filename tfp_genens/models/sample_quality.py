"""How far a generator's samples are from data."""

from __future__ import annotations

import tensorflow as tf


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
