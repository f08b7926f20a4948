"""GLOW, a flow with an exact density, on images (paper, section 4; Kingma & Dhariwal 2018)."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, InputSpec, OutputSpec
from tfp_genens.bijectors.glow import Glow
from tfp_genens.data import TrainingData
from tfp_genens.errors import UserError
from tfp_genens.models import pixels
from tfp_genens.models.configs import GlowConfig
from tfp_genens.models.freezing import (
    as_float32,
    frozen,
    gradient_of_statistics,
    with_values_of,
)
from tfp_genens.models.learner import Batches, Learner, Phase
from tfp_genens.models.likelihood_checks import check_likelihood
from tfp_genens.models.networks import check_image_spec
from tfp_genens.models.variational import OUT_OF_RANGE_NATS
from tfp_genens.seeds import derive_int, derive_seed, numpy_generator

NUM_LEVELS_OF_GREY = 256
NUM_INITIAL = 256
"""Training images that the actnorms are initialised from; the authors' code takes as many."""

_LOG_2PI = math.log(2.0 * math.pi)

_LEGACY = tf_keras.optimizers.legacy  # they apply an update in one fused operation a variable
OPTIMIZERS: dict[str, Callable[..., tf_keras.optimizers.legacy.Optimizer]] = {
    "adam": _LEGACY.Adam,
    "adamax": _LEGACY.Adamax,
}


