"""`--table=ablation`: which statistics make the best default score, by docs/protocol.md.

It is made of evaluations whose in-distribution inputs are held out for such choices, and whose OoD
sets are corruptions of them: no anomaly is looked at.
"""

import dataclasses
import fnmatch
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from tfp_genens.artifact.held_out import FIT
from tfp_genens.errors import UserError
from tfp_genens.evaluation import metrics
from tfp_genens.evaluation.results import IN_DISTRIBUTION
from tfp_genens.paper import configurations, densities, shared
from tfp_genens.paper.documents import Document
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation
from tfp_genens.scoring import dose

CORRUPTED = "corrupted_"
LEAD = 0.5
"""Points of AUROC by which a larger set of statistics must be ahead of a smaller one."""

_TERMS = ("prior_log_prob", "log_scale", "distortion_at_mean")
_COLUMNS = ("largest_distortion", "distortion_norm")
BESIDE = ("waic", "log_prob_mean", "rate_mean", "distortion_mean", "elbo_mean")
"""Scores of the ensemble that there are already."""

Outputs = Mapping[str, Mapping[str, np.ndarray]]
"""Set -> member output -> float64 [num_members, num_inputs]."""
Score = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""Member outputs of a set -> float64 [num_inputs], higher for normal inputs."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a family's sets of statistics are made of.

    Attributes:
      base: names, or patterns of names, of those that every set has.
      extras: those that it may have, likewise.
    """

    base: tuple[str, ...]
    extras: tuple[str, ...]

    def candidates(self, outputs: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Name of a set -> the member outputs in it, smaller sets first."""
        there = list(outputs)

        def matching(patterns: Iterable[str]) -> list[str]:
            # A pattern that fits nothing stays, to be missed by its name.
            found = [fnmatch.filter(there, pattern) or [pattern] for pattern in patterns]
            return list(itertools.chain.from_iterable(found))

        return {
            " + ".join(("terms", *(name.removeprefix("level_*_") for name in extras))): tuple(
                matching((*self.base, *extras))
            )
            for num in range(len(self.extras) + 1)
            for extras in itertools.combinations(self.extras, num)
        }


CHOICES = {
    "vae": Choice(_TERMS, ("loc_norm", "input_complexity")),
    "tabular_vae": Choice(_TERMS, ("loc_norm", *_COLUMNS)),
    "glow": Choice(
        ("level_*_square", "level_*_log_det"), ("level_*_lag_covariance", "input_complexity")
    ),
}


def table(evaluations: Sequence[Evaluation]) -> Document:
    """Every candidate on every corruption, and the one that the protocol's rule takes.

    Raises:
      UserError: an evaluation lacks held-out scores, corruptions or statistics, or they are not
        of one family.
    """
    candidates = candidates_of(evaluations)
    for evaluation in evaluations:
        there = [ood.name for ood in evaluation.ood]
        if not any(map(is_corruption, there)):
            expected = "an evaluation with corruptions among its sets"
            got = f"{evaluation.directory}, which has {', '.join(there)}"
            raise UserError(ARGUMENT, expected, got)
    judged = [judge(evaluation, candidates, is_corruption) for evaluation in evaluations]
    records = pd.concat(judged)
    of_trained = records.groupby(["variant", "train_dataset"], sort=False)["auroc"]
    averages, lowest = (of_trained.agg(how).unstack("train_dataset") for how in ("mean", "min"))
    means = averages.mean(axis="columns", skipna=False)  # of all training sets, or none
    best, chosen = _chosen(candidates, means)
    labels = {e.document["train_dataset"]: shared.train_label(e.document) for e in evaluations}
    lines = pd.DataFrame({"variant": means.index, "mean": means.to_numpy()}, means.index)
    for name, label in labels.items():
        lines[f"{label}, mean"] = averages[name]
        lines[f"{label}, lowest"] = lowest[name]
    kinds = records.drop_duplicates("variant").set_index("variant")["kind"]
    context = {
        "model": evaluations[0].document["model"],
        "chosen": chosen,
        "best": best,
        "lead": LEAD,
        "lines": {kind: lines[kinds[lines.index] == kind] for kind in kinds.unique()},
        "evaluations": evaluations,
        "corruptions": [
            by_set(e, one, ("statistics", "scores"), "Corruption")
            for e, one in zip(evaluations, judged, strict=True)
        ],
    }
    return Document("ablation", context, records)


