"""What tables and figures share: labels, cells of OoD sets, scores as arrays, frames as tables."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfp_genens.evaluation import results
from tfp_genens.evaluation.rows import judge as judge_values
from tfp_genens.evaluation.rows import member_values
from tfp_genens.paper import configurations
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.repetition import Interval
from tfp_genens.reporting.evaluation_files import Evaluation

COUNTS = ["num_in", "num_out", "num_nan"]
OF_ROWS = ["auroc", "auroc_low", "auroc_high", *COUNTS]
_COLUMNS = [
    *("evaluation", "train_dataset", "model", "evaluation_dir", "members", "ood_dataset", "score"),
    *(*OF_ROWS, "auroc_members", "paper_auroc"),
]


def set_labels(evaluation: Evaluation) -> dict[str, str]:
    """What tables call the sets, in-distribution first."""
    return {s.name: s.label for s in (evaluation.in_distribution, *evaluation.ood)}


def values(evaluation: Evaluation, output: str) -> dict[str, np.ndarray]:
    """A member output of all sets, in-distribution first: float64 [num_members, num_inputs]."""
    sets = (evaluation.in_distribution, *evaluation.ood)
    return {s.name: member_values(s.scores, output) for s in sets}


def identity(evaluation: Evaluation) -> dict[str, Any]:
    """What lines of a CSV file begin with."""
    return {
        "evaluation_dir": str(evaluation.directory),
        "train_dataset": evaluation.document["train_dataset"],
        "model": evaluation.document["model"],
        "members": configurations.member_names(evaluation),
    }


def wide(
    long: pd.DataFrame,
    line: str,
    column: str,
    heading: str,
    labels: Mapping[Any, str],
    columns: Sequence[str] = (),
) -> pd.DataFrame:
    """A table of texts: lines and columns in the order in which they appear first.

    Args:
      long: with the column "text", and a row a cell; missing cells are left so.
      line: the column of `long` that becomes lines.
      column: the column of `long` that becomes columns.
      heading: of the first column, in which the lines' labels stand.
      labels: of lines and columns; what has none is its own.
      columns: where there may be more than appear.
    """
    texts = long.pivot(index=line, columns=column, values="text")
    texts = texts.reindex(index=long[line].unique(), columns=list(columns) or long[column].unique())
    texts = texts.rename(index=dict(labels), columns=dict(labels))
    texts.insert(0, heading, texts.index)
    return texts


def cells(
    evaluations: Sequence[Evaluation], sets: Iterable[str], scores: Iterable[str]
) -> pd.DataFrame:
    """One row a set, score and evaluation, in this order, AUROCs in percent.

    "evaluation" is the position; OF_ROWS, of results.json, are missing where it has no row;
    "auroc_members" are of the members that the row is the mean of, None of the ensemble;
    "paper_auroc" and the "difference" from it are missing where the paper has no number.
    """
    lines = []
    for ood_dataset, score in itertools.product(sets, scores):
        for position, evaluation in enumerate(evaluations):
            about = identity(evaluation)
            row = evaluation.find_row(ood_dataset, score) or {}
            of_members = row.get("auroc_members")
            lines.append(
                {
                    "evaluation": position,
                    **about,
                    "ood_dataset": ood_dataset,
                    "score": score,
                    **{key: row.get(key, math.nan) for key in OF_ROWS},
                    "auroc_members": of_members
                    and tuple(of_members[member] for member in row["members_used"]),
                    "paper_auroc": paper.value(
                        about["train_dataset"], ood_dataset, score, about["model"]
                    ),
                }
            )
    found = pd.DataFrame(lines, columns=_COLUMNS).astype({"paper_auroc": float})
    return found.assign(difference=found["auroc"] - found["paper_auroc"])


def interval_columns(intervals: Sequence[Interval | None], name: str) -> pd.DataFrame:
    """Columns of a CSV: "NAME_low" and so on for each field of `Interval`."""
    fields = list(Interval._fields)
    lines = [interval or [None] * len(fields) for interval in intervals]
    return pd.DataFrame(lines, columns=fields).add_prefix(f"{name}_")


def ends(found: pd.DataFrame, name: str) -> list[tuple[float, float]]:
    """The intervals in "NAME_low" and "NAME_high", which tables write as "[97.6, 98.3]"."""
    return list(zip(found[f"{name}_low"], found[f"{name}_high"], strict=True))


def shown(found: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Columns by the names that a table shows; those may repeat."""
    return found[list(columns)].set_axis(list(columns.values()), axis=1)


def differing(of_runs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What is not alike in all runs: its name -> run -> value; what a run lacks is None."""
    found = {}
    for name in dict.fromkeys(itertools.chain(*of_runs.values())):
        values = {run: of_run.get(name) for run, of_run in of_runs.items()}
        if any(value != next(iter(values.values())) for value in values.values()):
            found[name] = values
    return found


def beta(evaluation: Evaluation) -> float | None:
    """The weight of the rate in training; None where the model has none."""
    value = evaluation.document["manifests"][0]["config"].get("beta")
    return None if value is None else float(value)


def run_label(evaluation: Evaluation) -> str:
    """E.g. "MNIST, beta 0.1"."""
    label, value = train_label(evaluation.document), beta(evaluation)
    return label if value is None else f"{label}, beta {value:g}"


def train_label(document: Mapping[str, Any]) -> str:
    """E.g. "MNIST"."""
    return results.dataset_label(document, document["train_dataset"])


def dataset_label(documents: Sequence[Mapping[str, Any]], name: str) -> str:
    """What any of the evaluations calls a set: not every one knows of every set."""
    found = (results.dataset_label(document, name) for document in documents)
    return next((label for label in found if label != name), name)


def score_label(documents: Sequence[Mapping[str, Any]], score: str) -> str:
    """What any of the evaluations calls a score."""
    found = (results.score_label(document, score) for document in documents)
    return next((label for label in found if label != score), score)


def member_name(evaluation: Evaluation, position: int) -> str:
    """E.g. "member 0", by the member's own number."""
    return f"member {evaluation.in_distribution.scores.members[position]}"


def judge(
    evaluation: Evaluation,
    ood_dataset: str,
    direction: str,
    in_values: np.ndarray,
    ood_values: np.ndarray,
) -> dict[str, float]:
    """OF_ROWS of a score that the evaluation does not have, on the resamples of its own rows.

    Arguments are those of `rows.judge`.
    """
    settings = evaluation.document["settings"]
    how = {name: settings[name] for name in ("num_bootstrap", "seed")}
    found = judge_values(in_values, ood_values, direction, ood_dataset=ood_dataset, **how)
    return {name: found[name] for name in OF_ROWS}
