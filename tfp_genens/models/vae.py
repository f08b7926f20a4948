"""Variational autoencoder on images (paper, sections 4 and 4.1, appendix B)."""

from functools import partial

import tensorflow as tf

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import TrainingData
from tfp_genens.models import pixels
from tfp_genens.models.configs import VaeConfig
from tfp_genens.models.networks import (
    check_image_spec,
    convolutional_decoder,
    convolutional_encoder,
)
from tfp_genens.models.priors import PRIORS
from tfp_genens.models.variational import (
    NUM_SCORE_SAMPLES,
    OUT_OF_RANGE_NATS,
    STATISTICS,
    FrozenVariational,
    VariationalLearner,
    VariationalNetworks,
    references_of,
)
from tfp_genens.seeds import derive_int


class VaeNetworks(VariationalNetworks):
    """Encoder q(z|x), decoder p(x|z) and prior p(z); `precision` is of the convolutions."""

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

    def encode(self, x):
        return self.posterior(self.encoder(2.0 * x - 1.0))

    def distortion(self, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """-log p(x|z) of a Bernoulli whose observations may be grey, as in the paper: float64 nats.

        x: images in [0, 1], [batch, height, width, channels]; z: [batch, latent_size].
        """
        cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=self.decoder(z))
        return tf.reduce_sum(tf.cast(cross_entropy, tf.float64), axis=[-3, -2, -1])

    def decode_mean(self, z):
        """The pixels' probabilities."""
        return tf.sigmoid(self.decoder(z))


class FrozenVae(FrozenVariational):
    """The image VAE as it is exported.

    The Bernoulli log-probability is linear in the pixel, so it is defined outside [0, 1], where it
    may go positive. The paper's zeros against adversarial noise come from there: its N(0, 1) noise
    is not clipped, and `pixels.RANGE_TOLERANCE` lets it through. Beyond that a pixel is clipped and
    pays OUT_OF_RANGE_NATS. Gradients and statistics are always those of grey values: a binarised
    pixel has no gradient, and statistics have no noise.
    """

    STATISTICS = {**STATISTICS, **pixels.COMPLEXITY}  # noqa: RUF012

    def __init__(
        self,
        networks: VariationalNetworks,
        input_spec: InputSpec,
        binarize: bool = False,
        num_samples: int = NUM_SCORE_SAMPLES,
    ):
        super().__init__(networks, num_samples, name="frozen_vae")
        self._input_spec = input_spec
        self._binarize = binarize

    def _observe_smoothly(self, inputs, seed):
        return pixels.observed_at_a_price(inputs, self._input_spec, OUT_OF_RANGE_NATS)

    def _observe(self, inputs, seed):
        x, penalty = self._observe_smoothly(inputs, seed)
        if self._binarize:
            threshold_seed = tf.random.experimental.stateless_fold_in(seed, 1)
            shape = [1, *self._input_spec.shape]
            threshold = tf.random.stateless_uniform(shape, threshold_seed)
            x = tf.cast(x > threshold, tf.float32)
        return x, penalty

    def _own_statistics(self, inputs, x, loc):
        return {"input_complexity": pixels.png_length(pixels.scaled(inputs, self._input_spec))}

    def _raw(self, x):
        return pixels.unscaled(x, self._input_spec)


class VaeLearner(VariationalLearner):
    """Trains an image VAE; raises UserError unless the inputs' sides divide by 4."""

    def __init__(self, config: VaeConfig, input_spec: InputSpec, seed: int):
        check_image_spec(input_spec)
        self._input_spec = input_spec
        super().__init__(config, partial(VaeNetworks, config, input_spec), seed, name="vae_learner")

    def _observe(self, inputs, seed):
        x = pixels.scaled(inputs, self._input_spec)
        if self._config.binarize:
            x = tf.cast(x > tf.random.stateless_uniform(tf.shape(x), seed), tf.float32)
        return x, 0.0

    def losses(self, examples, seed):
        of_mutation = tf.random.experimental.stateless_fold_in(seed, 1)
        rate = self._config.mutation_rate
        inputs = pixels.mutated(examples.inputs, rate, self._input_spec, of_mutation)
        return super().losses(examples._replace(inputs=inputs), seed)

    def summary_images(self, inputs, seed):
        x = pixels.scaled(inputs, self._input_spec)
        loc, _ = self.networks.encode(x)
        z = self.networks.prior.sample(tf.shape(inputs)[0], seed)
        return {
            "reconstructions": tf.concat([x, self.networks.decode_mean(loc)], axis=1),
            "samples": self.networks.decode_mean(z),
        }

    def frozen_module(self):
        return FrozenVae(self.frozen_networks(), self._input_spec, self._config.binarize)


def build(config: VaeConfig, data: TrainingData, seed: int) -> VaeLearner:
    learner = VaeLearner(config, data.input_spec, seed)
    learner.references = references_of(data, seed)
    return learner
