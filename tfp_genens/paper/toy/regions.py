"""p(x), a 2-D normal with identity covariance, and how well a score fences it in.

A region is where a score of points says "normal": how much of p(x), and of a box around it, it
accepts.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from tfp_genens.seeds import numpy_generator

CENTRE = (5.0, 5.0)
BOX = (0.0, 10.0)  # either coordinate: five standard deviations to each side of the centre
KEPT = 0.95  # share of the held-out draws of p(x) that a fitted threshold accepts

Scores = Mapping[str, np.ndarray]
"""One score of all points: float64 [num] each of "held_out", "test", "box" and "edge"."""


def draws(num: int, seed: int, *path: str | int) -> np.ndarray:
    """Draws of p(x) for one purpose, float32 [num, 2]."""
    noise = numpy_generator(seed, *path).standard_normal((num, 2))
    return (noise + CENTRE).astype(np.float32)


def log_prob(x: np.ndarray) -> np.ndarray:
    """log p(x) in nats, float64 [...], of x [..., 2]."""
    squared = np.square(np.asarray(x, np.float64) - CENTRE).sum(axis=-1)
    return -0.5 * squared - math.log(2 * math.pi)


def places(num: int, side: int, seed: int) -> dict[str, np.ndarray]:
    """Points that a region is measured by, [num_points, 2] each.

    "held_out" and "test" are `num` draws of p(x); "box" the centres of `side` x `side` cells, row
    by row; "edge" lies all around the box, as dense.
    """
    ticks = box_ticks(side)
    ends = [np.full(side, end) for end in BOX]
    lines = [(ticks, end) for end in ends] + [(end, ticks) for end in ends]
    return {
        "held_out": draws(num, seed, "toy", "held_out"),
        "test": draws(num, seed, "toy", "test"),
        "box": np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2),
        "edge": np.concatenate([np.stack(line, axis=-1) for line in lines]),
    }


def box_ticks(side: int) -> np.ndarray:
    """Either coordinate of the cells' centres, float64 [side]."""
    low, high = BOX
    return low + (high - low) * (np.arange(side) + 0.5) / side


def threshold(held_out: np.ndarray, higher_is_normal: bool) -> float:
    """The tightest threshold among these scores that accepts at least KEPT of them."""
    if higher_is_normal:
        return -threshold(-held_out, False)
    return float(np.quantile(held_out, KEPT, method="inverted_cdf"))


def region(
    name: str, scores: Scores, higher_is_normal: bool = True, value: float | None = None
) -> dict[str, Any]:
    """One line of `Toy.regions`, which says what the columns are.

    Normal is at least the threshold `value`, or at most; None sets it on the held-out draws.

    Raises:
      ValueError: a score is NaN, which lies on neither side.
    """
    if any(np.isnan(points).any() for points in scores.values()):
        raise ValueError(f"The scores of `{name}` must not be NaN.")
    limit = threshold(scores["held_out"], higher_is_normal) if value is None else value
    is_inside = {k: v >= limit if higher_is_normal else v <= limit for k, v in scores.items()}
    test = is_inside["test"]
    low, high = stats.binomtest(int(test.sum()), test.size).proportion_ci(0.95, method="exact")
    return {
        "name": name,
        "threshold": limit,
        "higher_is_normal": higher_is_normal,
        "is_fitted": value is None,
        "mass": float(test.mean()),
        "mass_low": float(low),
        "mass_high": float(high),
        "box": float(is_inside["box"].mean()),
        "edge": float(is_inside["edge"].mean()),
    }
