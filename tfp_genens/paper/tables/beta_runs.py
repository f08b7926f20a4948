"""Evaluations of one training set that differ in beta, and what is compared between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfp_genens.data.requests import listed
from tfp_genens.errors import UserError
from tfp_genens.evaluation.results import IN_DISTRIBUTION
from tfp_genens.paper import labels
from tfp_genens.paper.requirements import require_scores
from tfp_genens.reporting.evaluation_files import ARGUMENT, EvaluatedSet, Evaluation

SCORES = ("rate", "log_prob", "distortion", "waic")
NATS = ("rate", "distortion", "log_prob")


@dataclasses.dataclass(frozen=True)
class Moments:
    """One member score over the inputs of a set.

    Attributes:
      mean: nats; the mean over members of each member's mean over inputs.
      std: nats; the mean over members of each member's standard deviation over inputs (ddof 0).
    """

    mean: float
    std: float


@dataclasses.dataclass(frozen=True)
class Run:
    """One evaluation and the beta its members were trained with."""

    evaluation: Evaluation
    beta: float

    @property
    def config(self) -> Mapping[str, Any]:
        return self.evaluation.document["manifests"][0]["config"]

    def set_named(self, name: str) -> EvaluatedSet:
        """An OoD set, or results.IN_DISTRIBUTION."""
        everyone = (self.evaluation.in_distribution, *self.evaluation.ood)
        return next(s for s in everyone if s.name == name)

    def members(self, name: str) -> Sequence[int]:
        """Positions of the members that single-model numbers are of: the attacked ones, or all."""
        if name == IN_DISTRIBUTION:
            return range(self.evaluation.in_distribution.scores.num_members)
        return self.evaluation.row(name, "rate")["members_used"]

    def moments(self, name: str, score: str) -> Moments:
        """Of one of NATS over a set's inputs; NaN where one of them is."""
        values = [self.set_named(name).values(score, m) for m in self.members(name)]
        return Moments(
            mean=float(np.mean([v.mean() for v in values])),
            std=float(np.mean([v.std() for v in values])),
        )

    def distortion_share(self, name: str) -> float | None:
        """Mean distortion as a fraction of mean distortion + rate (the negative ELBO).

        None where distortion is negative, as it may be of pixels outside the valid range.
        """
        distortion, rate = (self.moments(name, score).mean for score in ("distortion", "rate"))
        return None if distortion < 0 else distortion / (distortion + rate)

    def distortion_distance(self, name: str) -> float:
        """How far the mean distortions of a set and of the in-distribution inputs lie apart, in
        standard deviations of the latter."""
        inside = self.moments(IN_DISTRIBUTION, "distortion")
        difference = self.moments(name, "distortion").mean - inside.mean
        return float(np.divide(abs(difference), inside.std))


def by_beta(evaluations: Sequence[Evaluation]) -> tuple[Run, ...]:
    """The evaluations from the highest beta to the lowest.

    Raises:
      UserError: fewer than two, of several models or training sets, without a beta or with the
        same, without the scores that are compared, or without an OoD set in common.
    """
    for evaluation in evaluations:
        require_scores(evaluation, SCORES)
    documents = [evaluation.document for evaluation in evaluations]
    trained = list(dict.fromkeys((d["train_dataset"], d["model"]) for d in documents))
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
    runs = [Run(e, beta) for e, beta in zip(evaluations, known, strict=True)]
    if not common_sets(runs):
        raise UserError(
            ARGUMENT,
            "evaluations with OoD sets in common",
            "; ".join(listed(s.name for s in e.ood) for e in evaluations),
        )
    return tuple(sorted(runs, key=lambda run: -run.beta))


def common_sets(runs: Sequence[Run]) -> tuple[str, ...]:
    """The OoD sets that every run has, in the first one's order."""
    return tuple(
        s.name
        for s in runs[0].evaluation.ood
        if all(s.name in [o.name for o in run.evaluation.ood] for run in runs)
    )


def not_comparable(runs: Sequence[Run]) -> list[str]:
    """One sentence for whatever else differs between the runs."""
    found = []
    for name in dict.fromkeys(name for run in runs for name in run.config):
        values = [run.config.get(name) for run in runs]
        if name not in ("beta", "seed") and any(value != values[0] for value in values):
            found.append(f"{name} differs too: {_at_each(runs, values)}.")
    counts = {
        "members": [run.evaluation.document["members"] for run in runs],
        "in-distribution inputs": [run.evaluation.document["num_in"] for run in runs],
    }
    for name, numbers in counts.items():
        if len(set(numbers)) > 1:
            found.append(f"The number of {name} differs too: {_at_each(runs, numbers)}.")
    shared = common_sets(runs)
    for run in runs:
        others = [s.label for s in run.evaluation.ood if s.name not in shared]
        if others:
            found.append(f"Left out, because only beta {run.beta:g} has it: {', '.join(others)}.")
    return found


def _at_each(runs: Sequence[Run], values: Sequence[Any]) -> str:
    return ", ".join(
        f"{value} at beta {run.beta:g}" for run, value in zip(runs, values, strict=True)
    )
