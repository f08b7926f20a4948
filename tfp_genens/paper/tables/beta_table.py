"""Section 4.1 of the paper, measured: one training set at two or more values of beta."""

from __future__ import annotations

import dataclasses
import itertools
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from tfp_genens.data.requests import listed
from tfp_genens.errors import UserError
from tfp_genens.evaluation import results, tables
from tfp_genens.evaluation.results import IN_DISTRIBUTION
from tfp_genens.paper import numbers as paper
from tfp_genens.paper import shared
from tfp_genens.paper.configurations import require_scores
from tfp_genens.paper.documents import Document
from tfp_genens.paper.numbers import counterpart
from tfp_genens.paper.shared import set_labels, wide
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation

SCORES = ("rate", "log_prob", "distortion", "waic")
NATS = ("rate", "distortion", "log_prob")
RECORDS = [
    *("evaluation_dir", "train_dataset", "beta", "members", "set", "score"),
    *("auroc", "auroc_low", "auroc_high", *shared.COUNTS, "paper_auroc"),
]
NOT_COMPARED = ("beta", "seed")  # settings that are meant to differ


@dataclasses.dataclass(frozen=True)
class Runs:
    """Evaluations, reduced to the OoD sets that all have.

    Attributes:
      evaluations: by beta, see there.
      aurocs: AUROC, its interval and the paper's, percent; sets in order.
      nats: in-distribution inputs first. "mean" and "std": over inputs (ddof 0), each the mean over
        members (the attacked ones where a set attacks any); NaN where one input's score is.
        "distortion_share": mean distortion as a fraction of mean distortion + rate (the negative
        ELBO), NaN where distortion is negative, as it may be of pixels outside the valid range.
      distances: by set and beta, how far the mean distortions of the set and of the in-distribution
        inputs lie apart, in standard deviations of the latter.

    `aurocs` and `nats` are indexed by set, score and beta; their columns are those of the CSV file.
    """

    evaluations: Mapping[float, Evaluation]
    aurocs: pd.DataFrame
    nats: pd.DataFrame
    distances: Any

    @property
    def betas(self) -> list[float]:
        """From the highest, to which the lowest is compared."""
        return list(self.evaluations)

    @property
    def first(self) -> Evaluation:
        return self.evaluations[self.betas[0]]

    def at(self, beta: float) -> Runs:
        """The frames at one beta: indexed by set and score, distances by set."""
        aurocs = self.aurocs[self.aurocs["beta"] == beta].droplevel("beta")
        nats = self.nats[self.nats["beta"] == beta].droplevel("beta")
        return Runs(self.evaluations, aurocs, nats, self.distances[beta])

    def mean(self, name: str, score: str) -> float:
        """Nats, of a set at the one beta of these runs, see `at`."""
        return self.nats["mean"].to_dict()[name, score]

    def auroc_text(self, name: str, score: str) -> str:
        """AUROC and its interval, likewise."""
        rows: Any = self.aurocs.to_dict("index")
        return tables.auroc_text(rows[name, score])

    def distortion_share(self, name: str) -> float:
        """Likewise, from 0 to 1."""
        return self.nats["distortion_share"].to_dict()[name, "distortion"]

    def share_text(self, name: str) -> str:
        """The same in percent; "-" where it has no meaning."""
        if self.mean(name, "distortion") < 0:
            return "-"
        return f"{100 * self.distortion_share(name):.0f} %"

    @property
    def ood_datasets(self) -> list[str]:
        return list(self.aurocs.index.unique("set"))


def by_beta(evaluations: Sequence[Evaluation]) -> Runs:
    """The evaluations from the highest beta to the lowest.

    Raises:
      UserError: fewer than two, of several models or training sets, without a beta or with the
        same, without the scores that are compared, or without an OoD set in common.
    """
    for evaluation in evaluations:
        require_scores(evaluation, SCORES)
    documents = [evaluation.document for evaluation in evaluations]
    trained = {(d["train_dataset"], d["model"]) for d in documents}
    betas = [shared.beta(evaluation) for evaluation in evaluations]
    known = [beta for beta in betas if beta is not None]
    if len(trained) != 1 or len(known) < max(2, len(betas)) or len(set(known)) != len(known):
        raise UserError(
            ARGUMENT,
            "two or more evaluations of one training set, each with another beta",
            "; ".join(
                f"{d['train_dataset']} at beta {beta}"
                for d, beta in zip(documents, betas, strict=True)
            ),
        )
    by_beta = dict(sorted(zip(known, evaluations, strict=True), key=lambda pair: -pair[0]))
    names = [[s.name for s in evaluation.ood] for evaluation in by_beta.values()]
    common = [name for name in names[0] if all(name in others for others in names)]
    if not common:
        raise UserError(
            ARGUMENT,
            "evaluations with OoD sets in common",
            "; ".join(listed(s.name for s in e.ood) for e in evaluations),
        )
    return Runs(by_beta, _aurocs(by_beta, common), *_nats(by_beta, common))


