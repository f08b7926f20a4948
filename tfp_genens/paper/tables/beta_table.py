"""Section 4.1 of the paper, measured: one training set at two or more values of beta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfp_genens.evaluation import results, tables
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.documents import Section, TableDocument
from tfp_genens.paper.tables.beta_claims import judgements
from tfp_genens.paper.tables.beta_runs import (
    NATS,
    SCORES,
    Run,
    by_beta,
    common_sets,
    not_comparable,
)
from tfp_genens.reporting.evaluation_files import Evaluation

PAPER_TRAIN_DATASET = "fashion_mnist"  # of section 4.1


def table(evaluations: Sequence[Evaluation]) -> TableDocument:
    """AUROC and nats at each beta, and whether what the paper says of them holds.

    Raises:
      UserError: the evaluations are not of one training set, each with another beta.
    """
    runs = by_beta(evaluations)
    document = runs[0].evaluation.document
    train_label = results.dataset_label(document, document["train_dataset"])
    betas = [f"{run.beta:g}" for run in runs]
    return TableDocument(
        title=f"Section 4.1: {train_label} with beta {', '.join(betas[:-1])} and {betas[-1]}",
        text=(
            "Beta weighs the rate in training: distortion + beta * rate is minimised. AUROC in "
            "percent [95 % interval over inputs], out-of-distribution being the positive class. "
            "Single-model numbers are means over members, or the attacked member's where a set "
            "attacks one; the change is from the highest beta to the lowest.",
        ),
        sections=(
            _claims_section(runs),
            _overview_section(runs),
            *(_score_section(runs, score) for score in SCORES),
            _nats_section(runs),
        ),
        records=(*_auroc_records(runs), *_nats_records(runs), *_claim_records(runs)),
    )


def _claims_section(runs: Sequence[Run]) -> Section:
    document = runs[0].evaluation.document
    train_label = results.dataset_label(document, document["train_dataset"])
    other = f" The paper speaks of Fashion-MNIST; here it is {train_label}."
    return Section(
        "What the paper says, and what was found",
        text=(
            "Each sentence is judged by the rule beside it, from the numbers below; the rules are "
            "ours, since the paper gives no numbers for the higher beta. What holds on some sets "
            "or scores only, holds in part."
            + ("" if document["train_dataset"] == PAPER_TRAIN_DATASET else other),
        ),
        notes=(
            *(f"{j.claim}: {j.verdict}. {j.found} Rule: {j.rule}." for j in judgements(runs)),
            *not_comparable(runs),
        ),
    )


def _overview_section(runs: Sequence[Run]) -> Section:
    def cell(name: str, score: str) -> str:
        values = [run.evaluation.row(name, score)["auroc"] for run in runs]
        return f"{' → '.join(f'{v:.1f}' for v in values)} ({values[-1] - values[0]:+.1f})"

    return Section(
        "AUROC",
        text=(f"At beta {', '.join(f'{run.beta:g}' for run in runs)}, and the change.",),
        header=("OoD set", *(runs[0].evaluation.score_label(score) for score in SCORES)),
        body=tuple(
            (_label(runs, name), *(cell(name, score) for score in SCORES))
            for name in common_sets(runs)
        ),
    )


def _score_section(runs: Sequence[Run], score: str) -> Section:
    header = ["OoD set", *(f"beta {run.beta:g}" for run in runs), "change"]
    theirs = {name: _paper(runs, name, score) for name in common_sets(runs)}
    has_paper = any(value is not None for value in theirs.values())
    if has_paper:
        header.append(_paper_heading(runs))
    body = []
    for name, value in theirs.items():
        rows = [run.evaluation.row(name, score) for run in runs]
        line = [
            _label(runs, name),
            *map(tables.auroc_text, rows),
            f"{rows[-1]['auroc'] - rows[0]['auroc']:+.1f}",
        ]
        if has_paper:
            line.append("-" if value is None else f"{value:.1f}")
        body.append(tuple(line))
    return Section(
        f"AUROC of {runs[0].evaluation.score_label(score)}",
        header=tuple(header),
        body=tuple(body),
        level=3,
    )


def _nats_section(runs: Sequence[Run]) -> Section:
    evaluation = runs[0].evaluation
    body = []
    for name in (results.IN_DISTRIBUTION, *common_sets(runs)):
        for run in runs:
            moments = [run.moments(name, score) for score in NATS]
            share = run.distortion_share(name)
            is_inside = name == results.IN_DISTRIBUTION
            body.append(
                (
                    _label(runs, name),
                    f"{run.beta:g}",
                    *(f"{m.mean:.1f} ({m.std:.1f})" for m in moments),
                    "-" if share is None else f"{100 * share:.0f} %",
                    "-" if is_inside else f"{run.distortion_distance(name):.2f}",
                )
            )
    return Section(
        "Rate, distortion and log p(x)",
        text=(
            "Nats: mean over inputs (standard deviation over inputs), each the mean over members. "
            "The share is that of the mean distortion in mean distortion + rate, the negative "
            "ELBO, of which the 16-sample IWAE is a tighter form; it has no meaning, and is left "
            "out, where distortion is negative. The distance is between mean distortions, this "
            "set's and the in-distribution one's, in standard deviations of the latter.",
        ),
        header=(
            "Set",
            "beta",
            *(evaluation.score_label(score) for score in NATS),
            "distortion's share",
            "distance",
        ),
        body=tuple(body),
    )


def _auroc_records(runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [
        {
            "record": "auroc",
            **_identity(run),
            "set": name,
            "score": score,
            "auroc": row["auroc"],
            "auroc_low": row["auroc_low"],
            "auroc_high": row["auroc_high"],
            "num_in": row["num_in"],
            "num_out": row["num_out"],
            "num_nan": row["num_nan"],
            "paper_auroc": _paper(runs, name, score),
        }
        for name in common_sets(runs)
        for score in SCORES
        for run in runs
        for row in (run.evaluation.row(name, score),)
    ]


def _nats_records(runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [
        {
            "record": "nats",
            **_identity(run),
            "set": name,
            "score": score,
            "mean": run.moments(name, score).mean,
            "std": run.moments(name, score).std,
            "distortion_share": run.distortion_share(name),
        }
        for name in (results.IN_DISTRIBUTION, *common_sets(runs))
        for score in NATS
        for run in runs
    ]


def _claim_records(runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [
        {
            "record": "claim",
            "claim": j.claim,
            "rule": j.rule,
            "found": j.found,
            "verdict": j.verdict,
        }
        for j in judgements(runs)
    ]


def _identity(run: Run) -> Mapping[str, Any]:
    document = run.evaluation.document
    return {
        "evaluation_dir": str(run.evaluation.directory),
        "train_dataset": document["train_dataset"],
        "beta": run.beta,
        "members": document["members"],
    }


def _label(runs: Sequence[Run], name: str) -> str:
    return runs[0].set_named(name).label


def _paper(runs: Sequence[Run], name: str, score: str) -> float | None:
    document = runs[0].evaluation.document
    return paper.value(document["train_dataset"], name, score, document["model"])


def _paper_heading(runs: Sequence[Run]) -> str:
    document = runs[0].evaluation.document
    settings = paper.settings(document["model"], document["train_dataset"])
    beta = next((s["value"] for s in settings if s["name"] == "beta"), None)
    return "paper" if beta is None else f"paper, beta {beta:g}"
