"""What a model family offers to training: the whole of what the training loop knows of models."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfp_genens.artifact.frozen import Frozen
from tfp_genens.data.datasets import TrainingData

if TYPE_CHECKING:
    from tfp_genens.artifact.member import Member


class Examples(NamedTuple):
    """Raw inputs [batch, *event_shape]; labels int64 [batch] where the training set has them."""

    inputs: tf.Tensor
    labels: tf.Tensor | None = None

    def map(self, function: Callable[[Any], tf.Tensor]) -> Examples:
        """`function` of the inputs and, where there are any, of the labels."""
        return Examples(
            function(self.inputs), None if self.labels is None else function(self.labels)
        )


Batches = Callable[[tf.Tensor], Examples]
"""Batch number, int64 [] -> training examples; a pure function."""


@dataclasses.dataclass(frozen=True)
class Phase:
    """A stretch of training, e.g. a GAN's adversarial phase or its fine-tuning.

    Attributes:
      name: unique among the learner's phases.
      num_steps: how many steps it has.
      metrics: names of what `step` returns; "loss" must be among them.
      step: (step within the phase, int64 []; stateless seed, int32 [2]; batches) -> scalars. Runs
        inside a tf.function; updates the learner's variables.
      validation: those of the learner's validation scalars that tell something in this phase;
        None: all.
      validate_every: steps between validations, a multiple of training.loop.LOG_EVERY; the phase's
        last step is validated in any case.
      pace_from: steps before the pace is stable.
    """

    name: str
    num_steps: int
    metrics: tuple[str, ...]
    step: Callable[[tf.Tensor, tf.Tensor, Batches], Mapping[str, tf.Tensor]]
    validation: tuple[str, ...] | None = None
    validate_every: int = 500
    pace_from: int = 0


class Learner(tf.Module, abc.ABC):
    """A model with its optimizers: everything that a checkpoint must hold."""

    @abc.abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The phases of training, in order; none where the model was fitted as it was built."""

    @abc.abstractmethod
    def state_variables(self) -> Sequence[tf.Variable]:
        """Weights and optimizer state: what must be finite for a checkpoint to be worth saving."""

    @abc.abstractmethod
    def validate(self, examples: Examples, seed: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Scalars measured on held-out examples."""

    def summary_images(self, inputs: tf.Tensor, seed: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Pictures for TensorBoard: name -> [num, height, width, channels] in [0, 1]."""
        return {}

    def is_normal(self, data: TrainingData) -> np.ndarray:
        """Which of the held-out examples p-values may be calibrated on: bool [num_validation]."""
        return np.ones(len(data.validation), bool)

    @abc.abstractmethod
    def freeze(self) -> Frozen:
        """The model as it is exported."""

    def checks(self, member: Member, data: TrainingData, seed: np.ndarray) -> dict[str, Any]:
        """What the family checks of a finished model before a user relies on it.

        Args:
          member: the exported artefact.
          data: what it was trained on, and what was held out.
          seed: of its scoring noise, int32 [2].

        Returns:
          JSON values for the manifest's "checks". Under "warnings", sentences that training shows
          to the user.
        """
        return {}
