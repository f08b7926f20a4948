"""Bits a dimension of density models: what training gained, what the gate found, what others got.

The gate is `models.likelihood_checks`: each member's, as its manifest keeps it under "checks".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from tfp_genens.data.requests import listed
from tfp_genens.errors import UserError
from tfp_genens.evaluation import results, rows, tables
from tfp_genens.paper import configurations, labels
from tfp_genens.paper import literature as published
from tfp_genens.paper.configurations import Configuration, describe_members
from tfp_genens.paper.documents import Section, TableDocument
from tfp_genens.paper.judged import sentence
from tfp_genens.paper.repetition import LEVEL
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation, training_metrics

OUTPUT = "bits_per_dim"
VALIDATION = f"validation_{OUTPUT}"  # column of metrics.csv
MAX_LINES = 12  # validation steps that are shown
NOT_FINITE = "not finite"
SETTINGS = {"num_steps": "K", "num_levels": "L", "width": "width", "coupling": "coupling"}
"""What is compared of GLOWs' settings, and what the literature calls it."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Mean bits/dim over inputs, and its 95 % t interval; NaN for fewer than two inputs."""

    mean: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Member:
    """One member of an evaluation.

    Attributes:
      label: e.g. "member 0".
      name: seed of the run and number within it.
      manifest: as results.json has it.
      test: of the in-distribution test inputs.
      validation: bits/dim on held-out images by step of training; empty where none was recorded.
    """

    label: str
    name: str
    manifest: Mapping[str, Any]
    test: Estimate
    validation: Mapping[int, float]

    @property
    def checks(self) -> Mapping[str, Any]:
        """What the gate found; nothing where the member was trained without one."""
        return self.manifest.get("checks", {})

    @property
    def probes(self) -> Mapping[str, Mapping[str, Any]]:
        return self.checks.get("probes", {})


@dataclasses.dataclass(frozen=True)
class Judged:
    """One evaluation.

    Attributes:
      evaluation: where it is from.
      heading: what it is called: its differences from the first of its training set, if any.
      members: in order.
      mean: of the mean over members, which are taken as given.
    """

    evaluation: Evaluation
    heading: str
    members: tuple[Member, ...]
    mean: Estimate

    @property
    def document(self) -> Mapping[str, Any]:
        return self.evaluation.document

    @property
    def described(self) -> str:
        """E.g. "members 0 to 4 of seed 1 of runs/x"."""
        return f"{describe_members(self.evaluation)} of {self.document['settings']['run_dir']}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """SETTINGS, None where the model has no such, and "num_parameters", None if not known."""
        manifest = self.document["manifests"][0]
        return {
            **{name: manifest["config"].get(name) for name in SETTINGS},
            "num_parameters": manifest.get("num_parameters"),
        }


def table(evaluations: Sequence[Evaluation]) -> TableDocument:
    """Bits/dim of every member, over training, on the gate's probes, and beside published ones.

    Raises:
      UserError: an evaluation without bits_per_dim.
    """
    judged = _judged(evaluations)
    by_dataset: dict[str, list[Judged]] = {}
    for one in judged:
        by_dataset.setdefault(one.document["train_dataset"], []).append(one)
    others = {name: published.bits_per_dim(name) for name in by_dataset}
    parts = [
        part
        for one in judged
        for part in (_members_section(one), _validation_section(one), _probes_section(one))
    ]
    parts += [_published_section(by_dataset[name], theirs) for name, theirs in others.items()]
    return TableDocument(
        title="Bits a dimension",
        text=(
            "Lower is better; values drawn at random from 256 need 8. Held-out images are those "
            "kept from training: on them the gate, a check of the likelihood that every member's "
            "manifest keeps, measured it before and after training. Test inputs are those that "
            "the evaluation scored. The inversion error is the largest change of a held-out pixel "
            "that comes back from its latents, as a share of the range of values.",
            "Numbers of test inputs are means over them, with a 95 % t interval that takes the "
            f'members as given. "{NOT_FINITE}" stands for NaN or an infinity, "-" for what '
            "is not known.",
        ),
        sections=tuple(part for part in parts if part is not None),
        records=(
            *(record for one in judged for record in _records(one)),
            *(
                {"record": "published", "train_dataset": name, **row}
                for name, theirs in others.items()
                for row in theirs
            ),
        ),
    )


def _judged(evaluations: Sequence[Evaluation]) -> list[Judged]:
    bases: dict[str, Configuration] = {}
    judged = []
    for evaluation in evaluations:
        scores = evaluation.in_distribution.scores
        if OUTPUT not in scores.member_scores:
            raise UserError(
                ARGUMENT,
                f"evaluations of density models, with {OUTPUT}",
                f"{evaluation.directory}, which has {listed(scores.member_scores)}",
            )
        configuration = Configuration((evaluation,))
        base = bases.setdefault(configuration.train_dataset, configuration)
        differences = configurations.differences(configuration, base)
        heading = tables.heading(evaluation.document)
        values = rows.member_values(scores, OUTPUT)
        judged.append(
            Judged(
                evaluation,
                f"{heading}: {differences}" if differences else heading,
                _members(evaluation, values),
                _estimate(values.mean(axis=0)),
            )
        )
    return judged


def _members(evaluation: Evaluation, values: np.ndarray) -> tuple[Member, ...]:
    """With the bits/dim of all test inputs, float64 [num_members, num_inputs]."""
    names = configurations.member_names(evaluation)
    recorded = training_metrics(evaluation)
    return tuple(
        Member(
            label=labels.member_name(evaluation, position),
            name=names[position],
            manifest=manifest,
            test=_estimate(values[position]),
            validation=_validation(recorded.get(manifest["member"])),
        )
        for position, manifest in enumerate(evaluation.document["manifests"])
    )


def _estimate(values: np.ndarray) -> Estimate:
    """From the bits/dim of all inputs, float64 [num_inputs]."""
    num, mean = len(values), float(values.mean())
    if num < 2:
        return Estimate(mean, math.nan, math.nan)
    error = float(values.std(ddof=1)) / math.sqrt(num)
    half = float(stats.t.ppf((1.0 + LEVEL) / 2.0, num - 1)) * error
    return Estimate(mean, mean - half, mean + half)


def _validation(metrics: pd.DataFrame | None) -> dict[int, float]:
    """By step. An empty cell was not recorded; what is not finite was, and is kept."""
    if metrics is None or VALIDATION not in metrics:
        return {}
    recorded = metrics[metrics[VALIDATION] != ""]
    return {
        int(step): float(bits)
        for step, bits in zip(recorded["step"], recorded[VALIDATION], strict=True)
    }


def _found(numbers: Mapping[str, Any], name: str) -> float | None:
    """One of the gate's numbers: NaN for its null, which is not finite; None for none."""
    if name not in numbers:
        return None
    return math.nan if numbers[name] is None else float(numbers[name])


