"""The one place where tables and figures combine members' outputs themselves.

What an evaluation holds is of all its members; ensembles of some of them are made here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tfp_genens.artifact.spec import OutputSpec
from tfp_genens.scoring import scores
from tfp_genens.scoring.scores import EnsembleScore

__all__ = ["EnsembleScore", "available", "combine_members"]


def available(outputs: Mapping[str, OutputSpec]) -> dict[str, EnsembleScore]:
    """Every ensemble score that can be made of these member outputs alone, by name.

    Scores with fitted state are none: it takes held-out inputs, which evaluations do not keep.
    """
    found = scores.available_scores(outputs)
    return {name: score for name, score in found.items() if score.fit is None}


def combine_members(score: EnsembleScore, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """An ensemble score, float64 [...], of member outputs, float64 [num_members, ...] each."""
    given = {name: outputs[name] for name in score.inputs}
    shape = next(iter(given.values())).shape[1:]
    flat = {name: values.reshape(len(values), -1) for name, values in given.items()}
    return score(flat).numpy().reshape(shape)
