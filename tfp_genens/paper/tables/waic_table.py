"""What decides WAIC: its parts alone, and members whose log p was centred."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfp_genens.errors import UserError
from tfp_genens.evaluation import tables
from tfp_genens.evaluation.rows import make_rows, member_values
from tfp_genens.paper import configurations, verdicts, waic_parts
from tfp_genens.paper.documents import Section, TableDocument
from tfp_genens.paper.requirements import require_scores
from tfp_genens.paper.waic_parts import MEAN, UNDECIDED, VARIANCE
from tfp_genens.reporting.evaluation_files import ARGUMENT, EvaluatedSet, Evaluation
from tfp_genens.scoring.columns import ScoreFile
from tfp_genens.scoring.combine import ENSEMBLE_SCORES

STORED = ("log_prob_mean", "log_prob_var", "waic")  # scores that the evaluation has judged
LABELS = {
    name: row.label
    for name, row in (ENSEMBLE_SCORES | waic_parts.SCORES).items()
    if name in STORED or name in waic_parts.SCORES
}
MEDIANS = {
    "mean": "Mean log p(x), nats",
    "var": "Var, nats^2",
    "var_centred": "Var, centred, nats^2",
    "std": "Standard deviation, nats",
}
LONG = 1e7  # from here on numbers are written with an exponent


@dataclasses.dataclass(frozen=True)
class Measured:
    """One evaluation, taken apart.

    Attributes:
      evaluation: which.
      log_prob: of its sets, in-distribution first, nats, float64 [num_members, num_inputs].
      medians: of the same sets, see `waic_parts.medians`.
      rows: OoD set -> score in LABELS -> a row as in results.json.
      decided: OoD set -> what decides WAIC, see `waic_parts.decided_by`.
      decided_centred: the same of centred WAIC.
    """

    evaluation: Evaluation
    log_prob: Mapping[str, np.ndarray]
    medians: Mapping[str, Mapping[str, float]]
    rows: Mapping[str, Mapping[str, Mapping[str, Any]]]
    decided: Mapping[str, str]
    decided_centred: Mapping[str, str]

    def label(self, name: str) -> str:
        sets = (self.evaluation.in_distribution, *self.evaluation.ood)
        return next(s.label for s in sets if s.name == name)

    def listed(self, names: Sequence[str]) -> str:
        """E.g. "2 (HFlip; VFlip)"."""
        labels = "; ".join(map(self.label, names))
        return f"{len(names)} ({labels})" if names else "0"

    def moved(self, name: str) -> float:
        """Points of AUROC by which centring raises WAIC on an OoD set."""
        return self.rows[name]["waic_centred"]["auroc"] - self.rows[name]["waic"]["auroc"]


def table(evaluations: Sequence[Evaluation]) -> TableDocument:
    """AUROC of WAIC, of its parts and of centred members, and nats, sections an evaluation.

    Raises:
      UserError: an evaluation without log p, OoD sets or a second member, or with
        in-distribution log p too far out to be centred.
    """
    measured = [_measured(evaluation) for evaluation in evaluations]
    return TableDocument(
        title="What decides WAIC",
        text=(
            "WAIC is the mean over members of log p(x), in nats, less their variance, in nats^2. "
            "In many dimensions members disagree by many nats, and the variance may be all that "
            "is left of it; and members that are not equally trained differ by an offset on every "
            "input. Whether that is so is tested here without training anything.",
            "Centred: each member's log p(x) is shifted so that its in-distribution mean is that "
            "of the ensemble. Mean log p(x) stays what it is. The offsets are known from "
            "in-distribution test inputs, since an evaluation keeps no held-out scores. No input "
            "is shifted by an offset that it had a part in: of the in-distribution inputs each "
            "half, every second one, is shifted by the offsets of the other half, and OoD inputs "
            "are by those of all.",
            "Mean - standard deviation is in nats throughout, and ranks inputs alike in any unit; "
            "WAIC may rank them otherwise in bits than in nats.",
            "Rule: WAIC goes with the variance on a set where its AUROC is nearer to that of the "
            "variance alone than to that of mean log p(x), and with the mean where it is the "
            "other way round. Where those two are within "
            f"{verdicts.TOLERANCE:g} points of each other, or WAIC as far from either, it is "
            "undecided. Centred WAIC is held to the centred variance and to mean log p(x).",
            "AUROC in percent [95 % interval over inputs, the members taken as given], "
            "out-of-distribution being the positive class. A variance that overflows counts as "
            "infinite, and the input as the most anomalous there is.",
        ),
        sections=tuple(section for one in measured for section in _sections(one)),
        records=tuple(record for one in measured for record in _records(one)),
    )


def _measured(evaluation: Evaluation) -> Measured:
    require_scores(evaluation, (waic_parts.LOG_PROB, *STORED))
    inside = evaluation.in_distribution
    if inside.scores.num_members < 2:
        raise UserError(ARGUMENT, "two members or more", f"one in {evaluation.directory}")
    log_prob = {
        scored.name: member_values(scored.scores, waic_parts.LOG_PROB)
        for scored in (inside, *evaluation.ood)
    }
    offsets = _in_distribution_offsets(evaluation, log_prob[inside.name])
    centred = {
        name: waic_parts.cross_centred(values)
        if name == inside.name
        else waic_parts.centred(values, offsets)
        for name, values in log_prob.items()
    }
    further = {
        scored.name: _further(scored, log_prob[scored.name], centred[scored.name])
        for scored in (inside, *evaluation.ood)
    }
    rows = {}
    for ood in evaluation.ood:
        made = _rows(evaluation, further[inside.name], further[ood.name], ood.name)
        rows[ood.name] = {score: evaluation.row(ood.name, score) for score in STORED} | made

    def decided(name: str, *scores: str) -> str:
        return waic_parts.decided_by(*(rows[name][score]["auroc"] for score in scores))

    return Measured(
        evaluation=evaluation,
        log_prob=log_prob,
        medians={name: waic_parts.medians(log_prob[name], centred[name]) for name in log_prob},
        rows=rows,
        decided={name: decided(name, "waic", "log_prob_var", "log_prob_mean") for name in rows},
        decided_centred={
            name: decided(name, "waic_centred", "log_prob_var_centred", "log_prob_mean")
            for name in rows
        },
    )


def _in_distribution_offsets(evaluation: Evaluation, log_prob: np.ndarray) -> np.ndarray:
    """See `waic_parts.offsets`. Raises UserError where they, or their squares, are not finite."""
    if log_prob.shape[1] < 2:
        raise UserError(
            ARGUMENT, "two in-distribution inputs or more", f"one in {evaluation.directory}"
        )
    offsets = waic_parts.offsets(log_prob)
    with np.errstate(over="ignore", invalid="ignore"):
        is_usable = np.isfinite(offsets.var())
    if not is_usable:
        means = ", ".join(f"{value:.3g}" for value in waic_parts.member_means(log_prob))
        raise UserError(
            ARGUMENT,
            "members whose mean log p(x) of in-distribution inputs can be centred",
            f"means of {means} nats in {evaluation.directory}",
        )
    return offsets


def _further(scored: EvaluatedSet, log_prob: np.ndarray, centred: np.ndarray) -> ScoreFile:
    """The set's score file with the scores of `waic_parts` in place of its own."""
    return dataclasses.replace(
        scored.scores,
        frame=pd.DataFrame(waic_parts.scores(log_prob, centred)),
        member_scores={},
        ensemble_scores={name: row.spec for name, row in waic_parts.SCORES.items()},
    )


