"""Raw inputs as the vectors that the classical methods compare."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from sklearn.preprocessing import StandardScaler

from tfp_genens.artifact.spec import InputSpec


class Features(tf.Module):
    """Flattens inputs; table columns get mean 0 and variance 1, pixels the range 0 to 1.

    Only `train` [num_train, *event_shape] is looked at. A column that is constant there is only
    shifted: a deviation counts in raw units.
    """

    def __init__(self, train: np.ndarray, input_spec: InputSpec):
        super().__init__(name="features")
        if input_spec.value_range is None:
            scaler = StandardScaler().fit(train.reshape(len(train), -1).astype(np.float64))
            shift, scale = scaler.mean_, scaler.scale_
        else:
            low, high = input_spec.value_range
            shift, scale = np.float64(low), np.float64(high - low)
        self.num_features = int(np.prod(input_spec.shape))
        self.shift = tf.Variable(shift, dtype=tf.float64, trainable=False)
        self.scale = tf.Variable(scale, dtype=tf.float64, trainable=False)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Raw inputs [batch, *event_shape] -> float64 [batch, num_features]."""
        flat = tf.reshape(inputs, [-1, self.num_features])
        return (tf.cast(flat, tf.float64) - self.shift) / self.scale
