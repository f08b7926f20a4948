"""What families share when they freeze a model."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import tensorflow as tf

from tfp_genens.artifact.frozen import Frozen, FrozenFunction
from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, OutputSpec

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


def gradient_of_statistics(
    statistics: Callable[[tf.Tensor], Mapping[str, tf.Tensor]],
    inputs: tf.Tensor,
    weights: tf.Tensor,
    specs: Mapping[str, OutputSpec],
) -> dict[str, tf.Tensor]:
    """d/dx sum_k weights_k statistic_k(x): what the gradient of a function of them is made of.

    Args:
      statistics: raw inputs -> statistics, float64 [batch] each.
      inputs: raw inputs [batch, *event_shape].
      weights: float32 [batch, num_statistics], in the order of those in `specs` that are marked.
      specs: what the statistics are.

    Returns:
      "gradient", [batch, *event_shape].
    """
    names = [name for name, spec in specs.items() if spec.statistic]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        found = statistics(inputs)
        values = tf.stack([found[name] for name in names], axis=-1)
        total = tf.reduce_sum(tf.cast(weights, tf.float64) * values)
    return {"gradient": tape.gradient(total, inputs)}


TWO_SEEDS = {
    "log_prob_1": OutputSpec("nats", HIGHER_IS_NORMAL, "log p(x), first seed"),
    "log_prob_2": OutputSpec("nats", HIGHER_IS_NORMAL, "log p(x), second seed"),
}
"""The same estimate of log p(x) twice: what differs is noise, see `candidates.corrected_variance`.
"""


def of_two_seeds(
    log_prob: Callable[[tf.Tensor], tf.Tensor], seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    """log p(x) from two seeds that are made of one; see TWO_SEEDS."""
    found = tf.map_fn(
        log_prob,
        tf.random.split(seed, 2),
        parallel_iterations=1,
        fn_output_signature=tf.TensorSpec([None], tf.float64),
    )
    return dict(zip(TWO_SEEDS, tf.unstack(found), strict=True))


GRADIENT_NORM = {
    "gradient_norm": OutputSpec("nats/unit", LOWER_IS_NORMAL, "Norm of the gradient of log p(x)"),
}
"""With respect to raw inputs, in nats a unit of theirs."""


def gradient_norm(
    log_prob: Callable[[tf.Tensor], tf.Tensor], inputs: tf.Tensor
) -> dict[str, tf.Tensor]:
    """How fast log p(x) changes around an input, float64 [batch]; see GRADIENT_NORM.

    Grathwohl et al. (2020, "Your Classifier is Secretly an Energy Based Model and You Should Treat
    it Like One"), section 5.3, whose score "approximate mass" is its negative: an input may be
    likely and yet lie where there is little mass.
    """
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        values = log_prob(inputs)
    gradient = tf.cast(tape.gradient(values, inputs), tf.float64)
    axes = list(range(1, gradient.shape.rank))
    return {"gradient_norm": tf.sqrt(tf.reduce_sum(gradient**2, axis=axes))}


def frozen(
    module: Any,
    outputs: Mapping[str, OutputSpec],
    also: Iterable[str] = (),
    *,
    decides: tuple[str, ...],
    groups: Mapping[str, Mapping[str, OutputSpec]] | None = None,
) -> Frozen:
    """`module` as it is exported: its tf.functions "serving_default", of `outputs`, and `also`.

    What is named after an output gives it alone, what is in `groups` the scores that stand there;
    NAME_gradient gives the score NAME and its gradient; any other gives no score. Arguments are
    those of the Python functions.
    """
    given: dict[str, Mapping[str, OutputSpec]] = {n: {n: spec} for n, spec in outputs.items()}
    given |= {"serving_default": outputs, **(groups or {})}

    def row(name: str) -> FrozenFunction:
        function = getattr(module, name)
        arguments = tuple(inspect.signature(function.python_function).parameters)
        if name in given:
            return FrozenFunction(function, arguments, dict(given[name]))
        score = name.removesuffix("_gradient")
        return FrozenFunction(function, arguments, gradient_of=score if score != name else None)

    return Frozen(
        module, {name: row(name) for name in ("serving_default", *(groups or ()), *also)}, decides
    )
