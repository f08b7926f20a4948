"""AUROC, average precision and FPR@95%TPR of a score, out-of-distribution being the positive class.

All three follow from how in-distribution (ID) and out-of-distribution (OoD) inputs interleave when
they are ordered from the most to the least anomalous, ties being ties, and from how much each input
weighs. A value is what weights of one give, a bootstrap resample what its counts give: one function
computes both, so a value and its interval cannot disagree about ties, infinities or NaN.

NaN is never dropped and never flatters: an OoD input scored NaN counts as less anomalous than any
other, an ID input scored NaN as more anomalous than any other. Infinities are ordinary values.
"""

import dataclasses
import math

import numpy as np

from tfp_genens.artifact import spec

METRICS = ("auroc", "average_precision", "fpr_at_95_tpr")


@dataclasses.dataclass(frozen=True)
class Ranking:
    """How ID and OoD inputs interleave, from the most to the least anomalous.

    Attributes:
      in_order, ood_order: int [num_in] and [num_out], the inputs, most anomalous first.
      num_in_above: int [num_out], ID inputs more anomalous than this OoD input, in `ood_order`.
      num_in_to_tie: likewise, ID inputs at least as anomalous.
      num_ood_to_tie: likewise, OoD inputs at least as anomalous, itself included.
    """

    in_order: np.ndarray
    ood_order: np.ndarray
    num_in_above: np.ndarray
    num_in_to_tie: np.ndarray
    num_ood_to_tie: np.ndarray


def rank(in_scores: np.ndarray, ood_scores: np.ndarray, direction: str) -> Ranking:
    """Orders the scores of ID [num_in] and OoD [num_out] inputs by how anomalous they are."""
    if direction not in spec.DIRECTIONS:
        raise ValueError(f"`direction` must be one of {spec.DIRECTIONS}; got {direction!r}.")
    in_scores = _vector(in_scores, "in_scores")
    ood_scores = _vector(ood_scores, "ood_scores")
    scores = np.concatenate([in_scores, ood_scores])
    if direction == spec.LOWER_IS_NORMAL:
        scores = -scores  # From here on low means anomalous.
    is_nan = np.isnan(scores)
    is_in = np.arange(scores.size) < in_scores.size
    # Equal scores get equal places; place 0 is kept for ID inputs scored NaN, the last for OoD.
    values, inverse = np.unique(scores[~is_nan], return_inverse=True)
    places = np.zeros(scores.size, dtype=np.int64)
    places[~is_nan] = inverse + 1
    places[is_nan & ~is_in] = values.size + 1
    in_order = np.argsort(places[is_in], kind="stable")
    ood_order = np.argsort(places[~is_in], kind="stable")
    in_places, ood_places = places[is_in][in_order], places[~is_in][ood_order]
    return Ranking(
        in_order=in_order,
        ood_order=ood_order,
        num_in_above=np.searchsorted(in_places, ood_places, side="left"),
        num_in_to_tie=np.searchsorted(in_places, ood_places, side="right"),
        num_ood_to_tie=np.searchsorted(ood_places, ood_places, side="right"),
    )


