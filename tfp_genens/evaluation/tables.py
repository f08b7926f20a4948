"""Results as tables for people: Markdown and CSV."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tfp_genens.evaluation import labels, paper

TITLES = {
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "fpr_at_95_tpr": "False-positive rate at 95 % true positives",
}


def value_with_interval(row: Mapping[str, Any], metric: str) -> str:
    """E.g. "98.2 [97.9, 98.5]", percent."""
    return f"{row[metric]:.1f} [{row[f'{metric}_low']:.1f}, {row[f'{metric}_high']:.1f}]"


def paper_value(document: Mapping[str, Any], row: Mapping[str, Any], metric: str) -> float | None:
    """The paper's number for a row, percent, or None."""
    return paper.value(
        document["train_dataset"], row["ood_dataset"], row["score"], document["model"], metric
    )


def metric_table(
    document: Mapping[str, Any], metric: str, scores: Sequence[str] | None = None
) -> tuple[list[str], list[list[str]]]:
    """One line an OoD set, one column a score, the paper's number beside where it has any.

    Args:
      document: a parsed results.json.
      metric: one of metrics.METRICS.
      scores: which scores; default: the main ones.

    Returns:
      Header and body.
    """
    scores = document["main_scores"] if scores is None else scores
    cells = {(row["ood_dataset"], row["score"]): row for row in document["rows"]}
    with_paper = [
        score
        for score in scores
        if any(
            paper_value(document, row, metric) is not None
            for (_, name), row in cells.items()
            if name == score
        )
    ]
    header = ["OoD set"]
    for score in scores:
        header += [labels.score(score), "paper"] if score in with_paper else [labels.score(score)]
    body = []
    for ood_dataset in dict.fromkeys(row["ood_dataset"] for row in document["rows"]):
        line = [labels.dataset(ood_dataset)]
        for score in scores:
            row = cells[ood_dataset, score]
            line.append(value_with_interval(row, metric))
            if score in with_paper:
                theirs = paper_value(document, row, metric)
                line.append("-" if theirs is None else f"{theirs:.1f}")
        body.append(line)
    return header, body


def markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """An aligned Markdown table; the first column is text, the others numbers."""
    lines = [[cell.replace("|", r"\|") for cell in line] for line in (header, *body)]
    widths = [max(3, *(len(line[k]) for line in lines)) for k in range(len(header))]

    def padded(line: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "| " + " | ".join(cells) + " |"

    rule = [("-" * width if k == 0 else "-" * (width - 1) + ":") for k, width in enumerate(widths)]
    return "\n".join([padded(lines[0]), padded(rule), *map(padded, lines[1:])])


def heading(document: Mapping[str, Any]) -> str:
    """E.g. "MNIST, 5 x vae"."""
    return (
        f"{labels.dataset(document['train_dataset'])}, {document['members']} x {document['model']}"
    )


def summary(document: Mapping[str, Any]) -> str:
    """The AUROC table and the notes, Markdown: what evaluate prints."""
    num_in = document["num_in"]
    parts = [
        f"# {heading(document)}",
        f"AUROC in percent [95 % interval]; out-of-distribution is the positive class; {num_in:,} "
        "in-distribution inputs.",
        markdown(*metric_table(document, "auroc")),
        "\n".join(f"- {note}" for note in document["notes"]),
    ]
    if document["missing"]:
        parts.append(
            "Not evaluated:\n\n"
            + "\n".join(
                f"- {entry['ood_dataset']}: {entry['reason']}" for entry in document["missing"]
            )
        )
    return "\n\n".join(part for part in parts if part) + "\n"


def table_md(document: Mapping[str, Any]) -> str:
    """table.md: the summary, then the other metrics, then AUROC of every score."""
    parts = [summary(document).rstrip()]
    for metric in ("average_precision", "fpr_at_95_tpr"):
        parts += [f"## {TITLES[metric]}, percent", markdown(*metric_table(document, metric))]
    parts += ["## AUROC of every score, percent", markdown(*every_score_table(document))]
    return "\n\n".join(parts) + "\n"


def every_score_table(document: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """AUROC of every score, one line a score and one column an OoD set: header and body."""
    ood_datasets = list(dict.fromkeys(row["ood_dataset"] for row in document["rows"]))
    scores = list(dict.fromkeys(row["score"] for row in document["rows"]))
    rows = {(row["ood_dataset"], row["score"]): row for row in document["rows"]}
    header = ["Score", *map(labels.dataset, ood_datasets)]
    body = [
        [
            labels.score(score),
            *(value_with_interval(rows[name, score], "auroc") for name in ood_datasets),
        ]
        for score in scores
    ]
    return header, body


def csv(document: Mapping[str, Any]) -> str:
    """results.csv: results.json's rows; lists are written as JSON."""
    frame = pd.DataFrame(document["rows"])
    for name in ("auroc_members", "members_used"):
        if name in frame:
            frame[name] = frame[name].map(lambda v: None if v is None else json.dumps(v))
    buffer = io.StringIO()
    frame.to_csv(buffer, index=False)
    return buffer.getvalue()
