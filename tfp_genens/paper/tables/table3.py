"""Table 3 of the paper: detecting card fraud, by FPR@95%TPR, AUROC and average precision.

One line a method, which is a score of a model; its numbers are means over repeated splits of the
table. Evaluations that differ in nothing but split and seed are repetitions of one another. The
first configuration of each model is judged against the paper; further ones, and what the paper
does not have, stand beside it.
"""

import dataclasses
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL
from tfp_genens.config import config_sha256
from tfp_genens.data.requests import listed
from tfp_genens.errors import UserError
from tfp_genens.evaluation import metrics, results
from tfp_genens.paper import configurations, repetition, shared, verdicts
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.configurations import Configuration
from tfp_genens.paper.documents import Document
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation

TRAINED_ON = {"credit_fraud": "normal", "credit_fraud_labelled": "normal and fraud"}
"""Training set, whatever the split -> the rows that a model of it has seen."""
FRAUD, NORMAL = "fraud", "normal"
FPR, PRECISION = "fpr_at_95_tpr", "average_precision"
METRICS = {FPR: "FPR@95%TPR", "auroc": "AUROC", PRECISION: "AP"}
"""Name -> heading, in the paper's order."""
CLASS_MATTERS = (FPR, PRECISION)
"""Metrics that depend on which class is the positive one."""
KINDS = [*((FRAUD, metric) for metric in METRICS), *((NORMAL, metric) for metric in CLASS_MATTERS)]
"""The numbers of a method: positive class and metric."""
METHOD = {"method": "Method", "label": "model"}
Found = Mapping[tuple[str, str], pd.DataFrame]
"""One of KINDS -> its numbers, a row a line of the tables."""
Draws = Sequence[tuple[np.ndarray, np.ndarray]]
"""Scores of normal rows and of frauds, higher being more anomalous, one a model or ensemble."""
SHARE = 0.05  # of the frauds: those that decide FPR@95%TPR
RECORDS = [
    *("method", "model", "configuration", "score", "trained_on", "members", "metric", "positive"),
    *("ours", "splits_low", "splits_high", "num_splits", "train_datasets", "splits"),
    *("smallest", "largest", "as_sampled", "paper", "difference", "verdict"),
    *("num_in", "num_out", "seconds", "evaluation_dirs"),
]


@dataclasses.dataclass(frozen=True)
class Repeated:
    """One configuration on several splits.

    Attributes:
      splits: one configuration a split: it has several evaluations where seeds were repeated.
      base: the first configuration of this model that was given; None where this is it.
      mark: tells further configurations of one model apart, e.g. "b"; "" for the first.
    """

    splits: tuple[Configuration, ...]
    base: Configuration | None
    mark: str

    @property
    def first(self) -> Configuration:
        return self.splits[0]

    @property
    def evaluations(self) -> list[Evaluation]:
        return [e for split in self.splits for e in split.evaluations]

    @property
    def label(self) -> str:
        """E.g. "5 x tabular_vae (b)"."""
        numbers = sorted({evaluation.document["members"] for evaluation in self.evaluations})
        mark = f" ({self.mark})" if self.mark else ""
        return f"{' or '.join(map(str, numbers))} x {self.first.model}{mark}"

    @property
    def scores(self) -> list[str]:
        """All that every evaluation has; of ensembles of one, only the member's."""
        found = [evaluation.in_distribution.scores for evaluation in self.evaluations]
        names = list(found[0].member_scores)
        if all(scores.num_members > 1 for scores in found):
            names += found[0].ensemble_scores
        everyone = [s.member_scores.keys() | s.ensemble_scores.keys() for s in found]
        return [name for name in names if all(name in those for those in everyone)]


Method = tuple[Repeated, str]
"""A configuration and one of its scores: a line of the tables."""


