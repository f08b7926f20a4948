"""Evaluations of one training set that differ in beta, and what is compared between them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfp_genens.data.requests import listed
from tfp_genens.errors import UserError
from tfp_genens.evaluation import tables
from tfp_genens.evaluation.results import IN_DISTRIBUTION
from tfp_genens.paper import labels
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.requirements import require_scores
from tfp_genens.paper.shared import identity, values
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation

SCORES = ("rate", "log_prob", "distortion", "waic")
NATS = ("rate", "distortion", "log_prob")
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
    betas = [labels.beta(evaluation) for evaluation in evaluations]
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


def _lines(
    by_beta: Mapping[float, Evaluation],
    sets: Sequence[str],
    scores: Sequence[str],
    measured: Callable[[Evaluation, str, str], Mapping[str, Any]],
) -> pd.DataFrame:
    """What is measured of an evaluation, a set and a score."""
    lines = [
        {
            **identity(evaluation, "train_dataset"),
            "beta": beta,
            "members": evaluation.document["members"],
            "set": name,
            "score": score,
            **measured(evaluation, name, score),
        }
        for name in sets
        for score in scores
        for beta, evaluation in by_beta.items()
    ]
    return pd.DataFrame(lines).set_index(["set", "score", "beta"], drop=False)


def _aurocs(by_beta: Mapping[float, Evaluation], ood_datasets: Sequence[str]) -> pd.DataFrame:
    def measured(evaluation: Evaluation, name: str, score: str) -> dict[str, Any]:
        document, row = evaluation.document, evaluation.row(name, score)
        keys = ("auroc", "auroc_low", "auroc_high", "num_in", "num_out", "num_nan")
        theirs = paper.value(document["train_dataset"], name, score, document["model"])
        return {**{key: row[key] for key in keys}, "paper_auroc": theirs}

    found = _lines(by_beta, ood_datasets, SCORES, measured)
    return found.astype({"paper_auroc": float})


def _nats(
    by_beta: Mapping[float, Evaluation], ood_datasets: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    def measured(evaluation: Evaluation, name: str, score: str) -> dict[str, float]:
        of_members = values(evaluation, score)[name]
        if name != IN_DISTRIBUTION:
            of_members = of_members[evaluation.row(name, "rate")["members_used"]]
        return {
            "mean": float(np.mean([v.mean() for v in of_members])),
            "std": float(np.mean([v.std() for v in of_members])),
        }

    nats = _lines(by_beta, (IN_DISTRIBUTION, *ood_datasets), NATS, measured)
    distortion = nats.xs("distortion", level="score")[["mean", "std"]].unstack(sort=False)
    means, stds = distortion["mean"], distortion["std"]
    rates = nats.xs("rate", level="score")["mean"].unstack(sort=False)
    share = (means / (means + rates)).where(means >= 0)
    nats["distortion_share"] = [share.loc[name, beta] for name, _, beta in nats.index]
    return nats, (means - means.loc[IN_DISTRIBUTION]).abs() / stds.loc[IN_DISTRIBUTION]


def differences(runs: Runs) -> dict[str, list[tuple[str, str]]]:
    """Whatever else differs between the runs: settings, numbers of things, and sets left out."""
    documents = {f"{beta:g}": e.document for beta, e in runs.evaluations.items()}
    left_out = [
        (f"{beta:g}", ", ".join(s.label for s in e.ood if s.name not in runs.ood_datasets))
        for beta, e in runs.evaluations.items()
    ]
    return {
        "settings": _differing(
            {
                beta: {
                    k: v for k, v in d["manifests"][0]["config"].items() if k not in NOT_COMPARED
                }
                for beta, d in documents.items()
            }
        ),
        "counts": _differing(
            {
                beta: {"members": d["members"], "in-distribution inputs": d["num_in"]}
                for beta, d in documents.items()
            }
        ),
        "left_out": [(beta, names) for beta, names in left_out if names],
    }


def _differing(of_runs: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What is not alike in all runs, by name, as text; what a run lacks is None."""
    found = []
    for name in dict.fromkeys(itertools.chain(*of_runs.values())):
        values = {beta: of_run.get(name) for beta, of_run in of_runs.items()}
        if any(value != next(iter(values.values())) for value in values.values()):
            text = ", ".join(f"{value} at beta {beta}" for beta, value in values.items())
            found.append((name, text))
    return found
