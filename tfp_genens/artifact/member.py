"""One frozen member: a SavedModel called through its signatures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_genens.artifact.manifest import SAVED_MODEL
from tfp_genens.artifact.spec import OutputSpec
from tfp_genens.errors import UserError
from tfp_genens.seeds import derive_seed

DEFAULT = "serving_default"
_DTYPES = {
    **{"inputs": np.float32, "weights": np.float32},
    **{"seed": np.int32, "num": np.int32, "member": np.int32},
}


def scoring_seed(run_seed: int, member: int) -> np.ndarray:
    """The seed of a member's scoring noise, int32 [2]: members get different ones."""
    return derive_seed(run_seed, "score", member)


def call(model: Any, signature: str, arguments: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Calls a signature of a loaded SavedModel with NumPy arrays, or what becomes one."""
    tensors = {n: tf.constant(np.asarray(x, _DTYPES[n])) for n, x in arguments.items()}
    return {name: x.numpy() for name, x in model.signatures[signature](**tensors).items()}


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

    def call(self, signature: str, **arguments: Any) -> dict[str, np.ndarray]:
        """Calls a signature with those of `arguments` that it takes.

        Raises:
          UserError: the model has no such signature.
        """
        if signature not in self._signatures:
            expected = f"a model with a signature {signature!r}"
            raise UserError(str(self.directory), expected, "only " + ", ".join(self.functions))
        taken = {name: arguments[name] for name in self._signatures[signature]["arguments"]}
        return call(self._model, signature, taken)

    def score(self, values: np.ndarray, seed: np.ndarray) -> dict[str, np.ndarray]:
        """Scores of raw inputs.

        Args:
          values: [batch, *event_shape], on the scale people have their data in.
          seed: int32 [2].

        Returns:
          score name -> float64 [batch].
        """
        result = self.call(DEFAULT, inputs=values, seed=seed)
        return {name: result[name].astype(np.float64) for name in self.outputs}
