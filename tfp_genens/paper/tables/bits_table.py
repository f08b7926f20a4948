"""Bits a dimension of density models: what training gained, what the gate found, what others got.

The gate is `models.likelihood_checks`: each member's, as its manifest keeps it under "checks".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from tfp_genens.data.requests import listed
from tfp_genens.errors import UserError
from tfp_genens.evaluation import rows, tables
from tfp_genens.paper import configurations
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.documents import Document, sentence
from tfp_genens.paper.repetition import LEVEL
from tfp_genens.paper.shared import identity, member_name, wide
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation, training_metrics

OUTPUT = "bits_per_dim"
VALIDATION = f"validation_{OUTPUT}"  # column of metrics.csv
MAX_LINES = 12  # validation steps that are shown
NOT_FINITE = "not finite"
SETTINGS = {"num_steps": "K", "num_levels": "L", "width": "width", "coupling": "coupling"}
"""What is compared of GLOWs' settings, and what the literature calls it."""
CHECKS = {
    "untrained_bits_per_dim": "untrained_held_out_bits_per_dim",
    "bits_per_dim": "held_out_bits_per_dim",
    "num_examples": "num_held_out",
    "inversion_error": "inversion_error",
    "actnorms_initialized": "actnorms_initialized",
    "warnings": "warnings",
}
"""What the gate finds, and its name in the CSV file."""


def table(evaluations: Sequence[Evaluation]) -> Document:
    """Bits/dim of every member, over training, on the gate's probes, and beside published ones.

    Raises:
      UserError: an evaluation without bits_per_dim.
    """
    parts, records = [], []
    by_dataset: dict[str, list[dict[str, Any]]] = {}
    for evaluation, heading in _headed(evaluations):
        part, found = _part(evaluation, heading)
        parts.append(part)
        records += found
        by_dataset.setdefault(evaluation.document["train_dataset"], []).append(part["ours"])
    documents = {e.document["train_dataset"]: e.document for e in evaluations}
    published = []
    for name, ours in by_dataset.items():
        theirs = paper.published_bits_per_dim(name)
        records += [{"record": "published", "train_dataset": name, **row} for row in theirs]
        if theirs:
            published.append((documents[name], _beside_published(ours, theirs)))
    context = {"not_finite": NOT_FINITE, "parts": parts, "published": published}
    return Document("bits_per_dim", context, records)


def _headed(evaluations: Sequence[Evaluation]) -> list[tuple[Evaluation, str]]:
    """With what each is called: its differences from the first of its training set, if any."""
    bases: dict[str, Evaluation] = {}
    found = []
    for evaluation in evaluations:
        scores = evaluation.in_distribution.scores
        if OUTPUT not in scores.member_scores:
            raise UserError(
                ARGUMENT,
                f"evaluations of density models, with {OUTPUT}",
                f"{evaluation.directory}, which has {listed(scores.member_scores)}",
            )
        base = bases.setdefault(evaluation.document["train_dataset"], evaluation)
        differences = configurations.differences(evaluation, base)
        heading = tables.heading(evaluation.document)
        found.append((evaluation, f"{heading}: {differences}" if differences else heading))
    return found