def _rows(
    evaluation: Evaluation, inside: ScoreFile, outside: ScoreFile, ood_dataset: str
) -> dict[str, Mapping[str, Any]]:
    """Judged on the resamples that the evaluation's own rows were."""
    document = evaluation.document
    made = make_rows(
        inside,
        outside,
        ood_dataset=ood_dataset,
        description="",
        attacked_members=None,
        train_dataset=document["train_dataset"],
        model=document["model"],
        num_bootstrap=document["settings"]["num_bootstrap"],
        seed=document["settings"]["seed"],
    )
    return {row["score"]: row for row in made}


def _sections(measured: Measured) -> tuple[Section, ...]:
    evaluation = measured.evaluation
    attacks = configurations.attacked_sets(evaluation)
    note = f"Made against these members as they are, not centred: {'; '.join(attacks)}."
    return (
        Section(
            tables.heading(evaluation.document),
            (
                f"{evaluation.directory}, {configurations.describe_members(evaluation)}; "
                f"{evaluation.document['num_in']:,} in-distribution inputs.",
                *_findings(measured),
            ),
            ("OoD set", *LABELS.values()),
            tuple(
                (measured.label(name), *(tables.auroc_text(of_set[score]) for score in LABELS))
                for name, of_set in measured.rows.items()
            ),
            (note,) if attacks else (),
        ),
        Section(
            "Medians over inputs",
            (),
            ("Set", *MEDIANS.values()),
            tuple(
                (measured.label(name), *(_number(of_set[median]) for median in MEDIANS))
                for name, of_set in measured.medians.items()
            ),
            level=3,
        ),
        _members_section(measured),
    )


