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

from tfp_genens.artifact.spec import DIRECTIONS, HIGHER_IS_NORMAL
from tfp_genens.config import config_sha256
from tfp_genens.data.requests import listed
from tfp_genens.errors import UserError
from tfp_genens.evaluation import metrics, results, tables
from tfp_genens.paper import configurations, judged, repetition, verdicts
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.configurations import Configuration
from tfp_genens.paper.documents import Section, TableDocument
from tfp_genens.paper.judged import MARKS, percent, sentence
from tfp_genens.paper.repetition import Interval
from tfp_genens.paper.tables import hardest_frauds
from tfp_genens.reporting.evaluation_files import ARGUMENT, EvaluatedSet, Evaluation

TRAINED_ON = {"credit_fraud": "normal", "credit_fraud_labelled": "normal and fraud"}
"""Training set, whatever the split -> the rows that a model of it has seen."""
FRAUD = "fraud"

METRICS = {"fpr_at_95_tpr": "FPR@95%TPR", "auroc": "AUROC", "average_precision": "AP"}
"""Name -> heading, in the paper's order."""
LOWER_IS_BETTER = ("fpr_at_95_tpr",)
NORMAL = "normal"
CLASS_MATTERS = ("fpr_at_95_tpr", "average_precision")
"""Metrics that depend on which class is the positive one."""

RULE_HERE = (
    "The rule is Table 2's. It was written before any model was trained on this table; how it is "
    "carried over was written before this table's experiments were run, simple methods having "
    "been tried on two splits, and later VAEs and classifiers on one. For AUROC read the metric "
    "in question. Of FPR@95%TPR lower is better: what is judged is 100 minus it, the share of "
    "normal rows that pass. For its interval over ensembles read the one over splits. The first "
    "verdict that applies is given:"
)
ABOUT = (
    "Numbers are percent, fraud being the positive class: means over splits of the table, each "
    "split with models newly trained from a seed of its own. For a single-model score, a split's "
    "number is the mean over its members.",
    "The interval over splits is the 95 % t prediction interval for one further split and seed, "
    "because the paper's number is one such draw: of one model for a single-model score, whose "
    "variance between members is added, and of an ensemble for an ensemble score. It is meant for "
    f"five splits or more and given from {repetition.MIN_REPETITIONS}; the column says how many. "
    "Smallest and largest are those of the splits' numbers. Splits have different normal test "
    "rows and nearly the same training rows. Models that see no fraud are tested on all frauds of "
    "the table in every split, as the paper's are, so that no interval of theirs holds the luck of "
    "which frauds there are.",
    "Average precision depends on the share of fraud among the test rows. Here it is that of equal "
    "shares, as in the paper: where a split has fewer frauds than normal rows, its normal rows are "
    "given less weight, which changes neither FPR@95%TPR nor AUROC.",
    "Seconds are the wall-clock time in which a split's members were trained or fitted, loading "
    "the table apart, on whatever machine that was: of one member for a single-model score, of "
    "all together for an ensemble score.",
)
NORMAL_POSITIVE = (
    "The paper does not say which class is the positive one. Here it is fraud throughout, what is "
    "looked for. In the authors' code it is the normal rows for likelihoods and WAIC: FPR@95%TPR "
    "then is the share of frauds that pass where 95 % of the normal rows do, and average "
    "precision is that of finding normal rows. AUROC is the same. Here are the same scores by "
    "that reading, with verdicts of their own. It was added after trials on one split had been "
    "seen, because it explained them; the better of two readings is an easier test. Of which "
    "reading the paper's numbers of the classifier are is not known."
)
READ_FIRST = (
    "The paper says that its test set has 492 frauds, which are all there are, and not which "
    "frauds its classifier was trained on. Here the classifier is tested on frauds that it has not "
    "seen: a fifth of them a split, so that its FPR@95%TPR rests on fewer than a hundred.",
    "In the authors' code, features are scaled by statistics that include the test rows and the "
    "frauds, and for the classifier Time and Amount are standardised within each class, which "
    "tells it the label. Here every statistic is of training rows.",
    "The paper's text calls the ensemble's score in this table the variance of IWAE, its table "
    "calls it WAIC. The paper's number stands beside WAIC; the variance has a line of its own.",
)


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
    def trained_on(self) -> str:
        return TRAINED_ON[_without_split(self.first.train_dataset)]

    @property
    def scores(self) -> tuple[str, ...]:
        """All that every evaluation has; of ensembles of one, only the member's."""
        found = [evaluation.in_distribution.scores for evaluation in self.evaluations]
        names = list(found[0].member_scores)
        if all(scores.num_members > 1 for scores in found):
            names += found[0].ensemble_scores
        return tuple(
            name
            for name in names
            if all(name in {**s.member_scores, **s.ensemble_scores} for s in found)
        )