def _chosen(candidates: Mapping[str, Sequence[str]], means: pd.Series) -> tuple[str, str]:
    """The set with the highest mean; and the best of the smallest that it is not far ahead of."""
    means = means[list(candidates)]
    near = means[means > means.max() - LEAD]
    smallest = min(len(candidates[name]) for name in near.index)
    chosen = near[[name for name in near.index if len(candidates[name]) == smallest]].idxmax()
    return str(means.idxmax()), str(chosen)


def is_corruption(name: str) -> bool:
    """Whether an OoD set is made of the inputs that are held out to choose by."""
    return name.startswith(CORRUPTED)


def candidates_of(evaluations: Sequence[Evaluation]) -> dict[str, tuple[str, ...]]:
    """Sets of statistics by name; raises UserError unless all are of one family and have them."""
    models = list(dict.fromkeys(evaluation.document["model"] for evaluation in evaluations))
    if len(models) > 1 or models[0] not in CHOICES:
        expected = f"evaluations of one model of {', '.join(CHOICES)}"
        raise UserError(ARGUMENT, expected, ", ".join(models))
    first = evaluations[0].in_distribution.scores.member_scores
    candidates = CHOICES[models[0]].candidates(first)
    for evaluation in evaluations:
        configurations.require_scores(evaluation, list(candidates.values())[-1])
    return candidates


def by_set(
    evaluation: Evaluation, judged: pd.DataFrame, kinds: Sequence[str], heading: str
) -> pd.DataFrame:
    """A line a set, a column a variant of these kinds; `heading` is over the sets."""
    of_kinds = judged[judged["kind"].isin(kinds)]
    texts = of_kinds.assign(text=of_kinds["auroc"].map("{:.1f}".format))
    labels = shared.set_labels(evaluation)
    return shared.wide(texts, "ood_dataset", "variant", heading, labels)


def judge(
    evaluation: Evaluation,
    candidates: Mapping[str, tuple[str, ...]],
    is_wanted: Callable[[str], bool],
) -> pd.DataFrame:
    """A row a variant and wanted OoD set: AUROC beside in-distribution inputs, percent."""
    names = list(candidates.values())[-1]
    of_outputs = {name: shared.values(evaluation, name) for name in names}
    outputs: Outputs = {
        ood.name: {output: of_sets[ood.name] for output, of_sets in of_outputs.items()}
        for ood in (evaluation.in_distribution, *evaluation.ood)
    }
    wanted = [ood.name for ood in evaluation.ood if is_wanted(ood.name)]
    lines = []
    for kind, variants in _variants(
        evaluation, candidates, evaluation.held_out(FIT, names)
    ).items():
        for variant, score in variants.items():
            inside = score(outputs[IN_DISTRIBUTION])
            for name in wanted:
                auroc = 100.0 * metrics.auroc(inside, score(outputs[name]), "higher_is_normal")
                lines.append((kind, variant, name, auroc))
    there = evaluation.in_distribution.scores.ensemble_scores
    for beside in (name for name in BESIDE if name in there):
        label = evaluation.score_label(beside)
        lines += [("scores", label, name, evaluation.row(name, beside)["auroc"]) for name in wanted]
    columns = ["kind", "variant", "ood_dataset", "auroc"]
    about = shared.identity(evaluation)
    return pd.DataFrame([{**about, **dict(zip(columns, line, strict=True))} for line in lines])


def _variants(
    evaluation: Evaluation,
    candidates: Mapping[str, tuple[str, ...]],
    fitted: Mapping[str, np.ndarray],
) -> dict[str, dict[str, Score]]:
    """What is compared, by kind: sets of statistics, and each statistic alone; densities and
    numbers of members, of the statistics that decide."""
    everything = list(candidates.values())[-1]
    deciding = densities.statistics(evaluation)
    members = np.arange(evaluation.document["members"])
    return {
        "statistics": {
            name: _density(fitted, names, members) for name, names in candidates.items()
        },
        "alone": {name: _density(fitted, [name], members) for name in everything},
        "densities": {
            f"{num} Gaussian{'s' if num > 1 else ''}": _density(fitted, deciding, members, (num,))
            for num in dose.NUM_COMPONENTS
        },
        "members": {
            f"{num} member{'s' if num > 1 else ''}": _density(fitted, deciding, members[:num])
            for num in members + 1
        },
    }


def _density(
    fitted: Mapping[str, np.ndarray],
    names: Sequence[str],
    members: np.ndarray,
    candidates: Sequence[int] = dose.NUM_COMPONENTS,
) -> Score:
    state = dose.fit(*(fitted[name][members] for name in names), candidates=candidates)

    def score(outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        return dose.log_density(*(outputs[name][members] for name in names), state=state).numpy()

    return score
