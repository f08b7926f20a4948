"""Evaluations of one training set side by side, whatever settings they differ in.

It answers what closes the gap to the paper: the first evaluation is the base, the others say what
they changed. A difference may be the luck of a training run, so where an evaluation has one member
only, its cells are held to the base's interval over members.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfp_genens.errors import UserError
from tfp_genens.evaluation import results, rows, tables
from tfp_genens.paper import configurations, labels, repetition
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.configurations import Configuration, describe_members
from tfp_genens.paper.documents import Section, TableDocument
from tfp_genens.paper.repetition import Interval
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation

BASE = "base"
ABOVE, BELOW, WITHIN = "above", "below", "within"
MARKS = {ABOVE: " ↑", BELOW: " ↓", WITHIN: "", None: ""}


# Settings of `evaluate` that change which inputs there are.
@dataclasses.dataclass(frozen=True)
class Column:
    """One evaluation and what the tables call it: BASE, or its differences from the base."""

    name: str
    evaluation: Evaluation

    @property
    def document(self) -> Mapping[str, Any]:
        return self.evaluation.document

    @property
    def num_members(self) -> int:
        return self.document["members"]

    @property
    def manifests(self) -> Sequence[Mapping[str, Any]]:
        return self.document["manifests"]


@dataclasses.dataclass(frozen=True)
class Cell:
    """AUROC of one evaluation on one OoD set by one score.

    Attributes:
      row: of results.json; None where the set was not evaluated.
      aurocs: percent, of the single models that the row is the mean of; empty for the ensemble's
        scores.
      flag: where one member lies against the base's interval: ABOVE, BELOW or WITHIN; None where
        nothing is held to one.
    """

    row: Mapping[str, Any] | None
    aurocs: tuple[float, ...]
    flag: str | None


@dataclasses.dataclass(frozen=True)
class Line:
    """One OoD set and score.

    Attributes:
      ood_dataset: its name.
      score: its name.
      interval: for one further member of the base; None for the ensemble's scores and where the
        base has too few members.
      theirs: the paper's AUROC, percent, or None.
      cells: one a column.
    """

    ood_dataset: str
    score: str
    interval: Interval | None
    theirs: float | None
    cells: tuple[Cell, ...]


@dataclasses.dataclass(frozen=True)
class Nats:
    """A member output over the in-distribution test inputs; in its unit, nats for likelihoods.

    Attributes:
      mean: the mean over members and inputs.
      error: its standard error over inputs, the members taken as given.
      members: each member's mean over inputs.
    """

    mean: float
    error: float
    members: tuple[float, ...]


def table(evaluations: Sequence[Evaluation]) -> TableDocument:
    """What the evaluations score on in-distribution inputs, and their AUROC by each main score.

    Raises:
      UserError: fewer than two evaluations, several training sets, evaluations that share members,
        or no main score or OoD set in common.
    """
    columns = _named_columns(evaluations)
    base = columns[0]
    scores = _shared_scores(columns)
    lines = {score: _lines(columns, score) for score in scores}
    train_label = results.dataset_label(base.document, base.document["train_dataset"])
    everything = [line for of_score in lines.values() for line in of_score]
    return TableDocument(
        title=f"{train_label}: {len(columns)} evaluations side by side",
        text=(
            "The first evaluation is the base; each other column is named by the settings that it "
            "differs in. AUROC in percent, out-of-distribution inputs being the positive class.",
            _flag_text(everything),
        ),
        sections=(
            _inputs_section(columns),
            *(_score_section(columns, score, lines[score]) for score in scores),
        ),
        records=(
            *(record for column in columns for record in _column_records(column)),
            *(record for line in everything for record in _auroc_records(columns, line)),
        ),
    )


def _named_columns(evaluations: Sequence[Evaluation]) -> list[Column]:
    trained = list(dict.fromkeys(e.document["train_dataset"] for e in evaluations))
    if len(evaluations) < 2 or len(trained) > 1:
        raise UserError(
            ARGUMENT,
            "two or more evaluations of one training set",
            f"{len(evaluations)} of {', '.join(trained)}",
        )
    configurations.group(evaluations)  # refuses what shares members: that would be no comparison
    base, *others = (Configuration((evaluation,)) for evaluation in evaluations)
    names = [BASE]
    names += [configurations.differences(c, base) or describe_members(c.first) for c in others]
    counts = collections.Counter(names)
    return [
        Column(name if counts[name] == 1 else f"{name}; {describe_members(evaluation)}", evaluation)
        for name, evaluation in zip(names, evaluations, strict=True)
    ]


def _shared_scores(columns: Sequence[Column]) -> list[str]:
    """The base's main scores that all have."""
    scores = [
        score
        for score in columns[0].document["main_scores"]
        if all(score in column.document["main_scores"] for column in columns)
    ]
    if not scores:
        got = (f"{c.evaluation.directory}: {', '.join(c.document['main_scores'])}" for c in columns)
        raise UserError(ARGUMENT, "evaluations with a main score in common", "; ".join(got))
    if not any(column.evaluation.ood for column in columns):
        raise UserError(ARGUMENT, "evaluations of OoD sets", "none that has any")
    return scores


