"""A model without anything that trains it: what a family hands over to be exported."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfp_genens.artifact.spec import OutputSpec


@dataclasses.dataclass(frozen=True)
class FrozenFunction:
    """One function of the frozen artefact.

    Attributes:
      function: a tf.function of the frozen module, taking the arguments that `arguments` names.
      arguments: of "inputs" (raw inputs), "seed" (int32 [2]), "num" (int32 []), "weights" (of
        statistics, float32 [batch, num_statistics]).
      outputs: the scores among its outputs, float [batch]; empty for functions that return
        something else (samples, gradients).
      gradient_of: the output whose gradient with respect to raw inputs it returns as "gradient",
        beside the output itself; "statistics" for that of their weighted sum; None for any other
        function.
    """

    function: Any
    arguments: tuple[str, ...]
    outputs: Mapping[str, OutputSpec] = dataclasses.field(default_factory=dict)
    gradient_of: str | None = None


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A model without anything that trains it: what is exported.

    Attributes:
      module: holds the variables and the functions as attributes of the same names.
      functions: name -> function. "serving_default" computes every score; "reconstruct", "sample"
        and "classify", where there are such, do what they say.
      decides: names of ensemble scores that p-values may be made of; the first that can be
        computed is.
    """

    module: tf.Module
    functions: Mapping[str, FrozenFunction]
    decides: tuple[str, ...] = ()
