"""Results as tables for people: Markdown and CSV."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tfp_genens.evaluation import published, results

MAX_WIDTH = 100  # of what is printed
MAX_LABEL = 40  # of an OoD set's name there; the end of a path says more than its beginning
TITLES = {
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "fpr_at_95_tpr": "False-positive rate at 95 % true positives",
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One number of ours, e.g. "98.2", and the paper's; all in percent, as text.

    `members` is "lowest to highest member". What there is none of is "".
    """

    ours: str
    interval: str
    members: str
    paper: str
    difference: str

    @property
    def text(self) -> str:
        """E.g. "98.2 [97.6, 98.3]"."""
        return f"{self.ours} {self.interval}"


@dataclasses.dataclass(frozen=True)
class Line:
    """One OoD set: its label, what it is, and a cell a column."""

    label: str
    description: str
    cells: tuple[Cell, ...]


@dataclasses.dataclass(frozen=True)
class MetricTable:
    """One line an OoD set, one column a score; which columns the paper has any number in."""

    scores: tuple[str, ...]
    has_paper: tuple[bool, ...]
    lines: tuple[Line, ...]


def metric_table(
    document: Mapping[str, Any], metric: str, scores: Sequence[str] | None = None
) -> MetricTable:
    """Scores, or else the main ones, by one of metrics.METRICS; `document` is results.json."""
    scores = document["main_scores"] if scores is None else scores
    rows = {(row["ood_dataset"], row["score"]): row for row in document["rows"]}
    lines = tuple(
        Line(
            results.dataset_label(document, ood_dataset),
            rows[ood_dataset, scores[0]]["description"],
            tuple(_cell(document, rows[ood_dataset, score], metric) for score in scores),
        )
        for ood_dataset in dict.fromkeys(row["ood_dataset"] for row in document["rows"])
    )
    return MetricTable(
        scores=tuple(results.score_label(document, score) for score in scores),
        has_paper=tuple(any(line.cells[k].paper for line in lines) for k in range(len(scores))),
        lines=lines,
    )


def _cell(document: Mapping[str, Any], row: Mapping[str, Any], metric: str) -> Cell:
    theirs = published.value(
        document["train_dataset"], row["ood_dataset"], row["score"], document["model"], metric
    )
    members = ""
    if metric == "auroc" and row["auroc_members"] and len(row["auroc_members"]) > 1:
        members = f"{min(row['auroc_members']):.1f} to {max(row['auroc_members']):.1f}"
    return Cell(
        ours=f"{row[metric]:.1f}",
        interval=interval(row[f"{metric}_low"], row[f"{metric}_high"]),
        members=members,
        paper="" if theirs is None else f"{theirs:.1f}",
        difference="" if theirs is None else f"{row[metric] - theirs:+.1f}",
    )


def interval(low: float, high: float) -> str:
    """E.g. "[97.6, 98.3]"."""
    return f"[{low:.1f}, {high:.1f}]"


def auroc_text(row: Mapping[str, Any]) -> str:
    """A row's AUROC and its interval, e.g. "98.0 [97.6, 98.3]"."""
    return value_text(row, "auroc")


def value_text(values: Mapping[str, Any], name: str) -> str:
    """A value and its interval, where the ends stand beside it as NAME_low and NAME_high."""
    return f"{values[name]:.1f} {interval(values[f'{name}_low'], values[f'{name}_high'])}"


def metric_markdown(table: MetricTable) -> str:
    """The paper's numbers stand beside ours, in the columns where it has any."""
    header = ["OoD set"]
    for score, has_paper in zip(table.scores, table.has_paper, strict=True):
        header += [score, "paper"] if has_paper else [score]
    body = []
    for line in table.lines:
        cells = [line.label]
        for cell, has_paper in zip(line.cells, table.has_paper, strict=True):
            cells += [cell.text, cell.paper or "-"] if has_paper else [cell.text]
        body.append(cells)
    return markdown(header, body)


def markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """An aligned Markdown table; the first column is text, the others numbers."""
    escaped = [[cell.replace("|", r"\|") for cell in line] for line in (header, *body)]
    first, *others = _aligned(escaped, min_width=3)
    rule = ["-" * len(first[0]), *("-" * (len(cell) - 1) + ":" for cell in first[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (first, rule, *others))


def _aligned(lines: Sequence[Sequence[str]], min_width: int = 0) -> list[list[str]]:
    """Columns of one width: the first to the left, as text, the others to the right."""
    widths = [max(min_width, *map(len, column)) for column in zip(*lines, strict=True)]
    return [[line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines]


def heading(document: Mapping[str, Any]) -> str:
    """E.g. "MNIST, 5 x vae"."""
    label = results.dataset_label(document, document["train_dataset"])
    return f"{label}, {document['members']} x {document['model']}"


def summary(document: Mapping[str, Any], output_dir: str | os.PathLike) -> str:
    """What evaluate prints: one table of at most MAX_WIDTH columns, and where the rest stands.

    Main scores for which there is no room, and reasons, stand in table.md.
    """
    table = metric_table(document, "auroc")
    lines = _aligned(
        [
            ["OoD set", *table.scores],
            *([_cut(line.label), *(c.text for c in line.cells)] for line in table.lines),
        ]
    )
    texts = [["  ".join(line[:num]) for line in lines] for num in range(2, len(lines[0]) + 1)]
    fitting = [text for text in texts if len(text[0]) <= MAX_WIDTH] or texts[:1]
    parts = [
        f"{heading(document)}: AUROC in percent [95 % interval], {document['num_in']:,} "
        "in-distribution inputs",
        "\n".join(fitting[-1]),
        f"All scores and metrics: {Path(output_dir) / 'table.md'}",
    ]
    if document["missing"]:
        names = ", ".join(entry["ood_dataset"] for entry in document["missing"])
        parts[-1] += f"\nNot evaluated: {names}"
    return "\n\n".join(parts)


def _cut(label: str) -> str:
    return label if len(label) <= MAX_LABEL else f"...{label[3 - MAX_LABEL :]}"


def table_md(document: Mapping[str, Any]) -> str:
    """table.md: AUROC of the main scores and notes, the other metrics, AUROC of every score."""
    parts = [
        f"# {heading(document)}",
        "AUROC in percent [95 % interval]; out-of-distribution is the positive class; "
        f"{document['num_in']:,} in-distribution inputs.",
        metric_markdown(metric_table(document, "auroc")),
        "\n".join(f"- {note}" for note in document["notes"]),
    ]
    if document["missing"]:
        missing = (f"- {entry['ood_dataset']}: {entry['reason']}" for entry in document["missing"])
        parts += ["Not evaluated:", "\n".join(missing)]
    for metric in ("average_precision", "fpr_at_95_tpr"):
        parts += [f"## {TITLES[metric]}, percent", metric_markdown(metric_table(document, metric))]
    parts += ["## AUROC of every score, percent", markdown(*every_score_table(document))]
    return "\n\n".join(part for part in parts if part) + "\n"


def every_score_table(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """AUROC of every score, one line a score and one column an OoD set: header and body."""
    scores = list(dict.fromkeys(row["score"] for row in document["rows"]))
    table = metric_table(document, "auroc", scores)
    body = [
        [score, *(line.cells[k].text for line in table.lines)]
        for k, score in enumerate(table.scores)
    ]
    return ["Score", *(line.label for line in table.lines)], body


def csv(document: Mapping[str, Any]) -> str:
    """results.csv: results.json's rows; lists are written as JSON."""
    frame = pd.DataFrame(document["rows"])
    for name in ("auroc_members", "members_used"):
        if name in frame:
            frame[name] = frame[name].map(lambda v: None if v is None else json.dumps(v))
    return frame.to_csv(index=False)
