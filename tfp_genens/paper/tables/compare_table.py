"""Evaluations of one training set side by side, whatever settings they differ in.

It answers what closes the gap to the paper: the first evaluation is the base, the others say what
they changed. A difference may be the luck of a training run, so where an evaluation has one member
only, its cells are held to the base's interval over members.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from tfp_genens.errors import UserError
from tfp_genens.evaluation import results, rows, tables
from tfp_genens.paper import configurations, frame, judged, labels, repetition
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.configurations import Configuration, describe_members
from tfp_genens.paper.documents import Document
from tfp_genens.paper.repetition import Interval
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation

BASE = "base"
ABOVE, BELOW, WITHIN = "above", "below", "within"
MARKS = {ABOVE: " ↑", BELOW: " ↓"}
KEYS = ["score", "ood_dataset", "evaluation"]
INTERVAL = "interval over base's members"
AUROC_RECORDS = [
    *("ood_dataset", "score", "auroc", "auroc_low", "auroc_high", "auroc_members"),
    *("change_from_base", "base_members_low", "base_members_high", "base_members_num"),
    *("flag", "paper_auroc", "difference", *frame.COUNTS),
]

Columns = dict[str, Evaluation]
"""What the tables call an evaluation -> it: BASE, or its differences from the base."""


def table(evaluations: Sequence[Evaluation]) -> Document:
    """What the evaluations score on in-distribution inputs, and their AUROC by each main score.

    Raises:
      UserError: fewer than two evaluations, several training sets, evaluations that share members,
        or no main score or OoD set in common.
    """
    columns = _named_columns(evaluations)
    cells = _cells(columns, _shared_scores(columns))
    found = [evaluation.document for evaluation in evaluations]
    base = found[0]
    is_one_model = len({document["model"] for document in found}) == 1
    nats = _nats(columns)
    context = {
        "label": results.dataset_label(base, base["train_dataset"]),
        "num": len(evaluations),
        "flags": collections.Counter(cells["flag"].dropna()),
        "min_members": repetition.MIN_REPETITIONS,
        "facts": _facts(columns, nats),
        "columns": [
            {
                "name": name,
                "heading": tables.heading(evaluation.document),
                "who": describe_members(evaluation),
                "run_dir": evaluation.document["settings"]["run_dir"],
            }
            for name, evaluation in columns.items()
        ],
        "differing": _differing(columns),
        "num_members": {document["members"] for document in found},
        "attacked": list(
            dict.fromkeys(label for e in evaluations for label in configurations.attacked_sets(e))
        ),
        "scores": [
            {
                "label": labels.score_label(found, str(score)),
                "is_single": of_score["auroc_members"].notna().any(),
                "table": _score_table(
                    columns, of_score, "paper" if is_one_model else f"paper, {base['model']}"
                ),
            }
            for score, of_score in cells.groupby("score", sort=False)
        ],
    }
    aurocs = cells[cells["auroc"].notna()].reset_index()
    identity = pd.DataFrame([_identity(*item) for item in columns.items()])
    aurocs = pd.concat(
        [identity.loc[aurocs["evaluation"]].reset_index(drop=True), aurocs[AUROC_RECORDS]], axis=1
    )
    aurocs.insert(0, "record", "auroc")
    return Document("compare", context, pd.concat([_column_records(columns, nats), aurocs]))


def _named_columns(evaluations: Sequence[Evaluation]) -> Columns:
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
    return {
        name if counts[name] == 1 else f"{name}; {describe_members(evaluation)}": evaluation
        for name, evaluation in zip(names, evaluations, strict=True)
    }


def _shared_scores(columns: Columns) -> list[str]:
    """The base's main scores that all have."""
    main_scores = [
        paper.main_scores(e.document["main_scores"], e.document["model"]) for e in columns.values()
    ]
    first, *others = main_scores
    scores = [score for score in first if all(score in other for other in others)]
    if not scores:
        got = "; ".join(
            f"{evaluation.directory}: {', '.join(found)}"
            for evaluation, found in zip(columns.values(), main_scores, strict=True)
        )
        raise UserError(ARGUMENT, "evaluations with a main score in common", got)
    if not any(evaluation.ood for evaluation in columns.values()):
        raise UserError(ARGUMENT, "evaluations of OoD sets", "none that has any")
    return scores


