"""Bits a dimension of density models: what training gained, what the gate found, what others got.

The gate is `models.likelihood_checks`: each member's, as its manifest keeps it under "checks".
"""

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
from tfp_genens.paper.documents import NOT_FINITE, Document, number, sentence
from tfp_genens.paper.repetition import LEVEL
from tfp_genens.paper.shared import identity, member_name, wide
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation, training_metrics

OUTPUT = "bits_per_dim"
VALIDATION = f"validation_{OUTPUT}"  # column of metrics.csv
MAX_LINES = 12  # validation steps that are shown
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
INITIALISED = {True: "yes", False: "no", None: "-"}


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
            got = f"{evaluation.directory}, which has {listed(scores.member_scores)}"
            raise UserError(ARGUMENT, f"evaluations of density models, with {OUTPUT}", got)
        base = bases.setdefault(evaluation.document["train_dataset"], evaluation)
        differences = configurations.differences(evaluation, base)
        heading = tables.heading(evaluation.document)
        found.append((evaluation, f"{heading}: {differences}" if differences else heading))
    return found


def _part(evaluation: Evaluation, heading: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the template shows of one evaluation, and its records."""
    document = evaluation.document
    first = document["manifests"][0]
    settings = {name: first["config"].get(name) for name in SETTINGS}
    settings["num_parameters"] = first.get("num_parameters")
    records = _records(evaluation, settings)
    mean = records[0]
    members, validation, probes = (
        [record for record in records if record["record"] == kind]
        for kind in ("member", "validation", "probe")
    )
    labels = {m["member"]: member_name(evaluation, k) for k, m in enumerate(members)}
    run_dir = document["settings"]["run_dir"]
    described = f"{configurations.describe_members(evaluation)} of {run_dir}"
    known = [f"{SETTINGS[k]} {settings[k]}" for k in SETTINGS if settings[k] is not None]
    held_out = sorted({m["num_held_out"] for m in members} - {None})
    part = {
        "evaluation": evaluation,
        "heading": heading,
        "described": sentence("; ".join((described, *known))),
        "num_held_out": ", ".join(f"{number:,}" for number in held_out) or "-",
        "members": _member_texts(members, labels, mean),
        "warnings": [
            (sentence(labels[m["member"]]), warning)
            for m in members
            for warning in m["warnings"] or ()
        ],
        "num_validated": len({record["step"] for record in validation}),
        "validation": _validation_texts(validation, labels),
        "probes": _probe_texts(probes, labels),
        "ours": {
            "model": heading,
            OUTPUT: number(mean[OUTPUT], "{:.3f}"),
            **settings,
            "source": f"ours, {described}: mean over members and {document['num_in']:,} test "
            "inputs",
        },
    }
    return part, [_written(record) for record in records]


def _records(evaluation: Evaluation, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of the mean, and of each member: one, one a validation step, as far as recorded, and one a
    probe. None is what is not known, NaN what is not finite.
    """
    about, num_in = identity(evaluation), evaluation.document["num_in"]
    names = about.pop("members")
    values = rows.member_values(evaluation.in_distribution.scores, OUTPUT)
    mean = _estimate(values.mean(axis=0))
    found = [{"record": "mean_over_members", **about, **mean, "num_in": num_in}]
    recorded = training_metrics(evaluation)
    for manifest, member, of_member in zip(
        evaluation.document["manifests"], names, values, strict=True
    ):
        who, checks = {**about, "member": member}, manifest.get("checks", {})
        found.append(
            {
                "record": "member",
                **who,
                **_estimate(of_member),
                "num_in": num_in,
                "steps": manifest["steps"],
                **settings,
                "num_parameters": manifest.get("num_parameters"),
                **{theirs: _found(checks, ours) for ours, theirs in CHECKS.items()},
            }
        )
        metrics = recorded.get(manifest["member"], pd.DataFrame())
        if VALIDATION in metrics:
            kept = metrics[metrics[VALIDATION] != ""]  # An empty cell was not recorded.
            found += [
                {"record": "validation", **who, "step": int(step), OUTPUT: float(bits)}
                for step, bits in zip(kept["step"], kept[VALIDATION], strict=True)
            ]
        found += [
            {"record": "probe", **who, "probe": name, **{key: _found(probe, key) for key in probe}}
            for name, probe in checks.get("probes", {}).items()
        ]
    return found


def _written(record: Mapping[str, Any]) -> dict[str, Any]:
    """In the CSV an empty cell is none: NaN by name. An interval that is none is empty."""
    ends = (f"{OUTPUT}_low", f"{OUTPUT}_high")
    return {
        name: "nan" if isinstance(v, float) and math.isnan(v) and name not in ends else v
        for name, v in record.items()
    }


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


def _validation_texts(
    records: Sequence[Mapping[str, Any]], labels: Mapping[Any, str]
) -> pd.DataFrame:
    """Of held-out images: a line a step, of those about evenly spaced, the first and the last."""
    steps = sorted({record["step"] for record in records})
    shown = np.linspace(0, len(steps) - 1, min(MAX_LINES, len(steps)), dtype=int)
    found = pd.DataFrame(records, columns=["member", "step", OUTPUT])
    found = found[found["step"].isin([steps[k] for k in shown])].sort_values("step", kind="stable")
    found["text"] = [number(bits, "{:.3f}") for bits in found[OUTPUT]]
    names = {**labels, **{step: f"{step:,}" for step in steps}}
    return wide(found, "step", "member", "Step", names, list(labels))


def _probe_texts(records: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> pd.DataFrame:
    """Of images that should not be likelier: a line a probe."""
    found = pd.DataFrame(records, columns=["member", "probe"])
    found["text"] = [_share_text(record) for record in records]
    names = {name: sentence(name.replace("_", " ")) for name in found["probe"]}
    return wide(found, "probe", "member", "Probe", {**labels, **names}, list(labels))


def _share_text(probe: Mapping[str, Any]) -> str:
    """A share of likelihoods that are NaN is a number, but says nothing."""
    share = probe.get("likelier_share")
    if share is not None and math.isnan(probe.get("advantage_nats", 0.0)):
        share = math.nan
    return number(None if share is None else 100.0 * share, "{:.0f} %")


def _estimate_text(estimate: Mapping[str, Any]) -> str:
    text = number(estimate[OUTPUT], "{:.3f}")
    low, high = estimate[f"{OUTPUT}_low"], estimate[f"{OUTPUT}_high"]
    return f"{text} [{low:.3f}, {high:.3f}]" if math.isfinite(low) else text


def _member_texts(
    members: Sequence[Mapping[str, Any]], labels: Mapping[str, str], mean: Mapping[str, Any]
) -> pd.DataFrame:
    """The members' records, and the mean where there are several, with texts."""
    of_mean: list[dict[str, Any]] = [{**dict.fromkeys(members[0]), **mean}]
    lines = [
        {
            **record,
            "name": sentence(labels.get(record["member"], "mean over members")),
            "test_inputs": _estimate_text(record),
            "initialised": INITIALISED[record["actnorms_initialized"]],
            "num_warnings": None if record["warnings"] is None else len(record["warnings"]),
        }
        for record in (*members, *(of_mean if len(members) > 1 else ()))
    ]
    return pd.DataFrame(lines, dtype=object)


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
