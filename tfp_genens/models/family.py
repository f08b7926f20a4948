"""A row of the registry of models. Nothing here loads TensorFlow."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tfp_genens.config import FamilyConfig

if TYPE_CHECKING:
    from tfp_genens.data import TrainingData
    from tfp_genens.models.learner import Learner

IMAGES = "images"
ROWS = "rows"
INPUT_KINDS = (IMAGES, ROWS)
"""Images [height, width, channels], and rows [features] of a table."""

Build = Callable[[Any, "TrainingData", int], "Learner"]
"""(config, training data, seed of the member) -> Learner. Raises UserError where the data do not
suit the model."""


@dataclasses.dataclass(frozen=True)
class Family:
    """A model family.

    Attributes:
      config: its configuration class; the fields are its flags.
      build: makes a member ready to be trained.
      takes: the kinds of inputs it is for, of INPUT_KINDS; `build` refuses others.
      num_members: members where the user names no number; 1 where all would be alike.
      members_differ: (config, training data) -> whether anything in a member is random; where
        not, no more than one is trained.
    """

    config: type[FamilyConfig]
    build: Build
    takes: tuple[str, ...] = (IMAGES,)
    num_members: int = 5
    members_differ: Callable[[Any, TrainingData], bool] = lambda config, data: True


def imported(path: str) -> Build:
    """`build` of a module below `tfp_genens.models`, imported when it is first called."""

    def build(config: Any, data: TrainingData, seed: int) -> Learner:
        module = importlib.import_module(f"tfp_genens.models.{path}")
        return module.build(config, data, seed)

    return build
