"""Space to depth (Dinh et al. 2017, section 3.6)."""

from collections.abc import Callable

import tensorflow as tf

from tfp_genens.bijectors.one_pass import DType, ImageBijector, same_at_every_pixel


def squeeze(x: tf.Tensor) -> tf.Tensor:
    """[batch, 2h, 2w, c] -> [batch, h, w, 4c]: 2x2 pixels become channels."""
    return tf.nn.space_to_depth(x, 2)


def unsqueeze(x: tf.Tensor) -> tf.Tensor:
    """The inverse of `squeeze`."""
    return tf.nn.depth_to_space(x, 2)


class Squeeze(ImageBijector):
    """Image [2h, 2w, c] <-> latent [h, w, 4c]; volume preserving."""

    def __init__(self, *, dtype: DType = "float32"):
        super().__init__(dtype=dtype, name="squeeze", is_constant_jacobian=True)

    def _inverse_pass(self, y):
        return squeeze(y), same_at_every_pixel(tf.zeros([]), y)

    def _forward_pass(self, x):
        return unsqueeze(x), same_at_every_pixel(tf.zeros([]), x)

    def _inverse_event_shape(self, y_shape):
        return _rescaled(y_shape, lambda size: size // 2, lambda size: size * 4)

    def _forward_event_shape(self, x_shape):
        return _rescaled(x_shape, lambda size: size * 2, lambda size: size // 4)

    def _inverse_event_shape_tensor(self, y_shape):
        return y_shape // [2, 2, 1] * [1, 1, 4]

    def _forward_event_shape_tensor(self, x_shape):
        return x_shape * [2, 2, 1] // [1, 1, 4]


def _rescaled(shape, side: Callable[[int], int], depth: Callable[[int], int]) -> tf.TensorShape:
    """Height, width and channels changed where they are known; the batch is kept."""
    *batch, height, width, channels = tf.TensorShape(shape).as_list()
    sizes = ((side, height), (side, width), (depth, channels))
    return tf.TensorShape([*batch, *(size and change(size) for change, size in sizes)])
