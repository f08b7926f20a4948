"""What the classical methods have in common: fitted when they are built, one score, frozen."""

import abc
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.preprocessing import StandardScaler

from tfp_genens.artifact.spec import InputSpec, OutputSpec
from tfp_genens.config import FamilyConfig
from tfp_genens.data import TrainingData
from tfp_genens.errors import UserError
from tfp_genens.models.configs import ReferenceConfig
from tfp_genens.models.family import Build
from tfp_genens.models.freezing import as_float32, frozen
from tfp_genens.models.learner import Learner
from tfp_genens.seeds import numpy_generator


class Features(tf.Module):
    """Flattens inputs; table columns get mean 0 and variance 1, pixels the range 0 to 1.

    Only `train` [num_train, *event_shape] is looked at. A column that is constant there is only
    shifted: a deviation counts in raw units.
    """

    def __init__(self, train: np.ndarray, input_spec: InputSpec):
        super().__init__(name="features")
        if input_spec.value_range is None:
            scaler = StandardScaler().fit(train.reshape(len(train), -1).astype(np.float64))
            shift, scale = scaler.mean_, scaler.scale_
        else:
            low, high = input_spec.value_range
            shift, scale = np.float64(low), np.float64(high - low)
        self.num_features = int(np.prod(input_spec.shape))
        self.shift = tf.Variable(shift, dtype=tf.float64, trainable=False)
        self.scale = tf.Variable(scale, dtype=tf.float64, trainable=False)

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        """Raw inputs [batch, *event_shape] -> float64 [batch, num_features]."""
        flat = tf.reshape(inputs, [-1, self.num_features])
        return (tf.cast(flat, tf.float64) - self.shift) / self.scale


class Detector(tf.Module, abc.ABC):
    """A fitted method; all that it has learned is in variables, so that it can be frozen."""

    @abc.abstractmethod
    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Features, float64 [batch, num_features] -> the score, float64 [batch]."""


Fit = Callable[[Any, np.ndarray, int], Detector]
"""(configuration, features of the training rows float64 [num_train, num_features], seed of the
member) -> the fitted method."""


class FrozenDetector(tf.Module):
    """A detector as it is exported: its score of raw inputs."""

    def __init__(self, features: Features, detector: Detector, output: str):
        super().__init__(name="frozen_detector")
        self.features = features
        self.detector = detector
        self._output = output

    @tf.function
    def serving_default(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """The score, float32 [batch], cut off where float32 would overflow."""
        return {self._output: as_float32(self.detector(self.features(inputs)))}


class FittedLearner(Learner):
    """A learner with nothing left to learn: no phases."""

    def __init__(self, module: FrozenDetector, output: str, spec: OutputSpec):
        super().__init__(name="fitted_learner")
        self._module = module
        self._output = output
        self._spec = spec

    def phases(self):
        return ()

    def state_variables(self):
        return self._module.variables

    def validate(self, examples, seed):
        """The mean score of held-out examples."""
        scores = self._module.serving_default(examples.inputs)
        return {self._output: tf.reduce_mean(scores[self._output])}

    def freeze(self):
        outputs = {self._output: self._spec}
        return frozen(self._module, outputs, decides=(f"{self._output}_mean",))


def builder(fit: Fit, output: str, unit: str, direction: str, label: str) -> Build:
    """What the registry needs of a method: its `build`; the rest describes its one score."""

    def build(config: FamilyConfig, data: TrainingData, seed: int) -> FittedLearner:
        features = Features(data.train, data.input_spec)
        detector = fit(config, features(tf.constant(data.train)).numpy(), seed)
        module = FrozenDetector(features, detector, output)
        return FittedLearner(module, output, OutputSpec(unit, direction, label, main=True))

    return build


def draw_references(config: ReferenceConfig, x: np.ndarray, seed: int) -> np.ndarray:
    """`num_reference` rows of x [num_train, num_features] without replacement, in their order.

    Rounded to float32, as they are stored.
    """
    if len(x) > config.num_reference:
        generator = numpy_generator(seed, "reference")
        x = x[np.sort(generator.choice(len(x), config.num_reference, replace=False))]
    return x.astype(np.float32)


def check_num_neighbors(num_neighbors: int, num_available: int) -> None:
    """Raises UserError unless there are so many rows to be neighbours."""
    if num_neighbors > num_available:
        expected = f"at most {num_available:,}, for as many training rows can be neighbours"
        raise UserError("--num_neighbors", expected, str(num_neighbors))
