"""What evaluation asks of a frozen ensemble beside scores: gradients, samples, reconstructions.

It is a SavedModel of its own, so that scoring need not load it.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfp_genens.artifact.linking import LinkedMember
from tfp_genens.artifact.member import DEFAULT
from tfp_genens.scoring.scores import EnsembleScore

RECONSTRUCT, SAMPLE, CLASSIFY = "reconstruct", "sample", "classify"
GRADIENT = "gradient"
_OF_ONE_MEMBER = (RECONSTRUCT, SAMPLE, CLASSIFY)


class Analysis(tf.Module):
    """Functions of one member, chosen by its position, and gradients of ensemble scores.

    Args:
      members: linked members.
      manifest: of one of them.
      scores: signature -> the ensemble scores made of its outputs.

    Attributes:
      functions: name -> concrete function.
      described: name -> what the ensemble's manifest says of it.
    """

    def __init__(
        self,
        members: Sequence[LinkedMember],
        manifest: Mapping[str, Any],
        scores: Mapping[str, Mapping[str, EnsembleScore]],
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
            # What is fitted has a state, which gradients do not carry.
            if score and score.fit is None and all(output in gradients for output in score.inputs):
                self._add_gradient_of(score, gradients)

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

    def _add_gradient_of(self, score: EnsembleScore, gradients: Mapping[str, str]) -> None:
        """With o_i of member i: d score / d inputs = sum_i (d score / d o_i) (d o_i / d inputs)."""

        def run(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            values, slopes = {}, {}
            for output in score.inputs:
                found = [member.call(gradients[output], inputs=inputs) for member in self.members]
                values[output] = tf.cast(tf.stack([f[output] for f in found]), tf.float64)
                slopes[output] = tf.cast(tf.stack([f[GRADIENT] for f in found]), tf.float64)
            with tf.GradientTape() as tape:
                tape.watch(values)
                total = score(values)
            weights = tape.gradient(total, values)
            parts = [
                tf.einsum("mb,mb...->b...", weights[output], slopes[output])
                for output in score.inputs
            ]
            return {score.name: total, GRADIENT: tf.cast(tf.add_n(parts), tf.float32)}

        spec = self._signatures[DEFAULT]["arguments"]["inputs"]
        name = f"{score.name}_{GRADIENT}"
        self.functions[name] = tf.function(run, autograph=False).get_concrete_function(
            inputs=tf.TensorSpec(spec["shape"], spec["dtype"], "inputs")
        )
        self.described[name] = {"gradient_of": score.name}
