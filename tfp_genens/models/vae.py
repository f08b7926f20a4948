"""Variational autoencoder on images (paper, sections 4 and 4.1, appendix B)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from tfp_genens.config import ModelConfig, option
from tfp_genens.data import TrainingData
from tfp_genens.learner import Batches, Family, Frozen, FrozenFunction, Learner, Phase
from tfp_genens.models import pixels
from tfp_genens.models.networks import (
    check_image_spec,
    convolutional_decoder,
    convolutional_encoder,
)
from tfp_genens.models.priors import PRIORS
from tfp_genens.seeds import derive_int
from tfp_genens.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, InputSpec, OutputSpec

NUM_SCORE_SAMPLES = 16
"""Importance samples behind log_prob at scoring time (paper, section 4)."""

SCALE_FLOOR = 1e-5
"""Smallest posterior standard deviation: keeps log q(z|x) finite for any input."""

OUT_OF_RANGE_NATS = 100.0
"""What a unit of the range costs beyond `pixels.RANGE_TOLERANCE`.

The Bernoulli log-probability is linear in the pixel, so it is defined outside [0, 1], where it may
go positive: that is what the paper's zeros against adversarial noise come from, N(0, 1) noise that
is not clipped, which the tolerance lets through. Beyond it a pixel is clipped and pays this, so
that scores stay finite for any finite input and further out is ever less likely.
"""

_LOG_2PI = math.log(2.0 * math.pi)


@dataclasses.dataclass(frozen=True)
class VaeConfig(ModelConfig):
    """Flags of `--model=vae`; defaults: the paper's, or the released code's where it is silent."""

    beta: float = option(1.0, "weight of the rate in the loss (paper, section 4.1)", minimum=0)
    prior: str = option("maf", "prior over the latent code", choices=tuple(PRIORS))
    latent_size: int = option(16, "dimensions of the latent code", minimum=1)
    base_depth: int = option(32, "channels of the outermost convolutions", minimum=1)
    train_samples: int = option(16, "latent samples a training step draws per example", minimum=1)
    binarize: bool = option(
        False, "draw binary pixels anew each step instead of using grey values as probabilities"
    )


def _as_score(x: tf.Tensor) -> tf.Tensor:
    """float64 -> float32 without overflow to infinity."""
    limit = tf.float32.max
    return tf.cast(tf.clip_by_value(x, -limit, limit), tf.float32)


class VaeNetworks(tf.Module):
    """Encoder q(z|x), decoder p(x|z) and prior p(z).

    Args:
      config: the VAE's configuration.
      input_spec: what the inputs are.
      precision: of the convolutions.
      seed: of the initial weights.
    """

    def __init__(self, config: VaeConfig, input_spec: InputSpec, precision: str, seed: int):
        super().__init__(name="vae")
        self.latent_size = config.latent_size
        shape = input_spec.shape
        self.encoder = convolutional_encoder(
            shape,
            base_depth=config.base_depth,
            code_depth=4 * config.latent_size,
            dense_units=[2 * config.latent_size],
            precision=precision,
            seed=derive_int(seed, "encoder"),
        )
        self.decoder = convolutional_decoder(
            shape,
            base_depth=config.base_depth,
            code_size=config.latent_size,
            precision=precision,
            seed=derive_int(seed, "decoder"),
        )
        self.prior = PRIORS[config.prior](config.latent_size, derive_int(seed, "prior"))

    def encode(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Images in [0, 1] -> loc and scale of q(z|x), each [batch, latent_size]."""
        loc, raw_scale = tf.split(self.encoder(2.0 * x - 1.0), 2, axis=-1)
        scale = tf.nn.softplus(raw_scale + math.log(math.expm1(1.0))) + SCALE_FLOOR
        return loc, scale

    def rate(
        self, loc: tf.Tensor, scale: tf.Tensor, noise: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Latent samples and their log q(z|x) - log p(z).

        Args:
          loc: [batch, latent_size].
          scale: [batch, latent_size].
          noise: standard normal, broadcasts with [num_samples, batch, latent_size].

        Returns:
          z [num_samples, batch, latent_size] and float64 nats [num_samples, batch].
        """
        z = loc + scale * noise
        log_q = tf.reduce_sum(
            tf.cast(-0.5 * tf.square(noise) - tf.math.log(scale) - 0.5 * _LOG_2PI, tf.float64),
            axis=-1,
        )
        return z, log_q - self.prior.log_prob(z)

    def distortion(self, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """-log p(x|z) of a Bernoulli whose observations may be grey, as in the paper.

        Args:
          x: images in [0, 1], [batch, height, width, channels].
          z: [batch, latent_size].

        Returns:
          float64 nats [batch].
        """
        cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=self.decoder(z))
        return tf.reduce_sum(tf.cast(cross_entropy, tf.float64), axis=[-3, -2, -1])


class FrozenVae(tf.Module):
    """The VAE as it is exported: scores of raw inputs, all noise drawn from an explicit seed.

    The noise is drawn once and shared by all examples of a batch, so that a score depends neither
    on the batch size nor on its neighbours.

    Args:
      networks: encoder, decoder and prior.
      input_spec: what the inputs are.
      binarize: the model was trained on binarised pixels.
      num_samples: importance samples behind log_prob.
    """

    def __init__(
        self,
        networks: VaeNetworks,
        input_spec: InputSpec,
        binarize: bool = False,
        num_samples: int = NUM_SCORE_SAMPLES,
    ):
        super().__init__(name="frozen_vae")
        self.networks = networks
        self._input_spec = input_spec
        self._binarize = binarize
        self._num_samples = num_samples

    def _observe(
        self, inputs: tf.Tensor, seed: tf.Tensor, binarize: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Raw inputs -> images near [0, 1], and float64 nats [batch] for what lies far outside."""
        x = pixels.scaled(inputs, self._input_spec)
        if self._input_spec.value_range is None:
            return x, tf.zeros(tf.shape(x)[:1], tf.float64)
        clipped = pixels.clipped(x, self._input_spec)
        beyond = tf.abs(tf.cast(x, tf.float64) - tf.cast(clipped, tf.float64))
        penalty = OUT_OF_RANGE_NATS * tf.reduce_sum(beyond, axis=[-3, -2, -1])
        if binarize:
            threshold_seed = tf.random.experimental.stateless_fold_in(seed, 1)
            shape = [1, *self._input_spec.shape]
            threshold = tf.random.stateless_uniform(shape, threshold_seed)
            clipped = tf.cast(clipped > threshold, tf.float32)
        return clipped, penalty

    def _noise(self, seed: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_normal([self._num_samples, 1, self.networks.latent_size], seed)

    def _scores(self, inputs: tf.Tensor, seed: tf.Tensor, binarize: bool) -> dict[str, tf.Tensor]:
        x, penalty = self._observe(inputs, seed, binarize)
        loc, scale = self.networks.encode(x)
        z, rate = self.networks.rate(loc, scale, self._noise(seed))
        # One sample at a time: the decoder's activations of 16 samples would not fit any cache.
        distortion = penalty + tf.map_fn(
            lambda z_i: self.networks.distortion(x, z_i),
            z,
            parallel_iterations=1,
            fn_output_signature=tf.TensorSpec([None], tf.float64),
        )
        log_weights = -distortion - rate
        log_prob = tf.reduce_logsumexp(log_weights, axis=0) - math.log(self._num_samples)
        return {
            "log_prob": log_prob,
            "elbo": tf.reduce_mean(log_weights, axis=0),
            "rate": tf.reduce_mean(rate, axis=0),
            "distortion": tf.reduce_mean(distortion, axis=0),
        }

    @tf.function
    def serving_default(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Every score: log_prob is the 16-sample importance-weighted bound (IWAE), in nats."""
        scores = self._scores(inputs, seed, self._binarize)
        return {name: _as_score(x) for name, x in scores.items()}

    @tf.function
    def rate(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """KL(q(z|x) || p(z)) alone, estimated with the same samples; the decoder does not run."""
        x, _ = self._observe(inputs, seed, self._binarize)
        loc, scale = self.networks.encode(x)
        _, rate = self.networks.rate(loc, scale, self._noise(seed))
        return {"rate": _as_score(tf.reduce_mean(rate, axis=0))}

    @tf.function
    def log_prob_gradient(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """log_prob [batch], and its gradient with respect to the raw inputs.

        Always of grey values: a binarised pixel has no gradient.
        """
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            log_prob = self._scores(inputs, seed, binarize=False)["log_prob"]
        gradient = tape.gradient(log_prob, inputs)
        return {"log_prob": _as_score(log_prob), "gradient": gradient}

    @tf.function
    def reconstruct(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the decoder makes of the posterior's mean, on the inputs' scale."""
        x, _ = self._observe(inputs, seed, self._binarize)
        loc, _ = self.networks.encode(x)
        return {"inputs": self._decoded(loc)}

    @tf.function
    def sample(self, num: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Decoded draws from the prior (pixel means), on the inputs' scale."""
        return {"inputs": self._decoded(self.networks.prior.sample(num, seed))}

    def _decoded(self, z: tf.Tensor) -> tf.Tensor:
        return pixels.unscaled(tf.sigmoid(self.networks.decoder(z)), self._input_spec)


OUTPUTS = {
    "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL),
    "elbo": OutputSpec("nats", HIGHER_IS_NORMAL),
    "rate": OutputSpec("nats", LOWER_IS_NORMAL),
    "distortion": OutputSpec("nats", LOWER_IS_NORMAL),
}


class VaeLearner(Learner):
    """Trains a VAE on distortion + beta * rate with Adam and cosine decay (paper, appendix B).

    Args:
      config: the VAE's configuration.
      input_spec: what the inputs are.
      seed: of the initial weights.

    Raises:
      UserError: the inputs are no images whose sides divide by 4.
    """

    def __init__(self, config: VaeConfig, input_spec: InputSpec, seed: int):
        super().__init__(name="vae_learner")
        check_image_spec(input_spec)
        self._config = config
        self._input_spec = input_spec
        self.networks = VaeNetworks(config, input_spec, config.precision, seed)
        # The legacy class applies its update in one fused operation a variable.
        self.optimizer = tf_keras.optimizers.legacy.Adam(
            tf_keras.optimizers.schedules.CosineDecay(config.learning_rate, config.train_steps),
            epsilon=1e-8,
        )
        self.optimizer._create_all_weights(self.networks.trainable_variables)

    def state_variables(self):
        return [*self.networks.variables, *self.optimizer.variables()]

    def phases(self):
        metrics = ("loss", "distortion", "rate")
        return [Phase("train", self._config.train_steps, metrics, self._train_step)]

    def _terms(self, inputs, seed, num_samples) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean distortion and rate of raw inputs, float64 scalars in nats."""
        noise_seed, pixel_seed = tf.unstack(tf.random.split(seed, 2))
        x = pixels.scaled(inputs, self._input_spec)
        if self._config.binarize:
            uniform = tf.random.stateless_uniform(tf.shape(x), pixel_seed)
            x = tf.cast(x > uniform, tf.float32)
        loc, scale = self.networks.encode(x)
        shape = [num_samples, tf.shape(x)[0], self._config.latent_size]
        z, rate = self.networks.rate(loc, scale, tf.random.stateless_normal(shape, noise_seed))
        distortion = self.networks.distortion(
            tf.tile(x, [num_samples, 1, 1, 1]), tf.reshape(z, [-1, self._config.latent_size])
        )
        return tf.reduce_mean(distortion), tf.reduce_mean(rate)

    def _train_step(
        self, step: tf.Tensor, seed: tf.Tensor, batches: Batches
    ) -> Mapping[str, tf.Tensor]:
        variables = self.networks.trainable_variables
        with tf.GradientTape() as tape:
            distortion, rate = self._terms(batches(step).inputs, seed, self._config.train_samples)
            loss = distortion + self._config.beta * rate
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": loss, "distortion": distortion, "rate": rate}

    def validate(self, examples, seed):
        distortion, rate = self._terms(examples.inputs, seed, 1)
        return {"elbo": -distortion - rate, "distortion": distortion, "rate": rate}

    def summary_images(self, inputs, seed):
        x = pixels.scaled(inputs, self._input_spec)
        loc, _ = self.networks.encode(x)
        z = self.networks.prior.sample(tf.shape(inputs)[0], seed)
        reconstructions = tf.sigmoid(self.networks.decoder(loc))
        return {
            "reconstructions": tf.concat([x, reconstructions], axis=1),
            "samples": tf.sigmoid(self.networks.decoder(z)),
        }

    def freeze(self):
        networks = VaeNetworks(self._config, self._input_spec, "float32", seed=0)
        for frozen, trained in zip(networks.variables, self.networks.variables, strict=True):
            frozen.assign(trained)
        # MAF permutations are drawn from the seed, so the prior itself must be carried over.
        networks.prior = self.networks.prior
        module = FrozenVae(networks, self._input_spec, binarize=self._config.binarize)
        both = ("inputs", "seed")
        return Frozen(
            module,
            {
                "serving_default": FrozenFunction(module.serving_default, both, OUTPUTS),
                "rate": FrozenFunction(module.rate, both, {"rate": OUTPUTS["rate"]}),
                "log_prob_gradient": FrozenFunction(module.log_prob_gradient, both),
                "reconstruct": FrozenFunction(module.reconstruct, both),
                "sample": FrozenFunction(module.sample, ("num", "seed")),
            },
        )


def build_vae(config: VaeConfig, data: TrainingData, seed: int) -> VaeLearner:
    """A VAE for images whose sides divide by 4; raises UserError for other inputs."""
    return VaeLearner(config, data.input_spec, seed)


FAMILY = Family(
    VaeConfig,
    build_vae,
    "variational autoencoder with a learned prior",
    cpu_settings={"train_samples": 1, "precision": "mixed_bfloat16"},
)
