"""K steps of flow, their parameters stacked (Kingma & Dhariwal 2018, section 3)."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfp_genens.bijectors.actnorm import InitializedFromData, channel_moments
from tfp_genens.bijectors.convolution import InvertibleMatrix, convolve_1x1
from tfp_genens.bijectors.coupling import COUPLINGS, NetworkWeights, couple
from tfp_genens.bijectors.one_pass import DType, ImageBijector, same_at_every_pixel
from tfp_genens.seeds import derive_int


class StepWeights(NamedTuple):
    """Of one step, or stacked. Actnorm and 1x1 convolution are one affine map of the channels."""

    matrix: tf.Tensor
    bias: tf.Tensor
    network: NetworkWeights


class GlowSteps(InitializedFromData, ImageBijector):
    """K times actnorm, invertible 1x1 convolution and coupling, image to latent in this order.

    There are at least 2 channels; `coupling` is a name in COUPLINGS; for `convolution_dtype`, see
    `CouplingNetwork`.
    """

    def __init__(
        self,
        num_channels: int,
        num_steps: int,
        width: int,
        *,
        coupling: str = "affine",
        seed: int,
        convolution_dtype: DType | None = None,
        dtype: DType = "float32",
        name: str = "glow_steps",
    ):
        if num_steps < 1:
            raise ValueError(f"`num_steps` must be positive; got {num_steps}.")
        if coupling not in COUPLINGS:
            raise ValueError(f"`coupling` must be one of {sorted(COUPLINGS)}; got {coupling!r}.")
        super().__init__(dtype=dtype, name=name)
        self.num_steps = num_steps
        self._coupling = COUPLINGS[coupling]
        stack = (num_steps,)
        zeros = tf.zeros([num_steps, num_channels], self.dtype)
        self.loc = tf.Variable(zeros, name="loc")
        self.log_scale = tf.Variable(zeros, name="log_scale")
        self.weight = InvertibleMatrix(
            num_channels, seed=derive_int(seed, "rotations"), stack=stack, dtype=self.dtype
        )
        self.network = self._coupling.make_network(
            num_channels,
            width,
            seed=derive_int(seed, "networks"),
            stack=stack,
            convolution_dtype=convolution_dtype,
            dtype=self.dtype,
        )

    def initialize(self, images: tf.Tensor | np.ndarray) -> tf.Tensor:
        """Sets every actnorm, step by step, from a first batch [batch, height, width, channels].

        Returns its latents, of the same shape. Raises ValueError when called a second time, or
        inside a graph.
        """
        self._check_may_initialize()
        x = tf.convert_to_tensor(images, self.dtype)
        matrices = self.weight.matrix()
        networks = _unstacked(self.network.weights(), self.num_steps)
        for k, network in enumerate(networks):
            loc, log_scale = channel_moments(x)
            self.loc[k].assign(loc)
            self.log_scale[k].assign(log_scale)
            x = convolve_1x1((x - loc) * tf.exp(-log_scale), matrices[k])
            x, _ = couple(self._coupling.to_latent, x, network)
        self.initialized.assign(True)
        return x

    def _inverse_pass(self, y):
        matrix = tf.exp(-self.log_scale)[..., tf.newaxis] * self.weight.matrix()
        bias = -tf.einsum("ki,kio->ko", self.loc, matrix)
        weights = StepWeights(matrix, bias, self.network.weights())
        x, log_det = self._run(self._step_to_latent, y, weights)
        return x, log_det + self._linear_log_det(y)

    def _forward_pass(self, x):
        scale = tf.exp(self.log_scale)[:, tf.newaxis, :]
        weights = StepWeights(self.weight.inverse() * scale, self.loc, self.network.weights())
        last_first = tf.nest.map_structure(lambda w: tf.reverse(w, [0]), weights)
        y, log_det = self._run(self._step_to_image, x, last_first)
        return y, log_det - self._linear_log_det(x)

    def _linear_log_det(self, x: tf.Tensor) -> tf.Tensor:
        total = tf.reduce_sum(self.weight.log_abs_diag) - tf.reduce_sum(self.log_scale)
        return same_at_every_pixel(total, x)

    def _step_to_latent(self, x, weights: StepWeights):
        x = tf.nn.bias_add(convolve_1x1(x, weights.matrix), weights.bias)
        return couple(self._coupling.to_latent, x, weights.network)

    def _step_to_image(self, x, weights: StepWeights):
        x, log_det = couple(self._coupling.to_image, x, weights.network)
        return tf.nn.bias_add(convolve_1x1(x, weights.matrix), weights.bias), log_det

    def _run(self, step, x, weights: StepWeights) -> tuple[tf.Tensor, tf.Tensor]:
        """`step` for each of the stacked weights, in their order; log-determinants are summed."""
        if not tf.executing_eagerly():
            # One function, traced, differentiated and optimised once however many steps there are.
            # Inlined, its K copies would be optimised one by one; a tf.while_loop costs 5 % a step.
            step = tf.function(step, experimental_attributes={"_noinline": True})
        total = tf.zeros(tf.shape(x)[:1], tf.float64)
        for step_weights in _unstacked(weights, self.num_steps):
            x, log_det = step(x, step_weights)
            total += log_det
        return x, total


def _unstacked(weights: Any, num: int) -> Iterator[Any]:
    columns = [tf.unstack(w, num) for w in tf.nest.flatten(weights)]
    return (tf.nest.pack_sequence_as(weights, row) for row in zip(*columns, strict=True))