def _lines(columns: Sequence[Column], score: str) -> list[Line]:
    """The base's sets in its order, then those that only others have."""
    document = columns[0].document
    names = dict.fromkeys(ood.name for column in columns for ood in column.evaluation.ood)
    lines = []
    for name in names:
        base_aurocs = _aurocs(columns[0].evaluation.find_row(name, score))
        interval = repetition.of_draws(base_aurocs)
        cells = []
        for k, column in enumerate(columns):
            row = column.evaluation.find_row(name, score)
            aurocs = _aurocs(row)
            is_held = k > 0 and column.num_members == 1 and len(aurocs) == 1
            flag = _flag(aurocs[0], interval) if is_held and interval is not None else None
            cells.append(Cell(row, aurocs, flag))
        theirs = paper.value(document["train_dataset"], name, score, document["model"])
        lines.append(Line(name, score, interval, theirs, tuple(cells)))
    return lines


def _aurocs(row: Mapping[str, Any] | None) -> tuple[float, ...]:
    """Of the members that a single-model row is of: the attacked ones, or all."""
    if row is None or row["auroc_members"] is None:
        return ()
    return tuple(row["auroc_members"][member] for member in row["members_used"])


def _flag(auroc: float, interval: Interval) -> str:
    if auroc > interval.high:
        return ABOVE
    return BELOW if auroc < interval.low else WITHIN


def _flag_text(lines: Sequence[Line]) -> str:
    """What the marks mean, and how many there are of how many."""
    flags = collections.Counter(cell.flag for line in lines for cell in line.cells)
    num_held = flags[ABOVE] + flags[BELOW] + flags[WITHIN]
    if not num_held:
        return (
            "No cell is held to an interval over the base's members: that takes a base of "
            f"{repetition.MIN_REPETITIONS} members or more and an evaluation of one."
        )
    return (
        "Of an evaluation with one member, ↑ and ↓ mark a single-model AUROC above or below the "
        "95 % t prediction interval for one more, independent member of the base. Without any "
        "effect about one cell in twenty would be "
        f"marked, and cells of one member go together; here {flags[ABOVE] + flags[BELOW]} of "
        f"{num_held} are. Near 0 and 100 AUROC is skewed and the interval too narrow. Scores of "
        "an ensemble are not marked, nor sets that attack one member, of which the base has one "
        "value."
    )


def _inputs_section(columns: Sequence[Column]) -> Section:
    """In-distribution facts: a line a fact, a column an evaluation."""
    documents = [column.document for column in columns]
    body = [
        ("Members", *(str(column.num_members) for column in columns)),
        ("Steps a member", *map(_steps, columns)),
        ("Training time a member, min", *map(_minutes, columns)),
        ("In-distribution inputs", *(f"{document['num_in']:,}" for document in documents)),
    ]
    for output, unit in _outputs(columns).items():
        label = _score_label(columns, output)
        found = [_nats(column, output) for column in columns]
        body.append((f"{label}, {unit}", *map(_nats_text, found)))
    return Section(
        "In-distribution test inputs, and training",
        text=(
            "Mean of each member output over members and inputs ± its standard error over inputs, "
            "and with several members (the lowest to the highest member's mean). Training time is "
            "by the clock, with whatever else the machine did.",
        ),
        header=("", *(column.name for column in columns)),
        body=tuple(body),
        notes=(*(_described(column) for column in columns), *_cautions(columns)),
    )


def _described(column: Column) -> str:
    return (
        f"{column.name}: {tables.heading(column.document)}, {describe_members(column.evaluation)} "
        f"of {column.document['settings']['run_dir']}."
    )


def _cautions(columns: Sequence[Column]) -> list[str]:
    """What else differs between the columns and may move the numbers."""
    found = []
    for name in configurations.INPUT_SETTINGS:
        values = [column.document["settings"].get(name) for column in columns]
        if any(value != values[0] for value in values):
            each = ", ".join(f"{v} ({c.name})" for v, c in zip(values, columns, strict=True))
            found.append(f"The inputs differ too: evaluated with {name} {each}.")
    if len({column.num_members for column in columns}) > 1:
        found.append(
            "The numbers of members differ: an ensemble's score of fewer members is another "
            "score. Of one member WAIC is log p(x), and a variance is 0 everywhere."
        )
    attacked = dict.fromkeys(
        label for column in columns for label in configurations.attacked_sets(column.evaluation)
    )
    if attacked:
        found.append(f"{'; '.join(attacked)}: made against each evaluation's own members.")
    return found


def _steps(column: Column) -> str:
    return ", ".join(f"{steps:,}" for steps in sorted({m["steps"] for m in column.manifests}))


def _minutes(column: Column) -> str:
    minutes = [manifest["wall_clock_secs"] / 60 for manifest in column.manifests]
    return _with_range(float(np.mean(minutes)), minutes, "{:.1f}")


