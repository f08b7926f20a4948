"""Table 2's columns of the models that learn from labels: ODIN and VIB."""

from support import evaluations
from support.read_back import read

from tfp_genens.paper import numbers as paper
from tfp_genens.paper.tables import table2

SETS = {"fashion_mnist": -2.0, "uniform": -3.0}
ACCURACY = {"members": [98.0, 99.0], "num_in": 61} | {
    f"{kind}{end}": value
    for kind, value in (("mean", 98.5), ("ensemble", 99.2))
    for end in ("", "_low", "_high")
}


def evaluation(model, **options):
    found = evaluations.evaluation(range(2), SETS, model=model, **options)
    found.document["accuracy"] = ACCURACY
    return found


def test_odin_comes_first_vib_second_and_maximum_softmax_without_a_number_of_the_papers():
    models = ("classifier", "vib", "vae")
    overview = read(table2.table, [evaluation(model) for model in models]).sections[0]
    assert [name for name in overview.header if name not in ("paper", "")] == [
        "OoD set",
        "ODIN",
        "VIB",
        "Rate",
        "log p(x)",
        "WAIC",
        "Maximum softmax",
    ]
    line = {line[0]: line for line in overview.body}["uniform"]
    assert line[2] == "100.0"
    assert line[overview.header.index("VIB") + 1] == "76.6"


def test_accuracies_stand_in_the_notes():
    overview = read(table2.table, [evaluation("classifier"), evaluation("vib")]).sections[0]
    notes = [note for note in overview.notes if note.startswith("Accuracy")]
    assert ["(classifier, 61" in notes[0], "(vib, 61" in notes[1]] == [True, True]
    assert "98.5" in notes[0]
    assert "99.2" in notes[0]


def test_odin_on_fashion_mnist_is_shown_though_the_paper_has_no_number():
    models = ("vae", "classifier")
    found = read(
        table2.table, [evaluation(model, train_dataset="fashion_mnist") for model in models]
    )
    overview = found.sections[0]
    assert "ODIN" in overview.header
    assert "Maximum softmax" in overview.header
    assert not [r for r in found.records if r["model"] == "classifier" and r["verdict"]]


def test_main_scores():
    assert paper.main_scores(["max_softmax", "odin", "odin_mean"], "classifier") == (
        "odin",
        "max_softmax",
    )
    assert paper.main_scores(["max_softmax"], "classifier") == ("max_softmax",)
    assert paper.main_scores(["rate", "entropy"], "vib") == ("rate",)