@dataclasses.dataclass(frozen=True)
class Number:
    """One metric of one method, percent.

    Attributes:
      ours: mean over splits.
      splits: each split's.
      interval: over splits, or None.
      theirs: the paper's, or None.
      verdict: one of verdicts.VERDICTS, or "" where nothing is judged.
    """

    ours: float
    splits: tuple[float, ...]
    interval: Interval | None
    theirs: float | None
    verdict: str


@dataclasses.dataclass(frozen=True)
class Method:
    """One line: a score of a configuration.

    Attributes:
      repeated: what the score is of.
      score: its name.
      column: what the paper calls it, or None.
      numbers: by metric, fraud being the positive class.
      normal_positive: by those of CLASS_MATTERS, normal rows being the positive class.
      anomalies: of each split's first model, scores of normal rows and frauds, higher being more
        anomalous.
      as_sampled: average precision at the test rows' own share of fraud, percent.
      num_in: normal test rows of the splits.
      num_out: frauds among the test rows of the splits.
      seconds: to train, a split.
    """

    repeated: Repeated
    score: str
    column: str | None
    numbers: Mapping[str, Number]
    normal_positive: Mapping[str, Number]
    anomalies: tuple[tuple[np.ndarray, np.ndarray], ...]
    as_sampled: float
    num_in: tuple[int, ...]
    num_out: tuple[int, ...]
    seconds: float

    @property
    def name(self) -> str:
        """The paper's, or else the score's."""
        return self.column or results.score_label(self.repeated.document, self.score)


def table(evaluations: Sequence[Evaluation]) -> TableDocument:
    """Table 3 from evaluations of models trained on splits of the card-fraud table.

    Raises:
      UserError: an evaluation of another training set, or without the fraud set; evaluations of
        one configuration and split that share members.
    """
    for evaluation in evaluations:
        _check(evaluation)
    repeated = _repeated(evaluations)
    methods = [_method(one, score) for one in repeated for score in one.scores]
    order = list(dict.fromkeys(column for _, ood, column in paper.results() if ood == FRAUD))
    methods.sort(
        key=lambda m: order.index(m.column) if m.column and m.repeated.base is None else len(order)
    )
    found = [number.verdict for m in methods for number in m.numbers.values() if number.verdict]
    swapped = [n.verdict for m in methods for n in m.normal_positive.values() if n.verdict]
    return TableDocument(
        title="Table 3: detecting card fraud",
        text=(
            RULE_HERE,
            *(f"{k}. {line}" for k, line in enumerate(verdicts.RULE, 1)),
            *ABOUT,
            f"Numbers judged: {len(found)}. {sentence(judged.count(found))} With normal rows as "
            f"the positive class, FPR@95%TPR and AP alone: {judged.count(swapped)}",
        ),
        sections=(
            _overview(methods, repeated),
            _normal_positive_section(methods),
            *_hardest_section(methods),
            *(_metric_section(methods, metric) for metric in METRICS),
        ),
        records=tuple(
            _record(method, metric, positive, number)
            for method in methods
            for positive, numbers in ((FRAUD, method.numbers), (NORMAL, method.normal_positive))
            for metric, number in numbers.items()
        ),
    )


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
    bases: dict[str, list[Configuration]] = {}
    repeated = []
    for (model, *_), splits in together.items():
        earlier = bases.setdefault(model, [])
        base = earlier[0] if earlier else None
        mark = string.ascii_lowercase[len(earlier)] if earlier else ""
        repeated.append(Repeated(tuple(splits), base, mark))
        earlier.append(splits[0])
    return repeated


