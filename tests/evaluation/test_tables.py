"""Tables for people."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tfp_genens.evaluation import tables


def row(ood_dataset, score, auroc, paper_auroc=None, **kwargs):
    metrics = {
        f"{metric}{end}": auroc + shift
        for metric in ("auroc", "average_precision", "fpr_at_95_tpr")
        for end, shift in (("", 0), ("_low", -1.25), ("_high", 0.5))
    }
    return {
        "ood_dataset": ood_dataset,
        "score": score,
        **metrics,
        "paper_auroc": paper_auroc,
        "auroc_members": [1.0, 2.0],
        "members_used": [0, 1],
        "num_nan": 0,
        **kwargs,
    }


@pytest.fixture
def document():
    return {
        "train_dataset": "mnist",
        "model": "vae",
        "members": 2,
        "num_in": 1500,
        "main_scores": ["rate", "waic"],
        "notes": ["A note."],
        "missing": [],
        "rows": [
            row("fashion_mnist", "rate", 97.0),
            row("fashion_mnist", "elbo", 50.0),
            row("fashion_mnist", "waic", 99.0),
            row("a|b", "rate", 10.0),
            row("a|b", "elbo", 20.0),
            row("a|b", "waic", 30.0),
        ],
    }


def test_summary_has_one_line_a_set_with_the_papers_numbers_beside(document):
    lines = tables.summary(document).splitlines()
    assert lines[0] == "# MNIST, 2 x vae"
    assert lines[4:8] == [
        "| OoD set       |              Rate | paper |              WAIC | paper |",
        "| ------------- | ----------------: | ----: | ----------------: | ----: |",
        "| Fashion-MNIST | 97.0 [95.8, 97.5] |  94.7 | 99.0 [97.8, 99.5] | 100.0 |",
        r"| a\|b          |  10.0 [8.8, 10.5] |     - | 30.0 [28.8, 30.5] |     - |",
    ]
    assert "- A note." in lines


def test_no_paper_columns_without_paper_numbers(document):
    document["train_dataset"] = "digits"
    header, body = tables.metric_table(document, "auroc")
    assert header == ["OoD set", "Rate", "WAIC"]
    assert [len(line) for line in body] == [3, 3]
    assert tables.metric_table(document | {"train_dataset": "mnist"}, "fpr_at_95_tpr")[0] == header


def test_missing_sets_are_named(document):
    document["missing"] = [{"ood_dataset": "omniglot", "reason": "not here"}]
    assert "- omniglot: not here" in tables.summary(document)


def test_table_md_holds_every_metric_and_score(document):
    text = tables.table_md(document)
    assert "## Average precision, percent" in text
    assert "## False-positive rate at 95 % true positives, percent" in text
    assert "| ELBO  | 50.0 [48.8, 50.5] | 20.0 [18.8, 20.5] |" in text


def test_csv_holds_what_json_holds(document):
    parsed = list(csv.DictReader(io.StringIO(tables.csv(document))))
    assert [line["score"] for line in parsed] == [line["score"] for line in document["rows"]]
    assert float(parsed[0]["auroc"]) == 97.0
    assert json.loads(parsed[0]["auroc_members"]) == [1.0, 2.0]
    assert parsed[0]["paper_auroc"] == ""


def test_tables_without_rows(document):
    document["rows"] = []
    assert "OoD set" in tables.table_md(document)
    tables.csv(document)
