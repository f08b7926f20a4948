"""Masked autoregressive flow (Papamakarios et al. 2017) with a smoothly bounded log-scale."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_genens.seeds import derive_int

tfb = tfp.bijectors


class BoundedShiftAndLogScale(tf.Module):
    """An autoregressive network whose log-scale stays within (-bound, bound).

    Inputs far from the training data push an unbounded log-scale until its exponential overflows.
    `bound * tanh(raw / bound)` is the identity to second order around zero, so training hardly
    notices it.

    Args:
      network: [..., d] -> [..., d, 2], autoregressive in its input.
      log_scale_bound: positive.
    """

    def __init__(self, network: tfb.AutoregressiveNetwork, log_scale_bound: float):
        super().__init__(name="bounded_shift_and_log_scale")
        if log_scale_bound <= 0:
            raise ValueError(f"`log_scale_bound` must be positive; got {log_scale_bound}.")
        self.network = network
        self.log_scale_bound = log_scale_bound

    def __call__(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """[..., d] -> shift and log-scale, each [..., d]."""
        shift, raw_log_scale = tf.unstack(self.network(x), num=2, axis=-1)
        bound = tf.cast(self.log_scale_bound, raw_log_scale.dtype)
        return shift, bound * tf.math.tanh(raw_log_scale / bound)


def masked_autoregressive_flow(
    event_size: int,
    hidden_units: tuple[int, ...] = (512, 512),
    *,
    seed: int,
    log_scale_bound: float = 3.0,
    dtype: str = "float32",
) -> tfb.MaskedAutoregressiveFlow:
    """One MAF bijector (paper, appendix B): inverse in one pass, forward in `event_size` passes.

    Args:
      event_size: number of dimensions d of the vectors it transforms.
      hidden_units: sizes of the hidden ReLU layers.
      seed: of the initial weights.
      log_scale_bound: bound of each dimension's absolute log-scale, in nats.
      dtype: of the parameters.

    Returns:
      A bijector on vectors [d]; its variables are tracked.
    """
    network = tfb.AutoregressiveNetwork(
        params=2,
        event_shape=[event_size],
        hidden_units=list(hidden_units),
        activation="relu",
        kernel_initializer=tf_keras.initializers.GlorotUniform(seed=derive_int(seed, "kernel")),
        dtype=dtype,
    )
    network.build([None, event_size])
    bounded = BoundedShiftAndLogScale(network, log_scale_bound)
    return tfb.MaskedAutoregressiveFlow(shift_and_log_scale_fn=bounded)


def random_permutation(event_size: int, *, seed: int) -> tfb.Permute:
    """A fixed random permutation of the last axis (paper, appendix B)."""
    order = np.random.Generator(np.random.Philox(seed)).permutation(event_size)
    return tfb.Permute(permutation=order.astype(np.int32))
