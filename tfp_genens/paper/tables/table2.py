"""Table 2 of the paper: AUROC of every OoD set and score, ours beside the paper's, judged by rule.

Its columns are of several models. The first configuration of each model on a training set is judged
against the paper, and all these make up one overview. Further ones, e.g. another beta, are shown
beside the paper's numbers without verdicts, which are of other settings. Models that the paper does
not have, such as nearest neighbours, have columns of their own without numbers of the paper's.
"""

import collections
import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import pandas as pd

from tfp_genens.errors import UserError
from tfp_genens.evaluation import results, rows, tables
from tfp_genens.paper import configurations, member_curve, repetition, shared, verdicts
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.documents import Document
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation

RECORDS = [
    *("train_dataset", "model", "evaluation_dir", "members", "ood_dataset", "score"),
    *("auroc", "auroc_low", "auroc_high"),
    *("ensembles_low", "ensembles_high", "ensembles_method", "ensembles_num_values"),
    *("paper_auroc", "difference", "verdict", *shared.COUNTS),
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

    configuration: configurations.Configuration
    base: configurations.Configuration
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
    def heading(self) -> str:
        differences = configurations.differences(self.configuration.first, self.base.first)
        return "; ".join(filter(None, [tables.heading(self.configuration.document), differences]))

    def of_score(self, score: str, position: int = 0) -> pd.DataFrame:
        """The cells of one evaluation, by OoD set."""
        is_it = self.cells["score"].eq(score) & self.cells["evaluation"].eq(position)
        return self.cells[is_it].set_index("ood_dataset")


def table(evaluations: Sequence[Evaluation]) -> Document:
    """Table 2 from one or more evaluations.

    Raises:
      UserError: a training set or model that Table 2 has no numbers for; evaluations that share
        members.
    """
    panels = _panels(evaluations)
    by_dataset: dict[str, list[Panel]] = {}
    for panel in panels:
        by_dataset.setdefault(panel.configuration.train_dataset, []).append(panel)
    beyond = [
        f"{panel.configuration.model} on {shared.train_label(panel.configuration.document)}"
        for panel in panels
        if not panel.is_in_paper
    ]
    trained = [
        {
            "together": _together([panel for panel in of_dataset if panel.is_base]),
            "further": [_together([panel]) for panel in of_dataset if not panel.is_base],
        }
        for of_dataset in by_dataset.values()
    ]
    cells = pd.concat([panel.cells for panel in panels])
    context = {"cells": cells, "beyond": beyond, "trained": trained}
    return Document("table2", context, cells[RECORDS])


def _panels(evaluations: Sequence[Evaluation]) -> list[Panel]:
    """One a configuration; the first of each model on a training set is judged."""
    bases: dict[tuple[str, str], configurations.Configuration] = {}
    panels = []
    for configuration in configurations.group(evaluations):
        train_dataset, model = configuration.train_dataset, configuration.model
        if train_dataset not in paper.train_datasets():
            expected = "evaluations of what the paper's Table 2 has numbers for"
            got = f"{configuration.first.directory}, of {model} on {train_dataset}"
            raise UserError(ARGUMENT, expected, got)
        base = bases.setdefault((train_dataset, model), configuration)
        panels.append(Panel(configuration, base, _cells(configuration, base is configuration)))
    return panels


def _cells(configuration: configurations.Configuration, is_judged: bool) -> pd.DataFrame:
    """Set by set: the paper's rows in its order, then those that only we have."""
    train_dataset, model = configuration.train_dataset, configuration.model
    first = configuration.first
    scores = paper.main_scores(first.document["main_scores"], model)
    if not any(paper.columns(name, model) for name in scores):  # beyond the paper: single models
        scores = tuple(first.in_distribution.scores.member_scores)
    in_paper = [
        ood
        for ood in paper.ood_sets(train_dataset)
        if any(paper.value(train_dataset, ood, score, model) for score in scores)
    ]
    sets = dict.fromkeys([*in_paper, *(ood.name for ood in first.ood)])
    cells = shared.cells(configuration.evaluations, sets, scores)
    is_first = cells["evaluation"].eq(0)
    has_both = is_first & cells["difference"].notna()
    places = zip(has_both, cells["ood_dataset"], cells["score"], strict=True)
    intervals = [_interval(configuration, *place) if has else None for has, *place in places]
    cells = cells.join(shared.interval_columns(intervals, "ensembles"))
    theirs = cells["paper_auroc"].where(is_first & is_judged)
    cells["verdict"] = list(map(verdicts.of_cell, cells["auroc"], theirs, intervals))
    return cells


def _interval(
    configuration: configurations.Configuration, ood_dataset: str, score: str
) -> repetition.Interval | None:
    """For one repetition of a cell, see `repetition`; None where too little is known of members.

    Further ensembles count where they were judged on the same inputs and are as large as the first.
    """
    first, inputs = configuration.first, configurations.input_settings(configuration.first)
    alike = [
        (evaluation.document["members"], evaluation.row(ood_dataset, score))
        for evaluation in configuration.evaluations
        if configurations.input_settings(evaluation) == inputs
        and evaluation.find_row(ood_dataset, score)
    ]
    outputs = first.in_distribution.scores.member_scores
    if score in outputs:
        return repetition.of_draws(
            [row["auroc_members"][member] for _, row in alike for member in row["members_used"]]
        )
    num_members = first.document["members"]
    over_ensembles = repetition.of_draws([row["auroc"] for num, row in alike if num == num_members])
    combined = member_curve.combined_scores(outputs).get(score)
    if over_ensembles is not None or combined is None:
        return over_ensembles
    attacked = {entry["name"]: entry["attacked_members"] for entry in first.document["sets"]}
    sets = {ood.name: ood for ood in first.ood}
    in_outputs, ood_outputs = (
        {name: rows.member_values(of_set.scores, name) for name in outputs}
        for of_set in (first.in_distribution, sets[ood_dataset])
    )
    members = attacked[ood_dataset] or ()
    return repetition.of_one_ensemble(in_outputs, ood_outputs, combined, members)


def _together(panels: Sequence[Panel]) -> dict[str, Any]:
    """Panels of one training set: an overview, and a table a score, in the paper's order."""
    document = panels[0].configuration.document

    def place(column: tuple[Panel, str]) -> int:
        panel, score = column
        return paper.column(score, panel.configuration.model, document["train_dataset"])[0]

    columns = sorted(((p, score) for p in panels for score in p.cells["score"].unique()), key=place)
    attacks = [configurations.attacked_sets(panel.configuration.first) for panel in panels]
    of_attacks = collections.Counter(itertools.chain(*attacks))
    judged = pd.concat([panel.cells for panel in panels]).dropna(subset="verdict")
    return {
        "panels": panels,
        "overview": _overview(columns),
        "adversarial": judged["ood_dataset"].eq(paper.ADVERSARIAL).any()
        and results.dataset_label(document, paper.ADVERSARIAL),
        "attacked": [label for label, count in of_attacks.items() if count > 1],
        "scores": [_score(panel, score) for panel, score in columns],
    }


def _overview(columns: Sequence[tuple[Panel, str]]) -> pd.DataFrame:
    """Ours and, where the paper has the score, its number and our mark, if judged."""
    documents = [panel.configuration.document for panel, _ in columns]
    ours = dict.fromkeys(ood for panel, _ in columns for ood in panel.cells["ood_dataset"])
    theirs = [n for n in paper.ood_sets(documents[0]["train_dataset"]) if n in ours]
    sets = list(dict.fromkeys([*theirs, *ours]))
    names = [_column_name(panel, score) for panel, score in columns]
    parts = [pd.Series({ood: shared.dataset_label(documents, ood) for ood in sets}, name="OoD set")]
    for (panel, score), name in zip(columns, names, strict=True):
        cells = panel.of_score(score).reindex(sets)
        heading = name if names.count(name) == 1 else f"{name}, {panel.configuration.model}"
        parts.append(cells["auroc"].rename(heading))
        if panel.is_in_paper:
            parts.append(cells["paper_auroc"].rename("paper"))
        if panel.is_in_paper and panel.is_base:
            parts.append(cells["verdict"].map(verdicts.MARKS).rename(""))
    return pd.concat(parts, axis=1)


def _column_name(panel: Panel, score: str) -> str:
    """The paper's, where it has one: VIB's rate is its column VIB."""
    theirs = paper.columns(score, panel.configuration.model)
    label = results.score_label(panel.configuration.document, score)
    return theirs[0] if len(theirs) == 1 else label


def _score(panel: Panel, score: str) -> dict[str, Any]:
    """One score's table, without the paper's columns where it has none; what intervals rest on."""
    cells, document = panel.of_score(score), panel.configuration.document
    columns: dict[str, Any] = {
        "OoD set": [results.dataset_label(document, ood) for ood in cells.index],
        "ours": cells["auroc"],
        "over inputs": shared.ends(cells, "auroc"),
        "over ensembles": shared.ends(cells, "ensembles"),
    }
    for position, evaluation in enumerate(panel.configuration.evaluations[1:], 1):
        columns[configurations.describe_members(evaluation)] = panel.of_score(score, position)[
            "auroc"
        ]
    columns |= {"paper": cells["paper_auroc"], "difference": cells["difference"]}
    shown = pd.DataFrame(columns | {"verdict": cells["verdict"]})
    if not panel.is_in_paper:
        shown = shown.drop(columns=["over ensembles", "paper", "difference", "verdict"])
    elif not panel.is_base:
        shown = shown.drop(columns="verdict")
    methods = cells[["ensembles_method", "ensembles_num_values"]].dropna().drop_duplicates()
    heading = f"{panel.heading}: {results.score_label(document, score)}"
    return {"heading": heading, "table": shown, "intervals": methods.to_numpy().tolist()}
