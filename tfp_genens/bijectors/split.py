"""Factored-out channels under a learned conditional prior (Dinh et al. 2017, section 3.6)."""

import tensorflow as tf

from tfp_genens.bijectors.coupling import ZeroConvolution
from tfp_genens.bijectors.one_pass import DType, ImageBijector, sum_over_image

LOG_SCALE_BOUND = 10.0
"""Largest absolute log-scale of a conditional prior, in nats; the authors' code has none.

`b * tanh(raw / b)` is the identity to second order around zero, and keeps the exponential finite on
inputs far from the training data.
"""


class Split(ImageBijector):
    """The last channels, given the others: image = loc(kept) + exp(log_scale(kept)) * latent.

    Makes a standard normal the conditional prior N(loc, exp(log_scale)) of the `num_factored` last
    channels, which a multi-scale flow factors out; the others pass unchanged.
    """

    def __init__(
        self, num_channels: int, num_factored: int, *, dtype: DType = "float32", name: str = "split"
    ):
        if not 0 < num_factored < num_channels:
            raise ValueError(
                f"`num_factored` must be between 1 and {num_channels - 1}; got {num_factored}."
            )
        super().__init__(dtype=dtype, name=name)
        self.sizes = (num_channels - num_factored, num_factored)
        self.prior = ZeroConvolution(self.sizes[0], 2 * num_factored, dtype=self.dtype)

    def _prior_of(self, kept: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        kernel, bias = self.prior.scaled()
        raw = tf.nn.bias_add(tf.nn.conv2d(kept, kernel, strides=1, padding="SAME"), bias)
        loc, raw_log_scale = tf.split(raw, 2, axis=-1)
        return loc, LOG_SCALE_BOUND * tf.tanh(raw_log_scale / LOG_SCALE_BOUND)

    def _inverse_pass(self, y):
        kept, factored = tf.split(y, self.sizes, axis=-1)
        loc, log_scale = self._prior_of(kept)
        factored = (factored - loc) * tf.exp(-log_scale)
        return tf.concat([kept, factored], axis=-1), -sum_over_image(log_scale)

    def _forward_pass(self, x):
        kept, factored = tf.split(x, self.sizes, axis=-1)
        loc, log_scale = self._prior_of(kept)
        factored = loc + tf.exp(log_scale) * factored
        return tf.concat([kept, factored], axis=-1), sum_over_image(log_scale)
