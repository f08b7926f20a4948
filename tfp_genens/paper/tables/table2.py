"""Table 2 of the paper: AUROC of every OoD set and score, ours beside the paper's, judged by rule.

Its columns are of several models. The first configuration of each model on a training set is judged
against the paper, and all these make up one overview. Further ones, e.g. another beta, are shown
beside the paper's numbers without verdicts, which are of other settings. Models that the paper does
not have, such as nearest neighbours, have columns of their own without numbers of the paper's.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tfp_genens.errors import UserError
from tfp_genens.evaluation import accuracy, metrics, results, rows, tables
from tfp_genens.paper import (
    configurations,
    ensemble_scores,
    frame,
    judged,
    labels,
    repetition,
    verdicts,
)
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.configurations import Configuration, describe_members
from tfp_genens.paper.documents import Document
from tfp_genens.paper.judged import MARKS, NOT_EVALUATED
from tfp_genens.paper.repetition import Interval
from tfp_genens.reporting.evaluation_files import ARGUMENT, EvaluatedSet, Evaluation

KEYS = ["ood_dataset", "score", "evaluation"]
RECORDS = [
    *("train_dataset", "model", "evaluation_dir", "members", "ood_dataset", "score"),
    *("auroc", "auroc_low", "auroc_high"),
    *("ensembles_low", "ensembles_high", "ensembles_method", "ensembles_num_values"),
    *("paper_auroc", "difference", "verdict", *frame.COUNTS),
]


@dataclasses.dataclass(frozen=True)
class Panel:
    """One configuration's cells.

    Attributes:
      configuration: what they are of.
      base: the configuration that is judged, of the same model and training set; maybe this one.
      cells: columns RECORDS, one row an OoD set, score and evaluation, in this order; what is
        judged stands with the first evaluation. Missing numbers of ours: the set was not evaluated.
    """

    configuration: Configuration
    base: Configuration
    cells: pd.DataFrame

    @property
    def is_base(self) -> bool:
        """Whether this is the first configuration of its model: part of the overview."""
        return self.base is self.configuration

    @property
    def is_in_paper(self) -> bool:
        """Whether the paper has numbers of this model on this training set."""
        return bool(self.cells["paper_auroc"].notna().any())

    @property
    def is_judged(self) -> bool:
        return self.is_base and self.is_in_paper

    @property
    def model(self) -> str:
        return self.configuration.model

    @property
    def document(self) -> Mapping[str, Any]:
        """results.json of the evaluation shown."""
        return self.configuration.first.document

    @property
    def scores(self) -> list[str]:
        return list(self.cells["score"].unique())

    @property
    def verdicts(self) -> list[str]:
        return self.cells["verdict"].dropna().tolist()

    def of_score(self, score: str, position: int = 0) -> pd.DataFrame:
        """The cells of one evaluation, by OoD set."""
        directory = str(self.configuration.evaluations[position].directory)
        cells = self.cells[self.cells["score"] == score].set_index("ood_dataset")
        return cells[cells["evaluation_dir"] == directory]


def table(evaluations: Sequence[Evaluation]) -> Document:
    """Table 2 from one or more evaluations.

    Raises:
      UserError: a training set or model that Table 2 has no numbers for; evaluations that share
        members.
    """
    panels = _panels(evaluations)
    trained = dict.fromkeys(panel.configuration.train_dataset for panel in panels)
    beyond = dict.fromkeys(
        f"{panel.model} on {_train_label(panel)}" for panel in panels if not panel.is_in_paper
    )
    context = {
        "verdicts_found": [found for panel in panels for found in panel.verdicts],
        "beyond": list(beyond),
        "trained": [
            _trained([p for p in panels if p.configuration.train_dataset == name])
            for name in trained
        ],
    }
    return Document("table2", context, pd.concat([panel.cells for panel in panels])[RECORDS])


def _panels(evaluations: Sequence[Evaluation]) -> list[Panel]:
    """One a configuration; the first of each model on a training set is judged."""
    bases: dict[tuple[str, str], Configuration] = {}
    grouped = configurations.group(evaluations)
    for configuration in grouped:
        if configuration.train_dataset not in paper.train_datasets():
            raise UserError(
                ARGUMENT,
                "evaluations of what the paper's Table 2 has numbers for",
                f"{configuration.first.directory}, of {configuration.model} on "
                f"{configuration.train_dataset}",
            )
    given = {id(evaluation): position for position, evaluation in enumerate(evaluations)}
    found = frame.results(evaluations)
    found = found[found["metric"].eq("auroc") & found["member"].isna()]
    panels = []
    for number, configuration in enumerate(grouped):
        key = (configuration.train_dataset, configuration.model)
        base = bases.setdefault(key, configuration)
        of_configuration = found[found["configuration"] == number].set_index(KEYS)
        own = {given[id(evaluation)]: evaluation for evaluation in configuration.evaluations}
        cells = _cells(configuration, own, of_configuration, base is configuration)
        panels.append(Panel(configuration, base, cells))
    return panels


def _cells(
    configuration: Configuration,
    evaluations: Mapping[int, Evaluation],
    found: pd.DataFrame,
    is_judged: bool,
) -> pd.DataFrame:
    """Set by set: the paper's rows in its order, then those that only we have.

    Args:
      configuration: what the cells are of.
      evaluations: its evaluations, by the position among those given.
      found: their AUROC by KEYS, see `frame.results`.
      is_judged: whether cells get verdicts.
    """
    first, model = configuration.first, configuration.model
    train_dataset = configuration.train_dataset
    scores = list(paper.main_scores(first.document["main_scores"], model))
    if not any(paper.columns(name, model) for name in scores):  # beyond the paper: single models
        scores = list(first.in_distribution.scores.member_scores)

    def theirs(ood: str, score: str) -> float | None:
        return paper.value(train_dataset, ood, score, model)

    in_paper = [name for name in _paper_sets(train_dataset) if any(theirs(name, s) for s in scores)]
    sets = dict.fromkeys([*in_paper, *(ood.name for ood in first.ood)])
    keys = pd.MultiIndex.from_product([sets, scores, evaluations], names=KEYS)
    cells = found.reindex(keys).reset_index()
    cells = cells.rename(columns={"value": "auroc", "low": "auroc_low", "high": "auroc_high"})
    of_rows = [evaluations[position] for position in cells["evaluation"]]
    pairs = list(zip(cells["ood_dataset"], cells["score"], strict=True))
    cells["train_dataset"], cells["model"] = train_dataset, model
    cells["evaluation_dir"] = [str(evaluation.directory) for evaluation in of_rows]
    cells["members"] = [configurations.member_names(evaluation) for evaluation in of_rows]
    cells["paper_auroc"] = pd.Series([theirs(*pair) for pair in pairs], dtype=float)
    cells["difference"] = cells["auroc"] - cells["paper_auroc"]
    intervals = [
        interval_over_ensembles(configuration, *pair) if is_there and one is first else None
        for pair, one, is_there in zip(pairs, of_rows, cells["difference"].notna(), strict=True)
    ]
    for name in ("low", "high", "method", "num_values"):
        values: list[Any] = [interval and getattr(interval, name) for interval in intervals]
        cells[f"ensembles_{name}"] = values
    cells["verdict"] = [
        _verdict(ours, paper_auroc, interval) if is_judged and one is first else None
        for ours, paper_auroc, interval, one in zip(
            cells["auroc"], cells["paper_auroc"], intervals, of_rows, strict=True
        )
    ]
    return cells


def _paper_sets(train_dataset: str) -> list[str]:
    """The OoD sets of the paper's rows, in its order."""
    return list(dict.fromkeys(ood for train, ood, _ in paper.results() if train == train_dataset))


