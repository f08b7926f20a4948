"""Classical detectors through train() and evaluate(), as any model goes."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from tfp_genens.config import EvaluateConfig
from tfp_genens.data import load_training_data, open_source
from tfp_genens.data.sources import read_all
from tfp_genens.errors import UserError
from tfp_genens.evaluation.pipeline import evaluate
from tfp_genens.scoring import Ensemble
from tfp_genens.train import train


@pytest.fixture(scope="module")
def knn_run(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("knn") / "run"
    flags = {"model": "knn", "dataset": "digits", "num_neighbors": 3, "run_dir": str(run_dir)}
    assert train(flags) == 0
    return flags


def manifest_of(run_dir, member=0):
    with open(f"{run_dir}/member_{member}/manifest.json") as file:
        return json.load(file)


def test_the_manifest_says_that_it_was_fitted(knn_run):
    manifest = manifest_of(knn_run["run_dir"])
    assert manifest["model"] == "knn"
    assert manifest["steps"] == 0
    assert manifest["wall_clock_secs"] > 0
    assert manifest["config"]["num_neighbors"] == 3
    assert "train_steps" not in manifest["config"]
    assert manifest["signatures"]["serving_default"]["outputs"]["knn_distance"] == {
        "shape": [None],
        "dtype": "float32",
        "unit": "distance",
        "direction": "lower_is_normal",
        "label": "Nearest neighbours",
        "main": True,
        "statistic": False,
    }
    num_held_out = manifest["held_out"]["num_examples"]
    assert sum(num_held_out.values()) == manifest["num_validation"]
    assert manifest["calibration"]["num_examples"] == num_held_out["calibrate"]


def test_p_values_are_made_of_the_score(knn_run):
    ensemble = Ensemble.load(knn_run["run_dir"])
    _, images = read_all(open_source("digits:test", ensemble.input_spec))
    noise = np.random.default_rng(0).integers(0, 256, images.shape)
    distances = ensemble.score(images)["knn_distance"][:, 0]
    np.testing.assert_allclose(ensemble.score_samples(images), -distances)
    assert ensemble.p_value(noise).max() < 0.05
    assert np.median(ensemble.p_value(images)) > 0.2


def test_one_member_unless_asked_for_more(knn_run):
    assert Ensemble.load(knn_run["run_dir"]).num_members == 1


def test_a_finished_run_is_left_alone_and_another_refused(knn_run, capsys):
    assert train(knn_run) == 0
    assert "nothing to do" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"--run_dir: .*--num_neighbors=4.*--num_neighbors=3"):
        train({**knn_run, "num_neighbors": 4})


def test_evaluation_agrees_with_scikit_learn(knn_run, tmp_path):
    sets = ("hflip", "vflip", "uniform")
    document = evaluate(
        EvaluateConfig(
            run_dir=knn_run["run_dir"],
            output_dir=str(tmp_path),
            ood=sets,
            num_bootstrap=20,
            figures=False,
        )
    )
    assert document["labels"]["scores"]["knn_distance"] == "Nearest neighbours"
    found = {
        row["ood_dataset"]: row["auroc"]
        for row in document["rows"]
        if row["score"] == "knn_distance"
    }
    assert set(found) == set(sets)

    data = load_training_data("digits", validation_fraction=0.05, seed=0)
    search = NearestNeighbors(n_neighbors=3).fit(data.train.reshape(len(data.train), -1) / 255.0)

    def distances(images):
        return search.kneighbors(images.reshape(len(images), -1) / 255.0)[0].mean(axis=1)

    _, test = read_all(open_source("digits:test", data.input_spec))
    for name, flipped in (("hflip", test[:, :, ::-1]), ("vflip", test[:, ::-1])):
        scores = np.concatenate([distances(test), distances(flipped)])
        expected = 100 * roc_auc_score(np.repeat([0, 1], len(test)), scores)
        assert found[name] == pytest.approx(expected, abs=0.01)
    assert found["uniform"] > 99


def test_without_a_gradient_no_adversarial_sets(knn_run, tmp_path):
    document = evaluate(
        EvaluateConfig(
            run_dir=knn_run["run_dir"],
            output_dir=str(tmp_path),
            ood=("adversarial_clipped",),
            num_bootstrap=10,
            num_examples=10,
        )
    )
    assert [entry["ood_dataset"] for entry in document["missing"]] == ["adversarial_clipped"]
    assert "gradient" in document["missing"][0]["reason"]


def test_forests_differ_and_make_an_ensemble(tmp_path):
    flags = {"model": "isolation_forest", "dataset": "digits", "num_trees": 5}
    assert train({**flags, "run_dir": str(tmp_path / "run")}) == 0
    ensemble = Ensemble.load(tmp_path / "run")
    assert ensemble.num_members == 5
    _, images = read_all(open_source("digits:test", ensemble.input_spec))
    scores = ensemble.score(images[:50])["isolation_forest"]
    assert np.all((scores > 0) & (scores < 1))
    assert len(np.unique(scores, axis=1).T) == 5


def test_members_that_cannot_differ_are_refused(tmp_path):
    flags = {"dataset": "digits", "num_members": 2, "run_dir": str(tmp_path / "run")}
    for own in ({"model": "mahalanobis"}, {"model": "pca"}, {"model": "knn"}):
        with pytest.raises(UserError, match=r"--num_members: expected 1, because.*alike.*got 2"):
            train({**flags, **own})
    assert train({**flags, "model": "knn", "num_reference": 500}) == 0
    assert Ensemble.load(tmp_path / "run").num_members == 2


def test_too_few_training_rows_leave_no_member(tmp_path):
    flags = {"model": "lof", "dataset": "digits", "num_reference": 10}
    with pytest.raises(UserError, match="--num_neighbors: expected at most 9"):
        train({**flags, "run_dir": str(tmp_path / "run")})
    assert not (tmp_path / "run" / "member_0" / "manifest.json").exists()
    assert train({**flags, "num_neighbors": 5, "run_dir": str(tmp_path / "run")}) == 0
