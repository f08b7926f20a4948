"""A binary classifier of table rows that has seen outliers: the Classifier of the paper's Table 3.

Two hidden layers of 512 ReLUs with dropout, weighted sigmoid cross-entropy and RMSProp, as section
4.2 says. It does not state the share dropped, the batch size or how long to train; those are ours.
"""

from functools import partial

import tensorflow as tf
import tf_keras
from tf_keras import layers as tfkl

from tfp_genens.artifact.spec import LOWER_IS_NORMAL, OutputSpec
from tfp_genens.data import TrainingData
from tfp_genens.errors import UserError
from tfp_genens.models import supervised
from tfp_genens.models.configs import FraudClassifierConfig
from tfp_genens.models.descent import DescentLearner
from tfp_genens.models.freezing import frozen
from tfp_genens.models.networks import check_row_spec, initializer
from tfp_genens.models.tables import Preprocessing, fit_standard


class FraudNetworks(tf.Module):
    """Raw rows to logits of being an outlier.

    `preprocessing` is finite far outside the training rows that it is fitted on, and so are the
    logits; `precision` is of the hidden layers.
    """

    def __init__(
        self,
        config: FraudClassifierConfig,
        preprocessing: Preprocessing,
        num_features: int,
        precision: str,
        seed: int,
    ):
        super().__init__(name="fraud_classifier")
        self._dropout = config.dropout
        self._preprocessing = preprocessing
        self.hidden = [
            tfkl.Dense(
                config.hidden_units,
                activation="relu",
                kernel_initializer=initializer(seed, i),
                dtype=tf_keras.mixed_precision.Policy(precision),
            )
            for i in range(2)
        ]
        self.output = tfkl.Dense(1, kernel_initializer=initializer(seed, 2), dtype="float32")
        self.logits(tf.zeros([1, num_features]))

    def logits(self, rows: tf.Tensor, dropout_seed: tf.Tensor | None = None) -> tf.Tensor:
        """Raw rows [batch, num_features] -> float32 [batch]; without a seed nothing is dropped."""
        standardised, _ = self._preprocessing.forward(rows)
        x = tf.cast(standardised, tf.float32)
        seeds = [None, None] if dropout_seed is None else tf.unstack(tf.random.split(dropout_seed))
        for layer, seed in zip(self.hidden, seeds, strict=True):
            x = supervised.dropped_out(layer(x), self._dropout, seed)
        return self.output(tf.cast(x, tf.float32))[:, 0]


def is_outlying(labels: tf.Tensor) -> tf.Tensor:
    """Label 0 is normal, any other outlying: float32 0 or 1 [batch]."""
    return tf.cast(labels > 0, tf.float32)


def weighted_cross_entropy(
    labels: tf.Tensor, logits: tf.Tensor, positive_weight: float
) -> tf.Tensor:
    """Mean over rows of the sigmoid cross-entropy, nats, an outlying row's times the weight."""
    return tf.reduce_mean(
        tf.nn.weighted_cross_entropy_with_logits(is_outlying(labels), logits, positive_weight)
    )


class FrozenFraudClassifier(tf.Module):
    """The classifier as it is exported: logits of raw rows. They are deterministic."""

    def __init__(self, networks: FraudNetworks):
        super().__init__(name="frozen_fraud_classifier")
        self.networks = networks

    @tf.function
    def serving_default(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The logit of being an outlier, of a world in which outliers weigh `positive_weight`."""
        return {"fraud": self.networks.logits(inputs)}


OUTPUTS = {"fraud": OutputSpec("logits", LOWER_IS_NORMAL, "Classifier", main=True)}


class FraudClassifierLearner(DescentLearner):
    """Trains by weighted sigmoid cross-entropy with RMSProp.

    Of the labels, 0 is normal, any other outlying. Features are standardised by the training rows.
    Raises UserError where the inputs are no rows, or not both normal and outlying ones, or none
    held out is normal.
    """

    METRICS = ("loss",)

    def __init__(self, config: FraudClassifierConfig, data: TrainingData, seed: int):
        check_row_spec(data.input_spec)
        labels, held_out_labels = supervised.labels_of(data)
        if not (labels == 0).any():
            raise UserError("--dataset", "normal rows too, labelled 0", "none among those to train")
        if not (held_out_labels == 0).any():
            raise UserError("--validation_fraction", "normal rows among those held out", "none")
        num_features = data.input_spec.shape[0]
        make_networks = partial(FraudNetworks, config, fit_standard(data.train), num_features)
        optimizer = tf_keras.optimizers.legacy.RMSprop(config.learning_rate)
        super().__init__(
            config, make_networks, seed, name="fraud_classifier_learner", optimizer=optimizer
        )
        self._held_out_outliers = data.validation[held_out_labels > 0]

    def _loss(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return weighted_cross_entropy(labels, logits, self._config.positive_weight)

    def losses(self, examples, seed):
        logits = self.networks.logits(examples.inputs, dropout_seed=seed)
        return {"loss": self._loss(examples.labels, logits)}

    def validate(self, examples, seed):
        values = {"loss": self._loss(examples.labels, self.networks.logits(examples.inputs))}
        # Of all that were held out: among a few hundred rows there may be none.
        if len(self._held_out_outliers):
            flagged = self.networks.logits(self._held_out_outliers) > 0.0
            values["true_positive_rate"] = tf.reduce_mean(tf.cast(flagged, tf.float32))
        return values

    def is_normal(self, data):
        _, held_out_labels = supervised.labels_of(data)
        return held_out_labels == 0

    def freeze(self):
        module = FrozenFraudClassifier(self.frozen_networks())
        return frozen(module, OUTPUTS, decides=("fraud_mean",))


build = FraudClassifierLearner