class WarmUp(tf_keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises from zero in a line over `num_steps` steps, then stays."""

    def __init__(self, learning_rate: float, num_steps: int):
        super().__init__()
        self._learning_rate = learning_rate
        self._num_steps = num_steps

    def __call__(self, step):
        share = (tf.cast(step, tf.float32) + 1.0) / max(self._num_steps, 1)
        return self._learning_rate * tf.minimum(share, 1.0)

    def get_config(self):
        return {"learning_rate": self._learning_rate, "num_steps": self._num_steps}


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
        return self.flow.inverse_and_log_det(_scaled(x, noise))

    def to_pixels(self, latent: tf.Tensor) -> tf.Tensor:
        """Latents -> pixels plus their noise, neither rounded nor clipped."""
        y, _ = self.flow.forward_and_log_det(latent)
        return NUM_LEVELS_OF_GREY * (y + 0.5)

    def terms(self, x: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """What log p of pixels with this noise is made of, float64 [2, num_levels, batch].

        Of each level the squared norm of what it leaves in the latent, and the log-determinant.
        """
        levels = self.flow.inverse_by_level(_scaled(x, noise))
        squares = [tf.reduce_sum(tf.square(tf.cast(z, tf.float64)), axis=-1) for z, _ in levels]
        return tf.stack([tf.stack(squares), tf.stack([log_det for _, log_det in levels])])

    def log_prob_of_terms(self, terms: tf.Tensor) -> tf.Tensor:
        """`terms` [2, num_levels, ...] -> log p in nats of the 8-bit image, [...]."""
        squares, log_det = tf.unstack(tf.reduce_sum(terms, axis=1))
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


def _scaled(x: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Pixels with their noise, as the flow sees them."""
    return (x + noise) / NUM_LEVELS_OF_GREY - 0.5


OUTPUTS = {
    "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL, "log p(x)", main=True),
    "bits_per_dim": OutputSpec("bits/dim", LOWER_IS_NORMAL, "Bits/dim"),
}


def statistics_of(num_levels: int) -> dict[str, OutputSpec]:
    """Of each level, from the pixels up: its terms of log p(x); and the image's complexity.

    That all of them are marked is what docs/protocol.md decides.
    """
    found = {}
    for level in range(num_levels):
        name, label = f"level_{level}", f"level {level}"
        found[f"{name}_square"] = OutputSpec(
            "1", LOWER_IS_NORMAL, f"|z|^2, {label}", statistic=True
        )
        found[f"{name}_log_det"] = OutputSpec(
            "nats", HIGHER_IS_NORMAL, f"log |det|, {label}", statistic=True
        )
    complexity = {
        name: dataclasses.replace(spec, statistic=True) for name, spec in pixels.COMPLEXITY.items()
    }
    return found | complexity


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
        """float64 [num_dequantizations, 2, num_levels, batch], see `GlowDensity.terms`."""
        x, _ = self._observe(inputs)
        num_levels = len(self.density.flow.levels)
        # One draw at a time, as the networks' activations are what fills the memory.
        return tf.map_fn(
            lambda noise: self.density.terms(x, noise),
            self._noise(seed),
            parallel_iterations=1,
            fn_output_signature=tf.TensorSpec([2, num_levels, None], tf.float64),
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
        squares, log_dets = tf.unstack(tf.reduce_mean(terms, axis=0))
        found = {}
        for level, (square, log_det) in enumerate(
            zip(tf.unstack(squares), tf.unstack(log_dets), strict=True)
        ):
            found[f"level_{level}_square"] = -_finite(-square, x) + penalty
            found[f"level_{level}_log_det"] = _finite(log_det, x)
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
        """The terms of log p(x) by level, and the image's complexity; see `statistics_of`."""
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


def check_images(config: GlowConfig, input_spec: InputSpec) -> None:
    """Raises UserError unless the inputs are images that suit the configuration."""
    check_image_spec(input_spec, 2)
    shape = input_spec.shape
    if any(side % 2**config.num_levels for side in shape[:2]):
        most = min(side & -side for side in shape[:2]).bit_length() - 1
        expected = f"at most {most}, so that 2**num_levels divides {shape[0]} and {shape[1]} pixels"
        raise UserError("--num_levels", expected, str(config.num_levels))


def make_flow(config: GlowConfig, shape: tuple[int, ...], precision: str, seed: int) -> Glow:
    """The stack of a configuration, not yet initialised; raises UserError for odd splits."""
    try:
        return Glow(
            shape,
            num_levels=config.num_levels,
            num_steps=config.num_steps,
            width=config.width,
            coupling=config.coupling,
            split_fractions=config.split_fraction,
            learned_top=config.learned_top,
            seed=seed,
            convolution_dtype="bfloat16" if precision == "mixed_bfloat16" else None,
        )
    except ValueError as e:  # all else is checked before
        expected = "a share that parts the channels of every scale into whole numbers"
        raise UserError("--split_fraction", expected, str(config.split_fraction)) from e


def initialized_flow(config: GlowConfig, data: TrainingData, precision: str, seed: int) -> Glow:
    """The stack before training: weights and initial batch are functions of the seed alone."""
    flow = make_flow(config, data.input_spec.shape, precision, derive_int(seed, "flow"))
    num = min(NUM_INITIAL, len(data.train))
    chosen = numpy_generator(seed, "initial").choice(len(data.train), num, replace=False)
    x = pixels.scaled(data.train[np.sort(chosen)], data.input_spec) * (NUM_LEVELS_OF_GREY - 1.0)
    noise = tf.random.stateless_uniform(x.shape, derive_seed(seed, "initial_noise"))
    flow.initialize(_scaled(x, noise))
    return flow


class GlowLearner(Learner):
    """Trains a GLOW on bits a dimension, with a linear warm-up.

    The seed decides the initial weights and which training images initialise the actnorms. Raises
    UserError where the inputs are no images, or their sides do not divide by 2**num_levels.
    """

    def __init__(self, config: GlowConfig, data: TrainingData, seed: int):
        super().__init__(name="glow_learner")
        check_images(config, data.input_spec)
        self._config = config
        self._input_spec = data.input_spec
        self._seed = seed
        self.density = GlowDensity(initialized_flow(config, data, config.precision, seed))
        self.optimizer = OPTIMIZERS[config.optimizer](
            WarmUp(config.learning_rate, config.warmup_steps), epsilon=1e-8
        )
        self.optimizer._create_all_weights(self.density.trainable_variables)

    def state_variables(self):
        return [*self.density.variables, *self.optimizer.variables()]

    def phases(self):
        metrics = ("loss", "gradient_norm")
        return [Phase("train", self._config.train_steps, metrics, self._train_step)]

    def _pixels(self, inputs: tf.Tensor) -> tf.Tensor:
        return pixels.scaled(inputs, self._input_spec) * (NUM_LEVELS_OF_GREY - 1.0)

    def _bits_per_dim(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Mean over images, float64 []; every image gets noise of its own."""
        noise = tf.random.stateless_uniform(tf.shape(x), seed)
        return tf.reduce_mean(self.density.bits_per_dim(self.density.log_prob(x, noise)))

    def augmented(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Training images as a step sees them."""
        if not self._config.horizontal_flips:
            return x
        is_flipped = tf.random.stateless_uniform([tf.shape(x)[0], 1, 1, 1], seed) < 0.5
        return tf.where(is_flipped, tf.reverse(x, axis=[2]), x)

    def _train_step(self, step, seed, batches: Batches) -> Mapping[str, tf.Tensor]:
        flip_seed, noise_seed = tf.unstack(tf.random.split(seed, 2))
        x = self.augmented(self._pixels(batches(step).inputs), flip_seed)
        variables = self.density.trainable_variables
        with tf.GradientTape() as tape:
            loss = self._bits_per_dim(x, noise_seed)
        gradients = tape.gradient(loss, variables)
        norm = tf.linalg.global_norm(gradients)
        if self._config.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self._config.clip_norm, norm)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return {"loss": loss, "gradient_norm": norm}

    def validate(self, examples, seed):
        return {"bits_per_dim": self._bits_per_dim(self._pixels(examples.inputs), seed)}

    def summary_images(self, inputs, seed):
        num = tf.shape(inputs)[0]
        return {
            name: self.density.sample(num, seed, temperature) / (NUM_LEVELS_OF_GREY - 1.0)
            for name, temperature in (("samples", 1.0), ("samples_at_0.7", 0.7))
        }

    def _frozen(self, flow: Glow) -> FrozenGlow:
        return FrozenGlow(flow, self._input_spec, self._config.num_dequantizations)

    def freeze(self):
        self.density.flow.check_initialized()
        flow = make_flow(self._config, self._input_spec.shape, "float32", seed=0)
        module = self._frozen(with_values_of(self.density.flow, flow))
        also = ("log_prob", "statistics_gradient", "log_prob_gradient", "reconstruct", "sample")
        statistics = statistics_of(self._config.num_levels)
        return frozen(
            module,
            {**OUTPUTS, **statistics},
            also,
            decides=(
                "dose",
                "waic",
            ),
            groups={"statistics": statistics},
        )

    def checks(self, member, data, seed) -> dict[str, Any]:
        """The likelihood sanity gate; see `likelihood_checks`."""
        untrained = self._frozen(initialized_flow(self._config, data, "float32", self._seed))
        return {
            "actnorms_initialized": self.density.flow.initialized,
            **check_likelihood(
                log_prob=lambda x: member.score(x, seed)["log_prob"],
                untrained_log_prob=lambda x: untrained.log_prob(x, seed)["log_prob"].numpy(),
                reconstruct=lambda x: member.call("reconstruct", inputs=x, seed=seed)["inputs"],
                images=data.tuning,
                input_spec=self._input_spec,
                seed=self._seed,
            ),
        }


build = GlowLearner