def table(evaluations: Sequence[Evaluation]) -> Document:
    """Table 3 from evaluations of models trained on splits of the card-fraud table.

    Raises:
      UserError: an evaluation of another training set, or without the fraud set; evaluations of
        one configuration and split that share members.
    """
    for evaluation in evaluations:
        _check(evaluation)
    repeated = _repeated(evaluations)
    methods = sorted(((one, score) for one in repeated for score in one.scores), key=_place)
    numbers = pd.DataFrame(
        {"line": line, **record} for line, m in enumerate(methods) for record in _numbers(*m)
    )
    numbers = numbers.set_index("line")
    numbers["mark"] = numbers["verdict"].map(verdicts.MARKS)
    numbers["over_splits"] = shared.ends(numbers, "splits")
    by_kind = numbers.groupby(["positive", "metric"])
    found = {kind: by_kind.get_group(kind) for kind in KINDS}
    unaware = {
        metric: found[FRAUD, metric].query("trained_on == @TRAINED_ON['credit_fraud']")
        for metric in METRICS
    }
    is_choice = len(unaware[FPR]) > 1
    context = {
        "min_splits": repetition.MIN_REPETITIONS,
        "by_fraud": numbers["verdict"][numbers["positive"] == FRAUD],
        "by_normal": numbers["verdict"][numbers["positive"] == NORMAL],
        "overview": _side_by_side(
            found,
            FRAUD,
            METHOD | {"trained_on": "trained on", "num_splits": "splits"},
            {"paper": "paper", "mark": ""},
        ).join(found[FRAUD, FPR]["seconds"]),
        "best": [(METRICS[m], _best(lines, m)) for m, lines in unaware.items() if is_choice],
        "num_unaware": len(unaware[FPR]),
        "repeated": repeated,
        "normal_positive": _side_by_side(
            found, NORMAL, METHOD, {"over_splits": "over splits", "paper": "paper", "mark": ""}
        ),
        "hardest": _hardest(unaware[FPR], methods),
        "metrics": [(name, METRICS[name], found[FRAUD, name]) for name in METRICS],
    }
    return Document("table3", context, numbers[RECORDS])


def _check(evaluation: Evaluation) -> None:
    document = evaluation.document
    if document["train_dataset"].partition("/")[0] not in TRAINED_ON:
        expected = f"evaluations of models trained on {listed([*TRAINED_ON])}, or a split of them"
        got = f"{evaluation.directory}, of {document['model']} on {document['train_dataset']}"
        raise UserError(ARGUMENT, expected, got)
    if FRAUD not in [ood.name for ood in evaluation.ood]:
        got = f"{evaluation.directory}, which has none of it"
        raise UserError(ARGUMENT, f"evaluations of the set {FRAUD}", got)


def _repeated(evaluations: Sequence[Evaluation]) -> list[Repeated]:
    """Configurations that are the same but for split and seed, in the order given."""
    together: dict[tuple[str, ...], list[Configuration]] = {}
    for configuration in configurations.group(evaluations):
        config = dict(configuration.document["manifests"][0]["config"], seed=None, dataset=None)
        trained_on, _, _ = configuration.train_dataset.partition("/")
        key = (configuration.model, trained_on, config_sha256(config))
        together.setdefault(key, []).append(configuration)
    repeated: list[Repeated] = []
    for splits in together.values():
        earlier = [one.first for one in repeated if one.first.model == splits[0].model]
        mark = string.ascii_lowercase[len(earlier)] if earlier else ""
        repeated.append(Repeated(tuple(splits), earlier[0] if earlier else None, mark))
    return repeated


def _place(method: Method) -> int:
    """The paper's methods come first, in its order; further configurations last."""
    repeated, score = method
    of_paper = score if repeated.base is None else ""
    return paper.column(of_paper, repeated.first.model, repeated.first.train_dataset)[0]


def _numbers(repeated: Repeated, score: str) -> Iterator[dict[str, Any]]:
    """The records of one method: each metric, and those of CLASS_MATTERS with either class."""
    document, evaluations = repeated.first.document, repeated.evaluations
    model, trained_on = document["model"], document["train_dataset"]
    rows = [[e.row(FRAUD, score) for e in split.evaluations] for split in repeated.splits]
    num_in, num_out = (tuple(r[0][k] for r in rows) for k in ("num_in", "num_out"))
    seconds = [[m["wall_clock_secs"] for m in e.document["manifests"]] for e in evaluations]
    over_members = np.mean if rows[0][0]["auroc_members"] else np.sum  # one trains, or all do
    of_method = {
        "method": paper.column(score, model, trained_on)[1] or results.score_label(document, score),
        "label": repeated.label,
        "model": model,
        "configuration": repeated.mark or None,
        "score": score,
        "trained_on": TRAINED_ON[trained_on.partition("/")[0]],
        "members": [evaluation.document["members"] for evaluation in evaluations],
        "train_datasets": [split.train_dataset for split in repeated.splits],
        "num_splits": len(repeated.splits),
        "num_in": num_in,
        "num_out": num_out,
        "test_rows": f"{_ends(num_in)} + {_ends(num_out)}",
        "seconds": float(np.mean([over_members(of_training) for of_training in seconds])),
        "evaluation_dirs": [str(evaluation.directory) for evaluation in evaluations],
    }
    as_sampled = float(np.mean([np.mean([row[PRECISION] for row in split]) for split in rows]))
    draws = [[_metrics(*draw) for draw in _draws(split, score)] for split in repeated.splits]
    for positive, metric in KINDS:
        values = [[100.0 * draw[positive][metric] for draw in of_split] for of_split in draws]
        splits = tuple(float(np.mean(of_split)) for of_split in values)
        ours, interval = float(np.mean(splits)), repetition.of_repeated_draws(values)
        theirs = paper.value(trained_on, FRAUD, score, model, metric)
        yield of_method | {
            "metric": metric,
            "positive": positive,
            "ours": ours,
            "splits": splits,
            "smallest": min(splits),
            "largest": max(splits),
            "sides": f"{min(splits):.1f} to {max(splits):.1f}",
            "splits_low": interval and interval.low,
            "splits_high": interval and interval.high,
            "as_sampled": as_sampled if (positive, metric) == (FRAUD, PRECISION) else None,
            "paper": theirs,
            "difference": None if theirs is None else ours - theirs,
            "verdict": verdicts.of_cell(
                ours, theirs if repeated.base is None else None, interval, metric == FPR
            ),
        }


