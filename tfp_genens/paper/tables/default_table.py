"""`--table=default`: the score that decides beside the best that the paper has on each row."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from tfp_genens.errors import UserError
from tfp_genens.paper import configurations, densities, repetition, shared
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.densities import DOSE, LOG_DENSITY
from tfp_genens.paper.documents import Document
from tfp_genens.paper.leaderboard import FLIPS
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation

BESIDE = "waic"


def table(evaluations: Sequence[Evaluation]) -> Document:
    """The rows of the paper's Table 2, one training set after the other.

    Raises:
      UserError: evaluations without the score, or of what Table 2 has no numbers for.
    """
    of_each = [_cells(evaluation) for evaluation in evaluations]
    cells = pd.concat(of_each, ignore_index=True)
    judged = cells.dropna(subset="auroc")
    is_reached = judged["auroc"].round(1) >= judged["best"]  # the paper prints one decimal
    context = {
        "num_reached": int(is_reached.sum()),
        "num_judged": len(judged),
        "num_rows": len(cells),
        "missed": judged[~is_reached],
        "trained": [
            {
                "evaluation": evaluation,
                "table": _shown(evaluation, found),
                "lowest": _lowest(found),
            }
            for evaluation, found in zip(evaluations, of_each, strict=True)
        ],
    }
    return Document("default", context, cells)


def _lowest(cells: pd.DataFrame) -> pd.DataFrame:
    """The line with the lowest AUROC but for the flips; none where nothing was evaluated."""
    strict = cells[~cells["ood_dataset"].isin(FLIPS)]
    return strict.dropna(subset="auroc").nsmallest(1, "auroc")


def _cells(evaluation: Evaluation) -> pd.DataFrame:
    """A line a row of Table 2; numbers of ours are missing where the set was not evaluated."""
    train_dataset = evaluation.document["train_dataset"]
    if train_dataset not in paper.train_datasets():
        expected = "evaluations of what the paper's Table 2 has numbers for"
        raise UserError(ARGUMENT, expected, f"{evaluation.directory}, of {train_dataset}")
    configurations.require_scores(evaluation, [DOSE])
    of_members = densities.member_densities(evaluation)
    found = shared.cells([evaluation], paper.ood_sets(train_dataset), [DOSE])
    best = [_best(train_dataset, name) for name in found["ood_dataset"]]
    intervals = [_interval(evaluation, of_members, name) for name in found["ood_dataset"]]
    beside = shared.cells([evaluation], found["ood_dataset"], [BESIDE])
    found = found.drop(columns=["paper_auroc", "difference"]).join(
        shared.interval_columns(intervals, "ensembles")
    )
    labels = shared.set_labels(evaluation)
    return found.assign(
        label=[labels.get(name, name) for name in found["ood_dataset"]],
        train_label=shared.train_label(evaluation.document),
        best=[value for value, _ in best],
        best_column=[column for _, column in best],
        difference=found["auroc"] - [value for value, _ in best],
        beside=beside["auroc"],
    )


def _best(train_dataset: str, ood_dataset: str) -> tuple[float, str]:
    """The paper's highest number of a row, and the column or columns that have it."""
    of_row = {
        column: values["auroc"]
        for (train, ood, column), values in paper.results().items()
        if (train, ood) == (train_dataset, ood_dataset) and values["auroc"] is not None
    }
    highest = max(value for value in of_row.values() if value is not None)
    return highest, ", ".join(column for column, value in of_row.items() if value == highest)


def _interval(
    evaluation: Evaluation, of_members: dict[str, Any], ood_dataset: str
) -> repetition.Interval | None:
    if ood_dataset not in of_members:
        return None
    attacked = {s["name"]: s["attacked_members"] for s in evaluation.document["sets"]}
    inside, outside = (
        {LOG_DENSITY: of_members[name]} for name in (evaluation.in_distribution.name, ood_dataset)
    )
    return repetition.of_one_ensemble(
        inside, outside, densities.OF_DENSITIES, attacked[ood_dataset] or ()
    )


def _shown(evaluation: Evaluation, found: pd.DataFrame) -> pd.DataFrame:
    """What the template shows of one training set."""
    columns: dict[str, Any] = {
        "OoD set": found["label"],
        evaluation.score_label(DOSE): found["auroc"],
        "over inputs": shared.ends(found, "auroc"),
        "over ensembles": shared.ends(found, "ensembles"),
        "paper's best": found["best"],
        "of": found["best_column"],
        "difference": found["difference"],
        evaluation.score_label(BESIDE): found["beside"],
    }
    shown = pd.DataFrame(columns)
    return shown if found["beside"].notna().any() else shown.iloc[:, :-1]
