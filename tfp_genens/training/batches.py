"""Training batches as a pure function of (seed, batch number): nothing to store or resume."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

NUM_ROUNDS = 4  # of the block cipher behind the shuffle; TensorFlow's own default


class ShuffledBatches:
    """Every epoch is a fresh permutation of the examples; batches run on across epochs.

    Args:
      examples: [num_examples, *event_shape], held in memory in their natural dtype.
      batch_size: examples a batch.
      seed: int32 [2].
    """

    def __init__(self, examples: np.ndarray, batch_size: int, seed: np.ndarray):
        if not len(examples):
            raise ValueError("`examples` must not be empty.")
        self._examples = tf.constant(examples)
        self._num_examples = len(examples)
        self._batch_size = batch_size
        self._seed = tf.constant(seed, tf.int32)

    def indices(self, number: tf.Tensor) -> tf.Tensor:
        """Positions of the examples of batch `number` (int64 []), int64 [batch_size]."""
        first = tf.cast(number, tf.int64) * self._batch_size
        position = first + tf.range(self._batch_size, dtype=tf.int64)
        epoch = tf.cast(position // self._num_examples, tf.int32)
        seeds = tf.concat(
            [tf.tile(self._seed[tf.newaxis], [self._batch_size, 1]), epoch[:, tf.newaxis]], axis=1
        )
        return tf.raw_ops.RandomIndexShuffle(
            index=position % self._num_examples,
            seed=seeds,
            max_index=tf.constant(self._num_examples - 1, tf.int64),
            rounds=NUM_ROUNDS,
        )

    def __call__(self, number: tf.Tensor) -> tf.Tensor:
        """Batch `number`, [batch_size, *event_shape]."""
        return tf.gather(self._examples, self.indices(number))
