"""What evaluation asks of a frozen ensemble beside scores: gradients, samples, reconstructions.

It is a SavedModel of its own, so that scoring need not load it.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfp_genens.artifact.linking import LinkedMember
from tfp_genens.artifact.member import DEFAULT
from tfp_genens.scoring.scores import EnsembleScore, State

RECONSTRUCT, SAMPLE, CLASSIFY = "reconstruct", "sample", "classify"
GRADIENT, STATISTICS = "gradient", "statistics"
_OF_ONE_MEMBER = (RECONSTRUCT, SAMPLE, CLASSIFY)

Tensors = Mapping[str, tf.Tensor]
_Pullback = Callable[[LinkedMember, tf.Tensor], tuple[Tensors, Callable[[Tensors], tf.Tensor]]]
"""(member, raw inputs) -> outputs by name, float [batch]; and a function of their weights, float64
[batch] by name: the gradient of the weighted sum, float64 [batch, *event_shape]."""


class Analysis(tf.Module):
    """Functions of one member, chosen by its position, and gradients of ensemble scores.

    Args:
      members: linked members.
      manifest: of one of them.
      scores: signature -> the ensemble scores made of its outputs.
      states: score -> what its `fit` returned.

    Attributes:
      functions: name -> concrete function.
      described: name -> what the ensemble's manifest says of it.
    """

    def __init__(
        self,
        members: Sequence[LinkedMember],
        manifest: Mapping[str, Any],
        scores: Mapping[str, Mapping[str, EnsembleScore]],
        states: Mapping[str, State],
    ):
        super().__init__()
        self.members = list(members)
        self._signatures: Mapping[str, Any] = manifest["signatures"]
        self.functions: dict[str, Any] = {}
        self.described: dict[str, Any] = {}
        gradients = {
            entry["gradient_of"]: name
            for name, entry in self._signatures.items()
            if entry["gradient_of"]
        }
        for name, entry in self._signatures.items():
            if name in _OF_ONE_MEMBER or entry["gradient_of"]:
                self._add_of_member(name, entry)
        for name in manifest["decides"]:
            score = scores[DEFAULT].get(name)
            pullback = score and self._pullback(score, gradients)
            if score and pullback:
                self._add_gradient_of(score, states.get(name), pullback)

    def _add_of_member(self, name: str, entry: Mapping[str, Any]) -> None:
        def run(member: tf.Tensor, **arguments: tf.Tensor) -> dict[str, tf.Tensor]:
            branches = [functools.partial(one.call, name, **arguments) for one in self.members]
            return tf.switch_case(member, branches)

        specs = {
            argument: tf.TensorSpec(spec["shape"], spec["dtype"], argument)
            for argument, spec in entry["arguments"].items()
            if argument != "seed" or name == SAMPLE
        }
        self.functions[name] = tf.function(run, autograph=False).get_concrete_function(
            member=tf.TensorSpec([], tf.int32, "member"), **specs
        )
        self.described[name] = {"gradient_of": entry["gradient_of"]}

    def _pullback(self, score: EnsembleScore, gradients: Mapping[str, str]) -> _Pullback | None:
        """How an ensemble score's inputs, and gradients through them, are had of a member."""
        statistics = [
            name
            for name, spec in self._signatures.get(STATISTICS, {}).get("outputs", {}).items()
            if spec["statistic"]
        ]
        if STATISTICS in gradients and set(score.inputs) <= set(statistics):
            return functools.partial(_of_statistics, statistics, gradients[STATISTICS])
        if score.fit is None and set(score.inputs) <= set(gradients):
            return functools.partial(_of_outputs, {name: gradients[name] for name in score.inputs})
        return None

    def _add_gradient_of(
        self, score: EnsembleScore, state: State | None, pullback: _Pullback
    ) -> None:
        """With o_i of member i: d score / d inputs = sum_i (d score / d o_i) (d o_i / d inputs)."""

        def run(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            found, pull = zip(*(pullback(member, inputs) for member in self.members), strict=True)
            outputs = {
                name: tf.cast(tf.stack([of_member[name] for of_member in found]), tf.float64)
                for name in score.inputs
            }
            with tf.GradientTape() as tape:
                tape.watch(outputs)
                total = score(outputs, state)
            weights = tape.gradient(total, outputs)
            parts = [
                of_member({name: weights[name][k] for name in score.inputs})
                for k, of_member in enumerate(pull)
            ]
            return {score.name: total, GRADIENT: tf.cast(tf.add_n(parts), tf.float32)}

        spec = self._signatures[DEFAULT]["arguments"]["inputs"]
        name = f"{score.name}_{GRADIENT}"
        self.functions[name] = tf.function(run, autograph=False).get_concrete_function(
            inputs=tf.TensorSpec(spec["shape"], spec["dtype"], "inputs")
        )
        self.described[name] = {"gradient_of": score.name}


def _of_outputs(
    gradients: Mapping[str, str], member: LinkedMember, inputs: tf.Tensor
) -> tuple[Tensors, Callable[[Tensors], tf.Tensor]]:
    """Of outputs that each have a gradient: output -> the function that gives both."""
    found = {name: member.call(function, inputs=inputs) for name, function in gradients.items()}

    def pull(weights: Tensors) -> tf.Tensor:
        slopes = {name: tf.cast(one[GRADIENT], tf.float64) for name, one in found.items()}
        return tf.add_n(
            [tf.einsum("b,b...->b...", weights[name], slope) for name, slope in slopes.items()]
        )

    return {name: one[name] for name, one in found.items()}, pull


def _of_statistics(
    statistics: Sequence[str], function: str, member: LinkedMember, inputs: tf.Tensor
) -> tuple[Tensors, Callable[[Tensors], tf.Tensor]]:
    """Of all statistics at once: the function takes their weights, in this order."""

    def pull(weights: Tensors) -> tf.Tensor:
        zeros = tf.zeros(tf.shape(inputs)[:1], tf.float64)
        stacked = tf.stack([weights.get(name, zeros) for name in statistics], axis=-1)
        found = member.call(function, inputs=inputs, weights=tf.cast(stacked, tf.float32))
        return tf.cast(found[GRADIENT], tf.float64)

    return member.call(STATISTICS, inputs=inputs), pull