def weighted_metrics(
    ranking: Ranking, in_weights: np.ndarray, ood_weights: np.ndarray
) -> dict[str, np.ndarray]:
    """All metrics, for several weightings of the inputs at once.

    Weights, int [num_in or num_out, num_weightings], say how often each input counts.

    Returns:
      Fractions from 0 to 1, each float64 [num_weightings]: `auroc` (a tie counts one half),
      `average_precision` (the step-wise sum without interpolation, as in scikit-learn),
      `fpr_at_95_tpr` (the smallest false-positive rate among the thresholds whose true-positive
      rate is at least 0.95; thresholds lie at scores that occur, nothing is interpolated).
    """
    ood_weights = ood_weights[ranking.ood_order].astype(np.int64)
    false_positives = _prefix_sums(in_weights[ranking.in_order])
    true_positives = _prefix_sums(ood_weights)
    num_in, num_out = false_positives[-1], true_positives[-1]
    in_to_tie = false_positives[ranking.num_in_to_tie]

    # Twice the number of (ID, OoD) pairs in the right order, a tie being half a pair: an integer.
    wins = 2 * num_in - in_to_tie - false_positives[ranking.num_in_above]
    auroc = np.einsum("jw,jw->w", ood_weights, wins) / (2.0 * num_in * num_out)

    ood_to_tie = true_positives[ranking.num_ood_to_tie]
    precision = ood_to_tie / np.maximum(ood_to_tie + in_to_tie, 1)
    average_precision = np.einsum("jw,jw->w", ood_weights, precision) / num_out

    # Integers, so that 0.95 * num_out has no rounding.
    first = np.argmax(100 * true_positives[1:] >= 95 * num_out, axis=0)[None]
    fpr = np.take_along_axis(in_to_tie, first, axis=0)[0] / num_in
    return {"auroc": auroc, "average_precision": average_precision, "fpr_at_95_tpr": fpr}


def _prefix_sums(weights: np.ndarray) -> np.ndarray:
    """Row k: the sum of the first k rows; int64 [num + 1, num_weightings]."""
    sums = np.zeros((weights.shape[0] + 1, weights.shape[1]), dtype=np.int64)
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums


def all_metrics(in_scores: np.ndarray, ood_scores: np.ndarray, direction: str) -> dict[str, float]:
    """Every metric of scores [num_in] and [num_out], NaN and infinities allowed: see
    `weighted_metrics`.
    """
    return _metrics(rank(in_scores, ood_scores, direction), 1, 1)


def _metrics(ranking: Ranking, in_weight: int, ood_weight: int) -> dict[str, float]:
    weights = (
        np.full((len(order), 1), weight, np.int64)
        for order, weight in ((ranking.in_order, in_weight), (ranking.ood_order, ood_weight))
    )
    values = weighted_metrics(ranking, *weights)
    return {name: float(values[name][0]) for name in METRICS}


def balanced_metrics(
    in_scores: np.ndarray, ood_scores: np.ndarray, direction: str
) -> dict[str, float]:
    """As `all_metrics`, but all ID inputs together weigh as much as all OoD inputs together.

    Average precision then is that of a prevalence of one half; the other metrics do not depend on
    it.
    """
    ranking = rank(in_scores, ood_scores, direction)
    num_in, num_out = len(ranking.in_order), len(ranking.ood_order)
    common = math.gcd(num_in, num_out)
    return _metrics(ranking, num_out // common, num_in // common)


def auroc(in_scores: np.ndarray, ood_scores: np.ndarray, direction: str) -> float:
    """Area under the ROC curve: P(OoD is more anomalous than ID) + P(tie) / 2."""
    return all_metrics(in_scores, ood_scores, direction)["auroc"]


def roc_curve(
    in_scores: np.ndarray, ood_scores: np.ndarray, direction: str
) -> tuple[np.ndarray, np.ndarray]:
    """False- and true-positive rates, each [num_points], from (0, 0) to (1, 1)."""
    ranking = rank(in_scores, ood_scores, direction)
    num_in, num_out = len(ranking.in_order), len(ranking.ood_order)
    # A corner below each group of tied OoD inputs and one at its end: between, a straight line.
    first = np.flatnonzero(np.diff(ranking.num_ood_to_tie, prepend=0))
    before = np.concatenate([[0], ranking.num_ood_to_tie[first][:-1]])
    fpr = np.stack([ranking.num_in_above[first], ranking.num_in_to_tie[first]], axis=1) / num_in
    tpr = np.stack([before, ranking.num_ood_to_tie[first]], axis=1) / num_out
    return (
        np.concatenate([[0.0], fpr.ravel(), [1.0]]),
        np.concatenate([[0.0], tpr.ravel(), [1.0]]),
    )


def _vector(scores: np.ndarray, name: str) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError(f"`{name}` must be a non-empty vector; got shape {scores.shape}.")
    return scores
