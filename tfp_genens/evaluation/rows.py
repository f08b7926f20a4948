"""From two score files, in-distribution and out-of-distribution, to rows of results.json."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfp_genens.artifact.spec import OutputSpec
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

    def row(
        score: str,
        spec: OutputSpec,
        in_values: np.ndarray,
        ood_values: np.ndarray,
        members: tuple[int, ...],
        auroc_members: list[float] | None,
    ) -> dict[str, Any]:
        """in_values: [num_columns, num_in]; the columns are members, or the one ensemble score."""
        values = [
            metrics.all_metrics(i, o, spec.direction)
            for i, o in zip(in_values, ood_values, strict=True)
        ]
        mean = {name: 100.0 * float(np.mean([v[name] for v in values])) for name in metrics.METRICS}
        intervals = bootstrap.bootstrap_intervals(
            in_values,
            ood_values,
            spec.direction,
            num_resamples=num_bootstrap,
            seed=seed,
            path=(ood_dataset,),
        )
        ends = {
            f"{name}_{end}": 100.0 * value
            for name, interval in intervals.items()
            for end, value in zip(("low", "high"), interval, strict=True)
        }
        return {
            "ood_dataset": ood_dataset,
            "score": score,
            "auroc": mean["auroc"],
            "auroc_low": ends["auroc_low"],
            "auroc_high": ends["auroc_high"],
            "average_precision": mean["average_precision"],
            "average_precision_low": ends["average_precision_low"],
            "average_precision_high": ends["average_precision_high"],
            "fpr_at_95_tpr": mean["fpr_at_95_tpr"],
            "fpr_at_95_tpr_low": ends["fpr_at_95_tpr_low"],
            "fpr_at_95_tpr_high": ends["fpr_at_95_tpr_high"],
            "num_in": in_values.shape[1],
            "num_out": ood_values.shape[1],
            "num_nan": int(np.isnan(in_values).sum() + np.isnan(ood_values).sum()),
            "paper_auroc": published.value(train_dataset, ood_dataset, score, model),
            "auroc_members": auroc_members,
            "members_used": list(members),
            "direction": spec.direction,
            "unit": spec.unit,
            "description": description,
        }

    rows = []
    for score, spec in in_scores.member_scores.items():
        in_members, ood_members = (member_values(s, score) for s in (in_scores, ood_scores))
        auroc_members = [
            100.0 * metrics.auroc(in_members[m], ood_members[m], spec.direction) for m in everyone
        ]
        chosen = list(used)
        rows.append(row(score, spec, in_members[chosen], ood_members[chosen], used, auroc_members))
    for score, spec in in_scores.ensemble_scores.items():
        in_values, ood_values = (
            s.frame[[score]].to_numpy(np.float64).T for s in (in_scores, ood_scores)
        )
        rows.append(row(score, spec, in_values, ood_values, everyone, None))
    return rows
