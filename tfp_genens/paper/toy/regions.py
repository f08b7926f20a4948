"""How well a score fences p(x) in: how much of p(x), and of a box around it, it accepts."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import stats

BOX = (0.0, 10.0)
"""Of either coordinate: five standard deviations to each side of p(x)'s centre."""

KEPT = 0.95
"""Share of the held-out draws of p(x) that a threshold accepts."""


@dataclasses.dataclass(frozen=True)
class Region:
    """Where a score of points says "normal".

    Attributes:
      name: of the score.
      threshold: normal is at least this where `higher_is_normal`, else at most.
      higher_is_normal: see `threshold`.
      is_fitted: whether the threshold was set on held-out draws of p(x).
      mass: share of fresh draws of p(x) inside, from 0 to 1.
      mass_low: lower end of its 95 % interval (Clopper-Pearson).
      mass_high: upper end.
      box: share of the box's area inside.
      edge: share of the box's edge inside; more than 0 means that the region is not closed within
        the box, and so does not fence p(x) in.
    """

    name: str
    threshold: float
    higher_is_normal: bool
    is_fitted: bool
    mass: float
    mass_low: float
    mass_high: float
    box: float
    edge: float


@dataclasses.dataclass(frozen=True)
class Scores:
    """One score of all points that a region is measured by, each float64 [num]."""

    held_out: np.ndarray
    test: np.ndarray
    box: np.ndarray
    edge: np.ndarray


def box_points(side: int) -> np.ndarray:
    """Centres of the box's `side` x `side` cells, float64 [side * side, 2], row by row."""
    ticks = box_ticks(side)
    return np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)


def box_ticks(side: int) -> np.ndarray:
    """Either coordinate of the cells' centres, float64 [side]."""
    low, high = BOX
    return low + (high - low) * (np.arange(side) + 0.5) / side


def edge_points(side: int) -> np.ndarray:
    """Points all around the box's edge, as dense as `box_points`: float64 [4 * side, 2]."""
    ticks = box_ticks(side)
    ends = [np.full(side, end) for end in BOX]
    lines = [(ticks, end) for end in ends] + [(end, ticks) for end in ends]
    return np.concatenate([np.stack(line, axis=-1) for line in lines])


def threshold(held_out: np.ndarray, higher_is_normal: bool) -> float:
    """The tightest threshold among these scores that accepts at least KEPT of them."""
    if higher_is_normal:
        return -threshold(-held_out, False)
    return float(np.quantile(held_out, KEPT, method="inverted_cdf"))


def fitted(name: str, scores: Scores, higher_is_normal: bool) -> Region:
    """The region whose threshold is set on held-out draws."""
    value = threshold(scores.held_out, higher_is_normal)
    return measured(name, scores, value, higher_is_normal, is_fitted=True)


def measured(
    name: str, scores: Scores, value: float, higher_is_normal: bool, is_fitted: bool = False
) -> Region:
    """The region of a threshold.

    Raises:
      ValueError: a score is NaN, which lies on neither side.
    """
    for points in (scores.held_out, scores.test, scores.box, scores.edge):
        if np.isnan(points).any():
            raise ValueError(f"The scores of `{name}` must not be NaN.")

    def inside(points: np.ndarray) -> np.ndarray:
        return points >= value if higher_is_normal else points <= value

    test = inside(scores.test)
    interval = stats.binomtest(int(test.sum()), test.size).proportion_ci(0.95, method="exact")
    return Region(
        name=name,
        threshold=value,
        higher_is_normal=higher_is_normal,
        is_fitted=is_fitted,
        mass=float(test.mean()),
        mass_low=float(interval.low),
        mass_high=float(interval.high),
        box=float(inside(scores.box).mean()),
        edge=float(inside(scores.edge).mean()),
    )
