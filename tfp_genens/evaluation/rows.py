"""From two score files, in-distribution and out-of-distribution, to rows of results.json."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfp_genens.evaluation import bootstrap, metrics, published
from tfp_genens.scoring.columns import ScoreFile, member_column


def member_values(scores: ScoreFile, score: str) -> np.ndarray:
    """One score by every member: float64 [num_members, num_inputs]."""
    names = [member_column(score, member) for member in scores.members]
    return scores.frame[names].to_numpy(np.float64).T


def ranking_score(scores: ScoreFile) -> str | None:
    """The ensemble score that ranks inputs in figures: the deciding one, or the first there is."""
    names = (scores.decision_score, *scores.ensemble_scores)
    return next((name for name in names if name in scores.ensemble_scores), None)


def make_rows(
    in_scores: ScoreFile,
    ood_scores: ScoreFile,
    *,
    ood_dataset: str,
    description: str,
    attacked_members: tuple[int, ...] | None,
    train_dataset: str,
    model: str,
    num_bootstrap: int,
    seed: int,
) -> list[dict[str, Any]]:
    """One row a score: single-model scores first, then the ensemble's.

    A single-model row is the mean over members of each member's metric; where the OoD set attacks
    particular members, over those only, because the attack is meant for the model that is judged.

    Args:
      in_scores: scores of in-distribution inputs.
      ood_scores: scores of out-of-distribution inputs by the same members.
      ood_dataset: name of the OoD set.
      description: what it is, one sentence.
      attacked_members: positions of the members an adversarial set was made against, or None.
      train_dataset: what the members were trained on.
      model: model family.
      num_bootstrap: resamples behind the intervals.
      seed: the run's seed.

    Returns:
      Rows as in results.json: metrics and interval ends in percent.
    """
    everyone = tuple(range(in_scores.num_members))
    used = everyone if attacked_members is None else attacked_members

    def row(score: str, members: tuple[int, ...], **more: Any) -> dict[str, Any]:
        spec = {**in_scores.member_scores, **in_scores.ensemble_scores}[score]
        in_values = _values(in_scores, score)[list(members)]
        ood_values = _values(ood_scores, score)[list(members)]
        return {
            "ood_dataset": ood_dataset,
            "score": score,
            **_measured(in_values, ood_values, spec.direction, num_bootstrap, seed, ood_dataset),
            "num_in": in_values.shape[1],
            "num_out": ood_values.shape[1],
            "num_nan": int(np.isnan(in_values).sum() + np.isnan(ood_values).sum()),
            "paper_auroc": published.value(train_dataset, ood_dataset, score, model),
            **more,
            "direction": spec.direction,
            "unit": spec.unit,
            "description": description,
        }

    return [
        row(
            score,
            tuple(used),
            auroc_members=_aurocs(in_scores, ood_scores, score),
            members_used=list(used),
        )
        for score in in_scores.member_scores
    ] + [
        row(score, (0,), auroc_members=None, members_used=list(everyone))
        for score in in_scores.ensemble_scores
    ]


def _aurocs(in_scores: ScoreFile, ood_scores: ScoreFile, score: str) -> list[float]:
    """Percent, one a member."""
    pairs = zip(_values(in_scores, score), _values(ood_scores, score), strict=True)
    direction = in_scores.member_scores[score].direction
    return [
        100.0 * metrics.auroc(in_values, ood_values, direction) for in_values, ood_values in pairs
    ]


def _values(scores: ScoreFile, score: str) -> np.ndarray:
    """float64 [num_members, num_inputs]; of an ensemble score [1, num_inputs]."""
    if score in scores.member_scores:
        return member_values(scores, score)
    return scores.frame[[score]].to_numpy(np.float64).T


def _measured(
    in_values: np.ndarray,
    ood_values: np.ndarray,
    direction: str,
    num_bootstrap: int,
    seed: int,
    ood_dataset: str,
) -> dict[str, float]:
    """Metrics in percent, the mean over the leading axis, each with its interval's ends."""
    pairs = zip(in_values, ood_values, strict=True)
    of_each = [metrics.all_metrics(i, o, direction) for i, o in pairs]
    intervals = bootstrap.bootstrap_intervals(
        in_values,
        ood_values,
        direction,
        num_resamples=num_bootstrap,
        seed=seed,
        path=(ood_dataset,),
    )
    found = {}
    for name in metrics.METRICS:
        low, high = intervals[name]
        found[name] = 100.0 * float(np.mean([values[name] for values in of_each]))
        found |= {f"{name}_low": 100.0 * low, f"{name}_high": 100.0 * high}
    return found