def _cells(columns: Columns, scores: Sequence[str]) -> pd.DataFrame:
    """By KEYS, AUROC_RECORDS and more; sets are the base's in its order, then those of others.

    auroc_members: percent, of the single models that a cell is the mean of: the attacked ones, or
    all. flag: where one member lies against the base's interval: ABOVE, BELOW or WITHIN.
    """
    evaluations = list(columns.values())
    found = frame.results(evaluations)
    found = found[found["metric"] == "auroc"]
    sets = dict.fromkeys(ood.name for evaluation in evaluations for ood in evaluation.ood)
    keys = pd.MultiIndex.from_product([scores, sets, range(len(evaluations))], names=KEYS)
    cells = found[found["member"].isna()].set_index(KEYS).reindex(keys)
    cells = cells.rename(columns={"value": "auroc", "low": "auroc_low", "high": "auroc_high"})
    used = found[found["member"].notna() & found["is_used"]]
    cells["auroc_members"] = used.groupby(KEYS)["value"].agg(tuple).reindex(keys)
    of_base = cells.xs(0, level="evaluation").reindex(keys.droplevel("evaluation"))
    bases = of_base["auroc_members"]
    cells["change_from_base"] = cells["auroc"] - of_base["auroc"].to_numpy()
    intervals = [repetition.of_draws(m) if isinstance(m, tuple) else None for m in bases]
    for name, attribute in (("low", "low"), ("high", "high"), ("num", "num_values")):
        values = [None if i is None else getattr(i, attribute) for i in intervals]
        cells[f"base_members_{name}"] = values
    cells["flag"] = [
        _flag(evaluations[position], position, members, interval)
        for (_, _, position), members, interval in zip(
            keys, cells["auroc_members"], intervals, strict=True
        )
    ]
    base = evaluations[0].document
    theirs = [
        paper.value(base["train_dataset"], ood, score, base["model"]) for score, ood, _ in keys
    ]
    cells["paper_auroc"] = np.array(theirs, dtype=float)
    cells["difference"] = cells["auroc"] - cells["paper_auroc"]
    return cells


def _flag(
    evaluation: Evaluation, position: int, members: Any, interval: Interval | None
) -> str | None:
    """None where nothing is held to an interval: the base, ensembles, and their scores."""
    is_single = isinstance(members, tuple) and len(members) == 1
    if position == 0 or interval is None or not is_single or evaluation.document["members"] > 1:
        return None
    if members[0] > interval.high:
        return ABOVE
    return BELOW if members[0] < interval.low else WITHIN


def _score_table(columns: Columns, cells: pd.DataFrame, paper_heading: str) -> pd.DataFrame:
    """One line an OoD set, one column an evaluation."""
    documents = [evaluation.document for evaluation in columns.values()]
    by_column = [cells.xs(k, level="evaluation") for k in range(len(columns))]
    sets = by_column[0].index.get_level_values("ood_dataset")
    shown: frame.Columns = [("OoD set", [labels.dataset_label(documents, name) for name in sets])]
    for name, of_column in zip(columns, by_column, strict=True):
        shown.append((name, list(map(_cell_text, of_column.itertuples()))))
    base = by_column[0]
    if base["base_members_low"].notna().any():
        ends = judged.intervals(base["base_members_low"], base["base_members_high"])
        shown.insert(2, (INTERVAL, ends))
    return frame.side_by_side([*shown, (paper_heading, base["paper_auroc"].tolist())])


def _cell_text(cell: Any) -> str | None:
    if pd.isna(cell.auroc):
        return None
    members = cell.auroc_members if isinstance(cell.auroc_members, tuple) else ()
    return _with_range(cell.auroc, members, "{:.1f}") + MARKS.get(cell.flag, "")


