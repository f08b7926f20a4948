"""Section 4.1 of the paper, measured: one training set at two or more values of beta."""

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from tfp_genens.data.requests import listed
from tfp_genens.errors import UserError
from tfp_genens.evaluation import tables
from tfp_genens.evaluation.results import IN_DISTRIBUTION
from tfp_genens.files import packaged
from tfp_genens.paper import numbers as paper
from tfp_genens.paper import shared
from tfp_genens.paper.configurations import require_scores
from tfp_genens.paper.documents import Document
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation

SCORES = ("rate", "log_prob", "distortion", "waic")
NATS = ("rate", "distortion", "log_prob")
RECORDS = [
    *("evaluation_dir", "train_dataset", "beta", "members", "set", "score"),
    *(*shared.OF_ROWS, "paper_auroc"),
]
NOT_COMPARED = ("beta", "seed")  # settings that are meant to differ


@dataclasses.dataclass(frozen=True)
class Runs:
    """Evaluations, reduced to the OoD sets that all have.

    Attributes:
      evaluations: by beta, from the highest, to which the lowest is compared.
      aurocs: AUROC, its interval and the paper's, percent; sets in order. Beside the columns of the
        CSV file "text".
      nats: in-distribution inputs first. "mean" and "std": over inputs (ddof 0), each the mean over
        members (the attacked ones where a set attacks any); NaN where one input's score is.
        "distortion_share": see `distortion`.
      distortion: "share", mean distortion as a fraction of mean distortion + rate (the negative
        ELBO), NaN where distortion is negative, as it may be of pixels outside the valid range;
        "share_text"; "distance", how far the mean distortions of the set and of the in-distribution
        inputs lie apart, in standard deviations of the latter.

    Frames are indexed by set, score and beta, `distortion` by set and beta.
    """

    evaluations: Mapping[float, Evaluation]
    aurocs: pd.DataFrame
    nats: pd.DataFrame
    distortion: pd.DataFrame

    @property
    def first(self) -> Evaluation:
        return next(iter(self.evaluations.values()))

    @property
    def ood_datasets(self) -> list[str]:
        return list(self.aurocs.index.unique("set"))

    def at(self, beta: float) -> dict[str, Any]:
        """Of one beta: frames [set, score], and what there is of distortion, by set."""
        aurocs = self.aurocs.xs(beta, level="beta").unstack("score", sort=False)
        nats, distortion = (f.xs(beta, level="beta") for f in (self.nats, self.distortion))
        found = {name: aurocs[name] for name in ("auroc", "auroc_low", "auroc_high", "text")}
        return {**found, "mean": nats["mean"].unstack("score"), **distortion}


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
        pairs = zip(documents, betas, strict=True)
        got = "; ".join(f"{d['train_dataset']} at beta {beta}" for d, beta in pairs)
        expected = "two or more evaluations of one training set, each with another beta"
        raise UserError(ARGUMENT, expected, got)
    by_beta = dict(sorted(zip(known, evaluations, strict=True), key=lambda pair: -pair[0]))
    names = [[s.name for s in evaluation.ood] for evaluation in by_beta.values()]
    common = [name for name in names[0] if all(name in others for others in names)]
    if not common:
        got = "; ".join(listed(s.name for s in e.ood) for e in evaluations)
        raise UserError(ARGUMENT, "evaluations with OoD sets in common", got)
    return Runs(by_beta, _aurocs(by_beta, common), *_nats(by_beta, common))


def _aurocs(by_beta: Mapping[float, Evaluation], ood_datasets: Sequence[str]) -> pd.DataFrame:
    betas, evaluations = list(by_beta), list(by_beta.values())
    found = shared.cells(evaluations, ood_datasets, SCORES).rename(columns={"ood_dataset": "set"})
    found["beta"] = [betas[k] for k in found["evaluation"]]
    found["members"] = [evaluations[k].document["members"] for k in found["evaluation"]]
    found = found[RECORDS].assign(text=found.apply(tables.auroc_text, axis=1))
    return found.set_index(["set", "score", "beta"], drop=False)