def _text(value: float | None, form: str) -> str:
    if value is None:
        return "-"
    return form.format(value) if math.isfinite(value) else NOT_FINITE


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _estimate_text(estimate: Estimate) -> str:
    text = _text(estimate.mean, "{:.3f}")
    if not math.isfinite(estimate.low):
        return text
    return f"{text} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _members_section(one: Judged) -> Section:
    body = [
        (
            sentence(member.label),
            _count(member.manifest.get("num_parameters")),
            f"{member.manifest['steps']:,}",
            _text(_found(member.checks, f"untrained_{OUTPUT}"), "{:.3f}"),
            _text(_found(member.checks, OUTPUT), "{:.3f}"),
            _estimate_text(member.test),
            _text(_found(member.checks, "inversion_error"), "{:.1e}"),
            {True: "yes", False: "no", None: "-"}[member.checks.get("actnorms_initialized")],
            str(len(member.checks["warnings"])) if "warnings" in member.checks else "-",
        )
        for member in one.members
    ]
    if len(one.members) > 1:
        body.append(("Mean over members", *("-",) * 4, _estimate_text(one.mean), *("-",) * 3))
    known = [f"{SETTINGS[k]} {one.settings[k]}" for k in SETTINGS if one.settings[k] is not None]
    described = sentence("; ".join((one.described, *known)))
    return Section(
        one.heading,
        (
            f"{described}. Test inputs: {one.document['num_in']:,}; held-out images: "
            f"{_num_held_out(one)}.",
        ),
        (
            "Member",
            "parameters",
            "steps",
            "held out, untrained",
            "held out, trained",
            "test inputs",
            "inversion error",
            "actnorms initialised",
            "warnings",
        ),
        tuple(body),
        tuple(
            sentence(f"{member.label}: {warning}.")
            for member in one.members
            for warning in member.checks.get("warnings", ())
        ),
    )


def _num_held_out(one: Judged) -> str:
    numbers = {m.checks["num_examples"] for m in one.members if "num_examples" in m.checks}
    return ", ".join(f"{number:,}" for number in sorted(numbers)) or "-"


def _validation_section(one: Judged) -> Section | None:
    """Of the steps about evenly spaced ones, the first and the last among them."""
    steps = sorted({step for member in one.members for step in member.validation})
    if not steps:
        return None
    chosen = np.linspace(0, len(steps) - 1, min(MAX_LINES, len(steps)), dtype=int)
    text = "Measured while training, in its precision, on images held out from it."
    if len(chosen) < len(steps):
        text += f" {len(chosen)} of {len(steps)} recorded steps; the CSV file has all."
    return Section(
        "Held-out bits/dim over training",
        (text,),
        ("Step", *(member.label for member in one.members)),
        tuple(
            (f"{step:,}", *(_text(m.validation.get(step), "{:.3f}") for m in one.members))
            for step in (steps[position] for position in chosen)
        ),
        level=3,
    )


