"""Every score on every OoD set: what is compared, and how one score is told from another."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfp_genens.artifact.held_out import FIT
from tfp_genens.artifact.spec import OutputSpec
from tfp_genens.errors import UserError
from tfp_genens.evaluation import bootstrap, metrics
from tfp_genens.evaluation.results import IN_DISTRIBUTION
from tfp_genens.paper import configurations, shared
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation
from tfp_genens.scoring.candidates import available_candidates
from tfp_genens.scoring.scores import combine

FLIPS = ("hflip", "vflip")
METRICS = ("auroc", "fpr_at_95_tpr")
FIRST = "dose"
"""The score that the others are compared with."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One score of one model.

    Attributes:
      evaluation: the model's.
      score: its name.
      spec: its unit, direction and label.
      values: by set, in-distribution first: float64 [num_inputs].
    """

    evaluation: Evaluation
    score: str
    spec: OutputSpec
    values: Mapping[str, np.ndarray]


def entries(evaluation: Evaluation) -> list[Entry]:
    """The scores of an ensemble, and the candidates: those that are fitted where it can be."""
    scores = evaluation.in_distribution.scores
    found = [
        Entry(evaluation, name, spec, {s.name: s.values(name) for s in evaluation.sets})
        for name, spec in scores.ensemble_scores.items()
    ]
    candidates = {
        name: row
        for name, row in available_candidates(scores.member_scores).items()
        if row.fit is None or evaluation.has_held_out
    }
    states = {
        name: row.fit(*evaluation.held_out(FIT, row.inputs).values())
        for name, row in candidates.items()
        if row.fit is not None
    }
    outputs = {name: shared.values(evaluation, name) for name in scores.member_scores}
    of_sets = {
        one.name: combine(
            {name: of_output[one.name] for name, of_output in outputs.items()}, candidates, states
        )
        for one in evaluation.sets
    }
    for name, row in candidates.items():
        values = {one: combined[name].numpy() for one, combined in of_sets.items()}
        found.append(Entry(evaluation, name, row.spec, values))
    return found


def ood_sets(evaluations: Sequence[Evaluation]) -> list[str]:
    """Those that all evaluations of a training set have; raises UserError where there are none."""
    names = [[ood.name for ood in evaluation.ood] for evaluation in evaluations]
    common = [name for name in names[0] if all(name in others for others in names)]
    if not common:
        got = ", ".join(str(evaluation.directory) for evaluation in evaluations)
        raise UserError(ARGUMENT, "evaluations of one training set that share OoD sets", got)
    return common


@dataclasses.dataclass(frozen=True)
class Judged:
    """An entry's metrics.

    Attributes:
      entry: what was judged.
      lines: one an OoD set, in the order asked for: METRICS in percent and the ends of their
        intervals over inputs.
      resampled: the mean AUROC over the sets, percent, on resamples: float64 [num_resamples].
        Scores of the same inputs were judged on the same resamples.
    """

    entry: Entry
    lines: pd.DataFrame
    resampled: np.ndarray


def judge(entry: Entry, names: Sequence[str]) -> Judged:
    """Judges a score on OoD sets."""
    settings = entry.evaluation.document["settings"]
    inside = entry.values[IN_DISTRIBUTION]
    lines, aurocs = [], []
    for name in names:
        outside, direction = entry.values[name], entry.spec.direction
        found = metrics.all_metrics(inside, outside, direction)
        resampled = bootstrap.resampled_metrics(
            inside,
            outside,
            direction,
            num_resamples=settings["num_bootstrap"],
            seed=settings["seed"],
            path=(name,),
        )
        line: dict[str, Any] = {"ood_dataset": name}
        ends = bootstrap.intervals(resampled)
        for metric in METRICS:
            low, high = (100.0 * end for end in ends[metric])
            line |= {metric: 100.0 * found[metric], f"{metric}_low": low, f"{metric}_high": high}
        lines.append(line)
        aurocs.append(resampled["auroc"])
    return Judged(entry, pd.DataFrame(lines), 100.0 * np.mean(aurocs, axis=0))


def difference(first: Judged, other: Judged) -> tuple[float, float] | None:
    """The 95 % interval of how far the first's mean AUROC is ahead, paired by inputs.

    None where the two were not judged on the same inputs.
    """
    inputs = [configurations.input_settings(one.entry.evaluation) for one in (first, other)]
    if inputs[0] != inputs[1] or len(first.resampled) != len(other.resampled):
        return None
    return bootstrap.intervals({"difference": first.resampled - other.resampled})["difference"]
