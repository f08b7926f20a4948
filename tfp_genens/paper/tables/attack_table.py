"""`--table=attacks`: how often attacks that know a score are still told from normal inputs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from tfp_genens.artifact.held_out import CALIBRATE, FIT
from tfp_genens.errors import UserError
from tfp_genens.paper import configurations, shared
from tfp_genens.paper.documents import Document
from tfp_genens.reporting.evaluation_files import ARGUMENT, EvaluatedSet, Evaluation
from tfp_genens.scoring import calibration
from tfp_genens.scoring.scores import available_scores

JUDGED = ("dose", "waic")
FALSE_ALARMS = 0.05


def table(evaluations: Sequence[Evaluation]) -> Document:
    """A line an attack: the share that is detected by each score, at 5 % false alarms.

    Raises:
      UserError: an evaluation without attacks on scores of the ensemble, or without the scores.
    """
    cells = pd.concat([_cells(evaluation) for evaluation in evaluations])
    trained = [
        {"evaluation": e, "table": _shown(cells[cells["evaluation_dir"] == str(e.directory)], e)}
        for e in evaluations
    ]
    context = {"trained": trained, "false_alarms": 100 * FALSE_ALARMS}
    return Document("attacks", context, cells)


def _cells(evaluation: Evaluation) -> pd.DataFrame:
    configurations.require_scores(evaluation, JUDGED)
    attacks = {s["name"]: s["attack"] for s in evaluation.document["sets"]}
    chosen = [ood for ood in evaluation.ood if "scores" in (attacks[ood.name] or {})]
    if not chosen:
        expected = "evaluations with sets attack:SCORES:START:EPS:STEPS"
        raise UserError(ARGUMENT, expected, f"{evaluation.directory}, which has none")
    lines = []
    for ood in chosen:
        attack = attacks[ood.name]
        about: dict[str, Any] = {
            **shared.identity(evaluation),
            "attacked": "+".join(attack["scores"]),
            "start": attack["start"],
            "eps": attack["eps"],
            "steps": attack["steps"],
            "num_out": len(ood.scores.frame),
        }
        for score in JUDGED:
            about[f"{score}_detected"] = _detected(evaluation, ood, score)
            about[f"{score}_auroc"] = evaluation.row(ood.name, score)["auroc"]
        lines.append(about)
    return pd.DataFrame(lines)


def _detected(evaluation: Evaluation, ood: EvaluatedSet, score: str) -> float:
    """Percent of a set whose p-value is at most FALSE_ALARMS, as a frozen ensemble decides."""
    row = available_scores(evaluation.in_distribution.scores.member_scores)[score]
    fitted, calibrating = (evaluation.held_out(part, row.inputs) for part in (FIT, CALIBRATE))
    state = row.fit and row.fit(*fitted.values())
    held_out, outside = (
        calibration.normality(tf.constant(values), row.direction)
        for values in (row(calibrating, state).numpy(), ood.values(score))
    )
    p_value = calibration.p_value(outside, tf.sort(held_out)).numpy()
    return 100.0 * float(np.mean(p_value <= FALSE_ALARMS))


def _shown(cells: pd.DataFrame, evaluation: Evaluation) -> pd.DataFrame:
    labels = {score: evaluation.score_label(score) for score in JUDGED}
    labels |= {"+".join(JUDGED): " and ".join(labels.values())}
    sets = shared.set_labels(evaluation)
    columns = {
        "attacked": cells["attacked"].map(lambda name: labels.get(name, name)),
        "starts from": cells["start"].map(lambda name: sets.get(name, name)),
        "eps": cells["eps"].map("{:g}".format),
        "steps": cells["steps"],
    }
    for score in JUDGED:
        columns[f"detected by {labels[score]}"] = cells[f"{score}_detected"]
        columns[f"AUROC, {labels[score]}"] = cells[f"{score}_auroc"]
    return pd.DataFrame(columns)
