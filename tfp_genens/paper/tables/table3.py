"""Table 3 of the paper: detecting card fraud, by FPR@95%TPR, AUROC and average precision.

One line a method, which is a score of a model; its numbers are means over repeated splits of the
table. Evaluations that differ in nothing but split and seed are repetitions of one another. The
first configuration of each model is judged against the paper; further ones, and what the paper
does not have, stand beside it.
"""

from __future__ import annotations

import dataclasses
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfp_genens.artifact.spec import DIRECTIONS, HIGHER_IS_NORMAL
from tfp_genens.config import config_sha256
from tfp_genens.data.requests import listed
from tfp_genens.errors import UserError
from tfp_genens.evaluation import metrics, results
from tfp_genens.paper import configurations, frame, judged, repetition, verdicts
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.configurations import Configuration
from tfp_genens.paper.documents import Document
from tfp_genens.paper.judged import MARKS
from tfp_genens.paper.repetition import Interval
from tfp_genens.reporting.evaluation_files import ARGUMENT, EvaluatedSet, Evaluation

TRAINED_ON = {"credit_fraud": "normal", "credit_fraud_labelled": "normal and fraud"}
"""Training set, whatever the split -> the rows that a model of it has seen."""
FRAUD, NORMAL = "fraud", "normal"
FPR, PRECISION = "fpr_at_95_tpr", "average_precision"
METRICS = {FPR: "FPR@95%TPR", "auroc": "AUROC", PRECISION: "AP"}
"""Name -> heading, in the paper's order."""
CLASS_MATTERS = (FPR, PRECISION)
"""Metrics that depend on which class is the positive one."""
Splits = Sequence[tuple[np.ndarray, np.ndarray]]
"""Of each split, scores of normal rows and of frauds, higher being more anomalous."""
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
    def evaluations(self) -> tuple[Evaluation, ...]:
        return tuple(e for split in self.splits for e in split.evaluations)

    @property
    def document(self) -> Mapping[str, Any]:
        return self.first.first.document

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


def table(evaluations: Sequence[Evaluation]) -> Document:
    """Table 3 from evaluations of models trained on splits of the card-fraud table.

    Raises:
      UserError: an evaluation of another training set, or without the fraud set; evaluations of
        one configuration and split that share members.
    """
    for evaluation in evaluations:
        _check(evaluation)
    repeated = _repeated(evaluations)
    methods = [(one, score) for one in repeated for score in one.scores]
    in_paper = [column for _, ood, column in paper.results() if ood == FRAUD]

    def place(method: tuple[Repeated, str]) -> int:
        column = _column(method[1], method[0].first.model)
        if column is None or method[0].base is not None:
            return len(in_paper)
        return in_paper.index(column)

    methods.sort(key=place)
    numbers = pd.DataFrame(
        {"line": line, **record}
        for line, (one, score) in enumerate(methods)
        for record in _numbers(one, score)
    )
    lines = numbers.drop_duplicates("line").set_index("line")
    unaware = lines.index[lines["trained_on"] == TRAINED_ON["credit_fraud"]]
    of_verdicts = {
        positive: of_positive["verdict"].dropna().tolist()
        for positive, of_positive in numbers.groupby("positive")
    }
    context = {
        "min_splits": repetition.MIN_REPETITIONS,
        "judged_fraud": of_verdicts[FRAUD],
        "judged_normal": of_verdicts[NORMAL],
        "overview": _overview(numbers, lines),
        "best": _best(numbers, lines.loc[unaware]),
        "num_unaware": len(unaware),
        "further": [
            (one.mark, configurations.differences(one.first, one.base))
            for one in repeated
            if one.base is not None
        ],
        "departures": [
            (one.first.model, paper.departures(one.document))
            for one in repeated
            if one.base is None
        ],
        "normal_positive": _normal_positive(numbers, lines),
        "hardest": _hardest(numbers, lines.loc[unaware], methods),
        "metrics": [
            {"name": name, "heading": heading, "table": _metric(numbers, name)}
            for name, heading in METRICS.items()
        ],
    }
    return Document("table3", context, numbers[RECORDS])


