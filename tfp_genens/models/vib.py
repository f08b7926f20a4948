"""Variational information bottleneck (VIB): a classifier whose code's rate tells what is OoD.

The VIB baseline of the paper's Table 2 follows Alemi et al. (2018, Uncertainty in the Variational
Information Bottleneck), trained here as there on cross-entropy + beta * rate, without the
"location-aware" features that the paper leaves out too. What follows is chosen here, as neither the
paper nor anything it publishes says it: the encoder has the convolutions of our VAE's encoder and
gives a diagonal normal over 16 dimensions; the marginal m(z) is the learned mixture of 100 diagonal
normals that is the VAE's `mixture` prior; the decoder is one affine map from z to logits; Adam with
cosine decay, as for the VAE; beta is 1e-3.
"""

from functools import partial

import tensorflow as tf

from tfp_genens.artifact.spec import LOWER_IS_NORMAL, InputSpec, OutputSpec
from tfp_genens.data import TrainingData
from tfp_genens.models import pixels, supervised
from tfp_genens.models.configs import VibConfig
from tfp_genens.models.descent import DescentLearner
from tfp_genens.models.freezing import as_float32, frozen
from tfp_genens.models.networks import check_image_spec, convolutional_encoder, linear
from tfp_genens.models.priors import PRIORS
from tfp_genens.models.variational import VariationalNetworks
from tfp_genens.seeds import derive_int

NUM_SCORE_SAMPLES = 16
"""Codes drawn per input at scoring time; ours: as many as the VAE's."""


class VibNetworks(VariationalNetworks):
    """Encoder q(z|x), marginal m(z), and classifier p(class|z) in the decoder's place."""

    def __init__(
        self, config: VibConfig, input_spec: InputSpec, num_classes: int, precision: str, seed: int
    ):
        super().__init__(name="vib")
        self.latent_size = config.latent_size
        self.encoder = convolutional_encoder(
            input_spec.shape,
            base_depth=config.base_depth,
            code_depth=config.code_depth,
            dense_units=[2 * config.latent_size],
            precision=precision,
            seed=derive_int(seed, "encoder"),
        )
        self.prior = PRIORS[config.prior](config.latent_size, derive_int(seed, "prior"))
        self.classifier = linear(config.latent_size, num_classes, seed=seed, name="classifier")

    def encode(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self.posterior(self.encoder(2.0 * x - 1.0))

    def distortion(self, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """-log p(label|z) of labels `x` [batch], float32 nats [..., batch] for z [..., batch,
        latent_size].
        """
        logits = self.classifier(z)
        labels = tf.broadcast_to(x, tf.shape(logits)[:-1])
        return supervised.cross_entropy(labels, logits)

    def decode_mean(self, z):
        """p(class|z), [..., num_classes]."""
        return tf.nn.softmax(self.classifier(z))


class FrozenVib(tf.Module):
    """The VIB as it is exported. Its noise is drawn once from the seed and shared by all inputs."""

    def __init__(
        self, networks: VibNetworks, input_spec: InputSpec, num_samples: int = NUM_SCORE_SAMPLES
    ):
        super().__init__(name="frozen_vib")
        self.networks = networks
        self._input_spec = input_spec
        self._num_samples = num_samples

    def _codes(self, inputs: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Codes [num_samples, batch, latent_size] and the rates they give, [num_samples, batch]."""
        x = pixels.observed(inputs, self._input_spec)
        shape = [self._num_samples, 1, self.networks.latent_size]
        noise = tf.random.stateless_normal(shape, seed)
        return self.networks.rate(*self.networks.encode(x), noise)

    def _probabilities(self, z: tf.Tensor) -> tf.Tensor:
        """p(class|x), the average over codes: [batch, num_classes]."""
        return tf.reduce_mean(self.networks.decode_mean(z), axis=0)

    def _entropy(self, z: tf.Tensor) -> tf.Tensor:
        probabilities = self._probabilities(z)
        entropy = -tf.reduce_sum(tf.math.xlogy(probabilities, probabilities), axis=-1)
        return tf.maximum(entropy, 0.0)  # a probability may be rounded to above 1

    @tf.function
    def serving_default(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Every score, in nats."""
        z, rates = self._codes(inputs, seed)
        return {"rate": as_float32(tf.reduce_mean(rates, axis=0)), "entropy": self._entropy(z)}

    @tf.function
    def rate(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """KL(q(z|x) || m(z)) alone: the mean of log q - log m over the codes drawn."""
        _, rates = self._codes(inputs, seed)
        return {"rate": as_float32(tf.reduce_mean(rates, axis=0))}

    @tf.function
    def entropy(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Entropy of the class probabilities averaged over codes, alone."""
        return {"entropy": self._entropy(self._codes(inputs, seed)[0])}

    @tf.function
    def classify(self, inputs: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Class probabilities averaged over codes, float32 [batch, num_classes]."""
        return {"probabilities": self._probabilities(self._codes(inputs, seed)[0])}


OUTPUTS = {
    "rate": OutputSpec("nats", LOWER_IS_NORMAL, "Rate", main=True),
    "entropy": OutputSpec("nats", LOWER_IS_NORMAL, "Class entropy"),
}


class VibLearner(DescentLearner):
    """Trains a VIB on cross-entropy + beta * rate with Adam and cosine decay.

    Raises UserError where the inputs are no images whose sides divide by 4, or have no class
    labels.
    """

    METRICS = ("loss", "cross_entropy", "rate", "accuracy")

    def __init__(self, config: VibConfig, data: TrainingData, seed: int):
        check_image_spec(data.input_spec)
        num_classes = supervised.num_classes(data)
        make_networks = partial(VibNetworks, config, data.input_spec, num_classes)
        super().__init__(config, make_networks, seed, name="vib_learner")
        self._input_spec = data.input_spec

    def _terms(self, examples, seed, num_samples) -> dict[str, tf.Tensor]:
        """Mean cross-entropy and rate of raw inputs, in nats, and accuracy."""
        x = pixels.scaled(examples.inputs, self._input_spec)
        shape = [num_samples, tf.shape(x)[0], self._config.latent_size]
        noise = tf.random.stateless_normal(shape, seed)
        z, rate = self.networks.rate(*self.networks.encode(x), noise)
        probabilities = tf.reduce_mean(self.networks.decode_mean(z), axis=0)
        return {
            "cross_entropy": tf.reduce_mean(self.networks.distortion(examples.labels, z)),
            "rate": tf.cast(tf.reduce_mean(rate), tf.float32),
            "accuracy": supervised.accuracy(examples.labels, probabilities),
        }

    def losses(self, examples, seed):
        terms = self._terms(examples, seed, self._config.train_samples)
        return {"loss": terms["cross_entropy"] + self._config.beta * terms["rate"], **terms}

    def validate(self, examples, seed):
        return self._terms(examples, seed, NUM_SCORE_SAMPLES)

    def freeze(self):
        module = FrozenVib(self.frozen_networks(), self._input_spec)
        decides = ("rate_mean", "entropy_mean")
        return frozen(module, OUTPUTS, (*OUTPUTS, "classify"), decides=decides)


build = VibLearner
