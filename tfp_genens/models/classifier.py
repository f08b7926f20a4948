"""An image classifier judged by its own confidence: ODIN and the maximum softmax probability.

ODIN (Liang et al. 2017) is the baseline of the paper's Table 2, which takes its numbers from there.
Here it is measured over a classifier of our own, whose convolutions are those of the VAE's encoder.
What Liang et al. choose with out-of-distribution images, this does not: the temperature stays at
1000, and the size of the input's perturbation is chosen, as in Hsu et al. (2020, Generalized ODIN),
on held-out in-distribution images alone.
"""

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, InputSpec, OutputSpec
from tfp_genens.data import TrainingData
from tfp_genens.models import pixels, supervised
from tfp_genens.models.configs import PERTURBATIONS, ClassifierConfig
from tfp_genens.models.descent import DescentLearner
from tfp_genens.models.freezing import frozen
from tfp_genens.models.networks import check_image_spec, convolutional_encoder, linear
from tfp_genens.seeds import derive_int

NUM_TUNING = 1000
"""Held-out images that it is chosen on, at most."""


class ClassifierNetworks(tf.Module):
    """Images to logits of classes; `precision` is of the convolutions."""

    def __init__(
        self,
        config: ClassifierConfig,
        input_spec: InputSpec,
        num_classes: int,
        precision: str,
        seed: int,
    ):
        super().__init__(name="classifier")
        self._dropout = config.dropout
        self.features = convolutional_encoder(
            input_spec.shape,
            base_depth=config.base_depth,
            code_depth=config.code_depth,
            dense_units=[],
            precision=precision,
            seed=derive_int(seed, "features"),
            name="features",
        )
        self.head = linear(config.code_depth, num_classes, seed=seed, name="head")

    def logits(self, x: tf.Tensor, dropout_seed: tf.Tensor | None = None) -> tf.Tensor:
        """Images in [0, 1] -> float32 [batch, num_classes]; without a seed nothing is dropped."""
        features = self.features(2.0 * x - 1.0)
        return self.head(supervised.dropped_out(features, self._dropout, dropout_seed))


