"""Tables for people."""

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
        "description": f"What {ood_dataset} is.",
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
        "labels": {
            "datasets": {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"},
            "scores": {"rate": "Rate", "elbo": "ELBO", "waic": "WAIC"},
        },
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


def test_the_printed_summary_is_one_narrow_table(document):
    document["missing"] = [{"ood_dataset": "omniglot", "reason": "not here"}]
    assert tables.summary(document, "runs/x").splitlines() == [
        "MNIST, 2 x vae: AUROC in percent [95 % interval], 1,500 in-distribution inputs",
        "",
        "OoD set                     Rate               WAIC",
        "Fashion-MNIST  97.0 [95.8, 97.5]  99.0 [97.8, 99.5]",
        "a|b             10.0 [8.8, 10.5]  30.0 [28.8, 30.5]",
        "",
        "All scores and metrics: runs/x/table.md",
        "Not evaluated: omniglot",
    ]


@pytest.mark.parametrize("name", ["x" * 200, "mnist"])
def test_the_printed_summary_fits_whatever_there_is(document, name):
    document["main_scores"] = scores = [f"score_{k}" for k in range(9)]
    document["rows"] = [row(name, score, 97.0) for score in scores]
    table = tables.summary(document, "o").split("\n\n")[1]
    widths = {len(line) for line in table.splitlines()}
    assert max(widths) <= 100
    assert "score_0" in table
    assert max(widths) + len("  97.0 [95.8, 97.5]") > 100


def test_table_md_has_one_line_a_set_with_the_papers_numbers_beside(document):
    lines = tables.table_md(document).splitlines()
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
    mnist = document | {"train_dataset": "mnist"}
    for table in (
        tables.metric_table(document, "auroc"),
        tables.metric_table(mnist, "fpr_at_95_tpr"),
    ):
        assert table.has_paper == (False, False)
        header = tables.metric_markdown(table).splitlines()[0]
        assert header.replace(" ", "") == "|OoDset|Rate|WAIC|"


def test_the_papers_column_stands_only_where_it_has_numbers(document):
    document["main_scores"] = ["elbo", "rate"]
    table = tables.metric_table(document, "auroc")
    assert (table.scores, table.has_paper) == (("ELBO", "Rate"), (False, True))
    header = tables.metric_markdown(table).splitlines()[0]
    assert header.replace(" ", "") == "|OoDset|ELBO|Rate|paper|"


def test_cells(document):
    line = tables.metric_table(document, "auroc").lines[0]
    assert (line.label, line.description) == ("Fashion-MNIST", "What fashion_mnist is.")
    assert line.cells[0] == tables.Cell("97.0", "[95.8, 97.5]", "1.0 to 2.0", "94.7", "+2.3")
    other = tables.metric_table(document, "fpr_at_95_tpr").lines[0].cells[0]
    assert (other.members, other.paper, other.difference) == ("", "", "")


def test_names_without_a_label_stand_for_themselves(document):
    del document["labels"]
    assert tables.table_md(document).startswith("# mnist, 2 x vae")


def test_missing_sets_are_named(document):
    document["missing"] = [{"ood_dataset": "omniglot", "reason": "not here"}]
    assert "- omniglot: not here" in tables.table_md(document)


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
