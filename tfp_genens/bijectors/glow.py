"""GLOW's multi-scale stack as one bijector (Kingma & Dhariwal 2018)."""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfp_genens.bijectors.actnorm import ChannelAffine
from tfp_genens.bijectors.one_pass import DType, ImageBijector, OnePassBijector
from tfp_genens.bijectors.split import Split
from tfp_genens.bijectors.squeeze import squeeze, unsqueeze
from tfp_genens.bijectors.steps import GlowSteps
from tfp_genens.seeds import derive_int


class Glow(OnePassBijector):
    """Vector [height * width * channels] <-> image [height, width, channels].

    Forward generates (latent -> image), inverse is image -> latent, as in TFP. Image to latent,
    each level squeezes, runs K steps of actnorm, 1x1 convolution and coupling, and factors channels
    out, except for the last. The latent vector holds what each level factors out, flattened, level
    by level, and the top last. Conditional priors and top prior are part of the bijection, so the
    base is a standard normal:

        flow = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros([size])), glow)

    `initialize` must see a first training batch before anything is traced; saving a SavedModel
    raises ValueError otherwise.

    Args:
      image_shape: (height, width, channels); height and width divide by 2**num_levels.
      num_levels: L.
      num_steps: K, steps a level.
      coupling: "affine" or "additive".
      split_fractions: share of the channels that each level but the last factors out: one for all,
        or num_levels - 1 of them.
      learned_top: learn loc and scale of the top's channels; otherwise it is standard normal.
      convolution_dtype: of the coupling networks' convolutions, such as "bfloat16"; None: `dtype`.
      dtype: of images, latents and parameters. Log-determinants are summed in float64.

    Attributes:
      part_shapes: (height, width, channels) of what each level factors out, top last.

    Raises:
      ValueError: for shapes, fractions or names that do not suit.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        *,
        num_levels: int = 3,
        num_steps: int = 32,
        width: int = 512,
        coupling: str = "affine",
        split_fractions: float | Sequence[float] = 0.5,
        learned_top: bool = True,
        seed: int,
        convolution_dtype: DType | None = None,
        dtype: DType = "float32",
    ):
        height, width_of_image, channels = _checked_image_shape(image_shape, num_levels)
        fractions = _checked_fractions(split_fractions, num_levels - 1)
        super().__init__(
            forward_min_event_ndims=1,
            inverse_min_event_ndims=3,
            dtype=tf.as_dtype(dtype),
            name="glow",
        )
        self.image_shape = (height, width_of_image, channels)
        self.latent_size = height * width_of_image * channels
        self.levels: list[GlowSteps] = []
        self.splits: list[Split] = []
        self.part_shapes: list[tuple[int, ...]] = []
        for level, fraction in enumerate([*fractions, None]):
            height, width_of_image, channels = height // 2, width_of_image // 2, 4 * channels
            self.levels.append(
                GlowSteps(
                    channels,
                    num_steps,
                    width,
                    coupling=coupling,
                    seed=derive_int(seed, "level", level),
                    convolution_dtype=convolution_dtype,
                    dtype=self.dtype,
                    name=f"level_{level}",
                )
            )
            num_out = channels
            if fraction is not None:
                num_out = _num_factored(channels, fraction)
                self.splits.append(Split(channels, num_out, dtype=dtype, name=f"split_{level}"))
            self.part_shapes.append((height, width_of_image, num_out))
            channels -= num_out
        self.top = ChannelAffine(num_out, dtype=self.dtype, name="top") if learned_top else None

    @property
    def initialized(self) -> bool:
        """Whether every actnorm has seen data (or a checkpoint of one that has)."""
        return all(bool(level.initialized.numpy()) for level in self.levels)

    def check_initialized(self) -> None:
        """Raises ValueError if an actnorm has not been initialised."""
        for level in self.levels:
            level.check_initialized()

    def initialize(self, images: tf.Tensor | np.ndarray) -> None:
        """Sets every actnorm, layer by layer, eagerly, from a first batch [batch, *image_shape].

        Images are as the model will see them (scaled, dequantised). Raises ValueError when called a
        second time, or inside a graph.
        """
        x = _of_shape(tf.convert_to_tensor(images, self.dtype), self.image_shape)
        for i, level in enumerate(self.levels):
            x = level.initialize(squeeze(x))
            x = x[..., : x.shape[-1] - self.part_shapes[i][-1]]

    def _stages(self) -> list[tuple[GlowSteps, ImageBijector | None, tuple[int, ...]]]:
        """Each level's steps, the prior of what it leaves in the latent, and the latter's shape."""
        priors = [*self.splits, self.top]
        return list(zip(self.levels, priors, self.part_shapes, strict=True))

    def inverse_by_level(self, images: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """What each level makes of images [batch, *image_shape], top last.

        Returns:
          For each level the part of the latent that it factors out, [batch, size], and the
          log-determinant of its steps and prior, float64 [batch].
        """
        x = _of_shape(images, self.image_shape)
        found = []
        for steps, prior, shape in self._stages():
            x, log_det = steps.inverse_and_log_det(squeeze(x))
            if prior is not None:
                x, of_prior = prior.inverse_and_log_det(x)
                log_det += of_prior
            x, part = tf.split(x, [x.shape[-1] - shape[-1], shape[-1]], axis=-1)
            found.append((tf.reshape(part, [-1, math.prod(shape)]), log_det))
        return found

    def _inverse_pass(self, y):
        parts, log_dets = zip(*self.inverse_by_level(y), strict=True)
        return tf.concat(parts, axis=-1), tf.add_n(log_dets)

    def _forward_pass(self, x):
        x = _of_shape(x, (self.latent_size,))
        total = tf.zeros(tf.shape(x)[:1], tf.float64)
        parts = tf.split(x, [math.prod(shape) for shape in self.part_shapes], axis=-1)
        y = None
        for (steps, prior, shape), part in zip(self._stages()[::-1], parts[::-1], strict=True):
            part = tf.reshape(part, [-1, *shape])
            y = part if y is None else tf.concat([y, part], axis=-1)
            if prior is not None:
                y, log_det = prior.forward_and_log_det(y)
                total += log_det
            y, log_det = steps.forward_and_log_det(y)
            total += log_det
            y = unsqueeze(y)
        return y, total

    def _inverse_event_shape(self, y_shape):
        return tf.TensorShape([*y_shape[:-3], self.latent_size])

    def _forward_event_shape(self, x_shape):
        return tf.TensorShape([*x_shape[:-1], *self.image_shape])

    def _inverse_event_shape_tensor(self, y_shape):
        return tf.constant([self.latent_size], tf.int32)

    def _forward_event_shape_tensor(self, x_shape):
        return tf.constant(self.image_shape, tf.int32)


def _checked_image_shape(image_shape: Sequence[int], num_levels: int) -> tuple[int, int, int]:
    if num_levels < 1:
        raise ValueError(f"`num_levels` must be positive; got {num_levels}.")
    shape = tuple(image_shape)
    sides = 2**num_levels
    if len(shape) != 3 or min(shape) < 1 or shape[0] % sides or shape[1] % sides:
        raise ValueError(
            f"`image_shape` must be (height, width, channels) with sides that divide by {sides} "
            f"for {num_levels} levels; got {shape}."
        )
    return shape


def _of_shape(x: tf.Tensor, event_shape: tuple[int, ...]) -> tf.Tensor:
    if not x.shape[1:].is_compatible_with(event_shape):
        wanted = ", ".join(map(str, ("...", *event_shape)))
        raise ValueError(f"Input must have shape [{wanted}]; got {tuple(x.shape)}.")
    return tf.ensure_shape(x, [None, *event_shape])


def _checked_fractions(fractions: float | Sequence[float], num_splits: int) -> list[float]:
    values = fractions if isinstance(fractions, Sequence) else [fractions] * num_splits
    if len(values) != num_splits:
        raise ValueError(
            f"`split_fractions` must be one number or {num_splits}; got {len(values)}."
        )
    return list(values)


def _num_factored(channels: int, fraction: float) -> int:
    num_factored = round(channels * fraction)
    if not 0 < num_factored < channels or abs(num_factored - channels * fraction) > 1e-6:
        raise ValueError(
            f"`split_fractions` must leave a whole number of {channels} channels on both sides; "
            f"got {fraction}."
        )
    return num_factored
