"""What the models that learn from class labels share: the baselines of Tables 2 and 3."""

import numpy as np
import tensorflow as tf

from tfp_genens.data import TrainingData
from tfp_genens.errors import UserError


def labels_of(data: TrainingData) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the training and of the held-out examples, int64.

    Raises:
      UserError: there are none, or in training of one class only.
    """
    if data.labels is None or data.validation_labels is None:
        expected = "a training set with class labels, which this model learns from"
        raise UserError("--dataset", expected, f"{data.name}, which has none")
    if len(np.unique(data.labels)) < 2:
        got = f"{data.name}, whose only label is {data.labels[0]}"
        raise UserError("--dataset", "a training set with at least two classes", got)
    return data.labels, data.validation_labels


def num_classes(data: TrainingData) -> int:
    """One more than the largest label; raises UserError as `labels_of`."""
    return 1 + max(int(labels.max()) for labels in labels_of(data))


def dropped_out(x: tf.Tensor, rate: float, seed: tf.Tensor | None) -> tf.Tensor:
    """`x` with a share `rate` of its values set to zero and the others scaled up; all kept without
    a seed.
    """
    if seed is None or rate == 0.0:
        return x
    return tf.nn.experimental.stateless_dropout(x, rate, seed)


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Nats [batch] of labels [batch] under logits [batch, num_classes]."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def accuracy(labels: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """The share of examples whose class has the highest score, float32 []."""
    is_right = tf.equal(tf.argmax(scores, axis=-1), tf.cast(labels, tf.int64))
    return tf.reduce_mean(tf.cast(is_right, tf.float32))
