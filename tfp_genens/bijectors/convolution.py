"""Invertible 1x1 convolution in LU form (Kingma & Dhariwal 2018, section 3.2)."""

import numpy as np
import scipy.linalg
import tensorflow as tf

from tfp_genens.bijectors.one_pass import DType, ImageBijector, same_at_every_pixel
from tfp_genens.seeds import numpy_generator


class InvertibleMatrix(tf.Module):
    """W = P L (U + diag(sign * exp(log_abs_diag))), [*stack, size, size]; starts as a random
    rotation.

    P is a fixed permutation, L has a unit diagonal, U is strictly upper triangular, and the sign is
    fixed: log |det W| is the sum of log_abs_diag.
    """

    def __init__(
        self, size: int, *, seed: int, stack: tuple[int, ...] = (), dtype: DType = "float32"
    ):
        super().__init__(name="invertible_matrix")
        gaussian = numpy_generator(seed, "rotation").normal(size=(*stack, size, size))
        permutation, lower, upper = scipy.linalg.lu(np.linalg.qr(gaussian)[0])
        diagonal = np.diagonal(upper, axis1=-2, axis2=-1)
        self.permutation = tf.Variable(permutation, trainable=False, dtype=dtype, name="P")
        self.sign = tf.Variable(np.sign(diagonal), trainable=False, dtype=dtype, name="sign")
        self.lower = tf.Variable(np.tril(lower, -1), dtype=dtype, name="lower")
        self.upper = tf.Variable(np.triu(upper, 1), dtype=dtype, name="upper")
        self.log_abs_diag = tf.Variable(np.log(abs(diagonal)), dtype=dtype, name="log_abs_diag")

    def matrix(self) -> tf.Tensor:
        """[*stack, size, size]."""
        lower, upper = self._factors()
        return tf.cast(tf.cast(self.permutation, tf.float64) @ lower @ upper, self.lower.dtype)

    def inverse(self) -> tf.Tensor:
        """[*stack, size, size], by two triangular solves."""
        lower, upper = self._factors()
        transposed = tf.cast(tf.linalg.matrix_transpose(self.permutation), tf.float64)
        inverse = tf.linalg.triangular_solve(
            upper, tf.linalg.triangular_solve(lower, transposed), lower=False
        )
        return tf.cast(inverse, self.lower.dtype)

    def _factors(self) -> tuple[tf.Tensor, tf.Tensor]:
        # In float64: the matrices are small, and round trips gain digits.
        lower, upper, sign, log_abs_diag = (
            tf.cast(x, tf.float64) for x in (self.lower, self.upper, self.sign, self.log_abs_diag)
        )
        strictly_lower = tf.linalg.band_part(lower, -1, 0) - tf.linalg.band_part(lower, 0, 0)
        strictly_upper = tf.linalg.band_part(upper, 0, -1) - tf.linalg.band_part(upper, 0, 0)
        unit = tf.ones_like(log_abs_diag)
        return (
            tf.linalg.set_diag(strictly_lower, unit),
            tf.linalg.set_diag(strictly_upper, sign * tf.exp(log_abs_diag)),
        )


def convolve_1x1(x: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """[batch, height, width, c] with [c, d] -> [batch, height, width, d]."""
    return tf.nn.conv2d(x, matrix[tf.newaxis, tf.newaxis], strides=1, padding="VALID")


class Invertible1x1Conv(ImageBijector):
    """latent = image W at every pixel; log-determinant height * width * sum(log_abs_diag).

    The seed is of the rotation it starts with.
    """

    def __init__(self, num_channels: int, *, seed: int, dtype: DType = "float32"):
        super().__init__(dtype=dtype, name="invertible_1x1_conv", is_constant_jacobian=True)
        self.weight = InvertibleMatrix(num_channels, seed=seed, dtype=self.dtype)

    def _inverse_pass(self, y):
        log_det = tf.reduce_sum(self.weight.log_abs_diag)
        return convolve_1x1(y, self.weight.matrix()), same_at_every_pixel(log_det, y)

    def _forward_pass(self, x):
        log_det = -tf.reduce_sum(self.weight.log_abs_diag)
        return convolve_1x1(x, self.weight.inverse()), same_at_every_pixel(log_det, x)
