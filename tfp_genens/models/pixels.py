"""Raw images on the scale that the networks see, and what is done far outside the valid range."""

import tensorflow as tf

from tfp_genens.artifact.spec import InputSpec

RANGE_TOLERANCE = 8.0
"""How far outside its valid range, in units of the range, a pixel is taken at its word.

Noise that is not clipped lies well within it, as do attacks on it; further out a pixel is clipped,
so that scores stay finite for any finite input.
"""


def scaled(inputs: tf.Tensor, input_spec: InputSpec) -> tf.Tensor:
    """Raw inputs -> float32 in [0, 1] for inputs within the valid range."""
    low, high = input_spec.value_range or (0.0, 1.0)
    return (tf.cast(inputs, tf.float32) - low) / (high - low)


def unscaled(x: tf.Tensor, input_spec: InputSpec) -> tf.Tensor:
    """The inverse of `scaled`: float32 on the inputs' scale."""
    low, high = input_spec.value_range or (0.0, 1.0)
    return low + (high - low) * x


def observed(inputs: tf.Tensor, input_spec: InputSpec) -> tf.Tensor:
    """Raw inputs, scaled and then clipped."""
    return clipped(scaled(inputs, input_spec), input_spec)


def observed_at_a_price(
    inputs: tf.Tensor, input_spec: InputSpec, nats: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """The same, and float64 [batch]: `nats` a unit of the range for what is clipped."""
    x = scaled(inputs, input_spec)
    near = clipped(x, input_spec)
    beyond = tf.abs(tf.cast(x, tf.float64) - tf.cast(near, tf.float64))
    return near, nats * tf.reduce_sum(beyond, axis=[-3, -2, -1])


def clipped(x: tf.Tensor, input_spec: InputSpec) -> tf.Tensor:
    """Scaled inputs; where there is a valid range, none more than RANGE_TOLERANCE outside it."""
    if input_spec.value_range is None:
        return x
    return tf.clip_by_value(x, -RANGE_TOLERANCE, 1.0 + RANGE_TOLERANCE)
