"""Every score on every OoD set, from statistics made by hand."""

import json

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score
from support import evaluations, read_back
from support.statistics import MARKED, NUM, evaluation, statistics

from tfp_genens.errors import UserError
from tfp_genens.paper import leaderboard
from tfp_genens.paper.figures import leaderboard_figure
from tfp_genens.paper.tables import leaderboard_table
from tfp_genens.scoring import candidates, dose

SETS = {"omniglot": {"log_scale": 2.0}, "hflip": {}, "uniform": {"log_prob": -3.0}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return evaluation(tmp_path_factory.mktemp("evaluation"), **SETS)


@pytest.fixture(scope="module")
def page(made):
    return read_back.read(leaderboard_table.table, [made])


def test_every_score_and_candidate_is_there(made, page):
    scores = made.in_distribution.scores
    expected = {*scores.ensemble_scores, *candidates.available_candidates(scores.member_scores)}
    assert {record["score"] for record in page.records} == expected
    assert {"dose", "waic", "typicality", "p_cauchy"} <= expected
    assert len(page.records) == len(expected) * len(SETS)


def test_one_member_has_no_variance(tmp_path):
    found = leaderboard.entries(evaluation(tmp_path, num_members=1, omniglot={}))
    scores = {entry.score for entry in found}
    assert {"log_prob_mean", "dose"} <= scores
    assert not [score for score in scores if score.endswith("_var")]


def test_a_candidate_is_fitted_on_held_out_inputs(page):
    inside, fitted, outside = (
        statistics(seed, **moved)["log_prob"]
        for seed, moved in ((0, {}), (1, {}), (4, SETS["uniform"]))
    )
    values = [
        np.abs(x - fitted.mean(axis=1, keepdims=True)).mean(axis=0) for x in (inside, outside)
    ]
    expected = 100 * roc_auc_score(np.repeat([0, 1], NUM), np.concatenate(values))
    (found,) = (
        r["auroc"]
        for r in page.records
        if (r["score"], r["ood_dataset"]) == ("typicality", "uniform")
    )
    assert found == pytest.approx(expected)


def test_ranks_are_of_the_aurocs(made, page):
    aurocs = pd.DataFrame(page.records).pivot(index="score", columns="ood_dataset", values="auroc")
    rows = leaderboard.entries(made)
    aurocs.index = aurocs.index.map({e.score: e.spec.label or e.score for e in rows})
    summary = leaderboard_table.board([made])["summary"].set_index("score")
    assert summary["mean rank"].is_monotonic_increasing
    expected = aurocs.rank(ascending=False).mean(axis=1)
    pd.testing.assert_series_equal(summary["mean rank"], expected[summary.index], check_names=False)
    lowest = aurocs[["omniglot", "uniform"]].min(axis=1)[summary.index]
    pd.testing.assert_series_equal(summary["lowest but flips"], lowest, check_names=False)


def test_what_is_not_held_out_is_judged_without(page):
    assert "likelihood_regret_mean" in {record["score"] for record in page.records}


def test_differences_are_paired(made):
    """A score that orders inputs alike is behind by exactly nothing, whatever the resample."""
    dose = next(e for e in leaderboard.entries(made) if e.score == "dose")
    twin = leaderboard.Entry(
        made, "twin", dose.spec, {name: 2 * values + 1 for name, values in dose.values.items()}
    )
    noise = {name: np.random.default_rng(0).normal(size=NUM) for name in dose.values}
    worse = leaderboard.Entry(made, "noise", dose.spec, noise)
    first, second, third = (
        leaderboard.judge(e, ["omniglot", "uniform"]) for e in (dose, twin, worse)
    )
    assert leaderboard.difference(first, second) == (0.0, 0.0)
    low, high = leaderboard.difference(first, third)
    assert 0 < low < high


def test_the_interval_over_ensembles_is_the_jackknifes(tmp_path):
    """Of WAIC by hand, and of the density fitted anew for each ensemble."""
    made = evaluation(tmp_path, num_members=4, **SETS)
    names = list(SETS)
    judged = {e.score: leaderboard.judge(e, names) for e in leaderboard.entries(made)}
    fitted = statistics(1, 4)
    sets = {k: statistics(seed, 4, **m) for seed, (k, m) in enumerate(SETS.items(), 2)}
    sets["in_distribution"] = statistics(0, 4)
    used = judged["dose"].entry.evaluation.in_distribution.scores.ensemble_scores
    assert "dose" in used

    def waic(of_set, members):
        values = of_set["log_prob"][members]
        return values.mean(axis=0) - values.var(axis=0)

    def density(of_set, members):
        state = dose.fit(*(fitted[name][members] for name in MARKED))
        return dose.log_density(*(of_set[n][members] for n in MARKED), state=state).numpy()

    def mean_auroc(score, members):
        inside = score(sets["in_distribution"], members)
        pairs = [-np.concatenate([inside, score(sets[name], members)]) for name in names]
        return np.mean([100 * roc_auc_score(np.repeat([0, 1], NUM), pair) for pair in pairs])

    subsets = ([0, 1, 2, 3], [1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2])
    for name, score in (("waic", waic), ("dose", density)):
        means = [mean_auroc(score, subset) for subset in subsets]
        error = np.sqrt(3 / 4 * np.sum((np.array(means[1:]) - np.mean(means[1:])) ** 2))
        half = scipy.stats.t.ppf(0.975, 3) * np.sqrt(2) * error
        np.testing.assert_allclose(
            judged[name].over_ensembles,
            np.clip([means[0] - half, means[0] + half], 0, 100),
            err_msg=name,
        )


def test_few_members_have_no_interval_over_ensembles(made):
    judged = leaderboard.judge(leaderboard.entries(made)[0], ["omniglot"])
    assert judged.over_ensembles is None


def test_other_inputs_are_not_compared(made, tmp_path):
    other = evaluation(tmp_path, **SETS)
    other.document["settings"]["num_examples"] = 7
    first, second = (
        leaderboard.judge(leaderboard.entries(e)[0], ["omniglot"]) for e in (made, other)
    )
    assert leaderboard.difference(first, second) is None


def test_models_of_one_training_set_share_a_board(made, tmp_path):
    other = evaluation(tmp_path / "b", model="glow", omniglot={}, uniform={})
    another = evaluation(tmp_path / "c", "fashion_mnist", omniglot={})
    page = read_back.read(leaderboard_table.table, [made, other, another])
    boards = page.document.context["boards"]
    assert [board["label"] for board in boards] == ["MNIST", "fashion_mnist"]
    assert boards[0]["aurocs"].columns.tolist() == ["score", "omniglot", "uniform"]
    scores = set(boards[0]["summary"]["score"])
    assert {"WAIC, 2 x vae, beta 1", "WAIC, 2 x glow"} <= scores


def test_nothing_in_common_is_refused(made, tmp_path):
    with pytest.raises(UserError, match="share OoD sets"):
        leaderboard_table.table([made, evaluation(tmp_path, vflip={})])


def test_a_model_without_statistics_has_a_board():
    found = leaderboard_table.board([evaluations.evaluation(model="mahalanobis")])
    assert not found["has_first"]
    assert found["summary"]["behind"].isna().all()


def test_without_held_out_scores_fitted_candidates_are_left_out(tmp_path):
    made = evaluation(tmp_path, **SETS)
    (tmp_path / "held_out" / "member_0" / "held_out.npz").unlink()
    page = read_back.read(leaderboard_table.table, [made])
    scores = {record["score"] for record in page.records}
    assert "complexity_corrected" in scores
    assert not {"typicality", "p_min"} & scores
    assert any("without held-out scores" in note for s in page.sections for note in s.notes)


def test_the_picture_shows_every_number(made):
    drawn = leaderboard_figure.figure([made])
    (ax,) = drawn.figure.axes
    board = leaderboard_table.board([made])["aurocs"].head(leaderboard_figure.MAX_SCORES)
    texts = [text.get_text() for text in ax.texts]
    assert texts == [f"{x:.1f}" for x in board.drop(columns="score").to_numpy().ravel()]
    assert drawn.png().startswith(b"\x89PNG")


def test_the_likelihood_ratio_is_to_the_background_models_mean(made, tmp_path):
    background = evaluation(tmp_path, num_members=3, config={"mutation_rate": 0.2}, seed=50, **SETS)
    page = read_back.read(leaderboard_table.table, [background, made])
    (found,) = (
        r["auroc"]
        for r in page.records
        if (r["score"], r["ood_dataset"]) == ("likelihood_ratio", "uniform")
    )

    def ratio(seed, **moved):
        own, background = statistics(seed, **moved), statistics(50 + seed, 3, **moved)
        return own["log_prob"].mean(axis=0) - background["log_prob"].mean(axis=0)

    values = np.concatenate([ratio(0), ratio(4, **SETS["uniform"])])
    assert found == pytest.approx(100 * roc_auc_score(np.repeat([0, 1], NUM), -values))
    assert {r["evaluation_dir"] for r in page.records} == {str(made.directory)}


def test_background_models_that_cannot_be_used(made, tmp_path):
    mutated = {"config": {"mutation_rate": 0.2}}
    with pytest.raises(UserError, match=r"--evaluation_dir.*background"):
        leaderboard_table.table([evaluation(tmp_path / "alone", **mutated, **SETS)])
    two = [evaluation(tmp_path / name, **mutated, **SETS) for name in "ab"]
    with pytest.raises(UserError, match=r"one background of vae a training set"):
        leaderboard_table.table([made, *two])
    fewer = evaluation(tmp_path / "fewer", **mutated, omniglot={})
    with pytest.raises(UserError, match=r"the OoD sets of .*without hflip, uniform"):
        leaderboard_table.table([made, fewer])


def test_milliseconds_are_of_the_cheapest_signature_that_has_everything(made, tmp_path):
    def signature(median, outputs):
        return {"ms_per_input": {"median": median}, "outputs": outputs}

    measured = {
        "model": "vae",
        "train_dataset": "mnist",
        "members": 2,
        "settings": {"num_threads": 1},
        "signatures": {
            "statistics": signature(2.0, [*MARKED]),
            "serving_default": signature(30.0, ["log_prob", *MARKED]),
        },
    }
    path = tmp_path / "costs.json"
    path.write_text(json.dumps(measured))
    document = leaderboard_table.table([made], costs=[str(path)])
    summary = document.context["boards"][0]["summary"].set_index("score")["ms an input"]
    assert summary["Density of states"] == 2.0
    assert summary["WAIC"] == summary["Typicality"] == 30.0
    assert np.isnan(summary["Mean loc_norm"])  # which neither signature has
    page = read_back.read(lambda given: leaderboard_table.table(given, costs=[str(path)]), [made])
    assert page.sections[0].header[-1] == "ms an input"
    assert any("mnist, 2 x vae, 1 thread." in line for line in page.text)
    path.write_text("{}")
    with pytest.raises(UserError, match="--costs"):
        leaderboard_table.table([made], costs=[str(path)])
