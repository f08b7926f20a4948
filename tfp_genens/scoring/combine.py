"""Combining members: the registry of ensemble scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, OutputSpec


def mean(scores: np.ndarray) -> np.ndarray:
    """[num_members, batch] -> [batch]."""
    return scores.mean(axis=0)


def variance(scores: np.ndarray) -> np.ndarray:
    """Population variance over members (ddof 0), [num_members, batch] -> [batch]."""
    return scores.var(axis=0, ddof=0)


def waic(log_prob: np.ndarray) -> np.ndarray:
    """WAIC(x) = E[log p(x)] - Var[log p(x)] over members (paper, equation 1).

    The paper does not say which variance; as in the released code it is the population's (ddof 0).

    Args:
      log_prob: nats, [num_members, batch].

    Returns:
      nats, [batch].
    """
    return mean(log_prob) - variance(log_prob)


@dataclasses.dataclass(frozen=True)
class EnsembleScore:
    """A row of the registry.

    Attributes:
      label: what tables and figures call it.
      of: the member output it combines.
      function: float64 [num_members, batch] -> [batch].
      spec: unit and direction.
      decides: p-values may be made of it. Where several that decide can be made, the first row
        among them does.
    """

    label: str
    of: str
    function: Callable[[np.ndarray], np.ndarray]
    spec: OutputSpec
    decides: bool = False


_CLASSICAL = (
    ("isolation_forest", "isolation forest", OutputSpec("anomaly score", LOWER_IS_NORMAL)),
    ("mahalanobis", "Mahalanobis distance", OutputSpec("standard deviations", LOWER_IS_NORMAL)),
    ("knn_distance", "nearest neighbours", OutputSpec("distance", LOWER_IS_NORMAL)),
    ("lof", "local outlier factor", OutputSpec("ratio of densities", LOWER_IS_NORMAL)),
    ("one_class_svm", "one-class SVM", OutputSpec("log of the kernel sum", HIGHER_IS_NORMAL)),
    ("pca_reconstruction", "PCA reconstruction", OutputSpec("distance", LOWER_IS_NORMAL)),
)

ENSEMBLE_SCORES: dict[str, EnsembleScore] = {
    "log_prob_mean": EnsembleScore(
        "Mean log p(x)", "log_prob", mean, OutputSpec("nats", HIGHER_IS_NORMAL)
    ),
    "log_prob_var": EnsembleScore(
        "Var log p(x)", "log_prob", variance, OutputSpec("nats^2", LOWER_IS_NORMAL)
    ),
    "waic": EnsembleScore(  # decides in the paper
        "WAIC", "log_prob", waic, OutputSpec("nats", HIGHER_IS_NORMAL), decides=True
    ),
    "rate_mean": EnsembleScore(
        "Mean rate", "rate", mean, OutputSpec("nats", LOWER_IS_NORMAL), decides=True
    ),
    "rate_var": EnsembleScore("Var rate", "rate", variance, OutputSpec("nats^2", LOWER_IS_NORMAL)),
    "critic_mean": EnsembleScore("Mean D", "critic", mean, OutputSpec("logits", HIGHER_IS_NORMAL)),
    "critic_var": EnsembleScore(  # decides in the paper
        "Var(D)", "critic", variance, OutputSpec("logits^2", LOWER_IS_NORMAL), decides=True
    ),
    "wasserstein_critic_var": EnsembleScore(
        "Var of Wasserstein critic",
        "wasserstein_critic",
        variance,
        OutputSpec("1", LOWER_IS_NORMAL),
    ),
    "odin_mean": EnsembleScore(
        "Mean ODIN", "odin", mean, OutputSpec("probability", HIGHER_IS_NORMAL), decides=True
    ),
    "max_softmax_mean": EnsembleScore(
        "Mean maximum softmax",
        "max_softmax",
        mean,
        OutputSpec("probability", HIGHER_IS_NORMAL),
        decides=True,
    ),
    "entropy_mean": EnsembleScore(
        "Mean class entropy", "entropy", mean, OutputSpec("nats", LOWER_IS_NORMAL), decides=True
    ),
    "fraud_mean": EnsembleScore(
        "Mean classifier", "fraud", mean, OutputSpec("logits", LOWER_IS_NORMAL), decides=True
    ),
    **{
        f"{of}_mean": EnsembleScore(f"Mean {label}", of, mean, spec, decides=True)
        for of, label, spec in _CLASSICAL
    },
}

DECISION_SCORES = tuple(name for name, score in ENSEMBLE_SCORES.items() if score.decides)
"""Which score p-values are made of: the first of these that is there."""


def available_scores(outputs: Iterable[str]) -> dict[str, EnsembleScore]:
    """The ensemble scores that can be made of these member outputs."""
    outputs = set(outputs)
    return {name: score for name, score in ENSEMBLE_SCORES.items() if score.of in outputs}


def combine(member_scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every ensemble score that can be made.

    Args:
      member_scores: output name -> float64 [num_members, batch].

    Returns:
      score name -> float64 [batch].
    """
    return {
        name: score.function(member_scores[score.of])
        for name, score in available_scores(member_scores).items()
    }