def _verdict(ours: float, theirs: float, interval: Interval | None) -> str | None:
    if pd.isna(theirs):
        return None
    if pd.isna(ours):
        return NOT_EVALUATED
    ends = None if interval is None else (interval.low, interval.high)
    return verdicts.verdict(ours, theirs, ends)


def interval_over_ensembles(
    configuration: Configuration, ood_dataset: str, score: str
) -> Interval | None:
    """For one repetition of a cell, see `repetition`; from the score files of the members.

    Args:
      configuration: evaluations of disjoint members; further ensembles count where they were
        judged on the same inputs and have as many members as the first.
      ood_dataset: a set that the first evaluation has.
      score: a member's or an ensemble's.

    Returns:
      None where there are too few members, or the score rests on more than their outputs.
    """
    pairs = [
        (evaluation, ood)
        for evaluation in configuration.evaluations
        for ood in evaluation.ood
        if ood.name == ood_dataset and configurations.same_inputs(evaluation, configuration.first)
    ]
    first, first_ood = pairs[0]
    outputs = first.in_distribution.scores.member_scores
    if score in outputs:
        return repetition.of_draws(
            [
                _auroc(evaluation, ood, score, member)
                for evaluation, ood in pairs
                for member in evaluation.row(ood_dataset, score)["members_used"]
            ]
        )
    num_members = first.document["members"]
    alike = [(e, ood) for e, ood in pairs if e.document["members"] == num_members]
    over_ensembles = repetition.of_draws([_auroc(e, ood, score, None) for e, ood in alike])
    if over_ensembles is not None:
        return over_ensembles
    combined = ensemble_scores.available(outputs).get(score)
    if combined is None:
        return None
    (entry,) = (e for e in first.document["sets"] if e["name"] == ood_dataset)
    return repetition.of_one_ensemble(
        {name: rows.member_values(first.in_distribution.scores, name) for name in outputs},
        {name: rows.member_values(first_ood.scores, name) for name in outputs},
        combined,
        entry["attacked_members"] or (),
    )


