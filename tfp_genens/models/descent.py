"""What the families share that descend one loss with one optimizer."""

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from tfp_genens.config import ModelConfig
from tfp_genens.models.freezing import with_values_of
from tfp_genens.models.learner import Batches, Examples, Learner, Phase


def adam(config: ModelConfig) -> tf_keras.optimizers.legacy.Optimizer:
    """Adam whose learning rate falls to zero along a cosine (paper, appendix B)."""
    schedule = tf_keras.optimizers.schedules.CosineDecay(config.learning_rate, config.train_steps)
    return tf_keras.optimizers.legacy.Adam(schedule, epsilon=1e-8)


def descend(
    optimizer: tf_keras.optimizers.legacy.Optimizer,
    tape: tf.GradientTape,
    loss: tf.Tensor,
    variables: Sequence[tf.Variable],
) -> None:
    """One update of `variables`, by the gradient of what `tape` has seen."""
    gradients = tape.gradient(loss, variables)
    optimizer.apply_gradients(zip(gradients, variables, strict=True))


class DescentLearner(Learner):
    """Descends the loss of its networks.

    Args:
      make_networks: (precision, seed of the initial weights) -> the networks.
      seed: of the initial weights.
      optimizer: what updates them; a legacy one, whose update is one fused operation a variable.
        Default: `adam`.

    Attributes:
      METRICS: names of what `losses` returns.
    """

    METRICS: tuple[str, ...]

    def __init__(
        self,
        config: Any,
        make_networks: Callable[[str, int], Any],
        seed: int,
        *,
        name: str,
        optimizer: tf_keras.optimizers.legacy.Optimizer | None = None,
    ):
        super().__init__(name=name)
        self._config = config
        self._make_networks = make_networks
        self.networks = make_networks(config.precision, seed)
        self.optimizer = optimizer or adam(config)
        self.optimizer._create_all_weights(self.networks.trainable_variables)

    @abc.abstractmethod
    def losses(self, examples: Examples, seed: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Scalars of a training step; the one named "loss" is descended."""

    def state_variables(self):
        return [*self.networks.variables, *self.optimizer.variables()]

    def phases(self):
        return [Phase("train", self._config.train_steps, self.METRICS, self._train_step)]

    def _train_step(self, step, seed, batches: Batches) -> Mapping[str, tf.Tensor]:
        examples = batches(step)
        with tf.GradientTape() as tape:
            losses = self.losses(examples, seed)
        descend(self.optimizer, tape, losses["loss"], self.networks.trainable_variables)
        return losses

    def frozen_networks(self) -> Any:
        """A copy of the networks in float32."""
        return with_values_of(self.networks, self._make_networks("float32", 0))
