"""From two score files, in-distribution and out-of-distribution, to rows of results.json."""

from typing import Any

import numpy as np

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL
from tfp_genens.evaluation import bootstrap, metrics, published, results
from tfp_genens.scoring.columns import ScoreFile, member_column


def member_values(scores: ScoreFile, score: str) -> np.ndarray:
    """One score by every member: float64 [num_members, num_inputs]."""
    names = [member_column(score, member) for member in scores.members]
    return scores.frame[names].to_numpy(np.float64).T


def ranking_score(scores: ScoreFile) -> str | None:
    """The ensemble score that ranks inputs in figures: the deciding one, or the first there is."""
    names = (scores.decision_score, *scores.ensemble_scores)
    return next((name for name in names if name in scores.ensemble_scores), None)


def extremes(values: np.ndarray, direction: str) -> dict[str, np.ndarray]:
    """Positions in a score [num_inputs] of the "least_normal" and "most_normal", extreme first."""
    sign = 1.0 if direction == HIGHER_IS_NORMAL else -1.0
    # NaN sorts last at both ends: it is neither.
    return {
        f"{end}_normal": np.argsort(sign_at_end * values, kind="stable")[: results.NUM_EXTREME]
        for end, sign_at_end in (("least", sign), ("most", -sign))
    }


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
      in_scores, ood_scores: of in-distribution and of OoD inputs, by the same members.
      ood_dataset, description: the OoD set's name, and what it is, one sentence.
      attacked_members: positions of the members an adversarial set was made against, or None.
      train_dataset, model: what the members were trained on, and their family.
      num_bootstrap, seed: of the intervals, see `bootstrap`.

    Returns:
      Rows as in results.json: metrics and interval ends in percent.
    """
    everyone = list(range(in_scores.num_members))
    attacked = everyone if attacked_members is None else list(attacked_members)

    def row(score: str) -> dict[str, Any]:
        is_single = score in in_scores.member_scores
        used = attacked if is_single else [0]
        spec = {**in_scores.member_scores, **in_scores.ensemble_scores}[score]
        in_values, ood_values = _values(in_scores, score), _values(ood_scores, score)
        pairs = list(zip(in_values, ood_values, strict=True)) if is_single else []
        judged = judge(
            in_values[used],
            ood_values[used],
            spec.direction,
            ood_dataset=ood_dataset,
            num_bootstrap=num_bootstrap,
            seed=seed,
        )
        return {
            "ood_dataset": ood_dataset,
            "score": score,
            **judged,
            "paper_auroc": published.value(train_dataset, ood_dataset, score, model),
            "auroc_members": [100.0 * metrics.auroc(*p, spec.direction) for p in pairs] or None,
            "members_used": attacked if is_single else everyone,
            "direction": spec.direction,
            "unit": spec.unit,
            "description": description,
        }

    return [row(score) for score in (*in_scores.member_scores, *in_scores.ensemble_scores)]


def _values(scores: ScoreFile, score: str) -> np.ndarray:
    """float64 [num_members, num_inputs]; of an ensemble score [1, num_inputs]."""
    if score in scores.member_scores:
        return member_values(scores, score)
    return scores.frame[[score]].to_numpy(np.float64).T


def judge(
    in_values: np.ndarray,
    ood_values: np.ndarray,
    direction: str,
    *,
    ood_dataset: str,
    num_bootstrap: int,
    seed: int,
) -> dict[str, float]:
    """Every metric of one score; of several members' scores, the mean of their metrics.

    Args:
      in_values: of in-distribution inputs, float64 [num_in] or [num_members, num_in].
      ood_values: of OoD inputs by the same members, likewise.
      direction: of the score.
      ood_dataset: names the OoD set; with the seed it picks the bootstrap's resamples.
      num_bootstrap, seed: of the intervals, see `bootstrap`.

    Returns:
      By name each metric and the ends of its interval, NAME_low and NAME_high, percent; "num_in",
      "num_out", and "num_nan", how many of the values are NaN.
    """
    in_values, ood_values = np.atleast_2d(in_values), np.atleast_2d(ood_values)
    pairs = zip(in_values, ood_values, strict=True)
    of_each = [metrics.all_metrics(*pair, direction) for pair in pairs]
    how: dict[str, Any] = {"num_resamples": num_bootstrap, "seed": seed, "path": (ood_dataset,)}
    found: dict[str, float] = {}
    resampled = bootstrap.resampled_metrics(in_values, ood_values, direction, **how)
    for name, (low, high) in bootstrap.intervals(resampled).items():
        found[name] = 100.0 * float(np.mean([values[name] for values in of_each]))
        found |= {f"{name}_low": 100.0 * low, f"{name}_high": 100.0 * high}
    counts = {"num_in": in_values.shape[1], "num_out": ood_values.shape[1]}
    return found | counts | {"num_nan": int(np.isnan(in_values).sum() + np.isnan(ood_values).sum())}
