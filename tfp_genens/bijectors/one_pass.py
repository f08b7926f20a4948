"""Bijectors that compute their value and their log-determinant in one pass."""

import abc
from typing import TypeAlias

import tensorflow as tf
from tensorflow_probability import bijectors as tfb

DType: TypeAlias = str | tf.DType


class OnePassBijector(tfb.Bijector, abc.ABC):
    """Base of bijectors whose log-determinant is a by-product of their value.

    TFP asks for the two separately. Here each has one method that gives both, and leaves the
    log-determinant in TFP's cache, so that a `tfd.TransformedDistribution` too runs only one pass.
    Direction is TFP's: forward generates (latent -> image), inverse is image -> latent.

    Subclasses implement `_inverse_pass` and `_forward_pass` for one batch dimension; any batch
    shape, known or not, is accepted here.
    """

    @abc.abstractmethod
    def _inverse_pass(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """[batch, *event] -> value [batch, *event] and float64 log-determinant [batch]."""

    @abc.abstractmethod
    def _forward_pass(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """[batch, *event] -> value [batch, *event] and float64 log-determinant [batch]."""

    def inverse_and_log_det(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Image [..., *event] to latent [..., *event], and log |det dx/dy|, float64 nats [...]."""
        return self._any_batch(self._inverse_pass, y, self.inverse_min_event_ndims)

    def forward_and_log_det(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Latent [..., *event] to image [..., *event], and log |det dy/dx|, float64 nats [...]."""
        return self._any_batch(self._forward_pass, x, self.forward_min_event_ndims)

    def _any_batch(self, run, x, event_ndims: int) -> tuple[tf.Tensor, tf.Tensor]:
        x = tf.convert_to_tensor(x, dtype=self.dtype)
        if x.shape.rank == event_ndims + 1:
            return run(x)
        batch_shape, event_shape = tf.split(tf.shape(x), [-1, event_ndims])
        flat = tf.reshape(x, tf.concat([[-1], event_shape], axis=0))
        flat = tf.ensure_shape(flat, [None, *x.shape[-event_ndims:]])
        y, log_det = run(flat)
        y_shape = tf.concat([batch_shape, tf.shape(y)[1:]], axis=0)
        static_batch = x.shape[:-event_ndims]
        return (
            tf.ensure_shape(tf.reshape(y, y_shape), static_batch + y.shape[1:]),
            tf.ensure_shape(tf.reshape(log_det, batch_shape), static_batch),
        )

    def _inverse(self, y):
        x, log_det = self.inverse_and_log_det(y)
        self._cache.inverse_attributes(y)["ildj"] = tf.cast(log_det, x.dtype)
        return x

    def _forward(self, x):
        y, log_det = self.forward_and_log_det(x)
        self._cache.forward_attributes(x)["ildj"] = -tf.cast(log_det, y.dtype)
        return y

    def _inverse_log_det_jacobian(self, y):
        x, log_det = self.inverse_and_log_det(y)
        return tf.cast(log_det, x.dtype)

    def _forward_log_det_jacobian(self, x):
        y, log_det = self.forward_and_log_det(x)
        return tf.cast(log_det, y.dtype)

    @classmethod
    def _parameter_properties(cls, dtype):
        return {}  # no parameter has batch dimensions


class ImageBijector(OnePassBijector):
    """Base of those that map images [height, width, channels] to images."""

    def __init__(self, *, dtype: DType = "float32", **kwargs):
        super().__init__(forward_min_event_ndims=3, dtype=tf.as_dtype(dtype), **kwargs)


def sum_over_image(x: tf.Tensor) -> tf.Tensor:
    """[batch, height, width, channels] -> float64 [batch]."""
    return tf.cast(tf.reduce_sum(x, axis=[1, 2, 3]), tf.float64)


def same_at_every_pixel(log_det: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Log-determinants, float64 nats [batch], of a map with the same linear part at each pixel.

    log_det: nats a pixel, []; x: images [batch, height, width, channels].
    """
    batch, height, width, _ = tf.unstack(tf.shape(x))
    num_pixels = tf.cast(height * width, tf.float64)
    return tf.fill([batch], num_pixels * tf.cast(log_det, tf.float64))