def log_max_softmax(logits: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """log max_c softmax(logits / temperature)_c, float64 [batch]."""
    return tf.reduce_max(tf.nn.log_softmax(tf.cast(logits, tf.float64) / temperature), axis=-1)


class FrozenClassifier(tf.Module):
    """The classifier as it is exported: scores of raw inputs. They are deterministic.

    `temperature` and `perturbation` (in units of the pixels' range) are ODIN's.
    """

    def __init__(
        self,
        networks: ClassifierNetworks,
        input_spec: InputSpec,
        temperature: float,
        perturbation: float,
    ):
        super().__init__(name="frozen_classifier")
        self.networks = networks
        self._input_spec = input_spec
        self._temperature = temperature
        # A variable, because it is chosen for each member.
        self._perturbation = tf.Variable(perturbation, trainable=False, dtype=tf.float32)

    def _max_softmax(self, x: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.exp(log_max_softmax(self.networks.logits(x))), tf.float32)

    def ascent(self, x: tf.Tensor) -> tf.Tensor:
        """The sign of d log max_c softmax(logits / temperature)_c / dx, for images in [0, 1]."""
        with tf.GradientTape() as tape:
            tape.watch(x)
            score = log_max_softmax(self.networks.logits(x), self._temperature)
        return tf.sign(tape.gradient(score, x))

    def odin_after(self, x: tf.Tensor, ascent: tf.Tensor, perturbation: Any) -> tf.Tensor:
        """max softmax at the temperature after a step of that size, float64 [batch].

        The image after the step is not clipped to [0, 1], as in Liang et al. (2017).
        """
        logits = self.networks.logits(x + perturbation * ascent)
        return tf.exp(log_max_softmax(logits, self._temperature))

    def _odin(self, x: tf.Tensor) -> tf.Tensor:
        return tf.cast(self.odin_after(x, self.ascent(x), self._perturbation), tf.float32)

    @tf.function
    def serving_default(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Every score."""
        x = pixels.observed(inputs, self._input_spec)
        return {"max_softmax": self._max_softmax(x), "odin": self._odin(x)}

    @tf.function
    def max_softmax(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The highest class probability alone (Hendrycks and Gimpel 2017); takes no gradient.

        A float32 probability: inputs whose best class leads by more than about 16 nats tie at 1.
        """
        return {"max_softmax": self._max_softmax(pixels.observed(inputs, self._input_spec))}

    @tf.function
    def odin(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """ODIN alone: the highest class probability at the temperature, after the step."""
        return {"odin": self._odin(pixels.observed(inputs, self._input_spec))}

    @tf.function
    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Class probabilities, float32 [batch, num_classes]."""
        logits = self.networks.logits(pixels.observed(inputs, self._input_spec))
        return {"probabilities": tf.nn.softmax(logits)}

    @tf.function
    def odin_settings(self) -> dict[str, tf.Tensor]:
        """What ODIN was computed with: temperature, and perturbation in units of the range."""
        return {
            "temperature": tf.constant(self._temperature, tf.float32),
            "perturbation": tf.identity(self._perturbation),
        }


OUTPUTS = {
    "max_softmax": OutputSpec("probability", HIGHER_IS_NORMAL, "Maximum softmax", main=True),
    "odin": OutputSpec("probability", HIGHER_IS_NORMAL, "ODIN", main=True),
}


def choose_perturbation(
    module: FrozenClassifier,
    images: tf.Tensor,
    candidates: Sequence[float] = PERTURBATIONS,
    batch_size: int = 100,
) -> float:
    """The candidate with the highest mean ODIN score on in-distribution images (Hsu et al. 2020).

    Images are scaled to [0, 1]; candidates increase, and the first of the best is taken. The
    module's own perturbation plays no part.
    """

    @tf.function
    def sums(x: tf.Tensor) -> tf.Tensor:
        ascent = module.ascent(x)
        return tf.stack([tf.reduce_sum(module.odin_after(x, ascent, c)) for c in candidates])

    total = tf.zeros([len(candidates)], tf.float64)
    for start in range(0, int(images.shape[0]), batch_size):
        total += sums(images[start : start + batch_size])
    return candidates[int(tf.argmax(total))]


class ClassifierLearner(DescentLearner):
    """Trains by cross-entropy with Adam and cosine decay.

    ODIN's perturbation is chosen on the held-out images of `data`. Raises UserError where the
    inputs are no images whose sides divide by 4, or have no class labels.
    """

    METRICS = ("loss", "accuracy")

    def __init__(self, config: ClassifierConfig, data: TrainingData, seed: int):
        check_image_spec(data.input_spec)
        num_classes = supervised.num_classes(data)
        make_networks = partial(ClassifierNetworks, config, data.input_spec, num_classes)
        super().__init__(config, make_networks, seed, name="classifier_learner")
        self._input_spec = data.input_spec
        self._tuning_images = data.tuning[:NUM_TUNING]

    def losses(self, examples, seed):
        x = pixels.scaled(examples.inputs, self._input_spec)
        logits = self.networks.logits(x, dropout_seed=seed)
        loss = tf.reduce_mean(supervised.cross_entropy(examples.labels, logits))
        return {"loss": loss, "accuracy": supervised.accuracy(examples.labels, logits)}

    def validate(self, examples, seed):
        logits = self.networks.logits(pixels.scaled(examples.inputs, self._input_spec))
        return {
            "cross_entropy": tf.reduce_mean(supervised.cross_entropy(examples.labels, logits)),
            "accuracy": supervised.accuracy(examples.labels, logits),
        }

    def freeze(self):
        networks = self.frozen_networks()
        temperature = self._config.odin_temperature
        perturbation = self._config.odin_perturbation
        if perturbation is None:
            perturbation = choose_perturbation(
                FrozenClassifier(networks, self._input_spec, temperature, 0.0),
                pixels.scaled(self._tuning_images, self._input_spec),
            )
            print(
                f"ODIN: perturbation {perturbation:g}, chosen on {len(self._tuning_images):,} "
                "held-out in-distribution images",
                file=sys.stderr,
            )
        module = FrozenClassifier(networks, self._input_spec, temperature, perturbation)
        also = (*OUTPUTS, "classify", "odin_settings")
        return frozen(module, OUTPUTS, also, decides=("odin_mean", "max_softmax_mean"))


build = ClassifierLearner
