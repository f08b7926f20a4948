"""Section 4.1 of the paper, measured: one training set at two or more values of beta."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tfp_genens.evaluation import results, tables
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.documents import Document
from tfp_genens.paper.shared import set_labels, wide
from tfp_genens.paper.tables.beta_claims import judgements
from tfp_genens.paper.tables.beta_runs import NATS, SCORES, Runs, by_beta, differences
from tfp_genens.reporting.evaluation_files import Evaluation


def table(evaluations: Sequence[Evaluation]) -> Document:
    """AUROC and nats at each beta, and whether what the paper says of them holds.

    Raises:
      UserError: the evaluations are not of one training set, each with another beta.
    """
    runs = by_beta(evaluations)
    claims = judgements(runs)
    document = runs.first.document
    context = {
        "train_dataset": document["train_dataset"],
        "train_label": results.dataset_label(document, document["train_dataset"]),
        "betas": [f"{beta:g}" for beta in runs.betas],
        "claims": claims,
        "differences": differences(runs),
        "overview": _overview(runs),
        "scores": [(runs.first.score_label(score), _score(runs, score)) for score in SCORES],
        "nats": _nats(runs),
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


def _nats(runs: Runs) -> pd.DataFrame:
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
