"""What a figure or table asks of the evaluations that it is given."""

from __future__ import annotations

from collections.abc import Iterable

from tfp_genens.data.requests import listed
from tfp_genens.errors import UserError
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation


def require_scores(evaluation: Evaluation, scores: Iterable[str], only_one: bool = False) -> None:
    """Raises UserError unless the evaluation has OoD sets and these scores, or one of them."""
    if not evaluation.ood:
        raise UserError(
            ARGUMENT, "evaluations of OoD sets", f"{evaluation.directory}, which has none"
        )
    found = evaluation.in_distribution.scores
    known, wanted = [*found.member_scores, *found.ensemble_scores], list(scores)
    missing = [score for score in wanted if score not in known]
    if len(missing) == len(wanted) if only_one else missing:
        expected = f"one of {listed(wanted)}" if only_one else listed(missing)
        raise UserError(
            ARGUMENT,
            f"evaluations that have {expected}",
            f"{evaluation.directory}, which has {listed(known)}",
        )
