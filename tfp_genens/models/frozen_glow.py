"""GLOW as a density of 8-bit images, and as it is exported (Kingma & Dhariwal 2018)."""

import math

import tensorflow as tf

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, InputSpec, OutputSpec
from tfp_genens.bijectors.glow import Glow
from tfp_genens.models import pixels
from tfp_genens.models.freezing import (
    as_float32,
    gradient_norm,
    gradient_of_statistics,
    of_two_seeds,
)
from tfp_genens.models.variational import OUT_OF_RANGE_NATS

NUM_LEVELS_OF_GREY = 256

_LOG_2PI = math.log(2.0 * math.pi)


class GlowDensity(tf.Module):
    """The density of dequantized images: a standard normal under the stack.

    Pixels are on the scale 0..255 and get uniform noise in [0, 1), so that the continuous density
    bounds the probability of an 8-bit image from below (Theis et al. 2016). The same is done to
    values that are no integers.
    """

    def __init__(self, flow: Glow):
        super().__init__(name="glow_density")
        self.flow = flow
        self.num_dims = flow.latent_size

    def to_latent(self, x: tf.Tensor, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Pixels and noise [batch, height, width, channels] -> latents and log |det|."""
        return self.flow.inverse_and_log_det(scaled_noisily(x, noise))

    def to_pixels(self, latent: tf.Tensor) -> tf.Tensor:
        """Latents -> pixels plus their noise, neither rounded nor clipped."""
        y, _ = self.flow.forward_and_log_det(latent)
        return NUM_LEVELS_OF_GREY * (y + 0.5)

    def terms(self, x: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Numbers of each level, float64 [len(TERMS), num_levels, batch], for pixels and noise.

        See TERMS; the first two are what log p is made of.
        """
        levels = self.flow.inverse_by_level(scaled_noisily(x, noise))
        parts = [tf.cast(z, tf.float64) for z, _ in levels]
        squares = [tf.reduce_sum(tf.square(z), axis=-1) for z in parts]
        covariances = [
            _lag_covariance(tf.reshape(z, [-1, *shape]))
            for z, shape in zip(parts, self.flow.part_shapes, strict=True)
        ]
        log_dets = [log_det for _, log_det in levels]
        return tf.stack([tf.stack(numbers) for numbers in (squares, log_dets, covariances)])

    def log_prob_of_terms(self, terms: tf.Tensor) -> tf.Tensor:
        """`terms` [len(TERMS), num_levels, ...] -> log p in nats of the 8-bit image, [...]."""
        squares, log_det = tf.unstack(tf.reduce_sum(terms[:2], axis=1))
        scale = math.log(NUM_LEVELS_OF_GREY) + 0.5 * _LOG_2PI
        return -0.5 * squares + log_det - self.num_dims * scale

    def log_prob(self, x: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """log p of pixels with this noise, in nats of the 8-bit image, float64 [batch]."""
        return self.log_prob_of_terms(self.terms(x, noise))

    def bits_per_dim(self, log_prob: tf.Tensor) -> tf.Tensor:
        """Nats of images -> bits a dimension."""
        return -log_prob / (self.num_dims * math.log(2.0))

    def sample(self, num: tf.Tensor, seed: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
        """Images [num, height, width, channels] with whole pixels, clipped to 0..255."""
        latent = temperature * tf.random.stateless_normal([num, self.num_dims], seed)
        levels = NUM_LEVELS_OF_GREY - 1.0
        return tf.clip_by_value(tf.floor(self.to_pixels(latent)), 0.0, levels)


def _lag_covariance(z: tf.Tensor) -> tf.Tensor:
    """Mean product of neighbours, beside and below, of z [batch, height, width, channels].

    A model's own samples have none. What is strange to it may look like them in size and yet have
    structure (Wang et al. 2020, "Further Analysis of Outlier Detection with Deep Generative
    Models", section 4, who test latents for white noise). Zero where there are no neighbours.
    """
    pairs = (z[:, :, 1:] * z[:, :, :-1], z[:, 1:] * z[:, :-1])
    products = tf.concat([tf.reshape(pair, [tf.shape(z)[0], -1]) for pair in pairs], axis=-1)
    count = tf.cast(tf.shape(products)[-1], products.dtype)
    return tf.reduce_sum(products, axis=-1) / tf.maximum(count, 1.0)


def scaled_noisily(x: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Pixels on the scale 0..255 with their noise, as the flow sees them."""
    return (x + noise) / NUM_LEVELS_OF_GREY - 0.5


OUTPUTS = {
    "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL, "log p(x)", main=True),
    "bits_per_dim": OutputSpec("bits/dim", LOWER_IS_NORMAL, "Bits/dim"),
}


TERMS: dict[str, tuple[str, str, str]] = {
    "square": ("1", LOWER_IS_NORMAL, "|z|^2"),
    "log_det": ("nats", HIGHER_IS_NORMAL, "log |det|"),
    "lag_covariance": ("1", LOWER_IS_NORMAL, "Covariance of neighbours in z"),
}
"""Of each level: the squared norm of what it leaves in the latent, the log-determinant, and
`_lag_covariance`. Unit, direction and label."""


def statistics_of(num_levels: int) -> dict[str, OutputSpec]:
    """Of each level, from the pixels up, its TERMS; and the image's complexity.

    All of them decide, by docs/protocol.md.
    """
    terms = {
        f"level_{level}_{name}": OutputSpec(
            unit, direction, f"{label}, level {level}", statistic=True
        )
        for level in range(num_levels)
        for name, (unit, direction, label) in TERMS.items()
    }
    return terms | pixels.COMPLEXITY


class FrozenGlow(tf.Module):
    """GLOW as it is exported: scores of raw inputs, all noise drawn from an explicit seed.

    The noise is drawn once and shared by all examples, so that a score depends neither on the batch
    size nor on its neighbours. Pixels are taken at their word up to `pixels.RANGE_TOLERANCE`
    outside the valid range; further out they are clipped and pay OUT_OF_RANGE_NATS. A finite input
    whose latent overflows float32 scores the lowest number there is; inputs that are NaN score NaN.
    """

    def __init__(self, flow: Glow, input_spec: InputSpec, num_dequantizations: int = 1):
        super().__init__(name="frozen_glow")
        self.density = GlowDensity(flow)
        self._input_spec = input_spec
        self._num_dequantizations = num_dequantizations

    def _observe(self, inputs):
        """Raw inputs -> pixels near 0..255, and float64 nats [batch] for what lies far outside."""
        x, penalty = pixels.observed_at_a_price(inputs, self._input_spec, OUT_OF_RANGE_NATS)
        return x * (NUM_LEVELS_OF_GREY - 1.0), penalty

    def _raw(self, x: tf.Tensor) -> tf.Tensor:
        return pixels.unscaled(x / (NUM_LEVELS_OF_GREY - 1.0), self._input_spec)

    def _noise(self, seed: tf.Tensor) -> tf.Tensor:
        shape = [self._num_dequantizations, 1, *self._input_spec.shape]
        return tf.random.stateless_uniform(shape, seed)

    def _terms(self, inputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """float64 [num_dequantizations, len(TERMS), num_levels, batch]: `GlowDensity.terms`."""
        x, _ = self._observe(inputs)
        num_levels = len(self.density.flow.levels)
        # One draw at a time, as the networks' activations are what fills the memory.
        return tf.map_fn(
            lambda noise: self.density.terms(x, noise),
            self._noise(seed),
            parallel_iterations=1,
            fn_output_signature=tf.TensorSpec([len(TERMS), num_levels, None], tf.float64),
        )

    def _log_prob_of(self, terms: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
        x, penalty = self._observe(inputs)
        log_probs = self.density.log_prob_of_terms(tf.transpose(terms, [1, 2, 0, 3]))
        bound = tf.reduce_logsumexp(log_probs, axis=0) - math.log(self._num_dequantizations)
        return _finite(bound, x) - penalty

    def _log_prob(self, inputs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return self._log_prob_of(self._terms(inputs, seed), inputs)

    def _statistics_of(self, terms: tf.Tensor, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        x, penalty = self._observe(inputs)
        by_level = tf.unstack(tf.reduce_mean(terms, axis=0), axis=1)
        found = {}
        for level, (square, log_det, covariance) in enumerate(map(tf.unstack, by_level)):
            found[f"level_{level}_square"] = -_finite(-square, x) + penalty
            found[f"level_{level}_log_det"] = _finite(log_det, x)
            found[f"level_{level}_lag_covariance"] = -_finite(-covariance, x)
        return found | {"input_complexity": pixels.png_length(x / (NUM_LEVELS_OF_GREY - 1.0))}

    @tf.function
    def serving_default(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Every score: log_prob in nats of the 8-bit image, and the same in bits a dimension.

        log_prob is log((1/n) sum_i p(x + u_i)) over n draws u_i of dequantization noise: in
        expectation a lower bound on the 8-bit image's log-probability, tighter with every draw
        (Burda et al. 2016; Ho et al. 2019). Statistics are means over the draws.
        """
        terms = self._terms(inputs, seed)
        log_prob = self._log_prob_of(terms, inputs)
        scores = {"log_prob": log_prob, "bits_per_dim": self.density.bits_per_dim(log_prob)}
        scores |= self._statistics_of(terms, inputs)
        return {name: as_float32(x) for name, x in scores.items()}

    @tf.function
    def statistics(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """TERMS by level, and the image's complexity; see `statistics_of`."""
        found = self._statistics_of(self._terms(inputs, seed), inputs)
        return {name: as_float32(x) for name, x in found.items()}

    @tf.function
    def statistics_gradient(
        self, inputs: tf.Tensor, seed: tf.Tensor, weights: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The gradient of a weighted sum of statistics, see `freezing.gradient_of_statistics`.

        The gradient of a finite input is zero where it overflows.
        """

        def statistics(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return self._statistics_of(self._terms(inputs, seed), inputs)

        specs = statistics_of(len(self.density.flow.levels))
        gradient = gradient_of_statistics(statistics, inputs, weights, specs)["gradient"]
        return {"gradient": _without_overflow(gradient, inputs)}

    @tf.function
    def candidates(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `freezing.TWO_SEEDS` and `freezing.GRADIENT_NORM`.

        The norm is the largest number there is where a finite input overflows.
        """
        found = of_two_seeds(lambda seed: self._log_prob(inputs, seed), seed)
        norm = gradient_norm(lambda inputs: self._log_prob(inputs, seed), inputs)["gradient_norm"]
        found["gradient_norm"] = -_finite(-norm, inputs)
        return {name: as_float32(x) for name, x in found.items()}

    @tf.function
    def log_prob(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """log_prob alone."""
        return {"log_prob": as_float32(self._log_prob(inputs, seed))}

    @tf.function
    def log_prob_gradient(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """log_prob [batch], and its gradient with respect to the raw inputs.

        The gradient of a finite input is zero where it overflows: no direction is better there.
        """
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            log_prob = self._log_prob(inputs, seed)
        gradient = _without_overflow(tape.gradient(log_prob, inputs), inputs)
        return {"log_prob": as_float32(log_prob), "gradient": gradient}

    @tf.function
    def reconstruct(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the inverse makes of the inputs' latents: the inputs, up to rounding errors."""
        x, _ = self._observe(inputs)
        noise = self._noise(seed)[0]
        latent, _ = self.density.to_latent(x, noise)
        return {"inputs": self._raw(self.density.to_pixels(latent) - noise)}

    @tf.function
    def sample(self, num: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Draws from the model (temperature 1), on the inputs' scale."""
        return {"inputs": self._raw(self.density.sample(num, seed))}


def _finite(x: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
    """x [batch], or the lowest number there is where finite inputs have overflowed on the way."""
    is_input_finite = tf.reduce_all(tf.math.is_finite(inputs), axis=[1, 2, 3])
    has_overflowed = is_input_finite & ~tf.math.is_finite(x)
    return tf.where(has_overflowed, tf.constant(tf.float64.min, tf.float64), x)


def _without_overflow(gradient: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
    """The gradient, or zero where finite inputs have overflowed on the way."""
    is_input_finite = tf.reduce_all(tf.math.is_finite(inputs), axis=[1, 2, 3], keepdims=True)
    has_overflowed = is_input_finite & ~tf.math.is_finite(gradient)
    return tf.where(has_overflowed, tf.zeros_like(gradient), gradient)