def _auroc(evaluation: Evaluation, ood: EvaluatedSet, score: str, member: int | None) -> float:
    in_values = evaluation.in_distribution.values(score, member)
    direction = evaluation.spec(score).direction
    return 100.0 * metrics.auroc(in_values, ood.values(score, member), direction)


def _trained(panels: Sequence[Panel]) -> dict[str, Any]:
    """What is shown of one training set: its models together, then each further configuration."""
    bases = [panel for panel in panels if panel.is_base]
    columns = _columns(bases)
    attacked = [configurations.attacked_sets(panel.configuration.first) for panel in bases]
    counts = collections.Counter(label for of_panel in attacked for label in of_panel)
    adversarial = any(
        panel.cells["verdict"][panel.cells["ood_dataset"] == paper.ADVERSARIAL].notna().any()
        for panel in bases
    )
    return {
        "label": _train_label(bases[0]),
        "bases": [_panel(panel) for panel in bases],
        "overview": _overview(columns),
        "adversarial": adversarial and results.dataset_label(bases[0].document, paper.ADVERSARIAL),
        "attacked": [label for label, count in counts.items() if count > 1],
        "scores": [_score(panel, score) for panel, score in columns],
        "further": [
            {
                "panel": _panel(panel),
                "overview": _overview(_columns([panel])),
                "scores": [_score(panel, score) for score in panel.scores],
            }
            for panel in panels
            if not panel.is_base
        ],
    }


def _panel(panel: Panel) -> dict[str, Any]:
    document = panel.document
    return {
        "heading": _heading(panel),
        "model": panel.model,
        "members": document["members"],
        "who": describe_members(panel.configuration.first),
        "run_dir": document["settings"]["run_dir"],
        "num_in": document["num_in"],
        "is_in_paper": panel.is_in_paper,
        "verdicts": panel.verdicts,
        "accuracy": accuracy.note(document),
        "departures": paper.departures(document),
    }


