"""Coupling layers: half of the channels transforms the other (Kingma & Dhariwal 2018, 3.3)."""

import abc
import math
from typing import NamedTuple

import tensorflow as tf

from tfp_genens.bijectors.one_pass import DType, ImageBijector, sum_over_image
from tfp_genens.seeds import numpy_generator

LOG_SCALE_FACTOR = 3.0
"""Zero-initialised convolutions are scaled by exp(3 * logs), as in the GLOW authors' code."""


class ZeroConvolution(tf.Module):
    """3x3 convolutions [*stack] that start at zero, with a learned scale of each output."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stack: tuple[int, ...] = (),
        dtype: DType = "float32",
    ):
        super().__init__(name="zero_convolution")
        self.kernel = _variable("kernel", (*stack, 3, 3, in_channels, out_channels), dtype)
        self.bias = _variable("bias", (*stack, out_channels), dtype)
        self.logs = _variable("logs", (*stack, out_channels), dtype)

    def scaled(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Kernel [*stack, 3, 3, in, out] and bias [*stack, out], both with the scale in them."""
        scale = tf.exp(LOG_SCALE_FACTOR * self.logs)
        return self.kernel * scale[..., tf.newaxis, tf.newaxis, tf.newaxis, :], self.bias * scale


class NetworkWeights(NamedTuple):
    """Of one coupling network, or stacked; kernels in the type the convolutions run in."""

    kernel_in: tf.Tensor
    bias_in: tf.Tensor
    kernel_hidden: tf.Tensor
    bias_hidden: tf.Tensor
    kernel_out: tf.Tensor
    bias_out: tf.Tensor


class CouplingNetwork(tf.Module):
    """conv 3x3 - relu - conv 1x1 - relu - zero-initialised conv 3x3; [*stack] of them.

    The convolutions run in `convolution_dtype` (such as bfloat16; None: `dtype`), the rest in
    `dtype`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        *,
        seed: int,
        stack: tuple[int, ...] = (),
        dtype: DType = "float32",
        convolution_dtype: DType | None = None,
    ):
        super().__init__(name="coupling_network")
        self._convolution_dtype = tf.as_dtype(convolution_dtype or dtype)

        def he_normal(label, shape):
            stddev = math.sqrt(2.0 / math.prod(shape[:-1]))
            return numpy_generator(seed, label).normal(0.0, stddev, (*stack, *shape))

        kernel_in = he_normal("kernel_in", (3, 3, in_channels, width))
        kernel_hidden = he_normal("kernel_hidden", (1, 1, width, width))
        self.kernel_in = tf.Variable(kernel_in, dtype=dtype, name="kernel_in")
        self.bias_in = _variable("bias_in", (*stack, width), dtype)
        self.kernel_hidden = tf.Variable(kernel_hidden, dtype=dtype, name="kernel_hidden")
        self.bias_hidden = _variable("bias_hidden", (*stack, width), dtype)
        self.last = ZeroConvolution(width, out_channels, stack=stack, dtype=dtype)

    def weights(self) -> NetworkWeights:
        """What `apply_network` takes, with the stack's leading dimensions."""
        kernel_out, bias_out = self.last.scaled()
        hidden = (self.kernel_in, self.bias_in, self.kernel_hidden, self.bias_hidden)
        cast = (tf.cast(weights, self._convolution_dtype) for weights in (*hidden, kernel_out))
        return NetworkWeights._make([*cast, bias_out])


def apply_network(x: tf.Tensor, weights: NetworkWeights) -> tf.Tensor:
    """[batch, height, width, in_channels] -> [batch, height, width, out_channels]."""
    h = tf.cast(x, weights.kernel_in.dtype)
    h = tf.nn.relu(tf.nn.bias_add(_same(h, weights.kernel_in), weights.bias_in))
    h = tf.nn.relu(tf.nn.bias_add(_same(h, weights.kernel_hidden), weights.bias_hidden))
    return tf.nn.bias_add(tf.cast(_same(h, weights.kernel_out), x.dtype), weights.bias_out)


def _same(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")


def _variable(name: str, shape: tuple[int, ...], dtype: DType) -> tf.Variable:
    return tf.Variable(tf.zeros(shape, dtype), name=name)


class Coupling(ImageBijector):
    """The first half of the channels is kept and decides what happens to the others.

    There are at least 2 channels; of an odd number the smaller half is kept. For
    `convolution_dtype`, see `CouplingNetwork`.
    """

    OUTPUTS_A_CHANNEL: int

    def __init__(
        self,
        num_channels: int,
        width: int,
        *,
        seed: int,
        convolution_dtype: DType | None = None,
        dtype: DType = "float32",
    ):
        super().__init__(dtype=dtype, name="coupling")
        self.network = self.make_network(
            num_channels, width, seed=seed, convolution_dtype=convolution_dtype, dtype=self.dtype
        )

    @classmethod
    def make_network(cls, num_channels: int, width: int, **network_arguments) -> CouplingNetwork:
        """The network for images with `num_channels`; see `CouplingNetwork`."""
        if num_channels < 2:
            raise ValueError(f"`num_channels` must be at least 2; got {num_channels}.")
        if width < 1:
            raise ValueError(f"`width` must be positive; got {width}.")
        num_kept = num_channels // 2
        num_outputs = cls.OUTPUTS_A_CHANNEL * (num_channels - num_kept)
        return CouplingNetwork(num_kept, num_outputs, width, **network_arguments)

    @staticmethod
    @abc.abstractmethod
    def to_latent(moved: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """What the network's outputs do to the other half, and float64 log-dets [batch]."""

    @staticmethod
    @abc.abstractmethod
    def to_image(moved: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The inverse of `to_latent`, with its own log-determinant."""

    def _inverse_pass(self, y):
        return couple(self.to_latent, y, self.network.weights())

    def _forward_pass(self, x):
        return couple(self.to_image, x, self.network.weights())


def couple(transform, x: tf.Tensor, weights: NetworkWeights) -> tuple[tf.Tensor, tf.Tensor]:
    """One coupling, with `transform` of `Coupling.to_latent` or `Coupling.to_image`."""
    num_kept = x.shape[-1] // 2
    kept, moved = tf.split(x, [num_kept, x.shape[-1] - num_kept], axis=-1)
    moved, log_det = transform(moved, apply_network(kept, weights))
    return tf.concat([kept, moved], axis=-1), log_det


class AffineCoupling(Coupling):
    """latent = (image + shift) * sigmoid(s + 2): the scale is bounded, as in the authors' code."""

    OUTPUTS_A_CHANNEL = 2

    @staticmethod
    def to_latent(moved, raw):
        shift, s = tf.split(raw, 2, axis=-1)
        log_scale = tf.math.log_sigmoid(s + 2.0)
        return (moved + shift) * tf.sigmoid(s + 2.0), sum_over_image(log_scale)

    @staticmethod
    def to_image(moved, raw):
        shift, s = tf.split(raw, 2, axis=-1)
        log_scale = tf.math.log_sigmoid(s + 2.0)
        return moved * tf.exp(-log_scale) - shift, -sum_over_image(log_scale)


class AdditiveCoupling(Coupling):
    """latent = image + shift; volume preserving."""

    OUTPUTS_A_CHANNEL = 1

    @staticmethod
    def to_latent(moved, raw):
        return moved + raw, tf.zeros(tf.shape(moved)[:1], tf.float64)

    @staticmethod
    def to_image(moved, raw):
        return moved - raw, tf.zeros(tf.shape(moved)[:1], tf.float64)


COUPLINGS: dict[str, type[Coupling]] = {"affine": AffineCoupling, "additive": AdditiveCoupling}
