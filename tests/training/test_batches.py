"""Batches: permutations by epoch, and nothing but (seed, number) decides them."""

import numpy as np
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfp_genens.models.learner import Examples
from tfp_genens.training.batches import ShuffledBatches


def order(num_examples, batch_size, seed, num_batches):
    batches = ShuffledBatches(
        Examples(np.arange(num_examples)), batch_size, np.array(seed, np.int32)
    )
    return np.concatenate(
        [batches.indices(tf.constant(i, tf.int64)).numpy() for i in range(num_batches)]
    )


@settings(max_examples=20, deadline=None)
@given(
    num_examples=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    seed=st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1)),
)
def test_every_epoch_is_a_permutation(num_examples, batch_size, seed):
    num_batches = -(-3 * num_examples // batch_size)
    indices = order(num_examples, batch_size, seed, num_batches)
    for epoch in range(3):
        part = indices[epoch * num_examples : (epoch + 1) * num_examples]
        assert sorted(part) == list(range(num_examples))


def test_epochs_and_seeds_differ():
    first = order(1000, 100, (1, 2), 20)
    assert (first[:1000] != first[1000:]).any()
    assert (order(1000, 100, (1, 3), 10) != first[:1000]).any()


def test_positions_look_uniform():
    """Over many epochs every position sees every example equally often."""
    num_examples, epochs = 10, 2000
    indices = order(num_examples, num_examples, (5, 6), epochs).reshape(epochs, num_examples)
    for position in range(num_examples):
        counts = np.bincount(indices[:, position], minlength=num_examples)
        assert scipy.stats.chisquare(counts).pvalue > 1e-5


def test_a_batch_does_not_depend_on_those_before():
    batches = ShuffledBatches(Examples(np.arange(50) * 2), 7, np.array([1, 2], np.int32))
    late = batches(tf.constant(93, tf.int64)).inputs.numpy()
    for i in range(5):
        batches(tf.constant(i, tf.int64))
    np.testing.assert_array_equal(batches(tf.constant(93, tf.int64)).inputs, late)


def test_batches_are_natural_dtype_and_shape():
    images = np.zeros([9, 4, 4, 1], np.uint8)
    batch = ShuffledBatches(Examples(images), 5, np.array([1, 2], np.int32))(
        tf.constant(0, tf.int64)
    )
    assert batch.labels is None
    assert batch.inputs.dtype == tf.uint8
    assert batch.inputs.shape == (5, 4, 4, 1)