def _part(evaluation: Evaluation, heading: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the template shows of one evaluation, and its records."""
    document = evaluation.document
    manifests, num_in = document["manifests"], document["num_in"]
    values = rows.member_values(evaluation.in_distribution.scores, OUTPUT)
    mean = _estimate(values.mean(axis=0))
    settings = {name: manifests[0]["config"].get(name) for name in SETTINGS}
    settings["num_parameters"] = manifests[0].get("num_parameters")
    members = _members(evaluation, values, settings)
    validation, probes = _validation(evaluation, members), _probes(evaluation, members)
    described = (
        f"{configurations.describe_members(evaluation)} of {document['settings']['run_dir']}"
    )
    known = [f"{SETTINGS[k]} {settings[k]}" for k in SETTINGS if settings[k] is not None]
    labels = list(members.index)
    held_out = sorted(set(members["num_held_out"].dropna()))
    part = {
        "evaluation": evaluation,
        "heading": heading,
        "described": sentence("; ".join((described, *known))),
        "num_held_out": ", ".join(f"{number:,}" for number in held_out) or "-",
        "members": _member_texts(members, mean),
        "warnings": [
            (sentence(str(label)), warning)
            for label, warnings in members["warnings"].dropna().items()
            for warning in warnings
        ],
        "num_validated": validation["step"].nunique(),
        "validation": wide(_shown(validation), "shown", "label", "Step", {}, labels),
        "probes": wide(probes, "shown", "label", "Probe", {}, labels),
        "ours": {
            "model": heading,
            OUTPUT: _text(mean[OUTPUT], "{:.3f}"),
            **settings,
            "source": f"ours, {described}: mean over members and {num_in:,} test inputs",
        },
    }
    about = identity(evaluation)
    del about["members"]
    return part, _records(about, mean | {"num_in": num_in}, members, validation, probes)


def _estimate(values: np.ndarray) -> dict[str, float]:
    """Mean bits/dim [num_inputs] and its 95 % t interval; NaN for fewer than two inputs."""
    num, mean = len(values), float(values.mean())
    half = math.nan
    if num > 1:
        error = float(values.std(ddof=1)) / math.sqrt(num)
        half = float(stats.t.ppf((1.0 + LEVEL) / 2.0, num - 1)) * error
    return {OUTPUT: mean, f"{OUTPUT}_low": mean - half, f"{OUTPUT}_high": mean + half}


def _found(numbers: Mapping[str, Any], name: str) -> Any:
    """One of the gate's numbers: NaN for its null, which is not finite; None for none."""
    return math.nan if numbers.get(name, 0) is None else numbers.get(name)


def _members(
    evaluation: Evaluation, values: np.ndarray, settings: Mapping[str, Any]
) -> pd.DataFrame:
    """What the CSV says of every member, by its label; None is what is not known."""
    manifests = evaluation.document["manifests"]
    names = configurations.member_names(evaluation)
    lines = [
        {
            "member": names[position],
            **_estimate(values[position]),
            "num_in": evaluation.document["num_in"],
            "steps": manifest["steps"],
            **settings,
            "num_parameters": manifest.get("num_parameters"),
            **{theirs: _found(manifest.get("checks", {}), ours) for ours, theirs in CHECKS.items()},
        }
        for position, manifest in enumerate(manifests)
    ]
    index = [member_name(evaluation, position) for position in range(len(manifests))]
    return pd.DataFrame(lines, index=index, dtype=object)


def _validation(evaluation: Evaluation, members: pd.DataFrame) -> pd.DataFrame:
    """Of held-out images by "label" of the member and "step", as far as recorded.

    An empty cell was not recorded; what is not finite was, and is kept.
    """
    recorded = training_metrics(evaluation)
    lines = []
    for label, manifest in zip(members.index, evaluation.document["manifests"], strict=True):
        metrics = recorded.get(manifest["member"])
        if metrics is not None and VALIDATION in metrics:
            kept = metrics[metrics[VALIDATION] != ""]
            lines += [
                {"label": label, "step": int(step), OUTPUT: float(bits)}
                for step, bits in zip(kept["step"], kept[VALIDATION], strict=True)
            ]
    found = pd.DataFrame(lines, columns=["label", "step", OUTPUT])
    return found.assign(
        shown=found["step"].map("{:,}".format),
        text=[_text(bits, "{:.3f}") for bits in found[OUTPUT]],
    )


def _shown(validation: pd.DataFrame) -> pd.DataFrame:
    """Of the steps about evenly spaced ones, the first and the last among them."""
    steps = np.sort(validation["step"].unique())
    shown = steps[np.linspace(0, len(steps) - 1, min(MAX_LINES, len(steps)), dtype=int)]
    return validation[validation["step"].isin(shown)].sort_values("step", kind="stable")


def _probes(evaluation: Evaluation, members: pd.DataFrame) -> pd.DataFrame:
    """Of images that should not be likelier, by "label" of the member and "probe"."""
    found = pd.DataFrame(
        [
            {"label": label, "probe": name, "numbers": {key: _found(probe, key) for key in probe}}
            for label, manifest in zip(members.index, evaluation.document["manifests"], strict=True)
            for name, probe in manifest.get("checks", {}).get("probes", {}).items()
        ],
        columns=["label", "probe", "numbers"],
    )
    return found.assign(
        shown=[sentence(name.replace("_", " ")) for name in found["probe"]],
        text=[_share_text(numbers) for numbers in found["numbers"]],
    )


def _share_text(probe: Mapping[str, Any]) -> str:
    """A share of likelihoods that are NaN is a number, but says nothing."""
    share = probe.get("likelier_share")
    if share is not None and math.isnan(probe.get("advantage_nats", 0.0)):
        share = math.nan
    return _text(None if share is None else 100.0 * share, "{:.0f} %")


def _text(value: float | None, form: str) -> str:
    if value is None:
        return "-"
    return form.format(value) if math.isfinite(value) else NOT_FINITE


def _estimate_text(estimate: Mapping[str, Any]) -> str:
    text = _text(estimate[OUTPUT], "{:.3f}")
    low, high = estimate[f"{OUTPUT}_low"], estimate[f"{OUTPUT}_high"]
    return f"{text} [{low:.3f}, {high:.3f}]" if math.isfinite(low) else text


def _member_texts(members: pd.DataFrame, mean: Mapping[str, float]) -> pd.DataFrame:
    bits, errors = (lambda v: _text(v, "{:.3f}")), (lambda v: _text(v, "{:.1e}"))
    lines = pd.DataFrame(
        {
            "Member": members.index.map(sentence),
            "parameters": members["num_parameters"].map(lambda v: _text(v, "{:,}")),
            "steps": members["steps"].map("{:,}".format),
            "held out, untrained": members["untrained_held_out_bits_per_dim"].map(bits),
            "held out, trained": members["held_out_bits_per_dim"].map(bits),
            "test inputs": members.apply(_estimate_text, axis=1),
            "inversion error": members["inversion_error"].map(errors),
            "actnorms initialised": [
                {True: "yes", False: "no", None: "-"}[v] for v in members["actnorms_initialized"]
            ],
            "warnings": ["-" if v is None else str(len(v)) for v in members["warnings"]],
        }
    )
    if len(members) > 1:
        lines.loc["mean"] = "-"
        lines.loc["mean", ["Member", "test inputs"]] = ["Mean over members", _estimate_text(mean)]
    return lines


def _beside_published(
    ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    """Evaluations of one training set, then what others got on it."""
    others = [
        {**row, OUTPUT: f"{'~' if row['is_approximate'] else ''}{row[OUTPUT]:g}"} for row in theirs
    ]
    lines = pd.DataFrame([*ours, *others], dtype=object)
    columns = {"model": "Model", OUTPUT: "bits/dim", **SETTINGS, "num_parameters": "parameters"}
    return lines[[*columns, "source"]].rename(columns=columns)


def _records(
    about: Mapping[str, Any],
    mean: Mapping[str, Any],
    members: pd.DataFrame,
    validation: pd.DataFrame,
    probes: pd.DataFrame,
) -> list[dict[str, Any]]:
    """One of the mean, and of each member one, one a validation step and one a probe."""
    found = [{"record": "mean_over_members", **about, **mean}]
    by_label: Any = members.to_dict("index")
    for label, member in by_label.items():
        who = {**about, "member": member["member"]}
        found.append({"record": "member", **who, **member})
        found += [
            {"record": "validation", **who, "step": line.step, OUTPUT: line.bits_per_dim}
            for line in validation[validation["label"] == label].itertuples()
        ]
        found += [
            {"record": "probe", **who, "probe": line.probe, **line.numbers}
            for line in probes[probes["label"] == label].itertuples()
        ]
    # In the CSV, in which an empty cell is none: NaN by name. An interval that is none is empty.
    ends = (f"{OUTPUT}_low", f"{OUTPUT}_high")
    return [
        {
            name: "nan" if isinstance(v, float) and math.isnan(v) and name not in ends else v
            for name, v in record.items()
        }
        for record in found
    ]
