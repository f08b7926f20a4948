"""Rows of results.json from score files made by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, OutputSpec
from tfp_genens.evaluation import metrics, rows
from tfp_genens.scoring.columns import ScoreFile, member_column

LOG_PROB = OutputSpec("nats", HIGHER_IS_NORMAL)
RATE = OutputSpec("nats", LOWER_IS_NORMAL)


def score_file(log_prob, rate, members=(0, 1, 2)):
    """log_prob, rate: [num_members, num_inputs]."""
    columns = {"example_id": [str(i) for i in range(log_prob.shape[1])]}
    for name, scores in (("log_prob", log_prob), ("rate", rate)):
        columns |= {member_column(name, m): s for m, s in zip(members, scores, strict=True)}
    columns["waic"] = log_prob.mean(axis=0) - log_prob.var(axis=0)
    return ScoreFile(
        pd.DataFrame(columns),
        tuple(members),
        {"log_prob": LOG_PROB, "rate": RATE},
        {"waic": LOG_PROB},
        "mnist",
        "a source",
        {},
    )


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    log_prob_in, log_prob_out = rng.normal(size=(3, 40)), rng.normal(-1, 1, size=(3, 50))
    return {
        "in": (log_prob_in, -log_prob_in),
        "out": (log_prob_out, np.round(-log_prob_out)),
    }


def make(in_scores, ood_scores, **kwargs):
    settings = {
        "ood_dataset": "fashion_mnist",
        "description": "Clothes.",
        "attacked_members": None,
        "train_dataset": "mnist",
        "model": "vae",
        "num_bootstrap": 50,
        "seed": 0,
    }
    return {
        row["score"]: row for row in rows.make_rows(in_scores, ood_scores, **(settings | kwargs))
    }


def sklearn_auroc(anomaly_in, anomaly_out):
    labels = np.repeat([0, 1], [len(anomaly_in), len(anomaly_out)])
    return 100 * roc_auc_score(labels, np.concatenate([anomaly_in, anomaly_out]))


def test_single_model_rows_are_means_over_members(scores):
    found = make(score_file(*scores["in"]), score_file(*scores["out"]))
    assert list(found) == ["log_prob", "rate", "waic"]
    members = [sklearn_auroc(i, o) for i, o in zip(scores["in"][1], scores["out"][1], strict=True)]
    row = found["rate"]
    assert row["auroc_members"] == pytest.approx(members)
    assert row["auroc"] == pytest.approx(np.mean(members))
    assert row["members_used"] == [0, 1, 2]
    assert row["auroc_low"] <= row["auroc"] <= row["auroc_high"]
    assert (row["num_in"], row["num_out"], row["num_nan"]) == (40, 50, 0)
    assert (row["direction"], row["unit"]) == (LOWER_IS_NORMAL, "nats")
    assert row["paper_auroc"] == 94.7


def test_ensemble_rows(scores):
    found = make(score_file(*scores["in"]), score_file(*scores["out"]))
    waic = [s.mean(axis=0) - s.var(axis=0) for s in (scores["in"][0], scores["out"][0])]
    assert found["waic"]["auroc"] == pytest.approx(sklearn_auroc(-waic[0], -waic[1]))
    assert found["waic"]["auroc_members"] is None
    assert found["waic"]["paper_auroc"] == 100.0


def test_attacks_are_judged_by_the_attacked_member_alone(scores):
    in_scores, ood_scores = score_file(*scores["in"]), score_file(*scores["out"])
    attacked = make(in_scores, ood_scores, attacked_members=(1,))
    everyone = make(in_scores, ood_scores)
    row = attacked["log_prob"]
    assert row["auroc"] == pytest.approx(row["auroc_members"][1])
    assert row["auroc_members"] == everyone["log_prob"]["auroc_members"]
    assert row["members_used"] == [1]
    assert attacked["waic"] == everyone["waic"]


def test_columns_are_found_by_the_members_numbers(scores):
    files = [score_file(*scores[side], members=(4, 7, 2)) for side in ("in", "out")]
    expected = make(score_file(*scores["in"]), score_file(*scores["out"]))
    assert make(*files) == expected


def test_nan_are_counted_and_kept(scores):
    log_prob, rate = (array.copy() for array in scores["out"])
    log_prob[0, :3] = np.nan
    row = make(score_file(*scores["in"]), score_file(log_prob, rate))["log_prob"]
    assert (row["num_nan"], row["num_out"]) == (3, 50)
    expected = metrics.auroc(
        scores["in"][0][0], np.where(np.isnan(log_prob[0]), np.inf, log_prob[0]), HIGHER_IS_NORMAL
    )
    assert row["auroc_members"][0] == pytest.approx(100 * expected)


def test_other_sets_draw_other_resamples(scores):
    in_scores, ood_scores = score_file(*scores["in"]), score_file(*scores["out"])
    one, other = (make(in_scores, ood_scores, ood_dataset=name) for name in ("hflip", "vflip"))
    assert one["waic"]["auroc"] == other["waic"]["auroc"]
    assert one["waic"]["auroc_low"] != other["waic"]["auroc_low"]