def _without_split(train_dataset: str) -> str:
    return re.sub(r"/\d+$", "", train_dataset)


def _check(evaluation: Evaluation) -> None:
    train_dataset = evaluation.document["train_dataset"]
    if _without_split(train_dataset) not in TRAINED_ON:
        raise UserError(
            ARGUMENT,
            f"evaluations of models trained on {listed(list(TRAINED_ON))}, or a split of them",
            f"{evaluation.directory}, of {evaluation.document['model']} on {train_dataset}",
        )
    if FRAUD not in [ood.name for ood in evaluation.ood]:
        raise UserError(
            ARGUMENT,
            f"evaluations of the set {FRAUD}",
            f"{evaluation.directory}, which has none of it",
        )


def _repeated(evaluations: Sequence[Evaluation]) -> list[Repeated]:
    """Configurations that are the same but for split and seed, in the order given."""
    together: dict[tuple[str, ...], list[Configuration]] = {}
    for configuration in configurations.group(evaluations):
        config = {k: v for k, v in configuration.config.items() if k not in ("seed", "dataset")}
        trained_on = _without_split(configuration.train_dataset)
        key = (configuration.model, trained_on, config_sha256(config))
        together.setdefault(key, []).append(configuration)
    earlier: dict[str, list[Configuration]] = {}
    repeated = []
    for (model, *_), splits in together.items():
        of_model = earlier.setdefault(model, [])
        base = of_model[0] if of_model else None
        mark = string.ascii_lowercase[len(of_model)] if of_model else ""
        repeated.append(Repeated(tuple(splits), base, mark))
        of_model.append(splits[0])
    return repeated


def _numbers(repeated: Repeated, score: str) -> list[dict[str, Any]]:
    """The records of one method: each metric, and those of CLASS_MATTERS with either class."""
    document = repeated.document
    column = _column(score, document["model"])
    rows = [[e.row(FRAUD, score) for e in split.evaluations] for split in repeated.splits]
    as_sampled = [np.mean([row[PRECISION] for row in of_split]) for of_split in rows]
    of_method = {
        "method": column or results.score_label(document, score),
        "label": repeated.label,
        "model": document["model"],
        "configuration": repeated.mark or None,
        "score": score,
        "trained_on": TRAINED_ON[_without_split(document["train_dataset"])],
        "members": [evaluation.document["members"] for evaluation in repeated.evaluations],
        "train_datasets": [split.train_dataset for split in repeated.splits],
        "num_splits": len(repeated.splits),
        "num_in": tuple(of_split[0]["num_in"] for of_split in rows),
        "num_out": tuple(of_split[0]["num_out"] for of_split in rows),
        "seconds": float(np.mean([_seconds(e, score) for e in repeated.evaluations])),
        "evaluation_dirs": [str(evaluation.directory) for evaluation in repeated.evaluations],
    }
    draws = [_draws(split, score) for split in repeated.splits]
    which = [(FRAUD, metric) for metric in METRICS] + [(NORMAL, metric) for metric in CLASS_MATTERS]
    found = []
    for positive, metric in which:
        values = [[100.0 * draw[positive][metric] for draw in of_split] for of_split in draws]
        theirs = paper.value(document["train_dataset"], FRAUD, score, document["model"], metric)
        record = of_method | _number(values, metric, theirs, repeated.base is None)
        own_share = float(np.mean(as_sampled)) if (metric, positive) == (PRECISION, FRAUD) else None
        found.append(record | {"metric": metric, "positive": positive, "as_sampled": own_share})
    return found


def _number(
    values: list[list[float]], metric: str, theirs: float | None, is_judged: bool
) -> dict[str, Any]:
    """One metric: mean over splits, interval, verdict; `values` are percent, by split and draw."""
    splits = tuple(float(np.mean(of_split)) for of_split in values)
    ours = float(np.mean(splits))
    interval = repetition.of_repeated_draws(values)
    return {
        "ours": ours,
        "splits": splits,
        "smallest": min(splits),
        "largest": max(splits),
        "splits_low": interval and interval.low,
        "splits_high": interval and interval.high,
        "paper": theirs,
        "difference": None if theirs is None else ours - theirs,
        "verdict": None
        if theirs is None or not is_judged
        else _verdict(metric, ours, theirs, interval),
    }


