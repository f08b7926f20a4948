"""P-values: how many held-out normal inputs look at least as abnormal as this one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from tfp_genens.artifact.manifest import VALIDATION_SCORES
from tfp_genens.artifact.member import Member
from tfp_genens.artifact.spec import HIGHER_IS_NORMAL
from tfp_genens.scoring.combine import DECISION_SCORES, ENSEMBLE_SCORES, combine


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Conformal p-values from held-out in-distribution inputs.

    For a normal input drawn like the held-out ones, P(p_value <= alpha) <= alpha over the draw of
    both (split conformal prediction; Vovk et al. 2005).

    Attributes:
      score: the ensemble score that decides.
      normality: its held-out values, sign turned so that higher is more normal, sorted.
    """

    score: str
    normality: np.ndarray

    @property
    def smallest_p_value(self) -> float:
        """No alpha below it flags anything."""
        return 1.0 / (1.0 + len(self.normality))

    def p_value(self, scores: np.ndarray) -> np.ndarray:
        """(1 + number of held-out inputs at most as normal) / (1 + number of held-out inputs).

        A score that is NaN counts as less normal than all of them.

        Args:
          scores: values of `score`, float64 [batch].

        Returns:
          float64 [batch], in (0, 1].
        """
        normality = np.nan_to_num(
            orient(self.score, scores), nan=-np.inf, posinf=np.inf, neginf=-np.inf
        )
        at_most = np.searchsorted(self.normality, normality, side="right")
        return (1.0 + at_most) / (1.0 + len(self.normality))


def orient(score: str, values: np.ndarray) -> np.ndarray:
    """Turns an ensemble score's sign so that higher is more normal."""
    return values if ENSEMBLE_SCORES[score].spec.direction == HIGHER_IS_NORMAL else -values


def calibrate(members: Sequence[Member], outputs: Sequence[str]) -> Calibration | None:
    """The calibration that the members' held-out scores allow for these outputs, if any."""
    stored = []
    for member in members:
        if not member.manifest.get("calibration"):
            return None
        with np.load(member.directory / VALIDATION_SCORES, allow_pickle=False) as arrays:
            stored.append({name: arrays[name] for name in (*outputs, "example_id")})
    if any(not np.array_equal(s["example_id"], stored[0]["example_id"]) for s in stored):
        return None
    held_out: Mapping[str, np.ndarray] = {
        name: np.stack([s[name] for s in stored]) for name in outputs
    }
    combined = combine(held_out)
    decisive = [name for name in DECISION_SCORES if name in combined]
    if not decisive:
        return None
    return Calibration(decisive[0], np.sort(orient(decisive[0], combined[decisive[0]])))
