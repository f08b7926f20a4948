"""The one place where tables and figures combine members' outputs themselves.

What an evaluation holds is of all its members; ensembles of some of them are made here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from tfp_genens.scoring.combine import ENSEMBLE_SCORES, available_scores


def available(outputs: Iterable[str]) -> tuple[str, ...]:
    """Names of the ensemble scores that can be made of these member outputs."""
    return tuple(available_scores(outputs))


def inputs(score: str) -> tuple[str, ...]:
    """The member outputs that an ensemble score is made of."""
    return (ENSEMBLE_SCORES[score].of,)


def direction(score: str) -> str:
    """One of `artifact.spec.DIRECTIONS`."""
    return ENSEMBLE_SCORES[score].spec.direction


def combine_members(score: str, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """An ensemble score.

    Args:
      score: its name.
      outputs: member output -> float64 [num_members, ...].

    Returns:
      float64 [...].
    """
    (values,) = (outputs[name] for name in inputs(score))
    return ENSEMBLE_SCORES[score].function(values)
