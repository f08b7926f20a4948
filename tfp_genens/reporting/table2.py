"""Table 2 of the paper: AUROC of every OoD set and score, ours beside the paper's, judged by rule.

The first configuration of a training set is judged against the paper. Further ones, e.g. another
beta, are shown beside the paper's numbers without verdicts, which are of other settings.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfp_genens.errors import UserError
from tfp_genens.evaluation import metrics, paper, repetition, results, rows, tables, verdicts
from tfp_genens.evaluation.repetition import Interval
from tfp_genens.reporting import configurations
from tfp_genens.reporting.configurations import Configuration, describe_members
from tfp_genens.reporting.documents import Section, TableDocument
from tfp_genens.reporting.evaluation_files import EvaluatedSet, Evaluation
from tfp_genens.reporting.requirements import ARGUMENT
from tfp_genens.scoring.combine import ENSEMBLE_SCORES

NOT_EVALUATED = "not evaluated"
MARKS = {
    verdicts.REPRODUCED: "✓",
    verdicts.WITHIN_INTERVAL: "≈",
    verdicts.NOT_REPRODUCED: "✗",
    NOT_EVALUATED: "?",
    "": "-",
}

INTERVALS = (
    "Two 95 % intervals stand beside each AUROC. The one over inputs is a bootstrap and takes the "
    "members as given.",
    "The one over ensembles is for one repetition with newly trained members, because the paper's "
    "number is one such draw: of a single model for a single-model score, of an ensemble for an "
    "ensemble score. For single-model scores it is the t prediction interval from all members of "
    "the configuration. For ensemble scores it is the t prediction interval from disjoint "
    "ensembles where three or more are given, and otherwise a delete-one jackknife over the "
    "members of the ensemble shown, widened for the draw, which is rough with five members. Where "
    "a set attacks one member, a single-model score has one value an ensemble, and the jackknife "
    "always keeps the attacked member. It needs three values; with fewer, and where the paper has "
    "no number, there is none.",
)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One OoD set and score.

    Attributes:
      ood_dataset: the set's name.
      score: the score's name.
      row: of results.json, of the evaluation shown; None where it lacks the set.
      further: rows of the further ensembles, likewise.
      interval: over ensembles, or None.
      theirs: the paper's AUROC, percent, or None.
      verdict: one of verdicts.VERDICTS, NOT_EVALUATED, or "" where nothing is judged.
    """

    ood_dataset: str
    score: str
    row: Mapping[str, Any] | None
    further: tuple[Mapping[str, Any] | None, ...]
    interval: Interval | None
    theirs: float | None
    verdict: str


