"""Whether a number of the paper was reproduced: one rule for all cells.

It was written before any ensemble of the paper's five members was evaluated, and after AUROCs of
two-member trials on MNIST and Fashion-MNIST had been seen.
"""

import math

import pandas as pd

from tfp_genens.paper.repetition import Interval

REPRODUCED = "reproduced"
WITHIN_INTERVAL = "within interval"
NOT_REPRODUCED = "not reproduced"
VERDICTS = (REPRODUCED, WITHIN_INTERVAL, NOT_REPRODUCED)
NOT_EVALUATED = "not evaluated"
MARKS = {REPRODUCED: "✓", WITHIN_INTERVAL: "≈", NOT_REPRODUCED: "✗", NOT_EVALUATED: "?"}

TOLERANCE = 3.0  # points of AUROC
CHANCE = 50.0  # the paper's AUROC below this claims that a score fails


def verdict(ours: float, theirs: float, interval: tuple[float, float] | None) -> str:
    """One of VERDICTS, by the rule in `templates/judged.md.j2`.

    Ours is AUROC in percent, unrounded; theirs as printed; the ends of the interval over ensembles
    are both included.
    """
    for name, value in (("ours", ours), ("theirs", theirs)):
        if not (math.isfinite(value) and 0.0 <= value <= 100.0):
            raise ValueError(f"`{name}` must be a percentage; got {value}.")
    claims_success = theirs >= CHANCE
    if abs(ours - theirs) <= TOLERANCE or (claims_success and ours > theirs):
        return REPRODUCED
    if interval is not None and interval[0] <= theirs <= interval[1]:
        return WITHIN_INTERVAL
    return NOT_REPRODUCED


def of_cell(
    ours: float, theirs: float | None, interval: Interval | None, is_lower_better: bool = False
) -> str | None:
    """`verdict` of a table's number, percent: NOT_EVALUATED without ours, None without theirs.

    Of what is better lower, 100 minus it is judged.
    """
    if pd.isna(theirs):
        return None
    if pd.isna(ours):
        return NOT_EVALUATED
    ends = interval and (interval.low, interval.high)
    if is_lower_better:
        ours, theirs = 100.0 - ours, 100.0 - theirs
        ends = interval and (100.0 - interval.high, 100.0 - interval.low)
    return verdict(ours, theirs, ends)