def _train_label(panel: Panel) -> str:
    return results.dataset_label(panel.document, panel.configuration.train_dataset)


def _heading(panel: Panel) -> str:
    heading = tables.heading(panel.document)
    if panel.is_base:
        return heading
    return f"{heading}; {configurations.differences(panel.configuration, panel.base)}"


def _columns(panels: Sequence[Panel]) -> list[tuple[Panel, str]]:
    """The panels' scores, in the order of the paper's columns; then those that only we have."""
    order = list(dict.fromkeys(column for _, _, column in paper.results()))

    def place(column: tuple[Panel, str]) -> int:
        panel, score = column
        theirs = paper.columns(score, panel.model)
        return order.index(theirs[0]) if theirs else len(order)

    return sorted(((panel, score) for panel in panels for score in panel.scores), key=place)


def _overview(columns: Sequence[tuple[Panel, str]]) -> pd.DataFrame:
    """Ours and, where the paper has the score, its number and our mark, if judged.

    The rows are the paper's in its order, then those that only we have.
    """
    theirs = _paper_sets(columns[0][0].configuration.train_dataset)
    ours = dict.fromkeys(ood for panel, _ in columns for ood in panel.cells["ood_dataset"])
    sets = [*(name for name in theirs if name in ours), *(n for n in ours if n not in theirs)]
    names = [_column_name(panel, score) for panel, score in columns]
    documents = [panel.document for panel, _ in columns]
    parts = [pd.Series({ood: labels.dataset_label(documents, ood) for ood in sets}, name="OoD set")]
    for (panel, score), name in zip(columns, names, strict=True):
        cells = panel.of_score(score).reindex(sets)
        parts.append(
            cells["auroc"].rename(f"{name}, {panel.model}" if names.count(name) > 1 else name)
        )
        if panel.is_in_paper:
            parts.append(cells["paper_auroc"].rename("paper"))
        if panel.is_judged:
            parts.append(cells["verdict"].map(MARKS).rename(""))
    return pd.concat(parts, axis=1)


def _column_name(panel: Panel, score: str) -> str:
    """The paper's, where it has one: VIB's rate is its column VIB."""
    theirs = paper.columns(score, panel.model)
    return theirs[0] if len(theirs) == 1 else results.score_label(panel.document, score)


def _score(panel: Panel, score: str) -> dict[str, Any]:
    """One score's table, without the paper's columns where it has none; what intervals rest on."""
    cells = panel.of_score(score)
    labelled = [results.dataset_label(panel.document, ood) for ood in cells.index]
    over_inputs = judged.intervals(cells["auroc_low"], cells["auroc_high"])
    columns: frame.Columns = [("OoD set", labelled), ("ours", cells["auroc"].tolist())]
    columns += [("over inputs", over_inputs)]
    if panel.is_in_paper:
        over_ensembles = judged.intervals(cells["ensembles_low"], cells["ensembles_high"])
        columns += [("over ensembles", over_ensembles)]
    for position, evaluation in enumerate(panel.configuration.evaluations[1:], 1):
        of_further = panel.of_score(score, position)["auroc"].tolist()
        columns += [(describe_members(evaluation), of_further)]
    if panel.is_in_paper:
        columns += [("paper", cells["paper_auroc"].tolist())]
        columns += [("difference", judged.differences(cells["difference"]))]
    if panel.is_judged:
        columns += [("verdict", cells["verdict"].tolist())]
    intervals = cells.dropna(subset="ensembles_method").drop_duplicates(
        ["ensembles_method", "ensembles_num_values"]
    )
    return {
        "heading": f"{_heading(panel)}: {results.score_label(panel.document, score)}",
        "table": frame.side_by_side(columns),
        "intervals": intervals[["ensembles_method", "ensembles_num_values"]].values.tolist(),
    }
