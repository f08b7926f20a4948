"""Every score on every OoD set: what is compared, and how one score is told from another."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from tfp_genens.artifact.held_out import FIT
from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, OutputSpec
from tfp_genens.errors import UserError
from tfp_genens.evaluation import bootstrap, metrics
from tfp_genens.evaluation.results import IN_DISTRIBUTION
from tfp_genens.paper import configurations, densities, member_curve, shared
from tfp_genens.paper.repetition import MIN_REPETITIONS, jackknife_interval
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation
from tfp_genens.scoring.candidates import available_candidates
from tfp_genens.scoring.scores import EnsembleScore, available_scores, mean, variance

FLIPS = ("hflip", "vflip")
Outputs = Mapping[str, Mapping[str, np.ndarray]]
"""Member output -> set -> float64 [num_members, num_inputs]."""

METRICS = ("auroc", "fpr_at_95_tpr")
FIRST = densities.DOSE
"""The score that the others are compared with."""


Values = Mapping[str, np.ndarray]
"""Set -> a score of its inputs, float64 [num_inputs]."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One score of one model.

    Attributes:
      evaluation: the model's.
      score: its name.
      spec: its unit, direction and label.
      values: by set, in-distribution first: float64 [num_inputs].
      without: the same of the ensemble without each member in turn, those kept that some set
        attacks; none where fewer than three could be left out.
      inputs: the member outputs that it is made of.
    """

    evaluation: Evaluation
    score: str
    spec: OutputSpec
    values: Values
    without: Sequence[Values] = ()
    inputs: tuple[str, ...] = ()


def log_prob_ratio(log_prob: tf.Tensor, background: tf.Tensor) -> tf.Tensor:
    """Mean log p(x) less that of a background model, in nats (Ren et al. 2019, equation 2)."""
    return mean(log_prob) - mean(background)


BACKGROUND = "background_log_prob"
LIKELIHOOD_RATIO = EnsembleScore(
    *("likelihood_ratio", "Likelihood ratio", "nats", HIGHER_IS_NORMAL),
    *(("log_prob", BACKGROUND), log_prob_ratio),
)


def is_background(evaluation: Evaluation) -> bool:
    """Whether it is of models of mutated training images."""
    return bool(configurations.settings_of_training(evaluation).get("mutation_rate"))


def entries(evaluation: Evaluation, background: Evaluation | None = None) -> list[Entry]:
    """The scores of an ensemble, and the candidates: those that are fitted where it can be.

    One member alone has no variance, so that score is left out.

    background: of the same inputs by models of mutated training images. Raises UserError where
    the inputs are others.
    """
    specs = evaluation.in_distribution.scores.member_scores
    outputs: Outputs = {name: shared.values(evaluation, name) for name in specs}
    rows = {**available_scores(specs), **available_candidates(specs)}
    num_members = evaluation.in_distribution.scores.num_members
    if num_members == 1:
        rows = {name: row for name, row in rows.items() if row.function is not variance}
    if background is not None:
        rows[LIKELIHOOD_RATIO.name] = LIKELIHOOD_RATIO
        outputs = {**outputs, BACKGROUND: _of_background(evaluation, background)}
    if not evaluation.has_held_out:
        rows = {name: row for name, row in rows.items() if row.fit is None}
    needed = sorted({name for row in rows.values() if row.fit for name in row.inputs})
    fitted = evaluation.held_out(FIT, needed) if needed else {}
    inputs = {name: row.inputs for name, row in rows.items()}
    if FIRST in rows:
        # It is a mean over members, each of whose densities is the dear part: made once.
        rows[FIRST] = dataclasses.replace(densities.OF_DENSITIES, label=rows[FIRST].label)
        outputs = {**outputs, densities.LOG_DENSITY: densities.member_densities(evaluation)}
    everyone = range(num_members)
    attacked = {m for s in evaluation.document["sets"] for m in s["attacked_members"] or ()}
    removable = [member for member in everyone if member not in attacked]
    subsets = [[m for m in everyone if m != without] for without in removable]

    def entry(row: EnsembleScore) -> Entry:
        whole, *without = (
            _values(row, outputs, fitted, list(subset))
            for subset in (everyone, *(subsets if len(subsets) >= MIN_REPETITIONS else ()))
        )
        return Entry(evaluation, row.name, row.spec, whole, without, inputs[row.name])

    return [entry(row) for row in rows.values()]


def _of_background(evaluation: Evaluation, background: Evaluation) -> dict[str, np.ndarray]:
    """Mean log p(x) of a background ensemble, once for each member of the other."""
    num_members = evaluation.in_distribution.scores.num_members
    theirs = {one.name: one for one in background.sets}
    missing = [one.label for one in evaluation.sets if one.name not in theirs]
    if missing:
        got = f"{background.directory} without {', '.join(missing)}"
        raise UserError(ARGUMENT, f"the OoD sets of {evaluation.directory}", got)
    found = {}
    for one in evaluation.sets:
        log_prob = member_curve.joined([one, theirs[one.name]])["log_prob"]
        of_background = log_prob[num_members:].mean(axis=0)
        found[one.name] = np.tile(of_background, [num_members, 1])
    return found


def _values(
    row: EnsembleScore, outputs: Outputs, fitted: Mapping[str, np.ndarray], members: list[int]
) -> Values:
    """A score of all sets by some of the members; it is fitted for them anew."""
    state = row.fit and row.fit(*(fitted[name][members] for name in row.inputs))
    sets = outputs[row.inputs[0]]
    return {
        name: row({n: outputs[n][name][members] for n in row.inputs}, state).numpy()
        for name in sets
    }


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
      over_ensembles: a 95 % interval for the mean AUROC of an ensemble newly trained, see
        `repetition.jackknife_interval`; None with too few members.
    """

    entry: Entry
    lines: pd.DataFrame
    resampled: np.ndarray
    over_ensembles: tuple[float, float] | None


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
        of_inputs = bootstrap.intervals(resampled)
        for metric in METRICS:
            low, high = (100.0 * end for end in of_inputs[metric])
            line |= {metric: 100.0 * found[metric], f"{metric}_low": low, f"{metric}_high": high}
        lines.append(line)
        aurocs.append(resampled["auroc"])
    table = pd.DataFrame(lines)
    without = [_mean_auroc(values, entry.spec.direction, names) for values in entry.without]
    ends = None
    if without:
        low, high = jackknife_interval(float(table["auroc"].mean()), without)
        ends = (max(0.0, low), min(100.0, high))
    return Judged(entry, table, 100.0 * np.mean(aurocs, axis=0), ends)


def _mean_auroc(values: Values, direction: str, names: Sequence[str]) -> float:
    """Percent."""
    inside = values[IN_DISTRIBUTION]
    return 100.0 * float(np.mean([metrics.auroc(inside, values[n], direction) for n in names]))


def difference(first: Judged, other: Judged) -> tuple[float, float] | None:
    """The 95 % interval of how far the first's mean AUROC is ahead, paired by inputs.

    None where the two were not judged on the same inputs.
    """
    inputs = [configurations.input_settings(one.entry.evaluation) for one in (first, other)]
    if inputs[0] != inputs[1] or len(first.resampled) != len(other.resampled):
        return None
    return bootstrap.intervals({"difference": first.resampled - other.resampled})["difference"]
