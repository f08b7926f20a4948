"""Table 2 of the paper: AUROC of every OoD set and score, ours beside the paper's, judged by rule.

Its columns are of several models. The first configuration of each model on a training set is judged
against the paper, and all these make up one overview. Further ones, e.g. another beta, are shown
beside the paper's numbers without verdicts, which are of other settings. Models that the paper does
not have, such as nearest neighbours, have columns of their own without numbers of the paper's.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfp_genens.errors import UserError
from tfp_genens.evaluation import accuracy, metrics, results, rows, tables
from tfp_genens.paper import configurations, judged, labels, repetition, verdicts
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.configurations import Configuration, describe_members
from tfp_genens.paper.documents import Section, TableDocument
from tfp_genens.paper.judged import MARKS, NOT_EVALUATED, percent, sentence
from tfp_genens.paper.repetition import Interval
from tfp_genens.reporting.evaluation_files import ARGUMENT, EvaluatedSet, Evaluation
from tfp_genens.scoring.combine import ENSEMBLE_SCORES

INTERVALS = (
    "Two 95 % intervals stand beside each AUROC. The one over inputs is a bootstrap and takes the "
    "members as given.",
    "The one over ensembles is for one repetition with newly trained members, because the paper's "
    "number is one such draw: of a single model for a single-model score, of an ensemble for an "
    "ensemble score. For single-model scores it is the t prediction interval from all members of "
    "the configuration. For ensemble scores it is the t prediction interval from disjoint "
    "ensembles where three or more are given, and otherwise a delete-one jackknife over the "
    "members of the ensemble shown, widened for the draw, which with five members is wide and only "
    "nominally of 95 %. Where "
    "a set attacks one member, a single-model score has one value an ensemble, and the jackknife "
    "always keeps the attacked member. It needs three values; with fewer, and where the paper has "
    "no number, there is none.",
)


BEYOND_THE_PAPER = (
    "Columns of {} are beyond the paper, which has no numbers of them: nothing is judged there, "
    "and intervals are over inputs only."
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


@dataclasses.dataclass(frozen=True)
class Panel:
    """One configuration's cells.

    Attributes:
      configuration: what they are of.
      base: the configuration that is judged, of the same model and training set; maybe this one.
      cells: set by set.
    """

    configuration: Configuration
    base: Configuration
    cells: tuple[Cell, ...]

    @property
    def is_base(self) -> bool:
        """Whether this is the first configuration of its model: part of the overview."""
        return self.base is self.configuration

    @property
    def is_judged(self) -> bool:
        return self.is_base and self.is_in_paper

    @property
    def is_in_paper(self) -> bool:
        """Whether the paper has numbers of this model on this training set."""
        return any(cell.theirs is not None for cell in self.cells)

    @property
    def train_dataset(self) -> str:
        return self.configuration.train_dataset

    @property
    def model(self) -> str:
        return self.configuration.model

    @property
    def document(self) -> Mapping[str, Any]:
        """results.json of the evaluation shown."""
        return self.configuration.first.document

    @property
    def scores(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.score for cell in self.cells))

    def of_score(self, score: str) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if cell.score == score)


def table(evaluations: Sequence[Evaluation]) -> TableDocument:
    """Table 2 from one or more evaluations.

    Raises:
      UserError: a training set or model that Table 2 has no numbers for; evaluations that share
        members.
    """
    panels = _panels(evaluations)
    sections: list[Section] = []
    for train_dataset in dict.fromkeys(panel.train_dataset for panel in panels):
        sections += _sections([p for p in panels if p.train_dataset == train_dataset])
    found = [cell.verdict for panel in panels for cell in panel.cells if cell.verdict]
    return TableDocument(
        title="Table 2: AUROC of out-of-distribution detection",
        text=(
            "AUROC in percent, out-of-distribution inputs being the positive class, beside the "
            f"paper's. Each cell is judged by one rule. {verdicts.WHEN} The first verdict that "
            "applies is given:",
            *(f"{k}. {line}" for k, line in enumerate(verdicts.RULE, 1)),
            *INTERVALS,
            f"Cells of the scores evaluated that the paper has a number for: "
            f"{len(found)}. {sentence(judged.count(found))}",
            *_beyond_the_paper(panels),
        ),
        sections=tuple(sections),
        records=tuple(
            record
            for panel in panels
            for cell in panel.cells
            for record in _records(panel.configuration, cell)
        ),
    )


def _panels(evaluations: Sequence[Evaluation]) -> list[Panel]:
    """One a configuration; the first of each model on a training set is judged."""
    judged: dict[tuple[str, str], Configuration] = {}
    panels = []
    for configuration in configurations.group(evaluations):
        key = (configuration.train_dataset, configuration.model)
        base = judged.setdefault(key, configuration)
        cells = _cells(configuration, is_judged=base is configuration)
        panels.append(Panel(configuration, base, tuple(cells)))
    return panels


def _beyond_the_paper(panels: Sequence[Panel]) -> tuple[str, ...]:
    """One sentence on the models that only we have, where there are any."""
    columns = dict.fromkeys(
        f"{panel.model} on {results.dataset_label(panel.document, panel.train_dataset)}"
        for panel in panels
        if not panel.is_in_paper
    )
    return (BEYOND_THE_PAPER.format(", ".join(columns)),) if columns else ()


def _cells(configuration: Configuration, *, is_judged: bool) -> list[Cell]:
    """Set by set: the paper's rows in its order, then those that only we have."""
    first = configuration.first
    model, train_dataset = configuration.model, configuration.train_dataset
    if train_dataset not in paper.train_datasets():
        raise UserError(
            ARGUMENT,
            "evaluations of what the paper's Table 2 has numbers for",
            f"{first.directory}, of {model} on {train_dataset}",
        )
    scores = list(first.document["main_scores"])
    if not any(paper.columns(name, model) for name in scores):  # beyond the paper: single models
        scores = list(first.in_distribution.scores.member_scores)
    in_paper = [
        ood
        for ood in dict.fromkeys(ood for train, ood, _ in paper.results() if train == train_dataset)
        if any(paper.value(train_dataset, ood, score, model) is not None for score in scores)
    ]
    evaluated = [ood.name for ood in first.ood]
    cells = []
    for ood in dict.fromkeys([*in_paper, *evaluated]):
        for score in scores:
            theirs = paper.value(train_dataset, ood, score, model)
            row, *further = (
                evaluation.find_row(ood, score) for evaluation in configuration.evaluations
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


def interval_over_ensembles(
    configuration: Configuration, ood_dataset: str, score: str
) -> Interval | None:
    """For one repetition of a cell, see `repetition`; from the score files of the members.

    Args:
      configuration: evaluations of disjoint members; further ensembles count where they were
        judged on the same inputs and have as many members as the first.
      ood_dataset: a set that the first evaluation has.
      score: a member's or an ensemble's.

    Returns:
      None where there are too few members.
    """
    pairs = [
        (evaluation, ood)
        for evaluation in configuration.evaluations
        for ood in evaluation.ood
        if ood.name == ood_dataset and configurations.same_inputs(evaluation, configuration.first)
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


def _sections(panels: Sequence[Panel]) -> list[Section]:
    """Of one training set: one overview of its models, then each further configuration."""
    bases = [panel for panel in panels if panel.is_base]
    sections = [_first_overview(bases)]
    sections += [_score_section(panel, score) for panel, score in _columns(bases)]
    for panel in panels:
        if not panel.is_base:
            sections.append(_further_overview(panel))
            sections += [_score_section(panel, score) for score in panel.scores]
    return sections


def _first_overview(panels: Sequence[Panel]) -> Section:
    document = panels[0].document
    members = [f"{panel.document['members']} x {panel.model}" for panel in panels]
    train_label = results.dataset_label(document, document["train_dataset"])
    with_verdicts = [panel for panel in panels if panel.is_judged]
    counts = [judged.count(cell.verdict for cell in panel.cells) for panel in with_verdicts]
    counted = [
        sentence(text) if len(panels) == 1 else f"{panel.model}: {text}"
        for panel, text in zip(with_verdicts, counts, strict=True)
    ]
    return Section(
        f"{train_label}, {', '.join(members)}",
        (*map(_shown, panels), " ".join([*counted, judged.legend()])),
        *_overview(_columns(panels)),
        notes=(
            *_adversarial_notes(panels),
            *_attack_notes(panels),
            *(note for panel in panels for note in _notes_of(panel)),
        ),
    )


def _further_overview(panel: Panel) -> Section:
    return Section(
        _heading(panel),
        (
            _shown(panel),
            *(
                ["No verdicts: of each model the first configuration given is judged."]
                if panel.is_in_paper
                else []
            ),
        ),
        *_overview(_columns([panel])),
        notes=_notes_of(panel),
    )


def _score_section(panel: Panel, score: str) -> Section:
    cells = panel.of_score(score)
    return Section(
        f"{_heading(panel)}: {results.score_label(panel.document, score)}",
        (),
        *_score_table(panel, cells),
        notes=_interval_notes(cells),
        level=3,
    )


def _heading(panel: Panel) -> str:
    heading = tables.heading(panel.document)
    if panel.is_base:
        return heading
    return f"{heading}; {configurations.differences(panel.configuration, panel.base)}"


def _shown(panel: Panel) -> str:
    """Which members the numbers are of, one sentence."""
    document = panel.document
    return (
        f"{sentence(describe_members(panel.configuration.first))} of "
        f"{document['settings']['run_dir']}, {document['num_in']:,} in-distribution inputs."
    )


def _notes_of(panel: Panel) -> tuple[str, ...]:
    """A classifier's accuracy, and where a model departs from the paper."""
    return accuracy.note(panel.document) + _departures(panel)


def _departures(panel: Panel) -> tuple[str, ...]:
    document = panel.document
    deviations = paper.deviations(
        panel.model,
        panel.train_dataset,
        panel.configuration.config,
        document["members"],
        document["settings"]["num_examples"],
    )
    return tuple(f"Departs from the paper ({panel.model}): {text}" for text in deviations)


def _adversarial_notes(panels: Sequence[Panel]) -> tuple[str, ...]:
    """How the paper's row was identified, which its text leaves open."""
    name = paper.ADVERSARIAL
    judged = [c for panel in panels for c in panel.cells if c.ood_dataset == name and c.verdict]
    if not judged:
        return ()
    label = results.dataset_label(panels[0].document, name)
    return (
        f"{label} stands for the paper's Adversarial, whose text says neither that nor where noise "
        "is clipped. It was identified by its outcome: of the forms of noise tried, those whose "
        "noise is not clipped are the ones that give log p(x) an AUROC near the paper's 0 (see the "
        "erratum table), so that this cell agrees is no independent evidence. The authors' code "
        "takes the gradient at a test image, and for a WGAN steps down it.",
    )


def _attack_notes(panels: Sequence[Panel]) -> tuple[str, ...]:
    """Which rows of the overview are of another set for each model."""
    attacked = [configurations.attacked_sets(panel.configuration.first) for panel in panels]
    counts = collections.Counter(label for labels in attacked for label in labels)
    labels = [label for label, count in counts.items() if count > 1]
    if not labels:
        return ()
    return (f"{'; '.join(labels)}: each model's is made against its own members.",)


def _columns(panels: Sequence[Panel]) -> list[tuple[Panel, str]]:
    """The panels' scores, in the order of the paper's columns; then those that only we have."""
    order = list(dict.fromkeys(column for _, _, column in paper.results()))

    def place(column: tuple[Panel, str]) -> int:
        panel, score = column
        theirs = paper.columns(score, panel.model)
        return order.index(theirs[0]) if theirs else len(order)

    return sorted(((panel, score) for panel in panels for score in panel.scores), key=place)


def _column_name(panel: Panel, score: str) -> str:
    """The paper's, where it has one: VIB's rate is its column VIB."""
    theirs = paper.columns(score, panel.model)
    return theirs[0] if len(theirs) == 1 else results.score_label(panel.document, score)


def _overview(
    columns: Sequence[tuple[Panel, str]],
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Header and body: ours and, where the paper has the score, its number and our mark, if judged.

    The rows are the paper's in its order, then those that only we have.
    """
    names = [_column_name(panel, score) for panel, score in columns]
    header = ["OoD set"]
    for (panel, _), label in zip(columns, names, strict=True):
        name = label if names.count(label) == 1 else f"{label}, {panel.model}"
        header += [name, *(["paper"] if panel.is_in_paper else [])]
        header += [""] if panel.is_judged else []
    cells = [{cell.ood_dataset: cell for cell in p.of_score(score)} for p, score in columns]
    train_dataset = columns[0][0].train_dataset
    theirs = dict.fromkeys(ood for train, ood, _ in paper.results() if train == train_dataset)
    ours = dict.fromkeys(ood for column in cells for ood in column)
    body = []
    for ood in [*(name for name in theirs if name in ours), *(n for n in ours if n not in theirs)]:
        line = [labels.dataset_label([panel.document for panel, _ in columns], ood)]
        for (panel, score), column in zip(columns, cells, strict=True):
            cell = column.get(ood, Cell(ood, score, None, (), None, None, ""))
            line += [percent(_auroc_of(cell.row))]
            line += [percent(cell.theirs)] if panel.is_in_paper else []
            line += [MARKS[cell.verdict]] if panel.is_judged else []
        body.append(tuple(line))
    return tuple(header), tuple(body)


def _score_table(
    panel: Panel, cells: Sequence[Cell]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Header and body of one score's table; without the paper's columns where it has none."""
    further = [describe_members(evaluation) for evaluation in panel.configuration.evaluations[1:]]
    header = ["OoD set", "ours", "over inputs"]
    header += ["over ensembles"] if panel.is_in_paper else []
    header += further
    header += ["paper", "difference"] if panel.is_in_paper else []
    header += ["verdict"] if panel.is_judged else []
    body = []
    for cell in cells:
        row = cell.row
        over_inputs = over_ensembles = "-"
        if row is not None:
            over_inputs = tables.interval(row["auroc_low"], row["auroc_high"])
        if cell.interval is not None:
            over_ensembles = tables.interval(cell.interval.low, cell.interval.high)
        line = [results.dataset_label(panel.document, cell.ood_dataset)]
        line += [percent(_auroc_of(row)), over_inputs]
        line += [over_ensembles] if panel.is_in_paper else []
        line += [percent(_auroc_of(other)) for other in cell.further]
        if panel.is_in_paper:
            line += [percent(cell.theirs), judged.difference(_auroc_of(row), cell.theirs)]
        line += [cell.verdict or "-"] if panel.is_judged else []
        body.append(tuple(line))
    return tuple(header), tuple(body)


def _auroc_of(row: Mapping[str, Any] | None) -> float | None:
    return None if row is None else row["auroc"]


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