def _draws(split: Configuration, score: str) -> Draws:
    """One a member of each evaluation, or an ensemble."""
    draws = []
    for evaluation in split.evaluations:
        (fraud,) = (ood for ood in evaluation.ood if ood.name == FRAUD)
        scores = evaluation.in_distribution.scores
        sign = -1.0 if evaluation.spec(score).direction == HIGHER_IS_NORMAL else 1.0
        for member in range(scores.num_members) if score in scores.member_scores else [None]:
            normal = evaluation.in_distribution.values(score, member)
            draws.append((sign * normal, sign * fraud.values(score, member)))
    return draws


def _metrics(normal: np.ndarray, fraud: np.ndarray) -> dict[str, dict[str, float]]:
    """Positive class -> metrics as fractions."""
    return {
        FRAUD: metrics.balanced_metrics(normal, fraud, LOWER_IS_NORMAL),
        NORMAL: metrics.balanced_metrics(fraud, normal, HIGHER_IS_NORMAL),
    }


def _ends(numbers: Sequence[int]) -> str:
    """E.g. "98 to 99"."""
    return " to ".join(map(str, sorted({min(numbers), max(numbers)})))


def _side_by_side(
    found: Found, positive: str, columns: Mapping[str, str], beside: Mapping[str, str]
) -> pd.DataFrame:
    """Facts of each method, then ours by every metric and what stands beside it."""
    parts = [
        shared.shown(found[kind, metric], {"ours": METRICS[metric], **beside})
        for kind, metric in KINDS
        if kind == positive
    ]
    return pd.concat([shared.shown(found[positive, FPR], columns), *parts], axis=1)


def _best(lines: pd.DataFrame, metric: str) -> pd.Series:
    return lines.sort_values("ours", ascending=metric == FPR, kind="stable").iloc[0]


def _hardest(unaware: pd.DataFrame, methods: Sequence[Method]) -> pd.DataFrame | None:
    """The frauds that decide FPR@95%TPR, of what saw none, against the best method by it.

    None where there is nothing to compare, or not all were evaluated on the same number of frauds.
    """
    if len(unaware) < 2 or unaware["num_out"].nunique() > 1:
        return None
    best = _best(unaware, FPR)
    firsts = {}  # the first model of each split
    for line in unaware.index:
        repeated, score = methods[line]
        firsts[line] = [_draws(split, score)[0] for split in repeated.splits]
    shares = [hardest_shares(splits, firsts[best.name]) for splits in firsts.values()]
    names = ["normal rows above", f"shared with {best['method']}"]
    found = pd.DataFrame(shares, unaware.index, columns=names)
    found.loc[best.name, names[1]] = np.nan
    return shared.shown(unaware, METHOD).join(found)


def hardest_shares(splits: Draws, reference: Draws) -> tuple[float, float]:
    """Of the frauds that decide FPR@95%TPR, see `hardest`; percent, in the mean over splits.

    The share of normal rows that are more anomalous than these frauds, in the mean over them; and
    the share of them that are also among those of another method, the reference, whose scores have
    the frauds in the same order.
    """
    above, shared = [], []
    for (normal, fraud), (_, others) in zip(splits, reference, strict=True):
        chosen = hardest(fraud)
        above.append(np.mean([np.mean(~(normal <= fraud[i])) for i in chosen]))  # NaN is above
        shared.append(np.isin(chosen, hardest(others)).mean())
    return 100.0 * float(np.mean(above)), 100.0 * float(np.mean(shared))


def hardest(fraud: np.ndarray) -> np.ndarray:
    """Positions of the SHARE of frauds of the lowest scores, NaN being the lowest; one at least."""
    in_order = np.argsort(np.where(np.isnan(fraud), -np.inf, fraud), kind="stable")
    return in_order[: max(1, round(SHARE * len(fraud)))]
