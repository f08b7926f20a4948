"""The released code's mistakes in evaluating, one at a time: what each does to the numbers.

Each preset judges the same members on the same score files as they would have been judged with one
departure from what the paper says, or with all of them. That answers why some of the paper's cells
are what they are, without a second training run. Nothing else in the package is evaluated this way.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd

from tfp_genens import seeds
from tfp_genens.evaluation.results import IN_DISTRIBUTION
from tfp_genens.paper import waic_parts
from tfp_genens.paper.judging import judge as judge_score
from tfp_genens.paper.shared import values
from tfp_genens.reporting.evaluation_files import Evaluation

PAPER_ROUNDING = 0.05
"""The paper's AUROCs are rounded to 0.1 points, so each is known to half of that."""

_DOCUMENT = tomllib.loads(
    resources.files("tfp_genens.paper").joinpath("errata.toml").read_text(encoding="utf-8")
)
PRESETS: dict[str, dict[str, Any]] = _DOCUMENT["presets"]
"""The ways to evaluate, the right one first; `errata.toml` says what they have."""
ATTACKS: dict[str, dict[str, Any]] = _DOCUMENT["attacks"]
"""OoD set -> how adversarial noise was made; see there, too."""

CORRECT = "correct"
RIGHT_ATTACK = PRESETS[CORRECT]["attack"]


def misaligned(
    of_members: np.ndarray, *, members: Sequence[int], set_name: str, seed: int
) -> np.ndarray:
    """Puts every member's inputs into an order of their own.

    Args:
      of_members: a set's scores, [num_members, num_inputs].
      members: their numbers. The order is drawn from it, the seed and the set's name, so that it is
        the same for all outputs of a member.
      set_name: of the set.
      seed: of the orders.
    """
    orders = [
        seeds.numpy_generator(seed, "misaligned", set_name, m).permutation(of_members.shape[1])
        for m in members
    ]
    return np.take_along_axis(of_members, np.stack(orders), axis=1)


def judge(
    evaluation: Evaluation,
    aligned: bool,
    log_prob: str,
    ood_dataset: str,
    attacked_members: tuple[int, ...] | None,
) -> dict[str, dict[str, float]]:
    """The AUROCs of `log_prob`, `rate` and `waic`, where not aligned of misaligned members.

    A single model's AUROC does not depend on the order of its inputs, so misalignment leaves it as
    it is and changes WAIC alone, which is made of what has come to stand side by side. Its interval
    does change. The bootstrap resamples rows after they were put out of order, since a row is all
    that the mistaken evaluation has: each is a combination of different images, none of which
    occurs in another row. Members are then resampled on different images, as if each had drawn its
    own (which is the mistake), so their errors average out and the interval of their mean is
    narrower than where they share the images. It is of one misalignment; how far another one would
    move the numbers is not in it.

    Args:
      evaluation: what is judged.
      aligned: of a preset.
      log_prob: likewise.
      ood_dataset: for an attack the preset's own.
      attacked_members: positions of the members whose own scores an adversarial set was made to
        fool: single-model numbers are of these only. None: the mean over all members.

    Returns:
      Score -> what `judging.judge` returns.
    """
    settings = evaluation.document["settings"]
    members = evaluation.in_distribution.scores.members
    found: dict[str, list[np.ndarray]] = {}
    for score, output in {"log_prob": log_prob, "rate": "rate"}.items():
        of_sets = values(evaluation, output)
        found[score] = [
            of_sets[name]
            if aligned
            else misaligned(of_sets[name], members=members, set_name=name, seed=settings["seed"])
            for name in (IN_DISTRIBUTION, ood_dataset)
        ]
    waic = [waic_parts.waic(of_set) for of_set in found["log_prob"]]
    chosen = slice(None) if attacked_members is None else list(attacked_members)
    judged = {score: [of_set[chosen] for of_set in sets] for score, sets in found.items()}
    return {
        score: judge_score(
            inside,
            outside,
            evaluation.spec(score).direction,
            ood_dataset=ood_dataset,
            settings=settings,
        )
        for score, (inside, outside) in (judged | {"waic": waic}).items()
    }


def is_nearer(papers: Any, to: pd.DataFrame, than: pd.DataFrame) -> Any:
    """Whether the paper's AUROCs are nearer to one evaluation's than to another's.

    Nearer by more than the wider of the two intervals, and by more than the paper's rounding can
    account for; where it is nearer to neither in this sense, nothing can be said. That is about
    these members and inputs: the paper's members were others, and how far numbers move between
    ensembles is not in the intervals.

    Args:
      papers: percent, a number or a column; where it is NaN, it is near to nothing.
      to: the columns "auroc", "auroc_low" and "auroc_high", a line each.
      than: likewise.
    """
    gain = abs(papers - than["auroc"]) - abs(papers - to["auroc"])
    own, others = (found["auroc_high"] - found["auroc_low"] for found in (to, than))
    return gain > np.maximum(own, others) + 2 * PAPER_ROUNDING