def _method(repeated: Repeated, score: str) -> Method:
    draws = [_draws(split, score) for split in repeated.splits]
    document = repeated.document

    def number(positive: str, metric: str) -> Number:
        values = [[100.0 * draw[positive][metric] for draw in of_split] for of_split in draws]
        splits = tuple(float(np.mean(of_split)) for of_split in values)
        ours = float(np.mean(splits))
        interval = repetition.of_repeated_draws(values)
        theirs = paper.value(document["train_dataset"], FRAUD, score, document["model"], metric)
        verdict = ""
        if theirs is not None and repeated.base is None:
            verdict = _verdict(metric, ours, theirs, interval)
        return Number(ours, splits, interval, theirs, verdict)

    rows = [[e.row(FRAUD, score) for e in split.evaluations] for split in repeated.splits]
    as_sampled = [np.mean([row["average_precision"] for row in of_split]) for of_split in rows]
    return Method(
        repeated=repeated,
        score=score,
        column=_column(score, document["model"]),
        numbers={metric: number(FRAUD, metric) for metric in METRICS},
        normal_positive={metric: number(NORMAL, metric) for metric in CLASS_MATTERS},
        anomalies=tuple(_anomalies(split.first, score) for split in repeated.splits),
        as_sampled=float(np.mean(as_sampled)),
        num_in=tuple(of_split[0]["num_in"] for of_split in rows),
        num_out=tuple(of_split[0]["num_out"] for of_split in rows),
        seconds=float(np.mean([_seconds(e, score) for e in repeated.evaluations])),
    )


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


def _anomalies(evaluation: Evaluation, score: str) -> tuple[np.ndarray, np.ndarray]:
    sign = -1.0 if evaluation.spec(score).direction == HIGHER_IS_NORMAL else 1.0
    member = _members(evaluation, score)[0]
    parts = (evaluation.in_distribution, _fraud(evaluation))
    normal, fraud = (sign * part.values(score, member) for part in parts)
    return normal, fraud


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
    if metric not in LOWER_IS_BETTER:
        return verdicts.verdict(ours, theirs, ends)
    mirrored = None if ends is None else (100.0 - ends[1], 100.0 - ends[0])
    return verdicts.verdict(100.0 - ours, 100.0 - theirs, mirrored)


def _overview(methods: Sequence[Method], repeated: Sequence[Repeated]) -> Section:
    header = ["Method", "model", "trained on", "splits"]
    for heading in METRICS.values():
        header += [heading, "paper", ""]
    header += ["seconds"]
    body = []
    for method in methods:
        line = [method.name, method.repeated.label, method.repeated.trained_on]
        line += [str(len(method.repeated.splits))]
        for metric in METRICS:
            number = method.numbers[metric]
            line += [percent(number.ours), percent(number.theirs), MARKS[number.verdict]]
        body.append((*line, f"{method.seconds:.1f}"))
    return Section(
        "All methods",
        (
            f"{judged.legend()} The paper's methods come first. Of each model, the first "
            "configuration given is judged. What was trained on fraud presupposes to know what "
            "anomalies look like.",
            *_best(methods),
        ),
        tuple(header),
        tuple(body),
        notes=(
            *READ_FIRST,
            *(
                f"({one.mark}): {configurations.differences(one.first, one.base)}."
                for one in repeated
                if one.base is not None
            ),
            *(note for one in repeated if one.base is None for note in _departures(one)),
        ),
    )


def _normal_positive_section(methods: Sequence[Method]) -> Section:
    header = ["Method", "model"]
    for metric in CLASS_MATTERS:
        header += [METRICS[metric], "over splits", "paper", ""]
    body = []
    for method in methods:
        line = [method.name, method.repeated.label]
        for metric in CLASS_MATTERS:
            number = method.normal_positive[metric]
            line += [percent(number.ours), _over_splits(number)]
            line += [percent(number.theirs), MARKS[number.verdict]]
        body.append(tuple(line))
    return Section(
        "With normal rows as the positive class", (NORMAL_POSITIVE,), tuple(header), tuple(body)
    )


