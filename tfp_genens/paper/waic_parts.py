"""What decides WAIC: its mean, in nats, its variance, in nats^2, and the members' offsets.

Members that are not equally trained differ by offsets o that are much the same for every input, and
by e(x) beside. Over members Var = Var(o) + 2 Cov(o, e(x)) + Var(e(x)): the first ranks nothing, the
second grows with the offsets. Centring takes out of log p what the offsets are in distribution.

Log-probabilities may be as low as float64 goes. Where the square of a deviation overflows, the
variance is inf, and a score that subtracts it -inf: the most anomalous there is. Where log p is not
finite, the variance is NaN, which `metrics` counts against the score. NumPy warns of either:
callers use `np.errstate`.
"""

import numpy as np

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL
from tfp_genens.paper import verdicts

VARIANCE, MEAN, UNDECIDED = "variance", "mean", "undecided"

DIRECTIONS = {
    "log_prob_var_centred": LOWER_IS_NORMAL,
    "waic_centred": HIGHER_IS_NORMAL,
    "log_prob_mean_less_std": HIGHER_IS_NORMAL,
}
"""Of scores that the package does not have: centring takes more than the input that is scored."""


def waic(log_prob: np.ndarray) -> np.ndarray:
    """E[log p(x)] - Var[log p(x)] over members (ddof 0), [num_members, batch] -> [batch]."""
    return log_prob.mean(axis=0) - log_prob.var(axis=0)


def offsets(log_prob: np.ndarray) -> np.ndarray:
    """How far the mean of each member over inputs lies above the ensemble's.

    In nats, [num_members, num_inputs] -> [num_members], their sum 0; not finite where a member's
    mean is not.
    """
    means = log_prob.mean(axis=1)
    return means - means.mean()


def cross_centred(log_prob: np.ndarray) -> np.ndarray:
    """Centres inputs by offsets that they had no part in.

    Every second input is one half; each half is centred by the offsets of the other. In nats,
    [num_members, num_inputs] -> likewise, of two inputs or more.
    """
    if log_prob.shape[1] < 2:
        raise ValueError(f"`log_prob` must be of two inputs or more; got {log_prob.shape[1]}.")
    found = np.empty_like(log_prob)
    for half in (0, 1):
        found[:, half::2] = log_prob[:, half::2] - offsets(log_prob[:, 1 - half :: 2])[:, None]
    return found


def scores(log_prob: np.ndarray, centred: np.ndarray) -> dict[str, np.ndarray]:
    """The scores of DIRECTIONS, float64 [num_inputs]; see the module for what overflows.

    Mean and standard deviation are both in nats, so that their difference ranks inputs alike in
    nats and in bits, as WAIC does not. Log p and the same centred are in nats, float64
    [num_members, num_inputs].
    """
    return {
        "log_prob_var_centred": centred.var(axis=0),
        "waic_centred": waic(centred),
        "log_prob_mean_less_std": log_prob.mean(axis=0) - log_prob.std(axis=0),
    }


def medians(log_prob: np.ndarray, centred: np.ndarray) -> dict[str, float]:
    """Medians over inputs of the members' mean, variance and standard deviation; see `scores`.

    Returns:
      "mean" and "std" in nats, "var" and "var_centred" in nats^2; NaN where any input's is.
    """
    return {
        "mean": float(np.median(log_prob.mean(axis=0))),
        "var": float(np.median(log_prob.var(axis=0))),
        "var_centred": float(np.median(centred.var(axis=0))),
        "std": float(np.median(log_prob.std(axis=0))),
    }


def decided_by(waic_auroc: float, variance_auroc: float, mean_auroc: float) -> str:
    """Whether WAIC's AUROC, in percent, is nearer to VARIANCE's alone or to MEAN log p's.

    UNDECIDED where these two are within `verdicts.TOLERANCE` points, so that being near to one is
    being near to the other, or where WAIC's is as far from either.
    """
    from_variance, from_mean = abs(waic_auroc - variance_auroc), abs(waic_auroc - mean_auroc)
    if abs(variance_auroc - mean_auroc) <= verdicts.TOLERANCE or from_variance == from_mean:
        return UNDECIDED
    return VARIANCE if from_variance < from_mean else MEAN
