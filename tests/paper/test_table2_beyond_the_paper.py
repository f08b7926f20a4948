"""Table 2's columns of models that the paper does not have."""

import pytest
from support import evaluations
from support.read_back import read

from tfp_genens.errors import UserError
from tfp_genens.paper import documents
from tfp_genens.paper.tables import table2

SETS = {"hflip": -1.0, "fashion_mnist": -50.0}


@pytest.fixture
def knn(monkeypatch):
    """(options) -> an evaluation of a model whose only output is one the paper has for VAEs."""
    monkeypatch.setitem(evaluations.OWN_SETTINGS, "knn", {})

    def make(members=(0,), **options):
        outputs = {"rate": evaluations.OUTPUTS["vae"]["rate"]}
        return evaluations.evaluation(members, SETS, model="knn", outputs=outputs, **options)

    return make


def test_they_stand_after_the_papers_without_its_number(knn):
    vae, found_knn = evaluations.evaluation(range(5), SETS), knn()
    alone = read(table2.table, [vae])
    found = read(table2.table, [found_knn, vae])
    overview = found.sections[0]
    assert overview.header[:-1] == (
        "OoD set",
        *("Rate, vae", "paper", "", "log p(x)", "paper", "", "WAIC", "paper", ""),
    )
    assert overview.header[-1] == "Rate, knn"
    assert [line[:-1] for line in overview.body] == list(alone.sections[0].body)
    by_set = {line[0]: line[-1] for line in overview.body}
    assert by_set["HFlip"] == f"{found_knn.row('hflip', 'rate')['auroc']:.1f}"
    assert by_set["omniglot"] == "-"  # of the paper's rows, the one that was not evaluated
    # What is judged stays as it is, and the text says what is not.
    assert found.text[: len(alone.text)] == alone.text
    assert "Columns of knn on MNIST are beyond the paper" in found.text[-1]


def test_its_own_section_has_no_columns_of_the_papers(knn):
    section = read(table2.table, [knn()]).sections[-1]
    assert section.heading == "MNIST, 1 x knn: Rate"
    assert section.header == ("OoD set", "ours", "over inputs")
    assert {line[0] for line in section.body} == {"HFlip", "fashion_mnist"}


def test_records_have_no_verdict(knn):
    records = read(table2.table, [knn()]).records
    assert {r["ood_dataset"] for r in records} == set(SETS)
    for record in records:
        assert record["model"] == "knn"
        assert record["auroc"] is not None
        assert record["paper_auroc"] is record["verdict"] is record["ensembles_low"] is None


def test_only_single_models_are_shown(knn):
    found = read(table2.table, [knn(range(3))])
    assert found.sections[0].header == ("OoD set", "Rate")


def test_a_further_configuration_has_a_section_of_its_own(knn):
    found = read(table2.table, [knn(num_neighbors=5), knn(num_neighbors=10)])
    assert [s.heading for s in found.sections if s.level == 2] == [
        "MNIST, 1 x knn",
        "MNIST, 1 x knn; num_neighbors 10 (not 5)",
    ]
    assert not any("judged" in text for text in found.sections[-2].text)


def test_training_sets_that_the_paper_lacks_are_refused(knn):
    with pytest.raises(UserError, match=r"--evaluation_dir.*Table 2.*digits"):
        read(table2.table, [knn(train_dataset="digits")])


def test_every_form_can_be_written(knn):
    found = read(table2.table, [knn(), evaluations.evaluation(range(5), SETS)])
    assert "Rate, knn" in documents.to_markdown(found.document)
    assert "Rate, knn" in documents.to_html(documents.to_markdown(found.document))
    assert "knn" in documents.to_csv(found.records)
