"""What a set of evaluations holds, as one tidy frame: tables of the paper are pivots of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from tfp_genens.evaluation.metrics import METRICS
from tfp_genens.paper import configurations
from tfp_genens.paper import numbers as paper
from tfp_genens.reporting.evaluation_files import Evaluation

Columns = list[tuple[str, Any]]
"""Columns to be shown: names, which may repeat, and values."""
COUNTS = ["num_in", "num_out", "num_nan"]


def results(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """One row a number of the evaluations' results.json.

    Args:
      evaluations: of members that no two of one configuration share.

    Returns:
      Columns, all numbers of a metric in percent:
        evaluation: position among those given.
        train_dataset, model: what its members are.
        configuration: number of the training configuration, in order of appearance.
        ood_dataset, score, metric: what is judged.
        member: position of the member; missing where the row is of all: of the ensemble, or the
          mean over members. Those are followed by the members' own, of AUROC alone.
        is_used: a member's number is part of that mean: all are, or those that the set attacks.
        value: the number.
        low, high: its 95 % interval over inputs; missing for a member's.
        paper: the paper's number, missing where it has none.
        num_in, num_out, num_nan: inputs, and scores among them that are NaN.

    Raises:
      UserError: two evaluations of one configuration share a member.
    """
    grouped = configurations.group(evaluations)
    numbers = {id(e): k for k, group in enumerate(grouped) for e in group.evaluations}
    found = []
    for position, evaluation in enumerate(evaluations):
        document = evaluation.document
        trained = {key: document[key] for key in ("train_dataset", "model")}
        identity = {"evaluation": position, **trained, "configuration": numbers[id(evaluation)]}
        for row in document["rows"]:
            judged = {key: row[key] for key in ("ood_dataset", "score")}
            counts = {key: row[key] for key in COUNTS}
            for metric in METRICS:
                ends = {end: row[f"{metric}_{end}"] for end in ("low", "high")}
                theirs = paper.value(**trained, **judged, metric=metric)
                what = identity | judged | {"metric": metric, "paper": theirs} | counts
                found.append(what | {"value": row[metric], "is_used": True} | ends)
                if metric == "auroc":
                    found += [
                        what | {"member": k, "value": value, "is_used": k in row["members_used"]}
                        for k, value in enumerate(row["auroc_members"] or ())
                    ]
    return pd.DataFrame(found, columns=COLUMNS).astype({"member": "Int64"})


COLUMNS = [
    *("evaluation", "train_dataset", "model", "configuration"),
    *("ood_dataset", "score", "metric", "member", "is_used"),
    *("value", "low", "high", "paper", *COUNTS),
]


def side_by_side(columns: Columns) -> pd.DataFrame:
    """The columns as a frame without an index."""
    values = dict(enumerate(of_column for _, of_column in columns))
    return pd.DataFrame(values).set_axis([name for name, _ in columns], axis=1)
