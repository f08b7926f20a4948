"""The paper's numbers: complete, spot-checked by hand, and compared with its text where at hand."""

import dataclasses
import pathlib

import pytest

from tfp_genens.config import RunConfig
from tfp_genens.models import FAMILIES
from tfp_genens.paper import numbers as paper

COLUMNS = ("ODIN", "VIB", "D", "Var(D)", "Rate", "log p", "WAIC")
NAMES = {
    "MNIST": "mnist",
    "Fashion MNIST": "fashion_mnist",
    "CIFAR-10": "cifar10",
    "Omniglot": "omniglot",
    "notMNIST": "not_mnist",
    "Uniform": "uniform",
    "Gaussian": "gaussian",
    "HFlip": "hflip",
    "VFlip": "vflip",
    "Adversarial": "adversarial_unclipped",
    "CelebA": "celeba",
    "SVHN": "svhn",
    "ImageNet32": "imagenet32",
}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (("mnist", "hflip", "Rate"), 90.0),
        (("mnist", "adversarial_unclipped", "log p"), 0.0),
        (("mnist", "adversarial_unclipped", "ODIN"), None),
        (("fashion_mnist", "mnist", "log p"), 42.3),
        (("cifar10", "svhn", "WAIC"), 100.0),
        (("cifar10", "svhn", "Rate"), None),
        (("cifar10", "vflip", "VIB"), 51.2),
    ],
)
def test_spot_checks(key, expected):
    assert paper.results()[key]["auroc"] == expected


def test_is_complete():
    table_2 = [key for key in paper.results() if key[0] != "credit_fraud"]
    assert len(table_2) == (8 + 8 + 7) * len(COLUMNS)
    assert paper.train_datasets() == {"mnist", "fashion_mnist", "cifar10", "credit_fraud"}
    assert paper.results()["credit_fraud", "fraud", "WAIC"] == {
        "auroc": 94.7,
        "average_precision": 92.1,
        "fpr_at_95_tpr": 15.2,
    }


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("credit_fraud/3", "credit_fraud"),
        ("credit_fraud_labelled", "credit_fraud"),
        ("credit_fraud_labelled/4", "credit_fraud"),
        ("mnist", "mnist"),
        ("npz:/tmp/credit_fraud.npz", "npz:/tmp/credit_fraud.npz"),
    ],
)
def test_splits_and_variants_are_filed_under_the_papers_name(ours, theirs):
    assert paper.name_of(ours) == theirs


def test_values_of_a_split():
    assert paper.value("credit_fraud/3", "fraud", "waic", "tabular_vae") == 94.7
    assert paper.value("credit_fraud_labelled/1", "fraud", "fraud", "any") == 99.1


def test_equals_the_papers_text():
    path = pathlib.Path(__file__).parents[2].parent / "shared" / "paper.txt"
    if not path.exists():
        pytest.skip(f"the paper's text is not at {path}")
    train_dataset, rows = None, 0
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = line.split("\t")
        if len(cells) != 9 or cells[1] not in NAMES:
            continue
        train_dataset = NAMES[cells[0]] if cells[0] else train_dataset
        for column, text in zip(COLUMNS, cells[2:], strict=True):
            expected = None if text == "N/A" else float(text)
            assert paper.results()[train_dataset, NAMES[cells[1]], column]["auroc"] == expected
        rows += 1
    assert rows == 23


@pytest.mark.parametrize(
    ("score", "model", "expected"),
    [
        ("rate", "vae", 94.7),
        ("log_prob", "vae", 100.0),
        ("waic", "vae", 100.0),
        ("rate", "vib", 85.0),
        ("critic", "wgan", 83.1),
        ("critic_var", "wgan", 99.9),
        ("odin", "classifier", None),
        ("elbo", "vae", None),
        ("rate", "glow", None),
    ],
)
def test_scores_map_to_columns(score, model, expected):
    assert paper.value("mnist", "fashion_mnist", score, model) == expected


def test_likelihoods_are_of_the_papers_model_on_each_training_set():
    for score, expected in (("log_prob", 7.5), ("waic", 100.0)):
        assert paper.value("cifar10", "svhn", score, "glow") == expected
        assert paper.value("cifar10", "svhn", score, "vae") is None
        assert paper.value("mnist", "omniglot", score, "glow") is None


def test_clipped_adversarial_has_no_number():
    assert paper.value("mnist", "adversarial_unclipped", "log_prob", "vae") == 0.0
    assert paper.value("mnist", "adversarial_clipped", "log_prob", "vae") is None
    assert paper.value("digits", "hflip", "rate", "vae") is None


def test_table_3_metrics():
    model, metric = "tabular_vae", "fpr_at_95_tpr"
    assert paper.value("credit_fraud", "fraud", "log_prob", model, metric) == 15.7


def test_main_scores_follow_the_papers_columns():
    scores = ("log_prob", "elbo", "rate", "distortion", "log_prob_var", "waic")
    assert paper.main_scores(scores, "vae") == ("rate", "log_prob", "waic")
    assert paper.main_scores(("entropy",), "vib") == ("entropy",)


def departures(model, train_dataset, config, num_members=5, num_examples=10_000):
    return paper.departures(
        {
            "model": model,
            "train_dataset": train_dataset,
            "members": num_members,
            "manifests": [{"config": config}],
            "settings": {"num_examples": num_examples},
        }
    )


def test_departures():
    config = {"train_steps": 300, "train_samples": 1, "prior": "maf", "precision": "float32"}
    notes = departures("vae", "mnist", config, num_members=2, num_examples=2000)
    assert [note.split(" is ")[0] for note in notes[:3]] == [
        "num_members",
        "train_steps",
        "train_samples",
    ]
    assert "300" in notes[1]
    assert "5000" in notes[1]
    assert "2,000" in notes[3]
    faithful = {"train_steps": 5000, "train_samples": 16, "beta": 1.0}
    assert departures("vae", "mnist", faithful, num_members=5, num_examples=10_000) == []
    assert departures("wgan", "mnist", {}, num_members=5, num_examples=1000) == []


@pytest.mark.parametrize(
    ("train_dataset", "beta", "departs"),
    [
        ("mnist", 1.0, False),
        ("mnist", 0.1, True),
        ("fashion_mnist", 0.1, False),
        ("fashion_mnist", 1.0, True),
    ],
)
def test_beta_is_compared_with_that_of_the_training_set(train_dataset, beta, departs):
    notes = departures("vae", train_dataset, {"beta": beta})
    assert [note.split(" is ")[0] for note in notes] == ["beta"] * departs


def test_held_out_data_and_narrower_networks_depart_from_the_paper():
    config = {"validation_fraction": 0.05, "base_depth": 16}
    notes = departures("vae", "mnist", config)
    assert [note.split(";")[0] for note in notes] == [
        "validation_fraction is 0.05",
        "base_depth is 16",
    ]


def test_every_setting_is_an_option_of_the_model():
    """A renamed option must not silently drop out of the comparison."""
    options = {f.name for f in dataclasses.fields(RunConfig)} | {"num_members"}
    cases = [("vae", "mnist"), ("vae", "fashion_mnist"), ("wgan", "mnist"), ("glow", "cifar10")]
    cases += [(model, "credit_fraud/2") for model in ("tabular_vae", "fraud_classifier")]
    for model, train_dataset in cases:
        names = [setting["name"] for setting in paper.settings(model, train_dataset)]
        assert names
        known = options | {f.name for f in dataclasses.fields(FAMILIES[model].config)}
        assert set(names) <= known
        assert len(set(names)) == len(names)
