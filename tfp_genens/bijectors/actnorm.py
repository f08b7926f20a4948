"""Affine maps of an image's channels: actnorm and the top prior (Kingma & Dhariwal 2018, 3.1)."""

import numpy as np
import tensorflow as tf

from tfp_genens.bijectors.one_pass import DType, ImageBijector, same_at_every_pixel

STDDEV_FLOOR = 1e-6
"""Added to a channel's standard deviation, as in the GLOW authors' code."""


class ChannelAffine(ImageBijector):
    """image = loc + exp(log_scale) * latent, one loc and log_scale a channel; starts as identity.

    As the last map before the base it makes a standard normal a learned top prior.
    """

    def __init__(self, num_channels: int, *, dtype: DType = "float32", name: str | None = None):
        super().__init__(dtype=dtype, name=name, is_constant_jacobian=True)
        zeros = tf.zeros([num_channels], self.dtype)
        self.loc = tf.Variable(zeros, name="loc")
        self.log_scale = tf.Variable(zeros, name="log_scale")

    def _inverse_pass(self, y):
        x = (y - self.loc) * tf.exp(-self.log_scale)
        return x, same_at_every_pixel(-tf.reduce_sum(self.log_scale), y)

    def _forward_pass(self, x):
        y = self.loc + tf.exp(self.log_scale) * x
        return y, same_at_every_pixel(tf.reduce_sum(self.log_scale), x)


class InitializedFromData(tf.Module):
    """What must see a first training batch, eagerly, before any graph is traced.

    Never inside a graph: there the first batch that is served would decide the scores. Saving as a
    SavedModel raises ValueError until it is done; the flag is a variable, so checkpoints carry it.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.initialized = tf.Variable(False, trainable=False, name="initialized")

    def check_initialized(self) -> None:
        """Raises ValueError before `initialize` has been called (or a checkpoint restored)."""
        if not self.initialized.numpy():
            raise ValueError(f"`{self.name}` must be initialised with data before it is exported.")

    def _check_may_initialize(self) -> None:
        if not tf.executing_eagerly():
            raise ValueError("`initialize` must be called eagerly; got a call inside a graph.")
        if self.initialized.numpy():
            raise ValueError(f"`{self.name}` must be initialised only once.")

    def _trackable_children(self, save_type="checkpoint", **kwargs):
        if save_type == "savedmodel":
            self.check_initialized()
        return super()._trackable_children(save_type, **kwargs)


class ActNorm(InitializedFromData, ChannelAffine):
    """Normalises each channel by the mean and standard deviation of a first batch, then learns."""

    def __init__(self, num_channels: int, *, dtype: DType = "float32"):
        super().__init__(num_channels=num_channels, dtype=dtype, name="actnorm")

    def initialize(self, images: tf.Tensor | np.ndarray) -> None:
        """Makes the latent of `images`, [batch, height, width, channels], zero mean, variance 1.

        Raises:
          ValueError: called a second time, or inside a graph.
        """
        self._check_may_initialize()
        loc, log_scale = channel_moments(tf.convert_to_tensor(images, self.dtype))
        self.loc.assign(loc)
        self.log_scale.assign(log_scale)
        self.initialized.assign(True)


def channel_moments(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and log standard deviation of each channel, [channels] each."""
    mean, variance = tf.nn.moments(tf.cast(images, tf.float64), axes=[0, 1, 2])
    log_scale = tf.math.log(tf.sqrt(variance) + STDDEV_FLOOR)
    return tf.cast(mean, images.dtype), tf.cast(log_scale, images.dtype)
