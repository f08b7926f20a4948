"""Raw images on the scale that the networks see, and what is done far outside the valid range."""

import math

import tensorflow as tf

from tfp_genens.artifact.spec import LOWER_IS_NORMAL, InputSpec, OutputSpec

RANGE_TOLERANCE = 8.0
"""How far outside its valid range, in units of the range, a pixel is taken at its word.

Noise that is not clipped lies well within it, as do attacks on it; further out a pixel is clipped,
so that scores stay finite for any finite input.
"""

COMPLEXITY = {
    "input_complexity": OutputSpec("bytes", LOWER_IS_NORMAL, "Length as a PNG", statistic=True)
}
"""What `png_length` is. It knows no model, and either direction may be unusual. It decides with the
model's own statistics, by docs/protocol.md."""


def mutated(inputs: tf.Tensor, rate: float, input_spec: InputSpec, seed: tf.Tensor) -> tf.Tensor:
    """Raw inputs of which a share of the values, drawn at random, is uniform noise; 0: none.

    A model trained on them learns the background and little else: Ren et al. (2019, "Likelihood
    Ratios for Out-of-Distribution Detection"), section 3.
    """
    if not rate:
        return inputs
    which_seed, value_seed = tf.unstack(tf.random.split(seed, 2))
    is_mutated = tf.random.stateless_uniform(tf.shape(inputs), which_seed) < rate
    noise = tf.random.stateless_uniform(tf.shape(inputs), value_seed)
    low, high = input_spec.value_range or (0.0, 1.0)
    if inputs.dtype.is_integer:
        noise = tf.floor(low + (high + 1.0 - low) * noise)
    else:
        noise = unscaled(noise, input_spec)
    return tf.where(is_mutated, tf.cast(noise, inputs.dtype), inputs)


def scaled(inputs: tf.Tensor, input_spec: InputSpec) -> tf.Tensor:
    """Raw inputs -> float32 in [0, 1] for inputs within the valid range."""
    low, high = input_spec.value_range or (0.0, 1.0)
    return (tf.cast(inputs, tf.float32) - low) / (high - low)


def unscaled(x: tf.Tensor, input_spec: InputSpec) -> tf.Tensor:
    """The inverse of `scaled`: float32 on the inputs' scale."""
    low, high = input_spec.value_range or (0.0, 1.0)
    return low + (high - low) * x


def observed(inputs: tf.Tensor, input_spec: InputSpec) -> tf.Tensor:
    """Raw inputs, scaled and then clipped."""
    return clipped(scaled(inputs, input_spec), input_spec)


def observed_at_a_price(
    inputs: tf.Tensor, input_spec: InputSpec, nats: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """The same, and float64 [batch]: `nats` a unit of the range for what is clipped."""
    x = scaled(inputs, input_spec)
    near = clipped(x, input_spec)
    beyond = tf.abs(tf.cast(x, tf.float64) - tf.cast(near, tf.float64))
    return near, nats * tf.reduce_sum(beyond, axis=[-3, -2, -1])


def png_length(x: tf.Tensor) -> tf.Tensor:
    """Bytes of each image as a PNG, float64 [batch]: how complex it is (Serra et al. 2020).

    Its gradient is that of `smooth_length`, since a compressor has none: so an attack goes through
    it, as Athalye et al. (2018, "Obfuscated Gradients", section 4.1) do.

    x: images [batch, height, width, channels] in [0, 1], clipped and rounded to 8 bits. Of another
    number of channels than one and three each is an image of its own, and lengths are added.
    """
    smooth = smooth_length(x)
    return smooth + tf.stop_gradient(_bytes_as_png(x) - smooth)


def _bytes_as_png(x: tf.Tensor) -> tf.Tensor:
    levels = tf.cast(tf.math.rint(255.0 * tf.clip_by_value(x, 0.0, 1.0)), tf.uint8)
    if x.shape[-1] in (1, 3):
        return tf.cast(tf.strings.length(tf.io.encode_png(levels)), tf.float64)
    channels = tf.transpose(levels, [0, 3, 1, 2])[..., tf.newaxis]
    lengths = tf.strings.length(tf.io.encode_png(channels))
    return tf.cast(tf.reduce_sum(lengths, axis=-1), tf.float64)


def smooth_length(x: tf.Tensor) -> tf.Tensor:
    """A differentiable stand-in for `png_length`, bytes, float64 [batch].

    A PNG codes each pixel's difference from its neighbours. A difference of r grey values counts
    as log2(1 + r^2) bits; halved, as there are two neighbours, the left one and the one above.
    """
    grey = 255.0 * tf.cast(tf.clip_by_value(x, 0.0, 1.0), tf.float64)
    differences = (grey[:, :, 1:] - grey[:, :, :-1], grey[:, 1:] - grey[:, :-1])
    bits = [tf.reduce_sum(tf.math.log1p(r**2), axis=[1, 2, 3]) for r in differences]
    return 0.5 * tf.add_n(bits) / (8.0 * math.log(2.0))


def clipped(x: tf.Tensor, input_spec: InputSpec) -> tf.Tensor:
    """Scaled inputs; where there is a valid range, none more than RANGE_TOLERANCE outside it."""
    if input_spec.value_range is None:
        return x
    return tf.clip_by_value(x, -RANGE_TOLERANCE, 1.0 + RANGE_TOLERANCE)
