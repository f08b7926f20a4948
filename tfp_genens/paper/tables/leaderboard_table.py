"""`--table=leaderboard`: every score on every OoD set, and which are better than which."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tfp_genens.errors import UserError
from tfp_genens.files import read_json, require_keys
from tfp_genens.paper import configurations, leaderboard, shared
from tfp_genens.paper.documents import Document
from tfp_genens.paper.leaderboard import FIRST, FLIPS, Judged
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation

MEASURED = ("model", "train_dataset", "members")
"""What a measured cost is of."""


def table(evaluations: Sequence[Evaluation], costs: Sequence[str] = ()) -> Document:
    """A board a training set, best mean rank first.

    `costs` are files that benchmarks/dose.py wrote, at most one a model and training set.

    Raises:
      UserError: evaluations of one training set without common OoD sets.
    """
    measured = [read_json(path, "--costs") for path in costs]
    for path, one in zip(costs, measured, strict=True):
        require_keys(one, [*MEASURED, "signatures"], Path(path), "--costs")
    boards = [board(of_one, measured) for of_one in configurations.by_training_set(evaluations)]
    records = pd.concat([one["records"] for one in boards])
    return Document("leaderboard", {"boards": boards, "measured": measured}, records)


def board(
    evaluations: Sequence[Evaluation], measured: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Everything about one training set; `measured` is what benchmarks/dose.py wrote.

    Returns:
      "label" of the training set; "evaluations"; "summary", a line a score, sorted by mean rank;
      "aurocs" likewise, a column an OoD set; "records", a line a score and OoD set.
    """
    given = evaluations
    backgrounds: dict[str, Evaluation] = {}
    for evaluation in filter(leaderboard.is_background, given):
        model = evaluation.document["model"]
        if model in backgrounds:
            got = f"{backgrounds[model].directory} and {evaluation.directory}"
            raise UserError(ARGUMENT, f"one background of {model} a training set", got)
        backgrounds[model] = evaluation
    evaluations = [e for e in given if not leaderboard.is_background(e)]
    if not evaluations:
        expected = "evaluations of other models beside those of background models"
        raise UserError(ARGUMENT, expected, str(given[0].directory))
    names = leaderboard.ood_sets(evaluations)
    entries = [
        entry
        for evaluation in evaluations
        for entry in leaderboard.entries(evaluation, backgrounds.get(evaluation.document["model"]))
    ]
    judged = [leaderboard.judge(entry, names) for entry in entries]
    aurocs = pd.DataFrame([one.lines["auroc"].to_numpy() for one in judged], columns=names)
    ranks = aurocs.rank(ascending=False, method="average").mean(axis="columns")
    first = next((one for one in judged if one.entry.score == FIRST), None)
    strict = [name for name in names if name not in FLIPS] or names
    summary = pd.DataFrame(
        {
            "score": [_label(one, evaluations) for one in judged],
            "mean rank": ranks,
            "mean AUROC": aurocs.mean(axis="columns"),
            "over ensembles": [one.over_ensembles for one in judged],
            "lowest but flips": aurocs[strict].min(axis="columns"),
            "mean FPR@95": [one.lines["fpr_at_95_tpr"].mean() for one in judged],
            "behind": [_behind(first, one) for one in judged],
        }
    )
    if measured:
        summary["ms an input"] = [_milliseconds(one, measured) for one in judged]
    labels = shared.set_labels(evaluations[0])
    order = ranks.sort_values(kind="stable").index
    shown = aurocs.rename(columns=labels)
    shown.insert(0, "score", summary["score"])
    return {
        "label": shared.train_label(evaluations[0].document),
        "evaluations": evaluations,
        "has_first": first is not None,
        "summary": summary.loc[order],
        "aurocs": shown.loc[order],
        "records": pd.concat([_records(one) for one in judged]),
    }


def _label(judged: Judged, evaluations: Sequence[Evaluation]) -> str:
    """What a score is called, with its model where there are several."""
    evaluation = judged.entry.evaluation
    label = judged.entry.spec.label or judged.entry.score
    if len({(e.document["model"], shared.beta(e)) for e in evaluations}) == 1:
        return label
    beta = shared.beta(evaluation)
    model = f"{evaluation.document['members']} x {evaluation.document['model']}"
    return ", ".join([label, model, *([] if beta is None else [f"beta {beta:g}"])])


def _behind(first: Judged | None, other: Judged) -> tuple[float, float] | None:
    """How far a score's mean AUROC is behind the first's: an interval, or None."""
    if first is None or other is first:
        return None
    return leaderboard.difference(first, other)


def _milliseconds(judged: Judged, measured: Sequence[Mapping[str, Any]]) -> float:
    """Of the cheapest signature that has all a score is made of; NaN where none was measured."""
    document = judged.entry.evaluation.document
    signatures = [
        signature
        for one in measured
        if all(one[key] == document[key] for key in MEASURED)
        for signature in one["signatures"].values()
    ]
    wanted = set(judged.entry.inputs)
    found = [s["ms_per_input"]["median"] for s in signatures if wanted <= set(s["outputs"])]
    return min(found, default=math.nan)


def _records(judged: Judged) -> pd.DataFrame:
    about = shared.identity(judged.entry.evaluation) | {"score": judged.entry.score}
    return pd.DataFrame([{**about, **line} for line in judged.lines.to_dict("records")])
