"""AUROC against the number of members: what each further member buys."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfp_genens.errors import UserError
from tfp_genens.evaluation import results
from tfp_genens.paper import configurations, member_curve
from tfp_genens.paper.configurations import Configuration
from tfp_genens.paper.documents import Section, TableDocument
from tfp_genens.paper.member_curve import MAX_SUBSETS, Point
from tfp_genens.paper.requirements import require_any_score
from tfp_genens.reporting.evaluation_files import ARGUMENT, EvaluatedSet, Evaluation
from tfp_genens.scoring.combine import DECISION_SCORES, ENSEMBLE_SCORES

ENSEMBLE_SIZE = 5  # the paper's, section 4
FIRST = "first"


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

    def curve(self) -> tuple[Point, ...]:
        """See `member_curve.curve`."""
        return member_curve.curve(self.in_outputs, self.ood_outputs)


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
    names = [
        ood.name
        for ood in evaluations[0].ood
        if all(ood.name in {other.name for other in e.ood} for e in evaluations[1:])
    ]
    sets = evaluations[0].document["sets"]
    attacks = tuple(
        entry["name"]
        for entry in sets
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
            name: _joined([ood for e in evaluations for ood in e.ood if ood.name == name])
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


def table(evaluations: Sequence[Evaluation]) -> TableDocument:
    """AUROC for every OoD set and ensemble size, a section a configuration.

    Raises:
      UserError: evaluations of one configuration that cannot be joined, see `member_scores`.
    """
    sections: list[Section] = []
    records: list[dict[str, Any]] = []
    for configuration in configurations.group(evaluations):
        joined = member_scores(configuration)
        points = joined.curve()
        sections += _sections(joined, points)
        records += [
            {
                "train_dataset": configuration.train_dataset,
                "model": configuration.model,
                "members": joined.members,
                **dataclasses.asdict(point),
            }
            for point in points
        ]
    return TableDocument(
        title="AUROC by number of members",
        text=(
            "AUROC in percent over ensembles of 1 to all of the members: the mean over subsets, "
            "and the lowest and highest in brackets. Subsets of one size share members, so the "
            "range is of these members, not an interval for others. Sizes with more than "
            f"{MAX_SUBSETS} subsets are judged on {MAX_SUBSETS} drawn ones.",
            "With one member the variance is 0 everywhere: WAIC is then that member's log p(x), "
            "and a variance alone tells nothing (AUROC 50). The CSV file also has means and "
            "variances over members.",
        ),
        sections=tuple(sections),
        records=tuple(records),
    )


def _sections(joined: MemberScores, points: Sequence[Point]) -> list[Section]:
    document = joined.configuration.first.document
    scores = list(dict.fromkeys(point.score for point in points))
    shown = next((score for score in DECISION_SCORES if score in scores), scores[0])
    label = results.score_label(document, shown)
    dataset = results.dataset_label(document, joined.configuration.train_dataset)
    heading = f"{dataset}, {joined.configuration.model}: {label} by number of members"
    by_set: dict[str, list[Point]] = {}
    for point in points:
        if point.score == shown:
            by_set.setdefault(point.ood_dataset, []).append(point)
    notes = []
    drawn = sorted({point.size for point in points if not point.is_all})
    if drawn:
        sizes = ", ".join(map(str, drawn))
        notes.append(f"Not all subsets, but {MAX_SUBSETS} drawn ones, of size {sizes}.")
    if joined.left_out:
        names = "; ".join(results.dataset_label(document, name) for name in joined.left_out)
        notes.append(f"Left out, because they were made against members: {names}.")
    sections = [
        Section(
            heading,
            (
                f"Members (seed/number) {', '.join(joined.members)}; "
                f"{document['num_in']:,} in-distribution inputs.",
            ),
            ("OoD set", *(str(size) for size in range(1, len(joined.members) + 1))),
            tuple(
                (results.dataset_label(document, name), *map(_cell, by_size))
                for name, by_size in by_set.items()
            ),
            tuple(notes),
        )
    ]
    if len(joined.members) >= 2 * ENSEMBLE_SIZE:
        sections.append(_disjoint(joined, shown, label))
    return sections


def _cell(point: Point) -> str:
    if point.num_subsets == 1:
        return f"{point.mean:.1f}"
    return f"{point.mean:.1f} [{point.lowest:.1f}, {point.highest:.1f}]"


def _disjoint(joined: MemberScores, shown: str, label: str) -> Section:
    """AUROC of disjoint ensembles of the paper's size, taken in the order of the members."""
    num = len(joined.members) // ENSEMBLE_SIZE
    subsets = np.arange(num * ENSEMBLE_SIZE).reshape(num, ENSEMBLE_SIZE)
    score = ENSEMBLE_SCORES[shown]
    aurocs = member_curve.subset_aurocs(
        joined.in_outputs[score.of],
        {name: outputs[score.of] for name, outputs in joined.ood_outputs.items()},
        score,
        subsets,
    )
    document = joined.configuration.first.document
    return Section(
        f"{label} of disjoint ensembles of {ENSEMBLE_SIZE}",
        ("Members are taken in their order; each ensemble was trained apart from the others.",),
        (
            "OoD set",
            *(", ".join(joined.members[position] for position in subset) for subset in subsets),
            "largest difference",
        ),
        tuple(
            (
                results.dataset_label(document, name),
                *(f"{value:.1f}" for value in values),
                f"{np.ptp(values):.1f}",
            )
            for name, values in aurocs.items()
        ),
        level=3,
    )
