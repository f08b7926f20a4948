"""Which frauds decide FPR@95%TPR: the 5 % of them that a score takes for the most normal."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfp_genens.paper.documents import Section
from tfp_genens.paper.judged import percent

SHARE = 0.05
ABOUT = (
    "FPR@95%TPR is decided by the 5 % of frauds that a score takes for the most normal. For each "
    "method that saw no fraud, and a split's first model where there are several: the share of "
    "normal rows that look more anomalous than these frauds do, in the mean over them; and how "
    "many of them, in percent, are also among the 5 % of the method with the best FPR@95%TPR. All "
    "in the mean over splits. Near 50 and 100, methods fail on the same frauds, which look like "
    "ordinary rows to each; a random 5 % would share 5 %."
)


@dataclasses.dataclass(frozen=True)
class Scored:
    """A method's scores, higher being more anomalous.

    Attributes:
      name: of the score.
      model: what it is of.
      splits: (normal rows [num_in], frauds [num_out]) of each split, frauds in the same order in
        every method.
    """

    name: str
    model: str
    splits: Sequence[tuple[np.ndarray, np.ndarray]]


def section(methods: Sequence[Scored], reference: Scored) -> Section:
    """One line a method.

    Args:
      methods: one or more, of the same splits.
      reference: the method that they are compared with.
    """
    body = []
    for method in methods:
        above = [
            np.mean([np.mean(~(normal <= fraud[i])) for i in hardest(fraud)])  # NaN is above
            for normal, fraud in method.splits
        ]
        shared = [
            len(np.intersect1d(hardest(fraud), hardest(other))) / len(hardest(fraud))
            for (_, fraud), (_, other) in zip(method.splits, reference.splits, strict=True)
        ]
        line = (method.name, method.model, percent(100.0 * float(np.mean(above))))
        is_other = method is not reference
        body.append((*line, percent(100.0 * float(np.mean(shared))) if is_other else "-"))
    header = ("Method", "model", "normal rows above", f"shared with {reference.name}")
    return Section("The hardest frauds", (ABOUT,), header, tuple(body))


def hardest(fraud: np.ndarray) -> np.ndarray:
    """Positions of the SHARE of frauds of the lowest scores, NaN being the lowest; one at least."""
    return np.argsort(np.where(np.isnan(fraud), -np.inf, fraud), kind="stable")[
        : max(1, round(SHARE * len(fraud)))
    ]
