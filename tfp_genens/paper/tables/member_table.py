"""AUROC against the number of members: what each further member buys."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfp_genens.errors import UserError
from tfp_genens.evaluation import results
from tfp_genens.paper import configurations, ensemble_scores, frame, member_curve
from tfp_genens.paper.configurations import Configuration
from tfp_genens.paper.documents import Document
from tfp_genens.paper.ensemble_scores import EnsembleScore
from tfp_genens.paper.member_curve import MAX_SUBSETS, Point
from tfp_genens.paper.requirements import require_any_score
from tfp_genens.reporting.evaluation_files import ARGUMENT, EvaluatedSet, Evaluation

ENSEMBLE_SIZE = 5  # the paper's, section 4
FIRST = "first"
SHOWN = ("waic", "rate_mean", "critic_var")
"""The first of these that there is stands in the table; all are in the records."""


@dataclasses.dataclass(frozen=True)
class MemberScores:
    """All members of one configuration, scored on the same inputs.

    Attributes:
      configuration: where they are from.
      members: seed/number of each, in the order of the arrays.
      in_outputs: member output -> float64 [num_members, num_in].
      ood_outputs: OoD set -> member output -> float64 [num_members, num_out].
      left_out: sets that were made against members, which fewer members would make others.
    """

    configuration: Configuration
    members: tuple[str, ...]
    in_outputs: dict[str, np.ndarray]
    ood_outputs: dict[str, dict[str, np.ndarray]]
    left_out: tuple[str, ...]

    @property
    def scores(self) -> dict[str, EnsembleScore]:
        """What can be made of the members' outputs."""
        specs = self.configuration.first.in_distribution.scores.member_scores
        return ensemble_scores.available({name: specs[name] for name in self.in_outputs})

    def curve(self) -> tuple[Point, ...]:
        """See `member_curve.curve`."""
        return member_curve.curve(self.in_outputs, self.ood_outputs, self.scores)


def member_scores(configuration: Configuration) -> MemberScores:
    """Joins the members of all evaluations of a configuration.

    Raises:
      UserError: the evaluations have other inputs; fewer than two members; no OoD set that they
        share, or ensemble score, that a curve can be drawn of.
    """
    evaluations = configuration.evaluations
    members = tuple(m for e in evaluations for m in configurations.member_names(e))
    if len(members) < 2:
        raise UserError(ARGUMENT, "two members or more", f"one in {evaluations[0].directory}")
    require_any_score(evaluations[0], member_curve.SCORES)
    sets = [{ood.name: ood for ood in evaluation.ood} for evaluation in evaluations]
    names = [name for name in sets[0] if all(name in others for others in sets)]
    attacks = tuple(
        entry["name"]
        for entry in evaluations[0].document["sets"]
        if entry["name"] in names and configurations.is_attack(entry)
    )
    if set(names) == set(attacks):
        raise UserError(
            ARGUMENT,
            "evaluations that share OoD sets which attack no members",
            ", ".join(names) or "none",
        )
    return MemberScores(
        configuration=configuration,
        members=members,
        in_outputs=_joined([e.in_distribution for e in evaluations]),
        ood_outputs={
            name: _joined([of_one[name] for of_one in sets])
            for name in names
            if name not in attacks
        },
        left_out=attacks,
    )


def _joined(sets: Sequence[EvaluatedSet]) -> dict[str, np.ndarray]:
    what = sets[0].label
    outputs = member_curve.joined([s.scores for s in sets], what)
    for other in sets[1:]:
        # Ids name noise by its number, whatever it was drawn with; the first inputs are at hand.
        if not np.array_equal(sets[0].examples[FIRST], other.examples[FIRST]):
            raise UserError(
                ARGUMENT,
                f"the same inputs of {what} in each evaluation",
                "inputs that differ under one name (another --seed of evaluate?)",
            )
    return outputs


def table(evaluations: Sequence[Evaluation]) -> Document:
    """AUROC for every OoD set and ensemble size, a section a configuration.

    Raises:
      UserError: evaluations of one configuration that cannot be joined, see `member_scores`.
    """
    shown, records = [], []
    for configuration in configurations.group(evaluations):
        joined = member_scores(configuration)
        points = pd.DataFrame(joined.curve())
        shown.append(_shown(joined, points))
        points.insert(0, "train_dataset", configuration.train_dataset)
        points.insert(1, "model", configuration.model)
        points.insert(2, "members", [joined.members] * len(points))
        records.append(points)
    context = {"max_subsets": MAX_SUBSETS, "size": ENSEMBLE_SIZE, "configurations": shown}
    return Document("members", context, pd.concat(records))


def _shown(joined: MemberScores, points: pd.DataFrame) -> dict[str, Any]:
    """What the template says of one configuration: of one score."""
    first = joined.configuration.first
    judged = list(points["score"])
    score = next((name for name in SHOWN if name in judged), judged[0])
    points = points[points["score"] == score]

    def labels(names: Iterable[str]) -> list[str]:
        return [results.dataset_label(first.document, name) for name in names]

    cells = points.assign(text=[_cell(point) for point in points.itertuples()])
    by_size = cells.pivot(index="ood_dataset", columns="size", values="text")
    by_size = by_size.loc[list(joined.ood_outputs)]
    by_size.insert(0, "OoD set", labels(joined.ood_outputs))
    return {
        "dataset": results.dataset_label(first.document, joined.configuration.train_dataset),
        "model": joined.configuration.model,
        "score": results.score_label(first.document, score),
        "members": joined.members,
        "num_in": first.document["num_in"],
        "table": by_size.rename(columns=str),
        "drawn": sorted(set(points["size"][~points["is_all"]])),
        "left_out": labels(joined.left_out),
        "disjoint": _disjoint(joined, score, labels(joined.ood_outputs)),
    }


def _cell(point: Any) -> str:
    if point.num_subsets == 1:
        return f"{point.mean:.1f}"
    return f"{point.mean:.1f} [{point.lowest:.1f}, {point.highest:.1f}]"


def _disjoint(joined: MemberScores, score: str, labels: list[str]) -> dict[str, Any] | None:
    """AUROC of disjoint ensembles of the paper's size, taken in the order of the members."""
    num = len(joined.members) // ENSEMBLE_SIZE
    if num < 2:
        return None
    subsets = np.arange(num * ENSEMBLE_SIZE).reshape(num, ENSEMBLE_SIZE)
    found = member_curve.subset_aurocs(
        joined.in_outputs, joined.ood_outputs, joined.scores[score], subsets
    )
    aurocs = np.array([found[name] for name in joined.ood_outputs])
    columns: frame.Columns = [("OoD set", labels)]
    for subset, of_subset in zip(subsets, aurocs.T, strict=True):
        columns.append((", ".join(joined.members[position] for position in subset), of_subset))
    columns.append(("largest difference", np.ptp(aurocs, axis=1)))
    return {"table": frame.side_by_side(columns)}
