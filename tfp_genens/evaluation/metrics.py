"""AUROC, average precision and FPR@95%TPR of a score, out-of-distribution being the positive class.

All three follow from one thing: how many in-distribution (ID) and out-of-distribution (OoD) inputs
fall into each group of equal scores, the groups ordered from the most to the least anomalous. The
bootstrap feeds resampled counts to the same function, so a value and its interval cannot disagree
about ties, infinities or NaN.

NaN is never dropped and never flatters: an OoD input scored NaN counts as less anomalous than any
other, an ID input scored NaN as more anomalous than any other. Infinities are ordinary values.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfp_genens import spec

METRICS = ("auroc", "average_precision", "fpr_at_95_tpr")


@dataclasses.dataclass(frozen=True)
class TieGroups:
    """Which group of equal scores each input falls into; group 0 is the most anomalous.

    Attributes:
      in_groups: int64 [num_in].
      ood_groups: int64 [num_out].
      num_groups: groups in all.
      num_nan: inputs, ID and OoD, whose score was NaN.
    """

    in_groups: np.ndarray
    ood_groups: np.ndarray
    num_groups: int
    num_nan: int


def tie_groups(in_scores: np.ndarray, ood_scores: np.ndarray, direction: str) -> TieGroups:
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
    # Group 0 is kept for ID inputs scored NaN and the last one for OoD inputs scored NaN.
    values, inverse = np.unique(scores[~is_nan], return_inverse=True)
    groups = np.zeros(scores.size, dtype=np.int64)
    groups[~is_nan] = inverse + 1
    groups[is_nan & ~is_in] = values.size + 1
    return TieGroups(
        in_groups=groups[is_in],
        ood_groups=groups[~is_in],
        num_groups=values.size + 2,
        num_nan=int(is_nan.sum()),
    )


def metrics_from_counts(in_counts: np.ndarray, ood_counts: np.ndarray) -> dict[str, np.ndarray]:
    """All metrics from counts of inputs a tie group.

    Args:
      in_counts: int [..., num_groups], ID inputs in each group, most anomalous group first.
      ood_counts: int [..., num_groups], likewise for OoD inputs.

    Returns:
      Fractions from 0 to 1, each float64 [...]: `auroc` (ties count one half), `average_precision`
      (the step-wise sum, without interpolation, as in scikit-learn), `fpr_at_95_tpr` (the smallest
      false-positive rate among the thresholds whose true-positive rate is at least 0.95; thresholds
      lie at scores that occur, nothing is interpolated between them).
    """
    true_positives = np.cumsum(ood_counts, axis=-1)
    false_positives = np.cumsum(in_counts, axis=-1)
    num_out = true_positives[..., -1]
    num_in = false_positives[..., -1]

    # Twice the number of (ID, OoD) pairs in the right order, a tie being half a pair: an integer.
    doubled_pairs = np.einsum(
        "...g,...g->...", ood_counts, 2 * (num_in[..., None] - false_positives) + in_counts
    )
    auroc = doubled_pairs / (2.0 * num_in * num_out)

    flagged = np.maximum(true_positives + false_positives, 1)
    average_precision = (
        np.einsum("...g,...g->...", ood_counts.astype(np.float64), true_positives / flagged)
        / num_out
    )

    # Integers, so that 0.95 * num_out has no rounding.
    is_enough = 100 * true_positives >= 95 * num_out[..., None]
    first = np.argmax(is_enough, axis=-1)[..., None]
    fpr = np.take_along_axis(false_positives, first, axis=-1)[..., 0] / num_in
    return {"auroc": auroc, "average_precision": average_precision, "fpr_at_95_tpr": fpr}


def all_metrics(in_scores: np.ndarray, ood_scores: np.ndarray, direction: str) -> dict[str, float]:
    """Every metric of one score: fractions from 0 to 1 by name, see `metrics_from_counts`.

    Args:
      in_scores: [num_in], scores of in-distribution inputs; NaN and infinities allowed.
      ood_scores: [num_out], scores of out-of-distribution inputs.
      direction: spec.HIGHER_IS_NORMAL or spec.LOWER_IS_NORMAL.
    """
    values = metrics_from_counts(*_counts(tie_groups(in_scores, ood_scores, direction)))
    return {name: float(values[name]) for name in METRICS}


def auroc(in_scores: np.ndarray, ood_scores: np.ndarray, direction: str) -> float:
    """Area under the ROC curve: P(OoD is more anomalous than ID) + P(tie) / 2."""
    return all_metrics(in_scores, ood_scores, direction)["auroc"]


def average_precision(in_scores: np.ndarray, ood_scores: np.ndarray, direction: str) -> float:
    """Average precision of finding the OoD inputs; depends on their share of all inputs."""
    return all_metrics(in_scores, ood_scores, direction)["average_precision"]


def fpr_at_95_tpr(in_scores: np.ndarray, ood_scores: np.ndarray, direction: str) -> float:
    """Share of ID inputs flagged by the strictest threshold that flags 95 % of the OoD inputs."""
    return all_metrics(in_scores, ood_scores, direction)["fpr_at_95_tpr"]


def roc_curve(
    in_scores: np.ndarray, ood_scores: np.ndarray, direction: str
) -> tuple[np.ndarray, np.ndarray]:
    """False- and true-positive rates, each [num_points], from (0, 0) to (1, 1)."""
    in_counts, ood_counts = _counts(tie_groups(in_scores, ood_scores, direction))
    false_positives = np.concatenate([[0], np.cumsum(in_counts)])
    true_positives = np.concatenate([[0], np.cumsum(ood_counts)])
    return false_positives / false_positives[-1], true_positives / true_positives[-1]


def _counts(groups: TieGroups) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.bincount(groups.in_groups, minlength=groups.num_groups),
        np.bincount(groups.ood_groups, minlength=groups.num_groups),
    )


def _vector(scores: np.ndarray, name: str) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError(f"`{name}` must be a non-empty vector; got shape {scores.shape}.")
    return scores
