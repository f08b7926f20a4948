"""Accuracy of members and ensemble, counted by hand and by scikit-learn."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from tfp_genens import evaluate as main_module
from tfp_genens.data.sources import array_source
from tfp_genens.evaluation import accuracy, pipeline
from tfp_genens.reporting import evaluation_files

# Two members, four inputs, two classes. The first member is right about inputs 0 and 1, the second
# about 0, 2 and 3; their average about 0, 1 (the first is surer) and 2.
PROBABILITIES = np.array(
    [
        [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.9, 0.1]],
        [[0.8, 0.2], [0.4, 0.6], [0.1, 0.9], [0.4, 0.6]],
    ]
)
LABELS = np.array([0, 0, 1, 1])


class Classifiers:
    functions = ("serving_default", "classify")

    def __init__(self, probabilities=PROBABILITIES):
        self._probabilities = probabilities

    def classify(self, values):
        return self._probabilities[:, values[:, 0].astype(int)]


def source(labels, num=4):
    return array_source("test", np.arange(num, dtype=np.float32)[:, None], "test", labels)


def measure(ensemble, labels, batch_size=3, num=4):
    return accuracy.measure(
        ensemble, source(labels, num), batch_size=batch_size, num_bootstrap=500, seed=0
    )


def test_by_hand_whatever_the_batch_size():
    measured = measure(Classifiers(), LABELS)
    assert measured["members"] == [50.0, 75.0]
    assert (measured["mean"], measured["ensemble"], measured["num_in"]) == (62.5, 75.0, 4)
    assert measure(Classifiers(), LABELS, batch_size=1) == measured


def test_agrees_with_scikit_learn_and_with_the_normal_interval():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 2000)
    probabilities = rng.dirichlet(np.ones(5), (3, 2000))
    probabilities[:, np.arange(2000), labels] += rng.uniform(0, 1, (3, 2000))
    measured = measure(Classifiers(probabilities), labels, batch_size=100, num=2000)
    expected = [100 * accuracy_score(labels, p.argmax(axis=1)) for p in probabilities]
    assert measured["members"] == pytest.approx(expected)
    assert measured["mean"] == pytest.approx(np.mean(expected))
    share = accuracy_score(labels, probabilities.mean(axis=0).argmax(axis=1))
    assert measured["ensemble"] == pytest.approx(100 * share)
    half_width = 196 * np.sqrt(share * (1 - share) / 2000)
    assert measured["ensemble_high"] - measured["ensemble_low"] == pytest.approx(
        2 * half_width, rel=0.15
    )
    assert measured["mean_low"] < measured["mean"] < measured["mean_high"]


def test_all_right_has_an_interval_without_width():
    certain = Classifiers(np.tile([1.0, 0.0], (1, 4, 1)))
    measured = measure(certain, np.zeros(4, np.int64))
    assert (measured["mean_low"], measured["mean"], measured["mean_high"]) == (100, 100, 100)


@pytest.mark.parametrize("labels", [None, np.array([0, 1, -1, 0]), np.array([0, 1, 2, 0])])
def test_inputs_without_labels_that_the_members_know_are_not_measured(labels):
    assert measure(Classifiers(), labels) is None


def test_members_that_do_not_classify_are_not_measured():
    other = Classifiers()
    other.functions = ("serving_default",)
    assert measure(other, LABELS) is None


def test_the_note_has_both_numbers_or_one():
    document = {"model": "vib", "accuracy": measure(Classifiers(), LABELS)}
    (text,) = accuracy.note(document)
    assert text.startswith("Accuracy in percent (vib, 4 in-distribution test inputs): 62.5 [")
    assert "75.0 [" in text
    document["accuracy"] = measure(Classifiers(PROBABILITIES[:1]), LABELS)
    (text,) = accuracy.note(document)
    assert "members" not in text
    assert accuracy.note({"model": "vae"}) == ()


def test_evaluate_writes_it_and_says_it_in_the_table(monkeypatch, tmp_path, ensemble):
    ensemble.functions = (*ensemble.functions, "classify")
    ensemble.classify = lambda values: np.tile(np.eye(10)[3], (3, len(values), 1))
    monkeypatch.setattr(pipeline.Ensemble, "load", lambda run_dir, members: ensemble)
    settings = {"ood": ("hflip",), "num_examples": 60, "num_bootstrap": 20, "figures": False}
    values = {"run_dir": "runs/x", "output_dir": str(tmp_path / "out"), **settings}
    assert main_module.evaluate(values) == 0
    document = json.loads((tmp_path / "out/results.json").read_text())
    (note,) = accuracy.note(document)
    assert note in document["notes"]
    assert note in (tmp_path / "out/table.md").read_text()
    assert 0 < document["accuracy"]["ensemble"] < 30  # of digits, a tenth are threes
    assert evaluation_files.load(tmp_path / "out").document["accuracy"] == document["accuracy"]
