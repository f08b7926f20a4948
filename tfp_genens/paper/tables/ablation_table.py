"""`--table=ablation`: which statistics make the best default score, by docs/protocol.md.

It is made of evaluations whose in-distribution inputs are held out for such choices, and whose OoD
sets are corruptions of them: no anomaly is looked at.
"""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from tfp_genens.errors import UserError
from tfp_genens.evaluation import metrics
from tfp_genens.evaluation.results import IN_DISTRIBUTION
from tfp_genens.paper import configurations, shared
from tfp_genens.paper.documents import Document
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation
from tfp_genens.scoring import dose

FIT = "held_out_fit"
CORRUPTED = "corrupted_"
TERMS = ("prior_log_prob", "log_scale", "distortion_at_mean")
EXTRAS = ("loc_norm", "input_complexity")
LEAD = 0.5
"""Points of AUROC by which a larger set of statistics must be ahead of a smaller one."""

CANDIDATES = {
    " + ".join(("terms", *extras)): (*TERMS, *extras)
    for num in range(len(EXTRAS) + 1)
    for extras in itertools.combinations(EXTRAS, num)
}
BESIDE = ("waic", "log_prob_mean", "rate_mean", "distortion_mean", "elbo_mean")
"""Scores of the ensemble that there are already."""

Outputs = Mapping[str, Mapping[str, np.ndarray]]
"""Set -> member output -> float64 [num_members, num_inputs]."""
Score = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""Member outputs of a set -> float64 [num_inputs], higher for normal inputs."""


def table(evaluations: Sequence[Evaluation]) -> Document:
    """Every candidate on every corruption, and the one that the protocol's rule takes.

    Raises:
      UserError: an evaluation lacks the fitted inputs, corruptions or statistics.
    """
    records = pd.concat([_judged(evaluation) for evaluation in evaluations])
    of_trained = records.groupby(["variant", "train_dataset"], sort=False)["auroc"]
    summary = of_trained.agg(["mean", "min"]).unstack("train_dataset")
    means = summary["mean"].mean(axis=1)
    best = means[list(CANDIDATES)].max()
    chosen = next(name for name in CANDIDATES if means[name] > best - LEAD)
    labels = {e.document["train_dataset"]: shared.train_label(e.document) for e in evaluations}
    lines = pd.DataFrame({"variant": means.index, "mean": means.to_numpy()}, means.index)
    for name, label in labels.items():
        lines[f"{label}, mean"] = summary["mean"][name]
        lines[f"{label}, lowest"] = summary["min"][name]
    kinds = records.drop_duplicates("variant").set_index("variant")["kind"]
    context = {
        "chosen": chosen,
        "best": means[list(CANDIDATES)].idxmax(),
        "lead": LEAD,
        "lines": {kind: lines[kinds[lines.index] == kind] for kind in kinds.unique()},
        "evaluations": evaluations,
        "corruptions": [_by_corruption(evaluation, records) for evaluation in evaluations],
    }
    return Document("ablation", context, records)


def _by_corruption(evaluation: Evaluation, records: pd.DataFrame) -> pd.DataFrame:
    of_one = records[records["evaluation_dir"] == str(evaluation.directory)]
    of_one = of_one[of_one["kind"].isin(["statistics", "scores"])]
    texts = of_one.assign(text=of_one["auroc"].map("{:.1f}".format))
    labels = shared.set_labels(evaluation)
    return shared.wide(texts, "ood_dataset", "variant", "Corruption", labels)


def _judged(evaluation: Evaluation) -> pd.DataFrame:
    """A row a variant and corruption: AUROC of the inputs held out to choose by, percent."""
    outputs = _outputs(evaluation)
    names = [name for name in outputs if name.startswith(CORRUPTED)]
    lines = []
    for kind, variants in _variants(evaluation, outputs[FIT]).items():
        for variant, score in variants.items():
            inside = score(outputs[IN_DISTRIBUTION])
            for name in names:
                auroc = 100.0 * metrics.auroc(inside, score(outputs[name]), "higher_is_normal")
                lines.append((kind, variant, name, auroc))
    found = pd.DataFrame(lines, columns=["kind", "variant", "ood_dataset", "auroc"])
    scores = evaluation.in_distribution.scores
    for score in (name for name in BESIDE if name in scores.ensemble_scores):
        rows = [evaluation.row(name, score)["auroc"] for name in names]
        about = {"kind": "scores", "variant": evaluation.score_label(score)}
        beside = pd.DataFrame({**about, "ood_dataset": names, "auroc": rows})
        found = pd.concat([found, beside], ignore_index=True)
    return pd.DataFrame(shared.identity(evaluation), found.index).join(found)


def _outputs(evaluation: Evaluation) -> Outputs:
    configurations.require_scores(evaluation, (*TERMS, *EXTRAS))
    there = [ood.name for ood in evaluation.ood]
    if FIT not in there or not any(name.startswith(CORRUPTED) for name in there):
        expected = f"an evaluation with {FIT} and corruptions among its sets"
        raise UserError(ARGUMENT, expected, f"{evaluation.directory}, which has {', '.join(there)}")
    of_outputs = {name: shared.values(evaluation, name) for name in (*TERMS, *EXTRAS)}
    return {
        name: {output: of_sets[name] for output, of_sets in of_outputs.items()}
        for name in (IN_DISTRIBUTION, *there)
    }


def _variants(
    evaluation: Evaluation, fitted: Mapping[str, np.ndarray]
) -> dict[str, dict[str, Score]]:
    """What is compared, by kind: sets of statistics; densities and members, of the whole set."""
    everything = CANDIDATES[list(CANDIDATES)[-1]]
    members = np.arange(evaluation.document["members"])
    density = functools.partial(_density, fitted, members=members)
    return {
        "statistics": {name: density(names) for name, names in CANDIDATES.items()},
        "densities": {
            f"{num} Gaussian{'s' if num > 1 else ''}": density(everything, candidates=(num,))
            for num in dose.NUM_COMPONENTS
        },
        "members": {
            f"{num} member{'s' if num > 1 else ''}": _density(fitted, everything, members[:num])
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
