"""Masked autoregressive flow (Papamakarios et al. 2017), smoothly bounded far from the data."""

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import bijectors as tfb

from tfp_genens.seeds import derive_int


class BoundedShiftAndLogScale(tf.Module):
    """An autoregressive network that stays tame on inputs far from its training data.

    The network sees `b * tanh(x / b)` with b = `input_bound`, and its log-scale is `c * tanh(raw /
    c)` with c = `log_scale_bound` nats. Both are the identity to second order around zero. Far
    beyond b the bijector is an affine map, under which further out is less likely; unbounded, a
    log-scale would overflow there, and a shift could cancel the input.
    """

    def __init__(
        self, network: tfb.AutoregressiveNetwork, input_bound: float, log_scale_bound: float
    ):
        super().__init__(name="bounded_shift_and_log_scale")
        for name, bound in (("input_bound", input_bound), ("log_scale_bound", log_scale_bound)):
            if bound <= 0:
                raise ValueError(f"`{name}` must be positive; got {bound}.")
        self.network = network
        self.input_bound = input_bound
        self.log_scale_bound = log_scale_bound

    def __call__(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """[..., d] -> shift and log-scale, each [..., d]."""
        outputs = self.network(_softly_bounded(x, self.input_bound))
        shift, raw_log_scale = tf.unstack(outputs, num=2, axis=-1)
        return shift, _softly_bounded(raw_log_scale, self.log_scale_bound)


def _softly_bounded(x: tf.Tensor, bound: float) -> tf.Tensor:
    return bound * tf.math.tanh(x / bound)


def masked_autoregressive_flow(
    event_size: int,
    hidden_units: tuple[int, ...] = (512, 512),
    *,
    seed: int,
    input_bound: float = 20.0,
    log_scale_bound: float = 3.0,
    dtype: str = "float32",
) -> tfb.MaskedAutoregressiveFlow:
    """One MAF bijector on vectors [event_size] (paper, appendix B).

    Its inverse takes one pass, its forward `event_size` passes. The hidden layers are ReLUs; for
    the bounds, see `BoundedShiftAndLogScale`.
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
    bounded = BoundedShiftAndLogScale(network, input_bound, log_scale_bound)
    return tfb.MaskedAutoregressiveFlow(shift_and_log_scale_fn=bounded)


class StoredPermutation(tfb.Permute):
    """A permutation in a variable, because members differ in it.

    Checkpoints leave it out: whoever restores one has built the model from the same seed, and with
    it the same permutation.
    """

    def _trackable_children(self, save_type="checkpoint", **kwargs):
        children = super()._trackable_children(save_type, **kwargs)
        if save_type != "checkpoint":
            return children
        return {name: child for name, child in children.items() if child is not self.permutation}


def random_permutation(event_size: int, *, seed: int) -> tfb.Permute:
    """A fixed random permutation of the last axis (paper, appendix B)."""
    order = np.random.Generator(np.random.Philox(seed)).permutation(event_size)
    return StoredPermutation(tf.Variable(order.astype(np.int32), trainable=False))
