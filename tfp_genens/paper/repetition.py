"""Intervals for what a repetition of the experiment, newly trained, would give.

The paper's number is one draw: of one model for a single-model score, of one ensemble for an
ensemble score. To be told apart from it, ours needs an interval that holds one such draw, a
prediction interval, and not only the mean of many. Inputs are taken as given, as the bootstrap
takes the members as given; a paper's cell differs by both.
"""

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from tfp_genens.paper import member_curve
from tfp_genens.scoring.scores import EnsembleScore

LEVEL = 0.95
MIN_REPETITIONS = 3
"""With two values, t(0.975, 1) = 12.7 makes nearly any number lie within: that says nothing."""


class Interval(NamedTuple):
    """A 95 % prediction interval for the AUROC of one repetition.

    Attributes:
      low, high: percent.
      method: "t" or "jackknife".
      num_values: AUROCs, or members left out in turn, that it rests on.
    """

    low: float
    high: float
    method: str
    num_values: int


def prediction_interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """mean +- t(n - 1) * s * sqrt(1 + 1 / n): holds the next value with probability `level`.

    The textbook interval for one further draw from a normal distribution of unknown mean and
    variance (e.g. Hahn and Meeker, Statistical Intervals, chapter 4). AUROCs near 0 or 100 are not
    normal but skewed away from the bound, so there the far end is too near.
    `values` are independent draws, two or more.
    """
    num = len(values)
    spread = _quantile("values", num, level) * float(np.std(values, ddof=1))
    half = spread * math.sqrt(1.0 + 1.0 / num)
    center = float(np.mean(values))
    return center - half, center + half


def jackknife_interval(estimate: float, left_out: Sequence[float]) -> tuple[float, float]:
    """estimate +- t(n - 1) * sqrt(2) * se, se^2 = (n - 1) / n * sum((left_out - their mean)^2).

    se is the delete-one jackknife's standard error (Efron and Tibshirani, An Introduction to the
    Bootstrap, chapter 11); sqrt(2), because both the estimate and the draw that it is compared
    with have that error. For the mean of n normal values it is exact.

    Args:
      estimate: of all n together.
      left_out: [n] estimates, each without one of the n; two or more.
    """
    num = len(left_out)
    error = math.sqrt((num - 1.0) * float(np.var(left_out)))
    half = _quantile("left_out", num) * math.sqrt(2.0) * error
    return estimate - half, estimate + half


def of_draws(aurocs: Sequence[float]) -> Interval | None:
    """From the AUROCs, percent, of members or of disjoint ensembles; None for fewer than three.

    They must be of one configuration, trained independently.
    """
    if len(aurocs) < MIN_REPETITIONS:
        return None
    return _interval(*prediction_interval(aurocs), "t", len(aurocs))


def of_repeated_draws(draws: Sequence[Sequence[float]]) -> Interval | None:
    """For one further draw of one further repetition, each repetition having several draws.

    E.g. splits of a data set, each with the AUROCs of several models: the paper's number is of one
    model on one split, and differs from ours by both. Its variance is that between the repetitions'
    means, and what averaging m draws has taken away from that between draws: 1 - 1 / m of the
    variance within a repetition. With one draw a repetition it is `of_draws`. Degrees of freedom
    are counted by repetitions alone, and the center is taken to be no better known than from one
    draw each; both make the interval wider than need be.

    `draws` are percent, [num_repetitions][num_draws], one or more each; None for fewer than three
    repetitions.
    """
    if len(draws) < MIN_REPETITIONS:
        return None
    means = [float(np.mean(values)) for values in draws]
    within = [
        float(np.var(values, ddof=1)) * (1.0 - 1.0 / len(values)) if len(values) > 1 else 0.0
        for values in draws
    ]
    variance = float(np.var(means, ddof=1)) + float(np.mean(within))
    num = len(draws)
    half = _quantile("draws", num) * math.sqrt(variance * (1.0 + 1.0 / num))
    center = float(np.mean(means))
    return _interval(center - half, center + half, "t", num)


def of_one_ensemble(
    in_outputs: member_curve.Outputs,
    ood_outputs: member_curve.Outputs,
    score: EnsembleScore,
    attacked_members: Collection[int] = (),
) -> Interval | None:
    """For an ensemble score's AUROC, from one ensemble: the jackknife over its members.

    It is rough. An ensemble of five gives four degrees of freedom at best; an ensemble of four has
    another variance term than one of five (ddof 0 shrinks it), which shifts all the values alike
    and so does not widen the interval; and AUROC near its bounds is not normal. Drawing members
    with replacement, as the released code does, is worse: an ensemble that holds a member twice
    has too small a variance, and the variance is what WAIC is made of.

    Where a set attacks members, those stay in every ensemble, and the others are left out in turn.
    Without the attacked member, the set would be another: noise made against a model that is not
    judged. So the interval takes the attacked member as given, and is too narrow by what another
    one would change; that one member fewer is left out takes some percent more.

    Args:
      in_outputs: of in-distribution inputs; those that the score is made of, or more.
      ood_outputs: of the OoD set, by the same members.
      score: the ensemble score.
      attacked_members: positions of the members that the OoD set was made against.

    Returns:
      None where fewer than three members can be left out.
    """
    everyone = range(len(next(iter(in_outputs.values()))))
    removable = [member for member in everyone if member not in attacked_members]
    if len(removable) < MIN_REPETITIONS:
        return None

    def aurocs(subsets: list[list[int]]) -> np.ndarray:
        sets = {"": ood_outputs}
        return member_curve.subset_aurocs(in_outputs, sets, score, np.array(subsets))[""]

    (estimate,) = aurocs([list(everyone)])
    left_out = aurocs([[m for m in everyone if m != without] for without in removable])
    return _interval(
        *jackknife_interval(float(estimate), left_out.tolist()), "jackknife", len(removable)
    )


def _quantile(name: str, num: int, level: float = LEVEL) -> float:
    if num < 2:
        raise ValueError(f"`{name}` must hold at least two; got {num}.")
    return float(stats.t.ppf((1.0 + level) / 2.0, num - 1))


def _interval(low: float, high: float, method: str, num_values: int) -> Interval:
    return Interval(max(0.0, low), min(100.0, high), method, num_values)
