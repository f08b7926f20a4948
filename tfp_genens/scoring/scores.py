"""The registry of ensemble scores: what is made of the members' outputs."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, OutputSpec
from tfp_genens.scoring import dose

State = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class EnsembleScore:
    """A row of the registry.

    Attributes:
      name: of the column in score files.
      label: what tables and figures call it.
      unit: "nats", ...
      direction: HIGHER_IS_NORMAL or LOWER_IS_NORMAL.
      inputs: names of the member outputs it is made of.
      function: (*inputs, each float64 [num_members, batch]) -> float64 [batch], in TensorFlow; with
        `fit`, also the keyword `state`.
      fit: (*inputs of held-out normal examples, NumPy float64 [num_members, num_examples]) ->
        arrays by name, which are kept in the frozen ensemble and given back as `state`.
      main: whether it is among the few that tables show first.
      min_fit: the fewest held-out examples that it can be fitted on; with fewer there is no such
        score.
    """

    name: str
    label: str
    unit: str
    direction: str
    inputs: tuple[str, ...]
    function: Callable[..., tf.Tensor]
    fit: Callable[..., dict[str, np.ndarray]] | None = None
    main: bool = False
    min_fit: int = 1

    def can_be_made(self, num_fit: int) -> bool:
        """Whether it can with so many held-out examples to fit it on."""
        return self.fit is None or num_fit >= self.min_fit

    @property
    def spec(self) -> OutputSpec:
        return OutputSpec(self.unit, self.direction, self.label, self.main)

    def __call__(self, outputs: Mapping[str, Any], state: State | None = None) -> tf.Tensor:
        """The score of member outputs by name, float64 [batch]; `state` is what `fit` returned."""
        values = [tf.cast(outputs[name], tf.float64) for name in self.inputs]
        return self.function(*values) if self.fit is None else self.function(*values, state=state)


def mean(output: tf.Tensor) -> tf.Tensor:
    """[num_members, batch] -> [batch]."""
    return tf.reduce_mean(output, axis=0)


def variance(output: tf.Tensor) -> tf.Tensor:
    """Population variance over members (ddof 0), [num_members, batch] -> [batch]."""
    return tf.math.reduce_variance(output, axis=0)


def waic(log_prob: tf.Tensor) -> tf.Tensor:
    """WAIC(x) = E[log p(x)] - Var[log p(x)] over members (Watanabe 2010; paper, equation 1).

    The paper does not say which variance; as in the released code it is the population's (ddof 0).

    Args:
      log_prob: nats, float64 [num_members, batch].

    Returns:
      nats, float64 [batch].
    """
    return mean(log_prob) - variance(log_prob)


ENSEMBLE_SCORES: dict[str, EnsembleScore] = {
    row.name: row
    for row in (
        EnsembleScore("waic", "WAIC", "nats", HIGHER_IS_NORMAL, ("log_prob",), waic, main=True),
        EnsembleScore(
            "critic_var", "Var(D)", "logits^2", LOWER_IS_NORMAL, ("critic",), variance, main=True
        ),
    )
}
"""Rows beside `density_of_states` and the mean and variance of every output, which need none."""


def density_of_states(statistics: tuple[str, ...]) -> EnsembleScore:
    """The row "dose", of the member outputs that are marked as its statistics."""
    return EnsembleScore(
        *("dose", "Density of states", "nats", HIGHER_IS_NORMAL, statistics, dose.log_density),
        fit=dose.fit,
        main=True,
        min_fit=dose.MIN_INPUTS * len(statistics),
    )


def available_scores(outputs: Mapping[str, OutputSpec]) -> dict[str, EnsembleScore]:
    """Every ensemble score that can be made of these member outputs, by name."""
    moments = {}
    for output, spec in outputs.items():
        label = spec.label or output
        row = EnsembleScore(
            f"{output}_mean", f"Mean {label}", spec.unit, spec.direction, (output,), mean
        )
        moments[row.name] = row
        row = EnsembleScore(
            f"{output}_var", f"Var {label}", f"{spec.unit}^2", LOWER_IS_NORMAL, (output,), variance
        )
        moments[row.name] = row
    rows = {n: row for n, row in ENSEMBLE_SCORES.items() if set(row.inputs) <= set(outputs)}
    statistics = tuple(name for name, spec in outputs.items() if spec.statistic)
    if statistics:
        dense = density_of_states(statistics)
        rows = {dense.name: dense, **rows}
    return {**moments, **rows}


def combine(
    outputs: Mapping[str, Any],
    scores: Mapping[str, EnsembleScore],
    states: Mapping[str, State] | None = None,
) -> dict[str, tf.Tensor]:
    """Ensemble scores of member outputs.

    Args:
      outputs: output name -> [num_members, batch].
      scores: what to compute.
      states: score name -> what its `fit` returned.

    Returns:
      score name -> float64 [batch].
    """
    return {name: score(outputs, (states or {}).get(name)) for name, score in scores.items()}