def _column(score: str, model: str) -> str | None:
    """What the paper's Table 3 calls a score."""
    in_table = [column for _, ood, column in paper.results() if ood == FRAUD]
    return next((column for column in paper.columns(score, model) if column in in_table), None)


def _draws(split: Configuration, score: str) -> list[dict[str, dict[str, float]]]:
    """Positive class -> metrics as fractions: one draw a member, or an ensemble."""
    draws = []
    for evaluation in split.evaluations:
        direction = evaluation.spec(score).direction
        (other,) = set(DIRECTIONS) - {direction}
        for member in _members(evaluation, score):
            normal = evaluation.in_distribution.values(score, member)
            fraud = _fraud(evaluation).values(score, member)
            draws.append(
                {
                    FRAUD: metrics.balanced_metrics(normal, fraud, direction),
                    NORMAL: metrics.balanced_metrics(fraud, normal, other),
                }
            )
    return draws


def _members(evaluation: Evaluation, score: str) -> Sequence[int | None]:
    """Positions of those that have a single-model score; None stands for the ensemble."""
    scores = evaluation.in_distribution.scores
    return range(scores.num_members) if score in scores.member_scores else [None]


def _fraud(evaluation: Evaluation) -> EvaluatedSet:
    return next(ood for ood in evaluation.ood if ood.name == FRAUD)


def _seconds(evaluation: Evaluation, score: str) -> float:
    """Of training: a member's, or all members' for an ensemble score."""
    seconds = [manifest["wall_clock_secs"] for manifest in evaluation.document["manifests"]]
    is_single = score in evaluation.in_distribution.scores.member_scores
    return float(np.mean(seconds) if is_single else np.sum(seconds))


def _verdict(metric: str, ours: float, theirs: float, interval: Interval | None) -> str:
    ends = None if interval is None else (interval.low, interval.high)
    if metric != FPR:
        return verdicts.verdict(ours, theirs, ends)
    # Lower is better: what is judged is what passes.
    mirrored = None if ends is None else (100.0 - ends[1], 100.0 - ends[0])
    return verdicts.verdict(100.0 - ours, 100.0 - theirs, mirrored)


def _of(numbers: pd.DataFrame, metric: str, positive: str = FRAUD) -> pd.DataFrame:
    """One metric's numbers by line."""
    is_it = (numbers["metric"] == metric) & (numbers["positive"] == positive)
    return numbers[is_it].set_index("line")


def _over_splits(of_metric: pd.DataFrame) -> list[str | None]:
    return judged.intervals(of_metric["splits_low"], of_metric["splits_high"])


