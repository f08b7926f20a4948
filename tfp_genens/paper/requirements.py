"""What a figure or table asks of the evaluations that it is given."""

from __future__ import annotations

from collections.abc import Iterable

from tfp_genens.data.requests import listed
from tfp_genens.errors import UserError
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation


def require_scores(evaluation: Evaluation, scores: Iterable[str]) -> None:
    """Raises UserError unless the evaluation has OoD sets, and has these scores."""
    known = _known_scores(evaluation)
    missing = [score for score in scores if score not in known]
    if missing:
        raise UserError(
            ARGUMENT,
            f"evaluations that have {listed(missing)}",
            f"{evaluation.directory}, which has {listed(known)}",
        )


def require_any_score(evaluation: Evaluation, scores: Iterable[str]) -> None:
    """Raises UserError unless the evaluation has OoD sets, and has one of these scores."""
    known = _known_scores(evaluation)
    wanted = list(scores)
    if not any(score in known for score in wanted):
        raise UserError(
            ARGUMENT,
            f"evaluations that have one of {listed(wanted)}",
            f"{evaluation.directory}, which has {listed(known)}",
        )


def _known_scores(evaluation: Evaluation) -> list[str]:
    if not evaluation.ood:
        raise UserError(
            ARGUMENT, "evaluations of OoD sets", f"{evaluation.directory}, which has none"
        )
    found = evaluation.in_distribution.scores
    return [*found.member_scores, *found.ensemble_scores]