def table(evaluations: Sequence[Evaluation]) -> TableDocument:
    """Table 2 from one or more evaluations.

    Raises:
      UserError: a training set or model that Table 2 has no numbers for; evaluations that share
        members.
    """
    groups = configurations.group(evaluations)
    judged: dict[str, Configuration] = {}
    sections: list[Section] = []
    records: list[dict[str, Any]] = []
    counts: collections.Counter[str] = collections.Counter()
    for configuration in groups:
        base = judged.setdefault(configuration.train_dataset, configuration)
        cells = _cells(configuration, is_judged=base is configuration)
        sections += _sections(configuration, base, cells)
        for cell in cells:
            records += _records(configuration, cell)
            counts[cell.verdict] += 1
    del counts[""]
    return TableDocument(
        title="Table 2: AUROC of out-of-distribution detection",
        text=(
            "AUROC in percent, out-of-distribution inputs being the positive class, beside the "
            "paper's. Each cell is judged by a rule fixed before the numbers; the first verdict "
            "that applies is given:",
            *(f"{k}. {line}" for k, line in enumerate(verdicts.RULE, 1)),
            *INTERVALS,
            f"Cells of the scores evaluated that the paper has a number for: "
            f"{sum(counts.values())}. {_sentence(_count(counts))}",
        ),
        sections=tuple(sections),
        records=tuple(records),
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _count(counts: Mapping[str, int]) -> str:
    """E.g. "reproduced: 15; within interval: 2; not reproduced: 7."."""
    parts = [f"{verdict}: {counts.get(verdict, 0)}" for verdict in verdicts.VERDICTS]
    if counts.get(NOT_EVALUATED):
        parts.append(f"{NOT_EVALUATED}: {counts[NOT_EVALUATED]}")
    return "; ".join(parts) + "."


def _cells(configuration: Configuration, *, is_judged: bool) -> list[Cell]:
    """Set by set: the paper's rows in its order, then those that only we have."""
    first = configuration.first
    model, train_dataset = configuration.model, configuration.train_dataset
    scores = [name for name in first.document["main_scores"] if paper.columns(name, model)]
    in_paper = [
        ood
        for ood in dict.fromkeys(ood for train, ood, _ in paper.results() if train == train_dataset)
        if any(paper.value(train_dataset, ood, score, model) is not None for score in scores)
    ]
    if not in_paper:
        raise UserError(
            ARGUMENT,
            "evaluations of what the paper's Table 2 has numbers for",
            f"{first.directory}, of {model} on {train_dataset}",
        )
    evaluated = [ood.name for ood in first.ood]
    cells = []
    for ood in dict.fromkeys([*in_paper, *evaluated]):
        for score in scores:
            theirs = paper.value(train_dataset, ood, score, model)
            row, *further = (
                _row(evaluation, ood, score) for evaluation in configuration.evaluations
            )
            interval = None
            if row is not None and theirs is not None:
                interval = interval_over_ensembles(configuration, ood, score)
            verdict = ""
            if is_judged and theirs is not None:
                verdict = NOT_EVALUATED
                if row is not None:
                    ends = None if interval is None else (interval.low, interval.high)
                    verdict = verdicts.verdict(row["auroc"], theirs, ends)
            cells.append(Cell(ood, score, row, tuple(further), interval, theirs, verdict))
    return cells


def _row(evaluation: Evaluation, ood: str, score: str) -> Mapping[str, Any] | None:
    try:
        return evaluation.row(ood, score)
    except KeyError:
        return None


def interval_over_ensembles(
    configuration: Configuration, ood_dataset: str, score: str
) -> Interval | None:
    """For one repetition of a cell, see `repetition`; from the score files of the members.

    Args:
      configuration: evaluations of disjoint members; further ensembles count where they have as
        many members as the first.
      ood_dataset: a set that the first evaluation has.
      score: a member's or an ensemble's.

    Returns:
      None where there are too few members.
    """
    pairs = [
        (evaluation, ood)
        for evaluation in configuration.evaluations
        for ood in evaluation.ood
        if ood.name == ood_dataset
    ]
    first, first_ood = pairs[0]
    if score in first.in_distribution.scores.member_scores:
        return repetition.of_draws(
            [
                _auroc(evaluation, ood, score, member)
                for evaluation, ood in pairs
                for member in evaluation.row(ood_dataset, score)["members_used"]
            ]
        )
    alike = [
        (evaluation, ood)
        for evaluation, ood in pairs
        if evaluation.document["members"] == first.document["members"]
    ]
    over_ensembles = repetition.of_draws(
        [_auroc(evaluation, ood, score, None) for evaluation, ood in alike]
    )
    if over_ensembles is not None:
        return over_ensembles
    (entry,) = (e for e in first.document["sets"] if e["name"] == ood_dataset)
    of = ENSEMBLE_SCORES[score].of
    return repetition.of_one_ensemble(
        rows.member_values(first.in_distribution.scores, of),
        rows.member_values(first_ood.scores, of),
        ENSEMBLE_SCORES[score],
        entry["attacked_members"] or (),
    )


def _auroc(evaluation: Evaluation, ood: EvaluatedSet, score: str, member: int | None) -> float:
    in_values: np.ndarray = evaluation.in_distribution.values(score, member)
    direction = evaluation.spec(score).direction
    return 100.0 * metrics.auroc(in_values, ood.values(score, member), direction)


def _sections(
    configuration: Configuration, base: Configuration, cells: Sequence[Cell]
) -> list[Section]:
    """The overview, then a table a score."""
    document = configuration.first.document
    heading = tables.heading(document)
    is_judged = base is configuration
    if not is_judged:
        heading += f"; {configurations.differences(configuration, base)}"
    by_score: dict[str, list[Cell]] = {}
    for cell in cells:
        by_score.setdefault(cell.score, []).append(cell)
    labels = {score: results.score_label(document, score) for score in by_score}
    shown = describe_members(configuration.first)
    text = [
        f"{_sentence(shown)} of {document['settings']['run_dir']}, "
        f"{document['num_in']:,} in-distribution inputs."
    ]
    if is_judged:
        counts = collections.Counter(cell.verdict for cell in cells if cell.verdict)
        marks = ", ".join(f"{MARKS[name]} {name}" for name in (*verdicts.VERDICTS, NOT_EVALUATED))
        text.append(f"{_sentence(_count(counts))} {_sentence(marks)}, - no number.")
    else:
        text.append("No verdicts: the paper's numbers are of other settings.")
    deviations = paper.deviations(
        configuration.model,
        configuration.train_dataset,
        configuration.config,
        document["members"],
        document["settings"]["num_examples"],
    )
    sections = [
        Section(
            heading,
            tuple(text),
            *_overview(document, by_score, labels, is_judged),
            notes=tuple(f"Departs from the paper: {deviation}" for deviation in deviations),
        )
    ]
    for score, column in by_score.items():
        sections.append(
            Section(
                f"{heading}: {labels[score]}",
                (),
                *_score_table(configuration, column, is_judged),
                notes=_interval_notes(column),
                level=3,
            )
        )
    return sections


def _overview(
    document: Mapping[str, Any],
    by_score: Mapping[str, Sequence[Cell]],
    labels: Mapping[str, str],
    is_judged: bool,
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Header and body: ours, the paper's and a mark for every score."""
    header = ["OoD set"]
    for score in by_score:
        header += [labels[score], "paper", *([""] if is_judged else [])]
    body = []
    for cells in zip(*by_score.values(), strict=True):
        line = [results.dataset_label(document, cells[0].ood_dataset)]
        for cell in cells:
            line += [_percent(_auroc_of(cell.row)), _percent(cell.theirs)]
            line += [MARKS[cell.verdict]] if is_judged else []
        body.append(tuple(line))
    return tuple(header), tuple(body)


def _score_table(
    configuration: Configuration, cells: Sequence[Cell], is_judged: bool
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Header and body of one score's table."""
    further = [describe_members(evaluation) for evaluation in configuration.evaluations[1:]]
    header = ["OoD set", "ours", "over inputs", "over ensembles", *further, "paper", "difference"]
    body = []
    for cell in cells:
        row = cell.row
        over_inputs = over_ensembles = difference = "-"
        if row is not None:
            over_inputs = f"[{row['auroc_low']:.1f}, {row['auroc_high']:.1f}]"
            if cell.theirs is not None:
                difference = f"{row['auroc'] - cell.theirs:+.1f}".replace("-0.0", "+0.0")
        if cell.interval is not None:
            over_ensembles = f"[{cell.interval.low:.1f}, {cell.interval.high:.1f}]"
        line = [
            results.dataset_label(configuration.first.document, cell.ood_dataset),
            _percent(_auroc_of(row)),
            over_inputs,
            over_ensembles,
            *(_percent(_auroc_of(other)) for other in cell.further),
            _percent(cell.theirs),
            difference,
        ]
        body.append((*line, cell.verdict or "-") if is_judged else tuple(line))
    return tuple([*header, "verdict"] if is_judged else header), tuple(body)


def _auroc_of(row: Mapping[str, Any] | None) -> float | None:
    return None if row is None else row["auroc"]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _interval_notes(cells: Sequence[Cell]) -> tuple[str, ...]:
    """What the intervals over ensembles of one table rest on."""
    kinds = {
        "t": "the t prediction interval from {} AUROCs",
        "jackknife": "the jackknife over {} members",
    }
    found = dict.fromkeys(
        (cell.interval.method, cell.interval.num_values) for cell in cells if cell.interval
    )
    bases = [kinds[method].format(num_values) for method, num_values in found]
    return (f"Over ensembles: {'; '.join(bases)}.",) if bases else ()


def _records(configuration: Configuration, cell: Cell) -> list[dict[str, Any]]:
    """One record an ensemble; what is judged stands with the first."""
    records = []
    rows_of_cell = (cell.row, *cell.further)
    for k, (evaluation, row) in enumerate(
        zip(configuration.evaluations, rows_of_cell, strict=True)
    ):
        difference = None
        if row is not None and cell.theirs is not None:
            difference = row["auroc"] - cell.theirs
        interval = cell.interval if k == 0 else None
        records.append(
            {
                "train_dataset": configuration.train_dataset,
                "model": configuration.model,
                "evaluation_dir": str(evaluation.directory),
                "members": configurations.member_names(evaluation),
                "ood_dataset": cell.ood_dataset,
                "score": cell.score,
                **{name: row and row[name] for name in ("auroc", "auroc_low", "auroc_high")},
                "ensembles_low": interval and interval.low,
                "ensembles_high": interval and interval.high,
                "ensembles_method": interval and interval.method,
                "ensembles_num_values": interval and interval.num_values,
                "paper_auroc": cell.theirs,
                "difference": difference,
                "verdict": (cell.verdict or None) if k == 0 else None,
                **{name: row and row[name] for name in ("num_in", "num_out", "num_nan")},
            }
        )
    return records