def _with_range(mean: float, of_members: Sequence[float], form: str, more: str = "") -> str:
    """E.g. "95.3 (94.1 to 96.0)"; without the brackets where there is one member."""
    text = form.format(mean) + more
    if len(of_members) > 1:
        text += f" ({form.format(min(of_members))} to {form.format(max(of_members))})"
    return text


def _outputs(columns: Sequence[Column]) -> dict[str, str]:
    """Units of the member outputs that any column has, the base's first."""
    return {
        name: spec.unit
        for column in columns
        for name, spec in column.evaluation.in_distribution.scores.member_scores.items()
    }


def _nats(column: Column, output: str) -> Nats | None:
    scores = column.evaluation.in_distribution.scores
    if output not in scores.member_scores:
        return None
    values = rows.member_values(scores, output)
    by_input = values.mean(axis=0)
    num_inputs = len(by_input)
    error = float(by_input.std(ddof=1)) / math.sqrt(num_inputs) if num_inputs > 1 else math.nan
    return Nats(float(by_input.mean()), error, tuple(map(float, values.mean(axis=1))))


def _nats_text(nats: Nats | None) -> str:
    if nats is None:
        return "-"
    return _with_range(nats.mean, nats.members, "{:.2f}", f" ± {nats.error:.2f}")


def _score_section(columns: Sequence[Column], score: str, lines: Sequence[Line]) -> Section:
    has_interval = any(line.interval for line in lines)
    header = ["OoD set", *(column.name for column in columns)]
    header[2:2] = ["interval over base's members"] if has_interval else []
    body = []
    for line in lines:
        texts = [_cell_text(cell) for cell in line.cells]
        if has_interval:
            texts.insert(1, _interval_text(line.interval))
        theirs = "-" if line.theirs is None else f"{line.theirs:.1f}"
        body.append(
            (labels.dataset_label([c.document for c in columns], line.ood_dataset), *texts, theirs)
        )
    is_single = any(cell.aurocs for line in lines for cell in line.cells)
    text = (
        "The mean over members (the lowest to the highest); where a set attacks one, that one's."
        if is_single
        else "Of the ensemble."
    )
    label = _score_label(columns, score)
    models = {column.document["model"] for column in columns}
    header.append("paper" if len(models) == 1 else f"paper, {columns[0].document['model']}")
    return Section(f"AUROC of {label}", (text,), tuple(header), tuple(body))


def _cell_text(cell: Cell) -> str:
    if cell.row is None:
        return "-"
    return _with_range(cell.row["auroc"], cell.aurocs, "{:.1f}") + MARKS[cell.flag]


def _interval_text(interval: Interval | None) -> str:
    return "-" if interval is None else tables.interval(interval.low, interval.high)


def _score_label(columns: Sequence[Column], score: str) -> str:
    return labels.score_label([column.document for column in columns], score)


def _identity(column: Column) -> dict[str, Any]:
    return {
        "column": column.name,
        "evaluation_dir": str(column.evaluation.directory),
        "train_dataset": column.document["train_dataset"],
        "model": column.document["model"],
        "members": configurations.member_names(column.evaluation),
    }


def _column_records(column: Column) -> list[dict[str, Any]]:
    """One of the training, and one a member output."""
    training = {
        "record": "training",
        **_identity(column),
        "steps": [manifest["steps"] for manifest in column.manifests],
        "wall_clock_secs": [manifest["wall_clock_secs"] for manifest in column.manifests],
    }
    outputs = []
    for output, unit in _outputs([column]).items():
        nats = _nats(column, output)
        if nats is not None:
            outputs.append(
                {
                    "record": "in_distribution",
                    **_identity(column),
                    "score": output,
                    "unit": unit,
                    "mean": nats.mean,
                    "standard_error": nats.error,
                    "member_means": nats.members,
                    "num_in": column.document["num_in"],
                }
            )
    return [training, *outputs]


def _auroc_records(columns: Sequence[Column], line: Line) -> list[dict[str, Any]]:
    """One a column that has the set."""
    base_row = line.cells[0].row
    return [
        {
            "record": "auroc",
            **_identity(column),
            "ood_dataset": line.ood_dataset,
            "score": line.score,
            "auroc": cell.row["auroc"],
            "auroc_low": cell.row["auroc_low"],
            "auroc_high": cell.row["auroc_high"],
            "auroc_members": cell.aurocs or None,
            "change_from_base": base_row and cell.row["auroc"] - base_row["auroc"],
            "base_members_low": line.interval and line.interval.low,
            "base_members_high": line.interval and line.interval.high,
            "base_members_num": line.interval and line.interval.num_values,
            "flag": cell.flag,
            "paper_auroc": line.theirs,
            "difference": None if line.theirs is None else cell.row["auroc"] - line.theirs,
            **{name: cell.row[name] for name in ("num_in", "num_out", "num_nan")},
        }
        for column, cell in zip(columns, line.cells, strict=True)
        if cell.row is not None
    ]
