"""Evaluations of one training set side by side, whatever settings they differ in.

It answers what closes the gap to the paper: the first evaluation is the base, the others say what
they changed. A difference may be the luck of a training run, so where an evaluation has one member
only, its cells are held to the base's interval over members.
"""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from tfp_genens.errors import UserError
from tfp_genens.evaluation import rows
from tfp_genens.paper import configurations, repetition, shared
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.documents import Document
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation

BASE = "base"
ABOVE, BELOW, WITHIN = "above", "below", "within"
MARKS = {ABOVE: " ↑", BELOW: " ↓"}
INTERVAL = "interval over base's members"
AUROC_RECORDS = [
    *("record", "column", "evaluation_dir", "train_dataset", "model", "members"),
    *("ood_dataset", "score", "auroc", "auroc_low", "auroc_high", "auroc_members"),
    *("change_from_base", "base_members_low", "base_members_high", "base_members_num"),
    *("flag", "paper_auroc", "difference", *shared.COUNTS),
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
    records: list[Any] = _records(columns)
    documents = [evaluation.document for evaluation in evaluations]
    inputs = {name: configurations.input_settings(e) for name, e in columns.items()}
    context = {
        "base": documents[0],
        "columns": columns,
        "flags": collections.Counter(cells["flag"].dropna()),
        "min_members": repetition.MIN_REPETITIONS,
        "facts": _facts(columns, records),
        "differing": shared.differing(inputs),
        "scores": [
            {
                "label": shared.score_label(documents, str(score)),
                "is_single": of_score["auroc_members"].notna().any(),
                "table": _score_table(columns, of_score),
            }
            for score, of_score in cells.groupby("score", sort=False)
        ],
    }
    aurocs = cells[cells["auroc"].notna()].assign(record="auroc")[AUROC_RECORDS]
    return Document("compare", context, records + aurocs.to_dict("records"))


def _named_columns(evaluations: Sequence[Evaluation]) -> Columns:
    trained = list(dict.fromkeys(e.document["train_dataset"] for e in evaluations))
    if len(evaluations) < 2 or len(trained) > 1:
        got = f"{len(evaluations)} of {', '.join(trained)}"
        raise UserError(ARGUMENT, "two or more evaluations of one training set", got)
    configurations.group(evaluations)  # refuses what shares members: that would be no comparison
    base, *others = evaluations
    members = list(map(configurations.describe_members, evaluations))
    names = [BASE]
    for other, its_members in zip(others, members[1:], strict=True):
        names.append(configurations.differences(other, base) or its_members)
    names = [
        name if names.count(name) == 1 else f"{name}; {its_members}"
        for name, its_members in zip(names, members, strict=True)
    ]
    return dict(zip(names, evaluations, strict=True))


def _shared_scores(columns: Columns) -> list[str]:
    """The base's main scores that all have."""
    found = {
        name: paper.main_scores(e.document["main_scores"], e.document["model"])
        for name, e in columns.items()
    }
    first, *others = found.values()
    scores = [score for score in first if all(score in other for other in others)]
    if not scores:
        got = "; ".join(f"{columns[k].directory}: {', '.join(v)}" for k, v in found.items())
        raise UserError(ARGUMENT, "evaluations with a main score in common", got)
    if not any(evaluation.ood for evaluation in columns.values()):
        raise UserError(ARGUMENT, "evaluations of OoD sets", "none that has any")
    return scores


def _cells(columns: Columns, scores: Sequence[str]) -> pd.DataFrame:
    """AUROC_RECORDS and more, by score, set and evaluation: the base's sets, then those of others.

    flag: where one member lies against the base's interval: ABOVE, BELOW or WITHIN.
    """
    evaluations = list(columns.values())
    sets = dict.fromkeys(ood.name for evaluation in evaluations for ood in evaluation.ood)
    parts = [shared.cells(evaluations, sets, [score]) for score in scores]
    cells = pd.concat(parts, ignore_index=True)
    bases = cells.loc[cells.index - cells["evaluation"]].reset_index(drop=True)
    intervals = [repetition.of_draws(members or ()) for members in bases["auroc_members"]]
    cells = cells.join(shared.interval_columns(intervals, "base_members"))
    can_be_held = cells["evaluation"].gt(0) & cells["members"].map(len).eq(1)
    members = cells["auroc_members"].where(can_be_held, None)
    cells["flag"] = list(map(_flag, members, intervals))
    return cells.assign(
        column=cells["evaluation"].map(dict(enumerate(columns))),
        change_from_base=cells["auroc"] - bases["auroc"],
        paper_auroc=bases["paper_auroc"],
        difference=cells["auroc"] - bases["paper_auroc"],
    ).rename(columns={"base_members_num_values": "base_members_num"})


def _flag(members: Sequence[float] | None, interval: repetition.Interval | None) -> str | None:
    """None where nothing is held to an interval: the base, ensembles, and their scores."""
    if interval is None or members is None:
        return None
    if members[0] > interval.high:
        return ABOVE
    return BELOW if members[0] < interval.low else WITHIN


def _score_table(columns: Columns, cells: pd.DataFrame) -> pd.DataFrame:
    """One line an OoD set, one column an evaluation."""
    documents = [evaluation.document for evaluation in columns.values()]
    cells = cells.assign(text=cells.apply(_cell_text, axis=1))
    names = {name: shared.dataset_label(documents, name) for name in cells["ood_dataset"]}
    shown = shared.wide(cells, "ood_dataset", "column", "OoD set", names)
    base = cells[cells["evaluation"] == 0].set_index("ood_dataset").rename(index=names)
    if base["base_members_low"].notna().any():
        shown.insert(2, INTERVAL, shared.ends(base, "base_members"))
    models = list(dict.fromkeys(document["model"] for document in documents))
    shown["paper" if len(models) == 1 else f"paper, {models[0]}"] = base["paper_auroc"]
    return shown


def _cell_text(cell: Any) -> str | None:
    if pd.isna(cell.auroc):
        return None
    return _with_range(cell.auroc, cell.auroc_members or (), "{:.1f}") + MARKS.get(cell.flag, "")


def _with_range(mean: float, of_members: Sequence[float], form: str, more: str = "") -> str:
    """E.g. "95.3 (94.1 to 96.0)"; without the brackets where there is one member."""
    if len(of_members) > 1:
        more += f" ({form.format(min(of_members))} to {form.format(max(of_members))})"
    return form.format(mean) + more


def _records(columns: Columns) -> list[dict[str, Any]]:
    """Of each column its training, and every member output over in-distribution test inputs.

    mean: over members and inputs, in the output's unit. standard_error: over inputs, the members
    taken as given. member_means: each member's mean over inputs.
    """
    found = []
    for name, evaluation in columns.items():
        about = {"column": name, **shared.identity(evaluation)}
        manifests = evaluation.document["manifests"]
        of_members = {key: [m[key] for m in manifests] for key in ("steps", "wall_clock_secs")}
        found.append({"record": "training"} | about | of_members)
        scores = evaluation.in_distribution.scores
        for output, spec in scores.member_scores.items():
            values = rows.member_values(scores, output)
            by_input = values.mean(axis=0)
            of_output = {
                "score": output,
                "unit": spec.unit,
                "mean": float(by_input.mean()),
                "standard_error": float(stats.sem(by_input)),
                "member_means": tuple(values.mean(axis=1).tolist()),
                "num_in": evaluation.document["num_in"],
            }
            found.append({"record": "in_distribution"} | about | of_output)
    return found


def _facts(columns: Columns, records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """In-distribution facts: a line a fact, a column an evaluation."""
    documents = [evaluation.document for evaluation in columns.values()]
    facts: dict[str, dict[str, Any]] = {name: {} for name in columns}
    for record in records:
        of_column = facts[record["column"]]
        if record["record"] == "training":
            minutes = np.divide(record["wall_clock_secs"], 60)
            of_column["Members"] = len(minutes)
            of_column["Steps a member"] = ", ".join(f"{n:,}" for n in sorted({*record["steps"]}))
            of_range = _with_range(minutes.mean(), minutes, "{:.1f}")
            of_column["Training time a member, min"] = of_range
            of_column["In-distribution inputs"] = columns[record["column"]].document["num_in"]
        else:
            heading = f"{shared.score_label(documents, record['score'])}, {record['unit']}"
            mean, error = record["mean"], f" ± {record['standard_error']:.2f}"
            of_column[heading] = _with_range(mean, record["member_means"], "{:.2f}", error)
    lines = pd.DataFrame(facts, dtype=object)
    lines.insert(0, "", lines.index)
    return lines