def _nats(
    by_beta: Mapping[float, Evaluation], ood_datasets: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    lines = []
    for name, score in itertools.product((IN_DISTRIBUTION, *ood_datasets), NATS):
        for beta, evaluation in by_beta.items():
            of_members = shared.values(evaluation, score)[name]
            if name != IN_DISTRIBUTION:
                of_members = of_members[evaluation.row(name, "rate")["members_used"]]
            mean, std = (np.mean([f(v) for v in of_members]) for f in (np.mean, np.std))
            about = (str(evaluation.directory), evaluation.document["train_dataset"], beta)
            num_members = evaluation.document["members"]
            lines.append((*about, num_members, name, score, mean, std))
    columns = ["evaluation_dir", "train_dataset", "beta", "members", "set", "score", "mean", "std"]
    nats = pd.DataFrame(lines, columns=columns).set_index(["set", "score", "beta"], drop=False)
    of_sets = nats.xs("distortion", level="score")
    inside = of_sets.loc[IN_DISTRIBUTION].loc[of_sets["beta"]]
    means = of_sets["mean"]
    places = list(zip(nats["set"], nats["beta"], strict=True))
    share = (means / (means + nats["mean"].xs("rate", level="score"))).where(means >= 0)
    nats["distortion_share"] = share.loc[places].to_numpy()
    distortion = pd.DataFrame(
        {
            "share": share,
            "share_text": share.map("{:.0%}".format).str.replace("%", " %").mask(means < 0, "-"),
            "distance": (means - inside["mean"].to_numpy()).abs() / inside["std"].to_numpy(),
        }
    )
    return nats, distortion


def differences(runs: Runs) -> dict[str, Any]:
    """Whatever else differs between the runs: settings, numbers of things, and sets left out."""
    configs, counts, left_out = {}, {}, {}
    for value, evaluation in runs.evaluations.items():
        beta, document = f"{value:g}", evaluation.document
        config = document["manifests"][0]["config"].items()
        configs[beta] = {name: value for name, value in config if name not in NOT_COMPARED}
        num_members, num_in = document["members"], document["num_in"]
        counts[beta] = {"members": num_members, "in-distribution inputs": num_in}
        left_out[beta] = [s.label for s in evaluation.ood if s.name not in runs.ood_datasets]
    settings, counts = shared.differing(configs), shared.differing(counts)
    return {"settings": settings, "counts": counts, "left_out": left_out}


YES, PARTLY, NO = "holds", "holds in part", "does not hold"
GOOD_AUROC = 75.0  # half way from chance to perfect
MAX_DISTANCE = 1.0  # standard deviations
BULK = 0.5
FIXED = ["rate", "log_prob", "waic"]


def judgements(runs: Runs) -> pd.DataFrame:
    """A row a claim of `beta_claims.toml`, by the runs with the highest and with the lowest beta.

    Beside the texts, which are named there, "verdict": YES, PARTLY or NO.
    """
    high, *_, low = runs.evaluations
    pair = paper.counterpart(runs.first.document["train_dataset"], runs.ood_datasets)
    of_high, of_low = runs.at(high), runs.at(low)
    labels = shared.set_labels(runs.first)
    known = {
        "high": f"{high:g}",
        "low": f"{low:g}",
        "high_runs": of_high,
        "low_runs": of_low,
        "inside": labels[IN_DISTRIBUTION],
        "inside_set": IN_DISTRIBUTION,
        "pair": labels[pair],
        "pair_set": pair,
        "labels": labels,
        "num_sets": len(runs.ood_datasets),
        "scores": {score: runs.first.score_label(score) for score in SCORES},
        "fixed": FIXED,
        "good_auroc": GOOD_AUROC,
        "max_distance": MAX_DISTANCE,
        "bulk": BULK,
        "is_poor": of_high["auroc"][["log_prob", "waic"]] < GOOD_AUROC,
        "is_better": of_low["auroc"]["rate"] > of_low["auroc"]["distortion"],
        # Beyond the intervals: they do not overlap.
        "rises": (of_low["auroc_low"] > of_high["auroc_high"])[FIXED],
        "falls": (of_low["auroc_high"] < of_high["auroc_low"])[FIXED],
    }
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    judge = functools.partial(environment.compile_expression, undefined_to_none=False)
    found = {}
    for name, claim in packaged("tfp_genens.paper", "beta_claims.toml").items():
        texts = {part: claim[part] for part in ("claim", "rule", "found")}
        holds = np.asarray(judge(claim["holds"])(**known))
        found[name] = {k: environment.from_string(text).render(known) for k, text in texts.items()}
        found[name]["verdict"] = YES if holds.all() else PARTLY if holds.any() else NO
    return pd.DataFrame.from_dict(found, orient="index")


def table(evaluations: Sequence[Evaluation]) -> Document:
    """AUROC and nats at each beta, and whether what the paper says of them holds.

    Raises:
      UserError: the evaluations are not of one training set, each with another beta.
    """
    runs = by_beta(evaluations)
    claims = judgements(runs)
    labels = shared.set_labels(runs.first) | {
        s: runs.first.score_label(s) for s in (*SCORES, *NATS)
    }
    context = {
        "document": runs.first.document,
        "betas": [f"{beta:g}" for beta in runs.evaluations],
        "claims": claims,
        "differences": differences(runs),
        "overview": _overview(runs, labels),
        "scores": [(labels[score], _score(runs, score, labels)) for score in SCORES],
        "nats": _nats_table(runs, labels),
    }
    frames = {"auroc": runs.aurocs.drop(columns="text"), "nats": runs.nats, "claim": claims}
    frames = {name: frame.reset_index(drop=True) for name, frame in frames.items()}
    return Document("beta", context, pd.concat(frames, names=["record"]).reset_index("record"))


def _overview(runs: Runs, labels: Mapping[str, str]) -> pd.DataFrame:
    """A line an OoD set, a column a score: AUROC at each beta, and the change."""
    aurocs = runs.aurocs["auroc"].unstack("beta", sort=False)
    texts = [
        f"{' → '.join(f'{v:.1f}' for v in values)} ({values[-1] - values[0]:+.1f})"
        for values in aurocs.to_numpy()
    ]
    long = aurocs.index.to_frame(index=False).assign(text=texts)
    return shared.wide(long, "set", "score", "OoD set", labels)


def _score(runs: Runs, score: str, labels: Mapping[Any, str]) -> pd.DataFrame:
    """A line an OoD set: one score at each beta, and the paper's where it has any."""
    found: Any = runs.aurocs.xs(score, level="score")
    at = {beta: f"beta {beta:g}" for beta in runs.evaluations}
    lines = shared.wide(found.reset_index(drop=True), "set", "beta", "OoD set", {**labels, **at})
    values = found["auroc"].unstack("beta", sort=False)
    lines["change"] = [f"{change:+.1f}" for change in values.iloc[:, -1] - values.iloc[:, 0]]
    theirs = found["paper_auroc"].xs(next(iter(runs.evaluations)), level="beta")
    if theirs.notna().any():
        document = runs.first.document
        settings = paper.settings(document["model"], document["train_dataset"])
        beta = [f"beta {s['value']:g}" for s in settings if s["name"] == "beta"]
        lines[", ".join(["paper", *beta])] = theirs.to_numpy()
    return lines


def _nats_table(runs: Runs, labels: Mapping[str, str]) -> pd.DataFrame:
    """A line a set and run."""
    nats = runs.nats
    texts = [f"{mean:.1f} ({std:.1f})" for mean, std in zip(nats["mean"], nats["std"], strict=True)]
    of_scores = pd.Series(texts, nats.index).unstack("score")[list(NATS)]
    distortion = runs.distortion
    lines = of_scores.loc[distortion.index].rename(columns=labels)
    lines["distortion's share"] = distortion["share_text"]
    lines["distance"] = distortion["distance"].map("{:.2f}".format)
    lines.loc[IN_DISTRIBUTION, "distance"] = None
    lines.insert(0, "Set", [labels[name] for name, _ in lines.index])
    lines.insert(1, "beta", [f"{beta:g}" for _, beta in lines.index])
    return lines