def _hardest_section(methods: Sequence[Method]) -> tuple[Section, ...]:
    """Of what saw no fraud, where all were evaluated on the same number of frauds."""
    comparable = _unaware(methods)
    if len(comparable) < 2 or len({method.num_out for method in comparable}) > 1:
        return ()
    scored = [hardest_frauds.Scored(m.name, m.repeated.label, m.anomalies) for m in comparable]
    metric = "fpr_at_95_tpr"
    best = min(range(len(comparable)), key=lambda k: comparable[k].numbers[metric].ours)
    return (hardest_frauds.section(scored, scored[best]),)


def _unaware(methods: Sequence[Method]) -> list[Method]:
    """Those that saw no fraud."""
    return [m for m in methods if m.repeated.trained_on == TRAINED_ON["credit_fraud"]]


def _over_splits(number: Number) -> str:
    interval = number.interval
    return "-" if interval is None else tables.interval(interval.low, interval.high)


def _best(methods: Sequence[Method]) -> tuple[str, ...]:
    """Which method that saw no fraud is the best, by each metric."""
    unaware = _unaware(methods)
    if len(unaware) < 2:
        return ()
    parts = []
    for metric, heading in METRICS.items():
        sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
        best = max(unaware, key=lambda m: sign * m.numbers[metric].ours)
        parts.append(
            f"{heading}: {best.name}, {best.repeated.label} ({best.numbers[metric].ours:.1f})"
        )
    return (
        f"Best of the {len(unaware)} methods that saw no fraud, picked with hindsight: "
        f"{'; '.join(parts)}.",
    )


def _departures(repeated: Repeated) -> tuple[str, ...]:
    document = repeated.document
    deviations = paper.deviations(
        repeated.first.model,
        repeated.first.train_dataset,
        repeated.first.config,
        document["members"],
        document["settings"]["num_examples"],
    )
    return tuple(f"Departs from the paper ({repeated.first.model}): {text}" for text in deviations)


def _metric_section(methods: Sequence[Method], metric: str) -> Section:
    is_precision = metric == "average_precision"
    header = ["Method", "model", "test rows", "ours", "over splits", "smallest to largest"]
    header += ["as sampled"] if is_precision else []
    header += ["paper", "difference", "verdict"]
    body = []
    for method in methods:
        number = method.numbers[metric]
        line = [method.name, method.repeated.label, _test_rows(method), percent(number.ours)]
        line += [_over_splits(number)]
        line += [f"{min(number.splits):.1f} to {max(number.splits):.1f}"]
        line += [percent(method.as_sampled)] if is_precision else []
        line += [percent(number.theirs), judged.difference(number.ours, number.theirs)]
        body.append((*line, number.verdict or "-"))
    what = "lower is better" if metric in LOWER_IS_BETTER else "higher is better"
    text = [f"Percent; {what}. Test rows are normal + fraud, in each split."]
    if is_precision:
        text += ["As sampled: at the test rows' own share of fraud, which the paper's is not."]
    return Section(METRICS[metric], (" ".join(text),), tuple(header), tuple(body))


def _test_rows(method: Method) -> str:
    """E.g. "492 + 98 to 99"."""
    parts = (sorted({min(found), max(found)}) for found in (method.num_in, method.num_out))
    return " + ".join(" to ".join(map(str, ends)) for ends in parts)


def _record(method: Method, metric: str, positive: str, number: Number) -> dict[str, Any]:
    repeated, interval, theirs = method.repeated, number.interval, number.theirs
    has_own_share = (metric, positive) == ("average_precision", FRAUD)
    return {
        "method": method.name,
        "model": repeated.first.model,
        "configuration": repeated.mark or None,
        "score": method.score,
        "trained_on": repeated.trained_on,
        "members": [evaluation.document["members"] for evaluation in repeated.evaluations],
        "metric": metric,
        "positive": positive,
        "ours": number.ours,
        "splits_low": interval and interval.low,
        "splits_high": interval and interval.high,
        "num_splits": len(number.splits),
        "train_datasets": [split.train_dataset for split in repeated.splits],
        "splits": number.splits,
        "smallest": min(number.splits),
        "largest": max(number.splits),
        "as_sampled": method.as_sampled if has_own_share else None,
        "paper": theirs,
        "difference": None if theirs is None else number.ours - theirs,
        "verdict": number.verdict or None,
        "num_in": method.num_in,
        "num_out": method.num_out,
        "seconds": method.seconds,
        "evaluation_dirs": [str(evaluation.directory) for evaluation in repeated.evaluations],
    }