def _findings(measured: Measured) -> tuple[str, ...]:
    """What the rule says of these numbers."""

    def count(decided: Mapping[str, str]) -> str:
        found = {
            what: measured.listed([name for name in decided if decided[name] == what])
            for what in (VARIANCE, MEAN, UNDECIDED)
        }
        return (
            f"with the variance on {found[VARIANCE]}, with mean log p(x) on {found[MEAN]}, "
            f"undecided on {found[UNDECIDED]}"
        )

    num_sets = len(measured.rows)
    by_variance = [name for name, what in measured.decided.items() if what == VARIANCE]
    left = [name for name in by_variance if measured.decided_centred[name] == MEAN]
    moved = {name: measured.moved(name) for name in measured.rows}
    most = max(moved, key=lambda name: abs(moved[name]))
    before, after = (measured.rows[most][score]["auroc"] for score in ("waic", "waic_centred"))
    inside = measured.evaluation.in_distribution.name
    own = waic_parts.offsets(measured.log_prob[inside]).var()
    return (
        f"Of {num_sets} OoD set{'s' * (num_sets != 1)} WAIC goes {count(measured.decided)}. "
        f"Centred, it goes {count(measured.decided_centred)}. Of the {len(by_variance)} that go "
        f"with the variance, centring turns {len(left)} to mean log p(x).",
        f"Centring moves WAIC by {np.median(np.abs(list(moved.values()))):.1f} points of AUROC in "
        f"the median over sets, and most on {measured.label(most)} ({before:.1f} → {after:.1f}). "
        f"The offsets' own variance is {_number(own)} nats^2; the median variance of "
        f"in-distribution inputs is {_number(measured.medians[inside]['var'])}.",
    )


def _members_section(measured: Measured) -> Section:
    evaluation = measured.evaluation
    inside = evaluation.in_distribution
    return Section(
        "Members",
        (
            "The offset is a member's mean log p(x) over inputs less the ensemble's, in nats. "
            "Centring takes out that of in-distribution inputs; it is a constant as far as the "
            "offsets on OoD sets are the same.",
        ),
        ("", *configurations.member_names(evaluation)),
        (
            ("Training steps", *("-" if s is None else f"{s:,}" for s in _steps(evaluation))),
            (
                f"Mean log p(x), {inside.label}",
                *map(_number, waic_parts.member_means(measured.log_prob[inside.name])),
            ),
            *(
                (
                    f"Offset, {measured.label(name)}",
                    *(_number(value, "+") for value in waic_parts.offsets(log_prob)),
                )
                for name, log_prob in measured.log_prob.items()
            ),
        ),
        level=3,
    )


def _steps(evaluation: Evaluation) -> list[int | None]:
    return [manifest.get("steps") for manifest in evaluation.document["manifests"]]


def _number(value: float, sign: str = "") -> str:
    """E.g. "12,345.6", "-1.20e+15" or "inf"."""
    return f"{value:{sign},.1f}" if abs(value) < LONG else f"{value:{sign}.2e}"


def _records(measured: Measured) -> list[dict[str, Any]]:
    """One an OoD set and score; one an OoD set, of the rule; one a set; one a set and member."""
    evaluation = measured.evaluation
    identity = {
        "evaluation_dir": str(evaluation.directory),
        "train_dataset": evaluation.document["train_dataset"],
        "model": evaluation.document["model"],
        "members": configurations.member_names(evaluation),
    }
    aurocs = [
        {
            "record": "auroc",
            **identity,
            "set": name,
            "score": score,
            **{
                key: of_set[score][key]
                for key in ("auroc", "auroc_low", "auroc_high", "num_in", "num_out", "num_nan")
            },
        }
        for name, of_set in measured.rows.items()
        for score in LABELS
    ]
    rules = [
        {
            "record": "rule",
            **identity,
            "set": name,
            "goes_with": measured.decided[name],
            "goes_with_centred": measured.decided_centred[name],
            "moved": measured.moved(name),
        }
        for name in measured.rows
    ]
    medians = [
        {
            "record": "medians",
            **identity,
            "set": name,
            **{f"median_{median}": value for median, value in of_set.items()},
        }
        for name, of_set in measured.medians.items()
    ]
    members = [
        {
            "record": "member",
            **identity,
            "set": name,
            "member": member,
            "steps": steps,
            "log_prob": float(member_mean),
            "offset": float(offset),
        }
        for name, log_prob in measured.log_prob.items()
        for member, steps, member_mean, offset in zip(
            configurations.member_names(evaluation),
            _steps(evaluation),
            waic_parts.member_means(log_prob),
            waic_parts.offsets(log_prob),
            strict=True,
        )
    ]
    return [*aurocs, *rules, *medians, *members]
