"""Training batches as a pure function of (seed, batch number): nothing to store or resume."""

import numpy as np
import tensorflow as tf

from tfp_genens.models.learner import Examples

NUM_ROUNDS = 8  # of the block cipher behind the shuffle


class ShuffledBatches:
    """Every epoch is a fresh permutation of the examples; batches run on across epochs.

    Args:
      examples: inputs [num_examples, *event_shape] and labels, held in memory in their natural
        dtypes.
      batch_size: examples a batch.
      seed: int32 [2].
    """

    def __init__(self, examples: Examples, batch_size: int, seed: np.ndarray):
        num_examples = len(examples.inputs)
        if not num_examples:
            raise ValueError("`examples` must not be empty.")
        self._examples = examples.map(tf.constant)
        self._num_examples = num_examples
        self._batch_size = batch_size
        self._epochs_a_batch = (batch_size - 1) // num_examples + 2
        self._seed = tf.constant(seed, tf.int32)

    def indices(self, number: tf.Tensor) -> tf.Tensor:
        """Positions of the examples of batch `number` (int64 []), int64 [batch_size]."""
        first = tf.cast(number, tf.int64) * self._batch_size
        position = first + tf.range(self._batch_size, dtype=tf.int64)
        first_epoch = first // self._num_examples
        epoch_seeds = tf.stack(
            [self._epoch_seed(first_epoch + i) for i in range(self._epochs_a_batch)]
        )
        return tf.raw_ops.RandomIndexShuffle(
            index=position % self._num_examples,
            seed=tf.gather(epoch_seeds, position // self._num_examples - first_epoch),
            max_index=tf.constant(self._num_examples - 1, tf.int64),
            rounds=NUM_ROUNDS,
        )

    def _epoch_seed(self, epoch: tf.Tensor) -> tf.Tensor:
        """int32 [3]. Hashed, because the cipher makes too little of seeds that differ by one."""
        seed = tf.random.experimental.stateless_fold_in(self._seed, epoch)
        return tf.random.stateless_uniform([3], seed, minval=None, maxval=None, dtype=tf.int32)

    def __call__(self, number: tf.Tensor) -> Examples:
        """Batch `number`."""
        indices = self.indices(number)
        return self._examples.map(lambda x: tf.gather(x, indices))
