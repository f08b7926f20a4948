"""AUROC against the number of members: what each further member buys."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfp_genens.evaluation import results
from tfp_genens.paper import configurations, member_curve
from tfp_genens.paper.documents import Document
from tfp_genens.paper.shared import set_labels, wide
from tfp_genens.reporting.evaluation_files import Evaluation

ENSEMBLE_SIZE = 5  # the paper's, section 4
SHOWN = ("dose", "waic", "critic_var")
"""Those that there are stand in tables, or else the first there is; all are in the records."""


def table(evaluations: Sequence[Evaluation]) -> Document:
    """AUROC for every OoD set and ensemble size, a section a configuration.

    Raises:
      UserError: evaluations of one configuration that cannot be joined, see `member_scores`.
    """
    shown, records = [], []
    for configuration in configurations.group(evaluations):
        joined = member_curve.member_scores(configuration)
        points = member_curve.curve(joined.in_outputs, joined.ood_outputs, joined.scores)
        shown.append(_shown(joined, points))
        about = {"train_dataset": configuration.train_dataset, "model": configuration.model}
        members = [joined.members] * len(points)
        records.append(pd.DataFrame({**about, "members": members}).join(points))
    context = {
        "max_subsets": member_curve.MAX_SUBSETS,
        "size": ENSEMBLE_SIZE,
        "configurations": shown,
    }
    return Document("members", context, pd.concat(records))


def _shown(joined: member_curve.MemberScores, points: pd.DataFrame) -> dict[str, Any]:
    """What the template says of one configuration."""
    judged = list(points["score"])
    names = [name for name in SHOWN if name in judged] or judged[:1]
    return {
        "joined": joined,
        "document": joined.configuration.document,
        "scores": [_score(joined, points[points["score"] == name], name) for name in names],
        "drawn": sorted(set(points["size"][~points["is_all"]])),
    }


def _score(joined: member_curve.MemberScores, points: pd.DataFrame, name: str) -> dict[str, Any]:
    sets = set_labels(joined.configuration.first)
    cells = points.assign(text=[_cell(point) for point in points.itertuples()])
    label = results.score_label(joined.configuration.document, name)
    return {
        "label": label,
        "table": wide(cells, "ood_dataset", "size", "OoD set", sets).rename(columns=str),
        "disjoint": _disjoint(joined, name),
    }


def _cell(point: Any) -> str:
    if point.num_subsets == 1:
        return f"{point.mean:.1f}"
    return f"{point.mean:.1f} [{point.lowest:.1f}, {point.highest:.1f}]"


def _disjoint(joined: member_curve.MemberScores, score: str) -> pd.DataFrame | None:
    """AUROC of disjoint ensembles of the paper's size, taken in the order of the members."""
    num = len(joined.members) // ENSEMBLE_SIZE
    if num < 2:
        return None
    subsets = np.arange(num * ENSEMBLE_SIZE).reshape(num, ENSEMBLE_SIZE)
    inputs = (joined.in_outputs, joined.ood_outputs, joined.scores[score])
    found = member_curve.subset_aurocs(*inputs, subsets)
    names = [", ".join(joined.members[position] for position in subset) for subset in subsets]
    aurocs = pd.DataFrame(found, index=names).T
    aurocs["largest difference"] = np.ptp(aurocs.to_numpy(), axis=1)
    aurocs.insert(0, "OoD set", aurocs.index.map(set_labels(joined.configuration.first)))
    return aurocs
