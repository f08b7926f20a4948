"""Distances to stored training rows, in the graph."""

import numpy as np
import tensorflow as tf

CHUNK = 4096
"""Rows compared with at once: bounds the memory that a search takes."""


def stored(values: np.ndarray | float, dtype: tf.DType = tf.float64) -> tf.Variable:
    """What a method has learned. Members may differ in how much it is: the first axis is open."""
    values = np.asarray(values)
    shape = [None, *values.shape[1:]] if values.ndim else []
    return tf.Variable(values, dtype=dtype, trainable=False, shape=tf.TensorShape(shape))


class References(tf.Module):
    """Training rows to compare with, [num_rows, num_features].

    They are stored in float32, and all arithmetic is float64: |a|^2 - 2ab + |b|^2 loses half its
    digits where a is near b, and overflows float32 where a is far out.
    """

    def __init__(self, rows: np.ndarray):
        super().__init__(name="references")
        self.rows = stored(rows, tf.float32)
        half_squares = 0.5 * np.square(rows.astype(np.float64)).sum(axis=1)
        self.half_squares = stored(half_squares)

    def num_rows(self) -> tf.Tensor:
        """int32 []; members may differ in it."""
        return tf.shape(self.rows)[0]

    def half_squared_distances(self, x: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        """To the rows from `start`, at most CHUNK: float64 [batch, rows].

        Less |x|^2 / 2, which all rows have in common. x: float64 [batch, num_features].
        """
        rows = tf.cast(self.rows[start : start + CHUNK], tf.float64)
        products = tf.matmul(x, rows, transpose_b=True)
        return self.half_squares[start : start + CHUNK] - products

    def nearest(self, x: tf.Tensor, num_neighbors: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Distances of the nearest rows, ascending, and their positions: [batch, num_neighbors].

        x: float64 [batch, num_features]. Distances (float64, Euclidean) come from differences, and
        so are exact even for a row's own copy. Positions are int32.
        """
        shape = [tf.shape(x)[0], num_neighbors]
        nearness = tf.fill(shape, tf.constant(-np.inf, tf.float64))
        index = tf.zeros(shape, tf.int32)
        for start in tf.range(0, self.num_rows(), CHUNK):
            found = -self.half_squared_distances(x, start)
            found_index = start + tf.broadcast_to(tf.range(tf.shape(found)[1]), tf.shape(found))
            nearness, top = tf.math.top_k(tf.concat([nearness, found], axis=1), num_neighbors)
            index = tf.gather(tf.concat([index, found_index], axis=1), top, batch_dims=1)
        neighbors = tf.cast(tf.gather(self.rows, index), tf.float64)
        distances = tf.norm(x[:, tf.newaxis] - neighbors, axis=-1)
        order = tf.argsort(distances, axis=-1, stable=True)
        return (tf.gather(distances, order, batch_dims=1), tf.gather(index, order, batch_dims=1))
