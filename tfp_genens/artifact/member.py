"""One frozen member: a SavedModel called through its signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_genens.artifact.manifest import SAVED_MODEL
from tfp_genens.artifact.spec import OutputSpec
from tfp_genens.errors import UserError
from tfp_genens.seeds import derive_seed

DEFAULT = "serving_default"


def scoring_seed(run_seed: int, member: int) -> np.ndarray:
    """The seed of a member's scoring noise, int32 [2]: members get different ones."""
    return derive_seed(run_seed, "score", member)


class Member:
    """A loaded SavedModel.

    Args:
      directory: the member's directory.
      manifest: its manifest; "signatures" and "member" are read.

    Attributes:
      outputs: the scores it computes, name -> OutputSpec.
      functions: names of its signatures.
    """

    def __init__(self, directory: Path, manifest: Mapping[str, Any]):
        self.manifest = manifest
        self.directory = directory
        self._signatures = manifest["signatures"]
        self.functions = tuple(self._signatures)
        self.outputs = {
            name: OutputSpec.from_json(fields)
            for name, fields in self._signatures[DEFAULT]["outputs"].items()
        }
        # The loaded object must be kept: its signatures hold its variables weakly.
        self._model = tf.saved_model.load(str(directory / SAVED_MODEL))

    def signature_for(self, outputs: Sequence[str]) -> str:
        """The signature that computes these scores and the fewest others."""
        covering = [
            name
            for name, fields in self._signatures.items()
            if set(outputs) <= set(fields["outputs"])
        ]
        if not covering:
            raise UserError("--outputs", "some of " + ", ".join(self.outputs), ", ".join(outputs))
        return min(covering, key=lambda name: len(self._signatures[name]["outputs"]))

    def call(self, signature: str, **arguments: Any) -> dict[str, np.ndarray]:
        """Calls a signature with those of `arguments` that it takes.

        Raises:
          UserError: the model has no such signature.
        """
        if signature not in self._signatures:
            raise UserError(
                str(self.directory),
                f"a model with a signature {signature!r}",
                "only " + ", ".join(self.functions),
            )
        dtypes = {"inputs": np.float32, "seed": np.int32, "num": np.int32}
        taken = {
            name: tf.constant(np.asarray(arguments[name], dtypes[name]))
            for name in self._signatures[signature]["arguments"]
        }
        result = self._model.signatures[signature](**taken)
        return {name: tensor.numpy() for name, tensor in result.items()}

    def score(
        self, values: np.ndarray, seed: np.ndarray, outputs: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Scores of raw inputs.

        Args:
          values: [batch, *event_shape], on the scale people have their data in.
          seed: int32 [2].
          outputs: which scores; all where None.

        Returns:
          score name -> float64 [batch].
        """
        names = list(self.outputs if outputs is None else outputs)
        result = self.call(self.signature_for(names), inputs=values, seed=seed)
        return {name: result[name].astype(np.float64) for name in names}
