"""Many training steps in one graph call: a step of tiny networks is shorter than a Python call."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tqdm import tqdm

STEPS_A_CALL = 500

Step = Callable[[tf.Tensor], tf.Tensor]
"""The step's number (int64 []) -> its losses, float32 of one shape; it updates the weights."""


def train(step: Step, num_steps: int, losses_shape: list[int], name: str) -> np.ndarray:
    """Takes steps 0 to `num_steps` - 1, with a progress bar on stderr.

    Args:
      step: one training step.
      num_steps: positive.
      losses_shape: of what `step` returns.
      name: what the progress bar says.

    Returns:
      float32 [num_calls, *losses_shape]: means of the losses over successive STEPS_A_CALL steps
      (the last mean may be over fewer).

    Raises:
      FloatingPointError: a loss became NaN or infinite.
    """

    @tf.function
    def call(first: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
        _, total = tf.while_loop(
            lambda i, _: i < end,
            lambda i, total: (i + 1, total + step(i)),
            (first, tf.zeros(losses_shape)),
            parallel_iterations=1,
        )
        return total / tf.cast(end - first, tf.float32)

    curve = []
    with tqdm(total=num_steps, desc=name, unit="step", disable=None) as bar:
        for first in range(0, num_steps, STEPS_A_CALL):
            end = min(first + STEPS_A_CALL, num_steps)
            losses = call(tf.constant(first, tf.int64), tf.constant(end, tf.int64)).numpy()
            if not np.isfinite(losses).all():
                raise FloatingPointError(f"{name}: a loss is not finite before step {end}.")
            curve.append(losses)
            bar.update(end - first)
    return np.stack(curve)