def _probes_section(one: Judged) -> Section | None:
    names = list(dict.fromkeys(name for member in one.members for name in member.probes))
    if not names:
        return None
    return Section(
        "Images that should not be likelier",
        (
            "Share of held-out images that are less likely than the image that stands in their "
            "place: one without detail, or noise. Blurred and coarse ones are made of the "
            "held-out images themselves.",
        ),
        ("Probe", *(member.label for member in one.members)),
        tuple(
            (
                sentence(name.replace("_", " ")),
                *(_share_text(member.probes.get(name, {})) for member in one.members),
            )
            for name in names
        ),
        level=3,
    )


def _share_text(probe: Mapping[str, Any]) -> str:
    """A share of likelihoods that are NaN is a number, but says nothing."""
    share = _found(probe, "likelier_share")
    if share is not None and probe.get("advantage_nats", 0.0) is None:
        share = math.nan
    return _text(None if share is None else 100.0 * share, "{:.0f} %")


def _published_section(
    judged: Sequence[Judged], theirs: Sequence[Mapping[str, Any]]
) -> Section | None:
    """Evaluations of one training set beside what others got on it, if anything is known."""
    if not theirs:
        return None
    document = judged[0].document
    label = results.dataset_label(document, document["train_dataset"])
    ours = [
        (
            one.heading,
            _text(one.mean.mean, "{:.3f}"),
            *_setting_cells(one.settings),
            f"ours, {one.described}: mean over members and {one.document['num_in']:,} test inputs",
        )
        for one in judged
    ]
    others = [
        (
            row["model"],
            f"{'~' if row['is_approximate'] else ''}{row[OUTPUT]:g}",
            *_setting_cells(row),
            row["source"],
        )
        for row in theirs
    ]
    return Section(
        f"{label}: beside published numbers",
        (
            "K is the number of steps of flow at each of the L scales, the width that of the "
            "coupling networks' hidden layers. Additive couplings shift, affine ones scale, too.",
        ),
        ("Model", "bits/dim", *SETTINGS.values(), "parameters", "source"),
        (*ours, *others),
    )


def _setting_cells(settings: Mapping[str, Any]) -> tuple[str, ...]:
    cells = ("-" if settings[name] is None else str(settings[name]) for name in SETTINGS)
    return (*cells, _count(settings["num_parameters"]))


def _recorded(value: float | None) -> float | str | None:
    """For the CSV, in which an empty cell is none: NaN by name."""
    return "nan" if value is not None and math.isnan(value) else value


def _records(one: Judged) -> list[dict[str, Any]]:
    """One of the mean, and of each member one, one a validation step and one a probe."""
    about = {
        "evaluation_dir": str(one.evaluation.directory),
        "train_dataset": one.document["train_dataset"],
        "model": one.document["model"],
    }
    num_in = one.document["num_in"]
    found = [{"record": "mean_over_members", **about, **_test_record(one.mean), "num_in": num_in}]
    for member in one.members:
        checks = member.checks
        identity = {**about, "member": member.name}
        found.append(
            {
                "record": "member",
                **identity,
                **_test_record(member.test),
                "num_in": num_in,
                "steps": member.manifest["steps"],
                **{name: one.settings[name] for name in SETTINGS},
                "num_parameters": member.manifest.get("num_parameters"),
                f"untrained_held_out_{OUTPUT}": _recorded(_found(checks, f"untrained_{OUTPUT}")),
                f"held_out_{OUTPUT}": _recorded(_found(checks, OUTPUT)),
                "num_held_out": checks.get("num_examples"),
                "inversion_error": _recorded(_found(checks, "inversion_error")),
                "actnorms_initialized": checks.get("actnorms_initialized"),
                "warnings": checks.get("warnings"),
            }
        )
        found += [
            {"record": "validation", **identity, "step": step, OUTPUT: _recorded(bits)}
            for step, bits in member.validation.items()
        ]
        found += [
            {
                "record": "probe",
                **identity,
                "probe": name,
                **{key: _recorded(_found(probe, key)) for key in probe},
            }
            for name, probe in member.probes.items()
        ]
    return found


def _test_record(estimate: Estimate) -> dict[str, Any]:
    return {
        OUTPUT: _recorded(estimate.mean),
        f"{OUTPUT}_low": estimate.low,
        f"{OUTPUT}_high": estimate.high,
    }
