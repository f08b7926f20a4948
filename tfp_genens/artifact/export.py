"""Writing a member's SavedModel, and describing it for the manifest."""

import inspect
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfp_genens.artifact.frozen import Frozen
from tfp_genens.artifact.spec import InputSpec


def export_saved_model(frozen: Frozen, input_spec: InputSpec, directory: Path) -> None:
    """Writes a member's SavedModel; an existing one is replaced only when the new one is complete.

    Signatures take float32 inputs; the restored object's functions of the same names also take
    the inputs' natural dtype.
    """
    signatures, callables = {}, {}
    for name, entry in frozen.functions.items():
        signatures[name] = entry.function.get_concrete_function(
            *_argument_specs(entry.arguments, input_spec.shape, "float32")
        )
        callables[name] = _casting(signatures[name], entry.arguments)
        for dtype in {"float32", input_spec.dtype if entry.outputs else "float32"}:
            callables[name].get_concrete_function(
                *_argument_specs(entry.arguments, input_spec.shape, dtype)
            )
    # Only variables and functions are saved, no layer objects: quicker to write and to load, and
    # nothing in the file asks for Keras or TensorFlow Probability.
    exported = tf.Module()
    exported.weights = list(frozen.module.variables)
    for name, function in callables.items():
        setattr(exported, name, function)
    save(exported, signatures, directory)


def _casting(concrete: Any, arguments: tuple[str, ...]) -> Any:
    """A tf.function of the same arguments that casts "inputs" and calls `concrete`.

    So a model is traced once, whatever number of dtypes it takes.
    """

    def call(*values: tf.Tensor) -> Any:
        given = dict(zip(arguments, values, strict=True))
        if "inputs" in given:
            given["inputs"] = tf.cast(given["inputs"], tf.float32)
        return concrete(**given)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in arguments]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return tf.function(call, autograph=False)


def save(module: tf.Module, signatures: Mapping[str, Any], directory: Path) -> None:
    """Writes a SavedModel beside `directory`, then puts it in its place."""
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.partial")
    tf.saved_model.save(module, str(temporary), signatures=signatures)
    shutil.rmtree(directory, ignore_errors=True)
    os.replace(temporary, directory)


def _argument_specs(
    arguments: tuple[str, ...], shape: tuple[int, ...], dtype: str
) -> list[tf.TensorSpec]:
    specs = {
        "inputs": tf.TensorSpec([None, *shape], dtype, "inputs"),
        "seed": tf.TensorSpec([2], tf.int32, "seed"),
        "num": tf.TensorSpec([], tf.int32, "num"),
        "weights": tf.TensorSpec([None, None], tf.float32, "weights"),
    }
    return [specs[name] for name in arguments]


def describe_signatures(frozen: Frozen, input_spec: InputSpec) -> dict[str, Any]:
    """The manifest's "signatures": arguments, what each score is, and what a gradient is of."""
    return {
        name: {
            "arguments": {
                spec.name: {"shape": spec.shape.as_list(), "dtype": spec.dtype.name}
                for spec in _argument_specs(entry.arguments, input_spec.shape, "float32")
            },
            "outputs": {score: spec.to_json() for score, spec in entry.outputs.items()},
            "gradient_of": entry.gradient_of,
        }
        for name, entry in frozen.functions.items()
    }