def _aurocs(by_beta: Mapping[float, Evaluation], ood_datasets: Sequence[str]) -> pd.DataFrame:
    betas, evaluations = list(by_beta), list(by_beta.values())
    found = shared.cells(evaluations, ood_datasets, SCORES).rename(columns={"ood_dataset": "set"})
    found["beta"] = [betas[k] for k in found["evaluation"]]
    found["members"] = [evaluations[k].document["members"] for k in found["evaluation"]]
    return found[RECORDS].set_index(["set", "score", "beta"], drop=False)


def _nats(
    by_beta: Mapping[float, Evaluation], ood_datasets: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    lines = []
    for name, score in itertools.product((IN_DISTRIBUTION, *ood_datasets), NATS):
        for beta, evaluation in by_beta.items():
            of_members = shared.values(evaluation, score)[name]
            if name != IN_DISTRIBUTION:
                of_members = of_members[evaluation.row(name, "rate")["members_used"]]
            lines.append(
                {
                    "evaluation_dir": str(evaluation.directory),
                    "train_dataset": evaluation.document["train_dataset"],
                    "beta": beta,
                    "members": evaluation.document["members"],
                    "set": name,
                    "score": score,
                    "mean": float(np.mean([values.mean() for values in of_members])),
                    "std": float(np.mean([values.std() for values in of_members])),
                }
            )
    nats = pd.DataFrame(lines).set_index(["set", "score", "beta"], drop=False)
    distortion = nats.xs("distortion", level="score")[["mean", "std"]].unstack(sort=False)
    means, stds = distortion["mean"], distortion["std"]
    rates = nats.xs("rate", level="score")["mean"].unstack(sort=False)
    share = (means / (means + rates)).where(means >= 0)
    nats["distortion_share"] = [share.loc[name, beta] for name, _, beta in nats.index]
    return nats, (means - means.loc[IN_DISTRIBUTION]).abs() / stds.loc[IN_DISTRIBUTION]


def differences(runs: Runs) -> dict[str, Any]:
    """Whatever else differs between the runs: settings, numbers of things, and sets left out."""
    documents = {f"{beta:g}": e.document for beta, e in runs.evaluations.items()}
    configs, counts = {}, {}
    for beta, document in documents.items():
        config = document["manifests"][0]["config"].items()
        configs[beta] = {name: value for name, value in config if name not in NOT_COMPARED}
        counts[beta] = {
            "members": document["members"],
            "in-distribution inputs": document["num_in"],
        }
    left_out = {
        beta: [s.label for s in e.ood if s.name not in runs.ood_datasets]
        for beta, e in zip(documents, runs.evaluations.values(), strict=True)
    }
    return {
        "settings": shared.differing(configs),
        "counts": shared.differing(counts),
        "left_out": left_out,
    }


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
    known: dict[str, Any] = {
        "high": f"{high:g}",
        "low": f"{low:g}",
        "high_runs": runs.at(high),
        "low_runs": runs.at(low),
        "inside": labels[IN_DISTRIBUTION],
        "inside_set": IN_DISTRIBUTION,
        "pair": labels[pair],
        "pair_set": pair,
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
        holds, numbers = CLAIMS[name](known["high_runs"], known["low_runs"], pair)
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


def _bulk_is_distortion(high: Runs, low: Runs, pair: str) -> Judged:
    return [high.distortion_share(name) > BULK for name in (IN_DISTRIBUTION, pair)], {}


def _not_discriminative(high: Runs, low: Runs, pair: str) -> Judged:
    return [high.aurocs["auroc"].to_dict()[pair, "log_prob"] < GOOD_AUROC], {}


def _rate_beats_distortion(high: Runs, low: Runs, pair: str) -> Judged:
    found = low.aurocs["auroc"].unstack()
    is_better = found["rate"] > found["distortion"]
    return list(is_better), {"num_better": is_better.sum()}


def _fixed(high: Runs, low: Runs, pair: str) -> Judged:
    # Beyond the intervals: they do not overlap.
    rises = low.aurocs["auroc_low"] > high.aurocs["auroc_high"]
    falls = low.aurocs["auroc_high"] < high.aurocs["auroc_low"]
    changes = {
        score: {
            "num_rises": rises.xs(score, level="score").sum(),
            "num_falls": falls.xs(score, level="score").sum(),
        }
        for score in ("rate", "log_prob", "waic")
    }
    return [rises[pair, score] for score in changes], {"changes": changes}


CLAIMS: dict[str, Callable[[Runs, Runs, str], Judged]] = {
    "poor_everywhere": _poor_everywhere,
    "similar_distortion": lambda high, _, pair: ([high.distances[pair] < MAX_DISTANCE], {}),
    "bulk_is_distortion": _bulk_is_distortion,
    "not_discriminative": _not_discriminative,
    "fidelity": lambda high, low, _: (
        [low.mean(IN_DISTRIBUTION, "distortion") < high.mean(IN_DISTRIBUTION, "distortion")],
        {},
    ),
    "higher_rates": lambda high, low, _: (
        [low.mean(IN_DISTRIBUTION, "rate") > high.mean(IN_DISTRIBUTION, "rate")],
        {},
    ),
    "rate_beats_distortion": _rate_beats_distortion,
    "fixed": _fixed,
}
"""What judges each claim of `beta_claims.toml`."""


def table(evaluations: Sequence[Evaluation]) -> Document:
    """AUROC and nats at each beta, and whether what the paper says of them holds.

    Raises:
      UserError: the evaluations are not of one training set, each with another beta.
    """
    runs = by_beta(evaluations)
    claims = judgements(runs)
    context = {
        "document": runs.first.document,
        "betas": [f"{beta:g}" for beta in runs.betas],
        "claims": claims,
        "differences": differences(runs),
        "overview": _overview(runs),
        "scores": [(runs.first.score_label(score), _score(runs, score)) for score in SCORES],
        "nats": _nats_table(runs),
    }
    frames = {"auroc": runs.aurocs, "nats": runs.nats, "claim": claims}
    frames = {name: frame.reset_index(drop=True) for name, frame in frames.items()}
    return Document("beta", context, pd.concat(frames, names=["record"]).reset_index("record"))


def _labels(runs: Runs) -> dict[str, str]:
    """Of sets and scores."""
    return set_labels(runs.first) | {s: runs.first.score_label(s) for s in (*SCORES, *NATS)}


def _overview(runs: Runs) -> pd.DataFrame:
    """A line an OoD set, a column a score: AUROC at each beta, and the change."""
    aurocs = runs.aurocs["auroc"].unstack("beta", sort=False)
    texts = [
        f"{' → '.join(f'{v:.1f}' for v in values)} ({values[-1] - values[0]:+.1f})"
        for values in aurocs.to_numpy()
    ]
    long = aurocs.index.to_frame(index=False).assign(text=texts)
    return wide(long, "set", "score", "OoD set", _labels(runs))


def _score(runs: Runs, score: str) -> pd.DataFrame:
    """A line an OoD set: one score at each beta, and the paper's where it has any."""
    found = runs.aurocs.xs(score, level="score")
    long = found.reset_index(drop=True)
    long = long.assign(
        at=long["beta"].map("beta {:g}".format), text=long.apply(tables.auroc_text, axis=1)
    )
    lines = wide(long, "set", "at", "OoD set", _labels(runs))
    values = found["auroc"].unstack("beta", sort=False)
    lines["change"] = [f"{change:+.1f}" for change in values.iloc[:, -1] - values.iloc[:, 0]]
    theirs = found["paper_auroc"].xs(runs.betas[0], level="beta")
    if theirs.notna().any():
        lines[_paper_heading(runs)] = theirs.to_numpy()
    return lines


def _paper_heading(runs: Runs) -> str:
    document = runs.first.document
    settings = paper.settings(document["model"], document["train_dataset"])
    beta = next((s["value"] for s in settings if s["name"] == "beta"), None)
    return "paper" if beta is None else f"paper, beta {beta:g}"


def _nats_table(runs: Runs) -> pd.DataFrame:
    """A line a set and run."""
    labels = _labels(runs)
    nats = runs.nats.reset_index(drop=True)
    texts = [f"{mean:.1f} ({std:.1f})" for mean, std in zip(nats["mean"], nats["std"], strict=True)]
    lines = nats.assign(text=texts).pivot(index=["set", "beta"], columns="score", values="text")
    lines = lines.loc[[(name, beta) for name in runs.distances.index for beta in runs.betas]]
    lines = lines[list(NATS)].rename(columns=labels)
    distance = runs.distances.stack().map("{:.2f}".format)
    distance[results.IN_DISTRIBUTION] = None
    at = {beta: runs.at(beta) for beta in runs.betas}
    lines["distortion's share"] = [at[beta].share_text(name) for name, beta in lines.index]
    lines["distance"] = distance
    lines.insert(0, "Set", [labels[name] for name, _ in lines.index])
    lines.insert(1, "beta", [f"{beta:g}" for _, beta in lines.index])
    return lines
