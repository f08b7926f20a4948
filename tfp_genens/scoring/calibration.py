"""P-values: how many held-out normal inputs look at least as abnormal as this one."""

import numpy as np
import tensorflow as tf

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL

DEFAULT_ALPHA = 0.05


def normality(values: tf.Tensor, direction: str) -> tf.Tensor:
    """A score turned so that higher is more normal; NaN is the least normal there is."""
    turned = values if direction == HIGHER_IS_NORMAL else -values
    return tf.where(tf.math.is_nan(turned), tf.constant(-np.inf, turned.dtype), turned)


def p_value(values: tf.Tensor, held_out: tf.Tensor) -> tf.Tensor:
    """(1 + number of held-out inputs at most as normal) / (1 + number of held-out inputs).

    For a normal input drawn like the held-out ones, P(p_value <= alpha) <= alpha over the draw of
    both (split conformal prediction; Vovk et al. 2005).

    Args:
      values: `normality` of the inputs, float64 [batch].
      held_out: `normality` of held-out inputs that had no other use, sorted, float64 [num].

    Returns:
      float64 [batch], in (0, 1].
    """
    at_most = tf.searchsorted(held_out, values, side="right")
    num_held_out = tf.cast(tf.size(held_out), values.dtype)
    return (1.0 + tf.cast(at_most, values.dtype)) / (1.0 + num_held_out)


def smallest_p_value(num_held_out: int) -> float:
    """No alpha below it flags anything."""
    return 1.0 / (1.0 + num_held_out)
