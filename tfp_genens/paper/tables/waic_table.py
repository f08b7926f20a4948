"""What decides WAIC: its parts alone, and members whose log p was centred."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfp_genens.errors import UserError
from tfp_genens.evaluation import tables
from tfp_genens.paper import configurations, shared, verdicts, waic_parts
from tfp_genens.paper.documents import Document
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation

STORED = {"log_prob_mean": "Mean log p(x)", "log_prob_var": "Var log p(x)", "waic": "WAIC"}
"""Scores that the evaluation has judged."""
CENTRED = {
    "log_prob_var_centred": "Var, centred",
    "waic_centred": "WAIC, centred",
    "log_prob_mean_less_std": "Mean - standard deviation",
}
MEDIANS = {
    "mean": "Mean log p(x), nats",
    "var": "Var, nats^2",
    "var_centred": "Var, centred, nats^2",
    "std": "Standard deviation, nats",
}
LONG = 1e7  # from here on numbers are written with an exponent


def table(evaluations: Sequence[Evaluation]) -> Document:
    """AUROC of WAIC, of its parts and of centred members, and nats, sections an evaluation.

    Raises:
      UserError: an evaluation without log p, OoD sets or a second member, or with
        in-distribution log p too far out to be centred.
    """
    parts, records = [], []
    for evaluation in evaluations:
        frames = _frames(evaluation)
        shown = _findings(evaluation, frames) | _texts(evaluation, frames)
        parts.append({"evaluation": evaluation, **shown})
        records += [
            {"record": name, **shared.identity(evaluation), **line}
            for name, frame in frames.items()
            for line in frame.to_dict("records")
        ]
    return Document("waic", {"tolerance": verdicts.TOLERANCE, "parts": parts}, records)


@np.errstate(over="ignore", invalid="ignore")
def _frames(evaluation: Evaluation) -> dict[str, pd.DataFrame]:
    """Lines of the CSV: an OoD set and score; an OoD set, of the rule; a set; a set and member."""
    log_prob = _log_prob(evaluation)
    inside = evaluation.in_distribution.name
    offsets = waic_parts.offsets(log_prob[inside])
    centred = {name: of_set - offsets[:, None] for name, of_set in log_prob.items()}
    centred[inside] = waic_parts.cross_centred(log_prob[inside])
    medians = pd.DataFrame(
        [waic_parts.medians(log_prob[name], centred[name]) for name in log_prob]
    ).add_prefix("median_")
    medians.insert(0, "set", list(log_prob))
    of_members = {
        "member": configurations.member_names(evaluation),
        "steps": [manifest.get("steps") for manifest in evaluation.document["manifests"]],
    }
    members = [
        pd.DataFrame(
            {
                "set": name,
                **of_members,
                "log_prob": of_set.mean(axis=1),
                "offset": waic_parts.offsets(of_set),
            }
        ).astype({"steps": "Int64"})
        for name, of_set in log_prob.items()
    ]
    aurocs = _aurocs(evaluation, log_prob, centred)
    of_sets = {"auroc": aurocs, "rule": _rules(aurocs), "medians": medians}
    return {**of_sets, "member": pd.concat(members)}


def number(value: float, sign: str = "") -> str:
    """E.g. "12,345.6", "-1.20e+15" or "inf"."""
    return f"{value:{sign},.1f}" if abs(value) < LONG else f"{value:{sign}.2e}"


def _log_prob(evaluation: Evaluation) -> dict[str, np.ndarray]:
    """Of all sets, in-distribution first: nats, float64 [num_members, num_inputs].

    Raises:
      UserError: see `table`.
    """
    configurations.require_scores(evaluation, ("log_prob", *STORED))
    log_prob = shared.values(evaluation, "log_prob")
    inside = log_prob[evaluation.in_distribution.name]
    for axis, what in enumerate(("members", "in-distribution inputs")):
        if inside.shape[axis] < 2:
            raise UserError(ARGUMENT, f"two {what} or more", f"one in {evaluation.directory}")
    if not np.isfinite(waic_parts.offsets(inside).var()):
        means = ", ".join(f"{value:.3g}" for value in inside.mean(axis=1))
        expected = "members whose mean log p(x) of in-distribution inputs can be centred"
        raise UserError(ARGUMENT, expected, f"means of {means} nats in {evaluation.directory}")
    return log_prob


def _aurocs(
    evaluation: Evaluation, log_prob: Mapping[str, np.ndarray], centred: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """A line an OoD set and score, the stored ones first, judged on the same resamples."""
    inside = evaluation.in_distribution.name
    scores = {name: waic_parts.scores(log_prob[name], centred[name]) for name in log_prob}
    lines = []
    for ood in evaluation.ood:
        judged: dict[str, Mapping[str, Any]] = {
            score: evaluation.row(ood.name, score) for score in STORED
        }
        for score, direction in waic_parts.DIRECTIONS.items():
            both = (scores[name][score] for name in (inside, ood.name))
            judged[score] = shared.judge(evaluation, ood.name, direction, *both)
        lines += [
            {"set": ood.name, "score": score, **{key: found[key] for key in shared.OF_ROWS}}
            for score, found in judged.items()
        ]
    return pd.DataFrame(lines)


def _rules(aurocs: pd.DataFrame) -> pd.DataFrame:
    """By OoD set: what WAIC and centred WAIC go with, and by how much centring moves it."""
    found = aurocs.set_index(["set", "score"])["auroc"].unstack(sort=False)
    parts = {
        "goes_with": ["waic", "log_prob_var", "log_prob_mean"],
        "goes_with_centred": ["waic_centred", "log_prob_var_centred", "log_prob_mean"],
    }
    for name, scores in parts.items():
        found[name] = [waic_parts.decided_by(*line) for line in found[scores].to_numpy()]
    found["moved"] = found["waic_centred"] - found["waic"]
    return found.reset_index()[["set", *parts, "moved"]]


def _findings(evaluation: Evaluation, frames: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """What the rule says of these numbers."""
    rules = frames["rule"].assign(label=frames["rule"]["set"].map(shared.set_labels(evaluation)))
    most = rules.iloc[rules["moved"].abs().argmax()]
    of_most = frames["auroc"][frames["auroc"]["set"] == most["set"]].set_index("score")["auroc"]
    offsets = frames["member"]["offset"][: evaluation.document["members"]]
    return {
        "rules": rules,
        "turned": rules[
            rules["goes_with"].eq(waic_parts.VARIANCE)
            & rules["goes_with_centred"].eq(waic_parts.MEAN)
        ],
        "median_moved": rules["moved"].abs().median(),
        "most": {"label": most["label"], **of_most},
        "offset_variance": number(offsets.var(ddof=0)),
        "median_variance": number(frames["medians"]["median_var"][0]),
    }


def _texts(evaluation: Evaluation, frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables as text."""
    labels = shared.set_labels(evaluation)
    aurocs = frames["auroc"].assign(text=frames["auroc"].apply(tables.auroc_text, axis=1))
    medians = frames["medians"].set_index("set").map(number)
    medians.columns = list(MEDIANS.values())
    medians.insert(0, "Set", medians.index.map(labels))
    members = frames["member"]
    offsets = members.assign(text=[number(value, "+") for value in members["offset"]])
    names = {name: f"Offset, {label}" for name, label in labels.items()}
    of_members = shared.wide(offsets, "set", "member", "", names)
    first = members[members["set"] == evaluation.in_distribution.name]
    head = [
        ["Training steps", *("-" if pd.isna(s) else f"{s:,}" for s in first["steps"])],
        [f"Mean log p(x), {evaluation.in_distribution.label}", *first["log_prob"].map(number)],
    ]
    return {
        "aurocs": shared.wide(aurocs, "set", "score", "OoD set", labels | STORED | CENTRED),
        "medians": medians,
        "offsets": pd.concat([pd.DataFrame(head, columns=of_members.columns), of_members]),
    }
