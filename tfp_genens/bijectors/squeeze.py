"""Space to depth (Dinh et al. 2017, section 3.6)."""

from __future__ import annotations

import tensorflow as tf

from tfp_genens.bijectors.one_pass import ImageBijector, same_at_every_pixel


def squeeze(x: tf.Tensor) -> tf.Tensor:
    """[batch, 2h, 2w, c] -> [batch, h, w, 4c]: 2x2 pixels become channels."""
    return tf.nn.space_to_depth(x, 2)


def unsqueeze(x: tf.Tensor) -> tf.Tensor:
    """The inverse of `squeeze`."""
    return tf.nn.depth_to_space(x, 2)


class Squeeze(ImageBijector):
    """Image [2h, 2w, c] <-> latent [h, w, 4c]; volume preserving."""

    def __init__(self, *, dtype: str | tf.DType = "float32", name: str = "squeeze"):
        super().__init__(dtype=dtype, name=name, is_constant_jacobian=True)

    def _inverse_pass(self, y):
        return squeeze(y), same_at_every_pixel(tf.zeros([]), y)

    def _forward_pass(self, x):
        return unsqueeze(x), same_at_every_pixel(tf.zeros([]), x)

    def _inverse_event_shape(self, y_shape):
        *batch, height, width, channels = _dims(y_shape)
        return tf.TensorShape([*batch, _over(height, 2), _over(width, 2), _times(channels, 4)])

    def _forward_event_shape(self, x_shape):
        *batch, height, width, channels = _dims(x_shape)
        return tf.TensorShape([*batch, _times(height, 2), _times(width, 2), _over(channels, 4)])

    def _inverse_event_shape_tensor(self, y_shape):
        return y_shape // [2, 2, 1] * [1, 1, 4]

    def _forward_event_shape_tensor(self, x_shape):
        return x_shape * [2, 2, 1] // [1, 1, 4]


def _dims(shape: tf.TensorShape) -> list[int | None]:
    return tf.TensorShape(shape).as_list()


def _times(size: int | None, factor: int) -> int | None:
    return None if size is None else size * factor


def _over(size: int | None, divisor: int) -> int | None:
    return None if size is None else size // divisor
