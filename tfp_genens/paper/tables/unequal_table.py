"""`--table=unequal`: ensembles of unequal members beside one of members that differ in the seed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfp_genens.errors import UserError
from tfp_genens.paper import configurations, member_curve, shared
from tfp_genens.paper.configurations import Configuration
from tfp_genens.paper.densities import DOSE, LOG_DENSITY
from tfp_genens.paper.documents import Document
from tfp_genens.paper.leaderboard import FLIPS
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation

SCORES = {DOSE: LOG_DENSITY, "waic": "log_prob"}
"""Score -> the output of single members whose correlation is shown beside it."""

EQUAL = "seed alone"
MODEL = "model"


def table(evaluations: Sequence[Evaluation]) -> Document:
    """A section a training set, a line a way in which members differ.

    The first evaluation of a training set is of the equal members. The others are of runs in which
    settings differ from it; those in which the same settings do are one ensemble. The first
    members of the equal ones fill it up to their number; of another model, all of them are in it.

    Raises:
      UserError: evaluations that cannot be joined, see `member_curve.member_scores`, or none but
        of equal members.
    """
    sections, records = [], []
    for of_one in configurations.by_training_set(evaluations):
        judged = pd.concat(
            _judged(differ, *ensemble) for differ, ensemble in _ensembles(of_one).items()
        )
        labels = shared.set_labels(of_one[0])
        sections.append(
            {
                "label": shared.train_label(of_one[0].document),
                "first": of_one[0],
                "scores": [
                    _shown(judged, score, of_one[0], labels)
                    for score in SCORES
                    if score in set(judged["score"])
                ],
            }
        )
        about = {key: of_one[0].document[key] for key in ("train_dataset", "model")}
        records.append(judged.assign(**about))
    return Document("unequal", {"sections": sections}, pd.concat(records))


def _ensembles(evaluations: Sequence[Evaluation]) -> dict[str, tuple[Configuration, list[int]]]:
    """In what members differ -> evaluations, and the positions of an ensemble's members in them."""
    equal, *others = configurations.group(evaluations)
    if not others:
        expected = "evaluations of runs in which a setting differs from the first"
        raise UserError(ARGUMENT, expected, str(equal.first.directory))
    num = _num_members(equal.evaluations)
    found = {EQUAL: (equal, list(range(num)))}
    by_settings: dict[tuple[str, ...], list[Evaluation]] = {}
    for other in others:
        settings = configurations.different_settings(other.first, equal.first)
        settings = (MODEL,) if MODEL in settings else settings  # the others follow from it
        by_settings.setdefault(settings, []).extend(other.evaluations)
    for settings, runs in by_settings.items():
        num_own = _num_members(runs)
        num_equal = num if settings == (MODEL,) else num - num_own
        positions = [*range(num_equal), *range(num, num + num_own)]
        configuration = Configuration((*equal.evaluations, *runs))
        found[_description(settings, runs)] = (configuration, positions)
    return found


def _num_members(evaluations: Sequence[Evaluation]) -> int:
    return sum(e.in_distribution.scores.num_members for e in evaluations)


def _description(settings: Sequence[str], runs: Sequence[Evaluation]) -> str:
    """E.g. "latent_size 4, 8", or "model vae"."""
    configs = [run.document["manifests"][0]["config"] for run in runs]
    values = ["/".join(str(config.get(name)) for name in settings) for config in configs]
    return f"{', '.join(settings)} {', '.join(dict.fromkeys(values))}"


def _judged(differ: str, configuration: Configuration, positions: list[int]) -> pd.DataFrame:
    """A row a score and OoD set: AUROC of the ensemble, of its members, and their correlation."""
    joined = member_curve.member_scores(configuration)
    sets = (joined.in_outputs, joined.ood_outputs)
    lines: list[dict[str, Any]] = []
    for score, output in SCORES.items():
        if score not in joined.scores:
            continue
        together, alone = (
            member_curve.subset_aurocs(*sets, joined.scores[score], np.array(subsets))
            for subsets in ([positions], [[position] for position in positions])
        )
        of_members = pd.DataFrame(joined.in_outputs[output][positions]).T
        pairs = np.triu_indices(len(positions), 1)
        about = {
            "members_differ_in": differ,
            "num_members": len(positions),
            "score": score,
            "correlation": of_members.corr("spearman").to_numpy()[pairs].mean(),
        }
        lines += [
            {
                **about,
                "ood_dataset": name,
                "auroc": found[0],
                "auroc_one_member": alone[name].mean(),
            }
            for name, found in together.items()
        ]
    return pd.DataFrame(lines)


def _shown(
    judged: pd.DataFrame, score: str, first: Evaluation, labels: dict[str, str]
) -> dict[str, Any]:
    """A line an ensemble."""
    of_score = judged[judged["score"] == score]
    aurocs = of_score.pivot(index="members_differ_in", columns="ood_dataset", values="auroc")
    aurocs = aurocs.loc[of_score["members_differ_in"].unique(), of_score["ood_dataset"].unique()]
    lines = of_score.groupby("members_differ_in", sort=False)
    strict = [name for name in aurocs if name not in FLIPS]
    found = pd.DataFrame(
        {
            "members differ in": aurocs.index,
            "members": lines["num_members"].first().astype(str),
            "correlation": lines["correlation"].first().map("{:.2f}".format),
            "one member": lines["auroc_one_member"].mean(),
            "mean AUROC": aurocs.mean(axis="columns"),
            "lowest but flips": aurocs[strict].min(axis="columns"),
        }
    )
    return {
        "label": first.score_label(score),
        "table": found.join(aurocs.rename(columns=labels)).reset_index(drop=True),
    }
