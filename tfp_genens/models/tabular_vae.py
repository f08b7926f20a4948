"""Variational autoencoder on the rows of a table (paper, section 4.2)."""

import tensorflow as tf

from tfp_genens.artifact.spec import LOWER_IS_NORMAL, OutputSpec
from tfp_genens.data import TrainingData
from tfp_genens.models.configs import BERNOULLI, TabularVaeConfig
from tfp_genens.models.likelihoods import LIKELIHOODS
from tfp_genens.models.networks import Network, check_row_spec, dense_layers
from tfp_genens.models.priors import PRIORS
from tfp_genens.models.tables import PREPROCESSINGS, Preprocessing
from tfp_genens.models.variational import (
    NUM_SCORE_SAMPLES,
    OUT_OF_RANGE_NATS,
    STATISTICS,
    FrozenVariational,
    VariationalLearner,
    VariationalNetworks,
    references_of,
    scores_of_weights,
)
from tfp_genens.seeds import derive_int

ENCODER_BOUND = 20.0
"""The encoder sees b * tanh(x / b): what it says of rows far outside stays bounded, and with it
what the decoder expects, so that rows further out are ever less likely."""


class TabularVaeNetworks(VariationalNetworks):
    """Encoder q(z|x), decoder p(x|z) and prior p(z) of preprocessed rows x [batch, num_columns]."""

    def __init__(self, config: TabularVaeConfig, num_columns: int, seed: int):
        super().__init__(name="tabular_vae")
        self.latent_size = config.latent_size
        self.likelihood = LIKELIHOODS[config.likelihood](num_columns, config.scale)

        def network(name: str, num_inputs: int, hidden_units: int, num_outputs: int) -> Network:
            units = [hidden_units] * config.hidden_layers + [num_outputs]
            return Network(dense_layers(units, seed=derive_int(seed, name)), [num_inputs], name)

        size = config.latent_size
        self.encoder = network("encoder", num_columns, config.encoder_units, 2 * size)
        self.decoder = network("decoder", size, config.decoder_units, self.likelihood.num_outputs)
        self.prior = PRIORS[config.prior](config.latent_size, derive_int(seed, "prior"))

    def encode(self, x):
        bounded = ENCODER_BOUND * tf.math.tanh(x / ENCODER_BOUND)
        return self.posterior(self.encoder(tf.cast(bounded, tf.float32)))

    def column_distortion(self, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """-log p(x_i|z) of each column i, float64 nats [batch, num_columns]."""
        return -self.likelihood.log_prob(x, self.decoder(z))

    def distortion(self, x, z):
        return tf.reduce_sum(self.column_distortion(x, z), axis=-1)

    def decode_mean(self, z):
        return self.likelihood.mean(self.decoder(z))


class Observation:
    """What the networks see of raw rows, and what is added to the distortion for it.

    Under a density, minus the log-determinant of the preprocessing, so that log_prob is that of the
    raw row. A Bernoulli has none; there, values outside the training range are clipped and pay
    OUT_OF_RANGE_NATS a range.
    """

    def __init__(self, preprocessing: Preprocessing, likelihood: str):
        self.preprocessing = preprocessing
        self._is_bernoulli = likelihood == BERNOULLI

    def __call__(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Raw rows [batch, d] -> x float64 [batch, d] and nats [batch]."""
        x, log_det = self.preprocessing.forward(inputs)
        if not self._is_bernoulli:
            return x, -log_det
        clipped = tf.clip_by_value(x, 0.0, 1.0)
        return clipped, OUT_OF_RANGE_NATS * tf.reduce_sum(tf.abs(x - clipped), axis=-1)


COLUMN_STATISTICS = {
    "largest_distortion": OutputSpec("nats", LOWER_IS_NORMAL, "Largest distortion of a column"),
    "distortion_norm": OutputSpec(
        "nats", LOWER_IS_NORMAL, "Norm of the columns' distortions", statistic=True
    ),
}
"""Of the columns' distortions at the posterior's mean: few odd columns do not drown in a sum.

Which of them decides is the choice of docs/protocol.md.
"""


class FrozenTabularVae(FrozenVariational):
    """The VAE on rows as it is exported: inputs in raw units."""

    STATISTICS = {**STATISTICS, **COLUMN_STATISTICS}  # noqa: RUF012

    def __init__(
        self,
        networks: TabularVaeNetworks,
        observation: Observation,
        num_samples: int = NUM_SCORE_SAMPLES,
    ):
        super().__init__(networks, num_samples, name="frozen_tabular_vae")
        self._observation = observation

    def _observe(self, inputs, seed):
        return self._observation(inputs)

    def _own_statistics(self, inputs, x, loc):
        distortion = self.networks.column_distortion(x, loc)
        return {
            "largest_distortion": tf.reduce_max(distortion, axis=-1),
            "distortion_norm": tf.norm(distortion, axis=-1),
        }

    def _raw(self, x):
        return self._observation.preprocessing.inverse(x)


class TabularVaeLearner(VariationalLearner):
    """Trains a VAE on the rows [num_columns] of a table; `preprocessing` is fitted on them."""

    def __init__(
        self, config: TabularVaeConfig, preprocessing: Preprocessing, num_columns: int, seed: int
    ):
        self._observation = Observation(preprocessing, config.likelihood)

        def make_networks(precision: str, seed: int) -> TabularVaeNetworks:
            # Nothing is large enough for another precision than float32.
            return TabularVaeNetworks(config, num_columns, seed)

        super().__init__(config, make_networks, seed, name="tabular_vae_learner")

    def _observe(self, inputs, seed):
        return self._observation(inputs)

    def validate(self, examples, seed):
        """log_prob is the bound that scores have: of raw rows, comparable between settings."""
        scores = scores_of_weights(*self._weights(examples.inputs, seed, NUM_SCORE_SAMPLES))
        return {name: tf.reduce_mean(values) for name, values in scores.items()}

    def frozen_module(self):
        return FrozenTabularVae(self.frozen_networks(), self._observation)


def build(config: TabularVaeConfig, data: TrainingData, seed: int) -> TabularVaeLearner:
    """A VAE for table rows, preprocessing fitted on `data.train`; UserError for other inputs."""
    check_row_spec(data.input_spec)
    preprocessing = PREPROCESSINGS[config.preprocessing](data.train)
    learner = TabularVaeLearner(config, preprocessing, data.input_spec.shape[0], seed)
    learner.references = references_of(data, seed)
    return learner