def _with_range(mean: float, of_members: Sequence[float], form: str, more: str = "") -> str:
    """E.g. "95.3 (94.1 to 96.0)"; without the brackets where there is one member."""
    text = form.format(mean) + more
    if len(of_members) > 1:
        text += f" ({form.format(min(of_members))} to {form.format(max(of_members))})"
    return text


def _nats(columns: Columns) -> pd.DataFrame:
    """Every member output over the in-distribution test inputs, one row a column and output.

    mean: over members and inputs, in the output's unit. standard_error: over inputs, the members
    taken as given. member_means: each member's mean over inputs.
    """
    found = []
    for name, evaluation in columns.items():
        scores = evaluation.in_distribution.scores
        for output, spec in scores.member_scores.items():
            values = rows.member_values(scores, output)
            by_input = values.mean(axis=0)
            num = len(by_input)
            found.append(
                {
                    "record": "in_distribution",
                    **_identity(name, evaluation),
                    "score": output,
                    "unit": spec.unit,
                    "mean": float(by_input.mean()),
                    "standard_error": float(by_input.std(ddof=1)) / math.sqrt(num)
                    if num > 1
                    else math.nan,
                    "member_means": tuple(map(float, values.mean(axis=1))),
                    "num_in": evaluation.document["num_in"],
                }
            )
    return pd.DataFrame(found)


def _facts(columns: Columns, nats: pd.DataFrame) -> pd.DataFrame:
    """In-distribution facts: a line a fact, a column an evaluation."""
    documents = [evaluation.document for evaluation in columns.values()]
    steps, minutes = [], []
    for document in documents:
        manifests = document["manifests"]
        steps.append(", ".join(f"{k:,}" for k in sorted({m["steps"] for m in manifests})))
        of_members = [manifest["wall_clock_secs"] / 60 for manifest in manifests]
        minutes.append(_with_range(float(np.mean(of_members)), of_members, "{:.1f}"))
    lines: dict[str, Sequence[Any]] = {
        "Members": [str(document["members"]) for document in documents],
        "Steps a member": steps,
        "Training time a member, min": minutes,
        "In-distribution inputs": [document["num_in"] for document in documents],
    }
    for output, of_output in nats.groupby("score", sort=False):
        texts = {
            one.column: _with_range(
                one.mean, one.member_means, "{:.2f}", f" ± {one.standard_error:.2f}"
            )
            for one in cast(Iterable[Any], of_output.itertuples())
        }
        label = labels.score_label(documents, str(output))
        lines[f"{label}, {of_output['unit'].iloc[0]}"] = [texts.get(name) for name in columns]
    facts = pd.DataFrame(lines.values(), columns=list(columns), dtype=object)
    facts.insert(0, "", list(lines))
    return facts


def _differing(columns: Columns) -> list[tuple[str, list[tuple[Any, str]]]]:
    """Settings of evaluate in which the columns' inputs differ: each value, and whose it is."""
    found = []
    for setting in configurations.INPUT_SETTINGS:
        values = [e.document["settings"].get(setting) for e in columns.values()]
        if any(value != values[0] for value in values):
            found.append((setting, list(zip(values, columns, strict=True))))
    return found


def _identity(name: str, evaluation: Evaluation) -> dict[str, Any]:
    return {
        "column": name,
        "evaluation_dir": str(evaluation.directory),
        "train_dataset": evaluation.document["train_dataset"],
        "model": evaluation.document["model"],
        "members": configurations.member_names(evaluation),
    }


def _column_records(columns: Columns, nats: pd.DataFrame) -> pd.DataFrame:
    """One of the training, and one a member output."""
    parts = []
    for name, evaluation in columns.items():
        manifests = evaluation.document["manifests"]
        training = {
            "record": "training",
            **_identity(name, evaluation),
            "steps": [manifest["steps"] for manifest in manifests],
            "wall_clock_secs": [manifest["wall_clock_secs"] for manifest in manifests],
        }
        parts += [pd.DataFrame([training]), nats[nats["column"] == name]]
    return pd.concat(parts)
