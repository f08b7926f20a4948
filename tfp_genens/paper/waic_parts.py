"""What decides WAIC: its mean, in nats, its variance, in nats^2, and the members' offsets.

Members that are not equally trained differ by offsets o that are much the same for every input, and
by e(x) beside. Over members Var = Var(o) + 2 Cov(o, e(x)) + Var(e(x)): the first ranks nothing, the
second grows with the offsets. Centring takes out of log p what the offsets are in distribution.

Log-probabilities may be as low as float64 goes. Where the square of a deviation overflows, the
variance is inf, and a score that subtracts it -inf: the most anomalous there is. Where log p is not
finite, the variance is NaN, which `metrics` counts against the score.
"""

from __future__ import annotations

import numpy as np

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, OutputSpec
from tfp_genens.paper import verdicts
from tfp_genens.scoring.combine import EnsembleScore, mean, variance, waic

LOG_PROB, CENTRED = "log_prob", "log_prob_centred"
VARIANCE, MEAN, UNDECIDED = "variance", "mean", "undecided"


def standard_deviation(log_prob: np.ndarray) -> np.ndarray:
    """Over members (ddof 0), [num_members, batch] -> [batch]; inf where its square overflows."""
    return np.sqrt(variance(log_prob))


def mean_less_std(log_prob: np.ndarray) -> np.ndarray:
    """E[log p(x)] - Std[log p(x)], [num_members, batch] -> [batch].

    Both are in nats, so that it ranks inputs alike in nats and in bits, as WAIC does not.
    """
    return mean(log_prob) - standard_deviation(log_prob)


SCORES: dict[str, EnsembleScore] = {
    "log_prob_var_centred": EnsembleScore(
        "Var, centred", CENTRED, variance, OutputSpec("nats^2", LOWER_IS_NORMAL)
    ),
    "waic_centred": EnsembleScore(
        "WAIC, centred", CENTRED, waic, OutputSpec("nats", HIGHER_IS_NORMAL)
    ),
    "log_prob_mean_less_std": EnsembleScore(
        "Mean - standard deviation", LOG_PROB, mean_less_std, OutputSpec("nats", HIGHER_IS_NORMAL)
    ),
}
"""No rows of ENSEMBLE_SCORES: centring takes more than the input that is scored."""


def member_means(log_prob: np.ndarray) -> np.ndarray:
    """Over inputs, [num_members, num_inputs] -> [num_members]; -inf where the sum overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return log_prob.mean(axis=1)


def offsets(log_prob: np.ndarray) -> np.ndarray:
    """How far the mean of each member over inputs lies above the ensemble's.

    Args:
      log_prob: nats, float64 [num_members, num_inputs].

    Returns:
      nats, [num_members], their sum 0; not finite where a member's mean is not.
    """
    means = member_means(log_prob)
    with np.errstate(over="ignore", invalid="ignore"):
        return means - means.mean()


def centred(log_prob: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Takes offsets `by` [num_members] out of log_prob [num_members, num_inputs]."""
    with np.errstate(over="ignore", invalid="ignore"):
        return log_prob - by[:, None]


def cross_centred(log_prob: np.ndarray) -> np.ndarray:
    """Centres inputs by offsets that they had no part in.

    Every second input is one half; each half is centred by the offsets of the other.

    Args:
      log_prob: nats, float64 [num_members, num_inputs], two inputs or more.

    Returns:
      Likewise.
    """
    if log_prob.shape[1] < 2:
        raise ValueError(f"`log_prob` must be of two inputs or more; got {log_prob.shape[1]}.")
    found = np.empty_like(log_prob)
    for half in (0, 1):
        found[:, half::2] = centred(log_prob[:, half::2], offsets(log_prob[:, 1 - half :: 2]))
    return found


def scores(log_prob: np.ndarray, centred_log_prob: np.ndarray) -> dict[str, np.ndarray]:
    """SCORES of inputs, float64 [num_inputs] each; see the module for what overflows.

    Args:
      log_prob: nats, float64 [num_members, num_inputs].
      centred_log_prob: the same, centred.
    """
    members = {LOG_PROB: log_prob, CENTRED: centred_log_prob}
    with np.errstate(over="ignore", invalid="ignore"):
        return {name: row.function(members[row.of]) for name, row in SCORES.items()}


def medians(log_prob: np.ndarray, centred_log_prob: np.ndarray) -> dict[str, float]:
    """Medians over inputs of the members' mean, variance and standard deviation.

    Args:
      log_prob: nats, float64 [num_members, num_inputs].
      centred_log_prob: the same, centred.

    Returns:
      "mean" and "std" in nats, "var" and "var_centred" in nats^2; NaN where any input's is.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        of_inputs = {
            "mean": mean(log_prob),
            "var": variance(log_prob),
            "var_centred": variance(centred_log_prob),
            "std": standard_deviation(log_prob),
        }
        return {name: float(np.median(values)) for name, values in of_inputs.items()}


def decided_by(waic_auroc: float, variance_auroc: float, mean_auroc: float) -> str:
    """Whether WAIC's AUROC, in percent, is nearer to VARIANCE's alone or to MEAN log p's.

    UNDECIDED where these two are within `verdicts.TOLERANCE` points, so that being near to one is
    being near to the other, or where WAIC's is as far from either.
    """
    from_variance, from_mean = abs(waic_auroc - variance_auroc), abs(waic_auroc - mean_auroc)
    if abs(variance_auroc - mean_auroc) <= verdicts.TOLERANCE or from_variance == from_mean:
        return UNDECIDED
    return VARIANCE if from_variance < from_mean else MEAN
