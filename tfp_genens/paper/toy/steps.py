"""Many training steps in one graph call: a step of tiny networks is shorter than a Python call."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras
from tqdm import tqdm

from tfp_genens.models.descent import descend
from tfp_genens.paper.toy.regions import CENTRE

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


def adam(variables, learning_rate, **kwargs) -> Callable[[tf.GradientTape, tf.Tensor], None]:
    """An optimizer of these variables, as a function of a tape and the loss that it has seen."""
    optimizer = tf_keras.optimizers.legacy.Adam(learning_rate, **kwargs)
    optimizer._create_all_weights(variables)

    def minimize(tape: tf.GradientTape, loss: tf.Tensor) -> None:
        descend(optimizer, tape, loss, variables)

    return minimize


def tensor_draws(shape: list[int], seed: tf.Tensor) -> tf.Tensor:
    """Draws of p(x) in a graph, float32 [*shape, 2], with a stateless seed."""
    return tf.random.stateless_normal([*shape, 2], seed) + tf.constant(CENTRE)
