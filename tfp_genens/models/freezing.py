"""What families share when they freeze a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import tensorflow as tf

from tfp_genens.artifact.frozen import FrozenFunction
from tfp_genens.artifact.spec import OutputSpec

ModuleT = TypeVar("ModuleT", bound=tf.Module)


def as_float32(x: tf.Tensor) -> tf.Tensor:
    """float64 -> float32 without overflow to infinity."""
    limit = tf.float32.max
    return tf.cast(tf.clip_by_value(x, -limit, limit), tf.float32)


def with_values_of(trained: tf.Module, copy: ModuleT) -> ModuleT:
    """`copy`, with its variables set to those of `trained`, which was built like it."""
    for new, old in zip(copy.variables, trained.variables, strict=True):
        new.assign(old)
    return copy


def score_functions(
    module: Any, arguments: tuple[str, ...], outputs: Mapping[str, OutputSpec]
) -> dict[str, FrozenFunction]:
    """All scores together, and each alone: methods of `module` named after the scores."""
    return {
        "serving_default": FrozenFunction(module.serving_default, arguments, outputs),
        **{
            name: FrozenFunction(getattr(module, name), arguments, {name: spec})
            for name, spec in outputs.items()
        },
    }