def _overview(numbers: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    columns: frame.Columns = [("Method", lines["method"]), ("model", lines["label"])]
    columns += [("trained on", lines["trained_on"]), ("splits", lines["num_splits"])]
    for metric, heading in METRICS.items():
        found = _of(numbers, metric)
        columns += [(heading, found["ours"]), ("paper", found["paper"])]
        columns += [("", found["verdict"].map(MARKS))]
    return frame.side_by_side([*columns, ("seconds", lines["seconds"].map("{:.1f}".format))])


def _best(numbers: pd.DataFrame, unaware: pd.DataFrame) -> list[tuple[str, pd.Series]]:
    """Which method that saw no fraud is the best, by each metric; none where there is no choice."""
    if len(unaware) < 2:
        return []
    return [(heading, _best_by(numbers, unaware, name)) for name, heading in METRICS.items()]


def _best_by(numbers: pd.DataFrame, unaware: pd.DataFrame, metric: str) -> pd.Series:
    found = _of(numbers, metric).loc[unaware.index]
    ours = found["ours"].to_numpy()
    return found.iloc[int(ours.argmin() if metric == FPR else ours.argmax())]


def _normal_positive(numbers: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    columns: frame.Columns = [("Method", lines["method"]), ("model", lines["label"])]
    for metric in CLASS_MATTERS:
        found = _of(numbers, metric, NORMAL)
        columns += [(METRICS[metric], found["ours"]), ("over splits", _over_splits(found))]
        columns += [("paper", found["paper"]), ("", found["verdict"].map(MARKS))]
    return frame.side_by_side(columns)


def _metric(numbers: pd.DataFrame, metric: str) -> pd.DataFrame:
    found = _of(numbers, metric)
    columns: frame.Columns = [("Method", found["method"]), ("model", found["label"])]
    columns += [("test rows", list(map(_test_rows, found["num_in"], found["num_out"])))]
    columns += [("ours", found["ours"]), ("over splits", _over_splits(found))]
    ends = zip(found["smallest"], found["largest"], strict=True)
    columns += [("smallest to largest", [f"{low:.1f} to {high:.1f}" for low, high in ends])]
    columns += [("as sampled", found["as_sampled"])] if metric == PRECISION else []
    columns += [("paper", found["paper"])]
    columns += [("difference", judged.differences(found["difference"]))]
    return frame.side_by_side([*columns, ("verdict", found["verdict"])])


def _test_rows(num_in: Sequence[int], num_out: Sequence[int]) -> str:
    """E.g. "492 + 98 to 99"."""
    parts = (sorted({min(found), max(found)}) for found in (num_in, num_out))
    return " + ".join(" to ".join(map(str, ends)) for ends in parts)


def _hardest(
    numbers: pd.DataFrame, unaware: pd.DataFrame, methods: Sequence[tuple[Repeated, str]]
) -> dict[str, Any] | None:
    """The frauds that decide FPR@95%TPR, of what saw none, against the best method by it.

    None where there is nothing to compare, or not all were evaluated on the same number of frauds.
    """
    if len(unaware) < 2 or unaware["num_out"].nunique() > 1:
        return None
    best = _best_by(numbers, unaware, FPR)
    anomalies = {
        line: [_anomalies(split.first, methods[line][1]) for split in methods[line][0].splits]
        for line in unaware.index
    }
    shares = [hardest_shares(splits, anomalies[best.name]) for splits in anomalies.values()]
    above, shared = (pd.Series(column, index=unaware.index) for column in zip(*shares, strict=True))
    columns: frame.Columns = [("Method", unaware["method"]), ("model", unaware["label"])]
    columns += [("normal rows above", above)]
    of_best = (f"shared with {best['method']}", shared.drop(best.name).reindex(unaware.index))
    return {"table": frame.side_by_side([*columns, of_best])}


def hardest_shares(splits: Splits, reference: Splits) -> tuple[float, float]:
    """Of the frauds that decide FPR@95%TPR, see `hardest`; percent, in the mean over splits.

    Args:
      splits: a method's scores; frauds are in the same order in every method.
      reference: those of another method.

    Returns:
      The share of normal rows that are more anomalous than these frauds, in the mean over them; and
      the share of them that are also among the other method's.
    """
    above, shared = [], []
    for (normal, fraud), (_, others) in zip(splits, reference, strict=True):
        chosen = hardest(fraud)
        above.append(np.mean([np.mean(~(normal <= fraud[i])) for i in chosen]))  # NaN is above
        shared.append(np.isin(chosen, hardest(others)).mean())
    return 100.0 * float(np.mean(above)), 100.0 * float(np.mean(shared))


def _anomalies(evaluation: Evaluation, score: str) -> tuple[np.ndarray, np.ndarray]:
    """Of the first model, scores of normal rows and of frauds, higher being more anomalous."""
    sign = -1.0 if evaluation.spec(score).direction == HIGHER_IS_NORMAL else 1.0
    member = _members(evaluation, score)[0]
    parts = (evaluation.in_distribution, _fraud(evaluation))
    normal, fraud = (sign * part.values(score, member) for part in parts)
    return normal, fraud


def hardest(fraud: np.ndarray) -> np.ndarray:
    """Positions of the SHARE of frauds of the lowest scores, NaN being the lowest; one at least."""
    in_order = np.argsort(np.where(np.isnan(fraud), -np.inf, fraud), kind="stable")
    return in_order[: max(1, round(SHARE * len(fraud)))]
