"""What section 4.1 of the paper says of beta: each claim of `beta_claims.toml`, judged."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from importlib import resources
from typing import Any

import jinja2
import pandas as pd

from tfp_genens.evaluation.results import IN_DISTRIBUTION
from tfp_genens.paper.numbers import counterpart
from tfp_genens.paper.shared import set_labels
from tfp_genens.paper.tables.beta_runs import SCORES, Runs

YES, PARTLY, NO = "holds", "holds in part", "does not hold"
GOOD_AUROC = 75.0  # half way from chance to perfect
MAX_DISTANCE = 1.0  # standard deviations
BULK = 0.5

Judged = tuple[list[Any], dict[str, Any]]
"""What of a claim holds, and the numbers that its text shows."""


def judgements(runs: Runs) -> pd.DataFrame:
    """Every claim, by the runs with the highest and with the lowest beta.

    Returns:
      "claim" (the paper's words), "rule" (when it is taken to hold), "found" (the numbers, as
      sentences) and "verdict" (YES, PARTLY or NO), indexed by the claims' names.
    """
    high, low = runs.betas[0], runs.betas[-1]
    pair = counterpart(runs.first.document["train_dataset"], runs.ood_datasets)
    labels = set_labels(runs.first)
    known = {
        "high": f"{high:g}",
        "low": f"{low:g}",
        "inside": labels[IN_DISTRIBUTION],
        "pair": labels[pair],
        "labels": labels,
        "num_sets": len(runs.ood_datasets),
        "scores": {score: runs.first.score_label(score) for score in SCORES},
        "good_auroc": GOOD_AUROC,
        "max_distance": MAX_DISTANCE,
        "bulk": BULK,
    }
    source = resources.files("tfp_genens.paper").joinpath("beta_claims.toml")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    found = {}
    for name, texts in tomllib.loads(source.read_text(encoding="utf-8")).items():
        holds, numbers = CLAIMS[name](runs.at(high), runs.at(low), pair)
        found[name] = {
            part: environment.from_string(text).render(known | numbers)
            for part, text in texts.items()
        }
        found[name]["verdict"] = YES if all(holds) else PARTLY if any(holds) else NO
    return pd.DataFrame.from_dict(found, orient="index")


def _poor_everywhere(high: Runs, low: Runs, pair: str) -> Judged:
    is_poor = high.aurocs["auroc"].unstack(sort=False)[["log_prob", "waic"]] < GOOD_AUROC
    poor = {score: list(is_poor.index[is_poor[score]]) for score in is_poor}
    return list(is_poor.to_numpy().ravel()), {"poor": poor}


def _similar_distortion(high: Runs, low: Runs, pair: str) -> Judged:
    return [high.distances[pair] < MAX_DISTANCE], {
        "inside_mean": high.mean(IN_DISTRIBUTION, "distortion"),
        "pair_mean": high.mean(pair, "distortion"),
        "high_distance": high.distances[pair],
        "low_distance": low.distances[pair],
        "auroc": high.auroc_text(pair, "distortion"),
    }


def _bulk_is_distortion(high: Runs, low: Runs, pair: str) -> Judged:
    sets = (IN_DISTRIBUTION, pair)
    texts = {name: (high.share_text(name), low.share_text(name)) for name in sets}
    return [high.distortion_share(name) > BULK for name in sets], {"shares": texts}


def _not_discriminative(high: Runs, low: Runs, pair: str) -> Judged:
    auroc = high.aurocs["auroc"].to_dict()[pair, "log_prob"]
    return [auroc < GOOD_AUROC], {"auroc": high.auroc_text(pair, "log_prob")}


def _fidelity(high: Runs, low: Runs, pair: str) -> Judged:
    at_high, at_low = (run.mean(IN_DISTRIBUTION, "distortion") for run in (high, low))
    return [at_low < at_high], {"at_high": at_high, "at_low": at_low}


def _higher_rates(high: Runs, low: Runs, pair: str) -> Judged:
    at_high, at_low = (run.mean(IN_DISTRIBUTION, "rate") for run in (high, low))
    return [at_low > at_high], {"at_high": at_high, "at_low": at_low}


def _rate_beats_distortion(high: Runs, low: Runs, pair: str) -> Judged:
    found = low.aurocs["auroc"].unstack()
    is_better = found["rate"] > found["distortion"]
    texts = {s: low.auroc_text(pair, s) for s in ("rate", "distortion")}
    return list(is_better), {"num_better": is_better.sum(), **texts}


def _fixed(high: Runs, low: Runs, pair: str) -> Judged:
    # Beyond the intervals: they do not overlap.
    rises = low.aurocs["auroc_low"] > high.aurocs["auroc_high"]
    falls = low.aurocs["auroc_high"] < high.aurocs["auroc_low"]
    changes = {
        score: {
            "at_high": high.auroc_text(pair, score),
            "at_low": low.auroc_text(pair, score),
            "num_rises": rises.xs(score, level="score").sum(),
            "num_falls": falls.xs(score, level="score").sum(),
        }
        for score in ("rate", "log_prob", "waic")
    }
    return [rises[pair, score] for score in changes], {"changes": changes}


CLAIMS: dict[str, Callable[[Runs, Runs, str], Judged]] = {
    "poor_everywhere": _poor_everywhere,
    "similar_distortion": _similar_distortion,
    "bulk_is_distortion": _bulk_is_distortion,
    "not_discriminative": _not_discriminative,
    "fidelity": _fidelity,
    "higher_rates": _higher_rates,
    "rate_beats_distortion": _rate_beats_distortion,
    "fixed": _fixed,
}
"""What judges each claim of `beta_claims.toml`."""
