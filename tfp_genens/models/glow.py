"""Training a GLOW, a flow with an exact density, on images (paper, section 4)."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.bijectors.glow import Glow
from tfp_genens.data import TrainingData
from tfp_genens.errors import UserError
from tfp_genens.models import pixels
from tfp_genens.models.configs import GlowConfig
from tfp_genens.models.freezing import GRADIENT_NORM, TWO_SEEDS, frozen, with_values_of
from tfp_genens.models.frozen_glow import (
    NUM_LEVELS_OF_GREY,
    OUTPUTS,
    FrozenGlow,
    GlowDensity,
    scaled_noisily,
    statistics_of,
)
from tfp_genens.models.learner import Batches, Learner, Phase
from tfp_genens.models.likelihood_checks import check_likelihood
from tfp_genens.models.networks import check_image_spec
from tfp_genens.seeds import derive_int, derive_seed, numpy_generator

NUM_INITIAL = 256
"""Training images that the actnorms are initialised from; the authors' code takes as many."""

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
    flow.initialize(scaled_noisily(x, noise))
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
        of_mutation = tf.random.experimental.stateless_fold_in(seed, 1)
        rate = self._config.mutation_rate
        inputs = pixels.mutated(batches(step).inputs, rate, self._input_spec, of_mutation)
        x = self.augmented(self._pixels(inputs), flip_seed)
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
            decides=("dose", "waic"),
            groups={"statistics": statistics, "candidates": TWO_SEEDS | GRADIENT_NORM},
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
