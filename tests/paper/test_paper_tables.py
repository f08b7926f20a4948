"""Table 2 and the table by number of members, from evaluations made by hand."""

import csv
import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from support import evaluations
from support.evaluations import NUM_INPUTS
from support.read_back import read

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL
from tfp_genens.errors import UserError
from tfp_genens.paper import configurations, documents, member_curve, repetition, verdicts
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.tables import compare_table, member_table, table2

MNIST_ROWS = [
    "omniglot",
    "not_mnist",
    "fashion_mnist",
    "uniform",
    "gaussian",
    "hflip",
    "vflip",
    "adversarial_unclipped",
]
# How many nats likelier than test images each set is.
MEANS = dict.fromkeys(MNIST_ROWS, -1.0) | {
    "fashion_mnist": -50.0,
    "adversarial_unclipped": 50.0,
    "adversarial_clipped": -50.0,
    "adversarial_waic_clipped": -50.0,
}


def evaluation(
    members=range(5),
    sets=("hflip", "fashion_mnist", "adversarial_unclipped", "adversarial_clipped"),
    **options,
):
    return evaluations.evaluation(members, {name: MEANS[name] for name in sets}, **options)


def records_by_cell(document):
    return {(r["ood_dataset"], r["score"]): r for r in document.records if r["verdict"]}


def auroc(found, ood, score, member=None):
    (ood_set,) = (s for s in found.ood if s.name == ood)
    sets = (found.in_distribution, ood_set)
    values = [s.values(score, member) for s in sets]
    sign = -1 if found.spec(score).direction == HIGHER_IS_NORMAL else 1
    labels = np.repeat([0, 1], NUM_INPUTS)
    return 100 * roc_auc_score(labels, sign * np.concatenate(values))


@pytest.mark.parametrize("make", [table2.table, compare_table.table])
def test_scores_stand_in_the_papers_order_whatever_the_evaluations_is(make):
    given = [evaluation(), evaluation(range(5, 10), beta=0.1)]
    before = read(make, given)
    for one in given:
        assert one.document["main_scores"] == ["rate", "log_prob", "waic"]
        one.document["main_scores"] = ["log_prob", "rate", "waic"]  # the outputs' order
    after = read(make, given)
    assert (after.sections, after.records) == (before.sections, before.records)


def test_rows_are_the_papers_in_its_order_then_ours():
    found = read(table2.table, [evaluation()])
    overview = found.sections[0]
    assert [line[0] for line in overview.body] == [
        *(name if name != "hflip" else "HFlip" for name in MNIST_ROWS),
        "adversarial_clipped",
    ]
    assert overview.header == ("OoD set", "Rate", "paper", "", "log p(x)", "paper", "", *WAIC[:3])
    by_set = {line[0]: line for line in overview.body}
    assert by_set["omniglot"][1:4] == ("-", "99.1", "?")
    assert by_set["adversarial_clipped"][2:4] == ("-", "-")
    waic = found.sections[3]
    assert waic.heading == "MNIST, 5 x vae: WAIC"
    clipped = waic.body[-1]
    assert (clipped[3], *clipped[-3:]) == ("-", "-", "-", "-")


WAIC = ("WAIC", "paper", "")


def test_cells_agree_with_the_scores_and_the_paper():
    given = evaluation()
    cells = records_by_cell(read(table2.table, [given]))
    cell = cells["hflip", "rate"]
    members = [auroc(given, "hflip", "rate", m) for m in range(5)]
    assert cell["auroc"] == pytest.approx(np.mean(members))
    assert cell["paper_auroc"] == paper.value("mnist", "hflip", "rate", "vae") == 90.0
    assert cell["difference"] == pytest.approx(np.mean(members) - 90.0)
    expected = np.clip(repetition.prediction_interval(members), 0, 100)
    assert [cell["ensembles_low"], cell["ensembles_high"]] == pytest.approx(expected)
    assert (cell["ensembles_method"], cell["ensembles_num_values"]) == ("t", 5)
    cell = cells["hflip", "waic"]
    assert cell["auroc"] == pytest.approx(auroc(given, "hflip", "waic"))
    assert (cell["ensembles_method"], cell["ensembles_num_values"]) == ("jackknife", 5)
    assert cell["ensembles_low"] <= cell["auroc"] <= cell["ensembles_high"]
    for cell in cells.values():
        if cell["verdict"] != verdicts.NOT_EVALUATED:
            ends = (cell["ensembles_low"], cell["ensembles_high"])
            interval = None if ends[0] is None else ends
            assert cell["verdict"] == verdicts.verdict(cell["auroc"], cell["paper_auroc"], interval)


def test_attacked_sets_have_one_value_an_ensemble():
    cells = records_by_cell(read(table2.table, [evaluation()]))
    assert cells["adversarial_unclipped", "log_prob"]["ensembles_method"] is None
    assert cells["adversarial_unclipped", "waic"]["ensembles_num_values"] == 4
    three = [evaluation(range(5 * k, 5 * k + 5)) for k in range(3)]
    cell = records_by_cell(read(table2.table, three))["adversarial_unclipped", "log_prob"]
    values = [auroc(e, "adversarial_unclipped", "log_prob", 0) for e in three]
    assert cell["ensembles_num_values"] == 3
    expected = np.clip(repetition.prediction_interval(values), 0, 100)
    assert [cell["ensembles_low"], cell["ensembles_high"]] == pytest.approx(expected)


def test_further_ensembles_stand_beside_the_first():
    given = [evaluation(range(5 * k, 5 * k + 5)) for k in range(3)]
    found = read(table2.table, given)
    rate, waic = found.sections[1], found.sections[3]
    assert waic.header[4:6] == ("members 5 to 9 of seed 0", "members 10 to 14 of seed 0")
    line = next(line for line in waic.body if line[0] == "HFlip")
    values = [auroc(e, "hflip", "waic") for e in given]
    assert (line[1], *line[4:6]) == tuple(f"{value:.1f}" for value in values)
    low, high = np.clip(repetition.prediction_interval(values), 0, 100)
    assert line[3] == f"[{low:.1f}, {high:.1f}]"
    assert waic.notes == ("Over ensembles: the t prediction interval from 3 AUROCs.",)
    assert "15 AUROCs" in rate.notes[0]
    # What is judged is the first ensemble's, once.
    assert len(records_by_cell(found)) == len(MNIST_ROWS) * 3
    assert len(found.records) == 3 * (len(MNIST_ROWS) + 1) * 3
    # Two are too few for their own interval: the jackknife over the first's members.
    cell = records_by_cell(read(table2.table, given[:2]))["hflip", "waic"]
    assert (cell["ensembles_method"], cell["ensembles_num_values"]) == ("jackknife", 5)
    # Ensembles of another size do not repeat the first.
    smaller = [given[0], given[1], evaluation(range(10, 14))]
    cell = records_by_cell(read(table2.table, smaller))["hflip", "waic"]
    assert cell["ensembles_method"] == "jackknife"


def test_with_two_members_nothing_lies_within_an_interval():
    cells = records_by_cell(read(table2.table, [evaluation(range(2))]))
    assert all(cell["ensembles_method"] is None for cell in cells.values())
    assert verdicts.WITHIN_INTERVAL not in {cell["verdict"] for cell in cells.values()}


def test_another_configuration_has_a_section_and_no_verdicts():
    found = read(table2.table, [evaluation(), evaluation(range(3), beta=0.1)])
    overview = found.sections[4]
    assert overview.heading == "MNIST, 3 x vae; beta 0.1 (not 1.0)"
    assert overview.header == ("OoD set", "Rate", "paper", "log p(x)", "paper", "WAIC", "paper")
    assert found.sections[5].header[-1] == "difference"
    alone = read(table2.table, [evaluation()])
    assert found.text == alone.text  # The same verdicts are counted.
    assert {r["verdict"] for r in found.records if r["members"] == ("0/0", "0/1", "0/2")} == {None}


@pytest.mark.parametrize("models", [("vae", "wgan"), ("wgan", "vae")])
def test_models_on_one_training_set_share_an_overview(models):
    given = {
        "vae": evaluation(),
        "wgan": evaluation(sets=("vflip", "adversarial_unclipped"), model="wgan"),
    }
    found = read(table2.table, [given[model] for model in models])
    overview = found.sections[0]
    assert overview.heading == f"MNIST, 5 x {models[0]}, 5 x {models[1]}"
    labels = ["D", "Var(D)", "Rate", "log p(x)", "WAIC"]
    expected = [text for label in labels for text in (label, "paper", "")]
    assert overview.header == ("OoD set", *expected)
    assert [line[0] for line in overview.body][:8] == [
        name if name != "hflip" else "HFlip" for name in MNIST_ROWS
    ]
    by_set = {line[0]: line for line in overview.body}
    members = [auroc(given["wgan"], "vflip", "critic", m) for m in range(5)]
    assert by_set["vflip"][1:3] == (f"{np.mean(members):.1f}", "44.7")
    assert by_set["vflip"][7:9] == ("-", "89.3")  # the VAE's rate was not evaluated there
    assert by_set["HFlip"][1:4] == ("-", "41.5", "?")
    # Ours alone, and only the VAE's: nothing stands under D.
    assert by_set["adversarial_clipped"][1:7] == ("-",) * 6
    assert by_set["adversarial_clipped"][7] != "-"
    headings = [section.heading for section in found.sections[1:]]
    assert headings == [
        "MNIST, 5 x wgan: D",
        "MNIST, 5 x wgan: Var(D)",
        "MNIST, 5 x vae: Rate",
        "MNIST, 5 x vae: log p(x)",
        "MNIST, 5 x vae: WAIC",
    ]


def test_each_model_is_judged_as_if_it_were_alone():
    vae, wgan = evaluation(), evaluation(model="wgan")
    together = records_by_cell(read(table2.table, [vae, wgan]))
    alone = records_by_cell(read(table2.table, [vae])) | records_by_cell(read(table2.table, [wgan]))
    assert together == alone
    assert len(together) == len(MNIST_ROWS) * 5
    critic = together["adversarial_unclipped", "critic"]
    assert critic["auroc"] == pytest.approx(auroc(wgan, "adversarial_unclipped", "critic", 0))
    assert critic["paper_auroc"] == 30.8
    notes = read(table2.table, [vae, wgan]).sections[0].notes
    assert "no independent evidence" in notes[0]
    assert notes[1] == (
        "adversarial_unclipped; adversarial_clipped: each model's is made against its own members."
    )
    departures = [note.split(":")[0] for note in notes[2:]]
    assert set(departures) == {"Departs from the paper (vae)", "Departs from the paper (wgan)"}


def test_only_a_further_configuration_of_a_model_goes_without_verdicts():
    given = [
        evaluation(),
        evaluation(model="wgan"),
        evaluation(range(3), model="wgan", critic_steps=1),
    ]
    found = read(table2.table, given)
    further = [s for s in found.sections if "critic_steps" in s.heading]
    assert further[0].heading == "MNIST, 3 x wgan; critic_steps 1 (not 5)"
    assert further[0].header == ("OoD set", "D", "paper", "Var(D)", "paper")
    assert further[0].text[1].startswith("No verdicts")
    assert found.sections[-3:] == tuple(further)
    assert found.text == read(table2.table, given[:2]).text


def test_columns_of_one_name_say_of_which_model_they_are():
    found = read(table2.table, [evaluation(), evaluation(model="glow")])
    labels = ("Rate", "log p(x), vae", "log p(x), glow", "WAIC, vae", "WAIC, glow")
    header = [name for name in found.sections[0].header[1:] if name not in ("paper", "")]
    assert tuple(header) == labels
    # On MNIST the paper's likelihoods are a VAE's: a GLOW's stand without its numbers.
    assert {row["paper_auroc"] for row in found.records if row["model"] == "glow"} == {None}
    assert found.text[-1].startswith("Columns of glow on MNIST are beyond the paper")


def test_training_sets_follow_one_another():
    other = evaluation(train_dataset="fashion_mnist", sets=("hflip",))
    found = read(table2.table, [evaluation(), other, evaluation(model="wgan")])
    tops = [section.heading for section in found.sections if section.level == 2]
    assert tops == ["MNIST, 5 x vae, 5 x wgan", "fashion_mnist, 5 x vae"]


def test_the_rule_comes_before_any_number():
    text = read(table2.table, [evaluation()]).text
    rule = [f'{k}. "{verdict}": ' for k, verdict in enumerate(verdicts.VERDICTS, 1)]
    positions = [[line.startswith(start) for line in text].index(True) for start in rule]
    assert positions == sorted(positions)
    assert text[-1].startswith("Cells of the scores evaluated that the paper has a number for: 24.")
    assert positions[-1] < len(text) - 1


def test_the_count_is_of_all_cells():
    found = read(table2.table, [evaluation()])
    cells = [r["verdict"] for r in records_by_cell(found).values()]
    for verdict in (*verdicts.VERDICTS, verdicts.NOT_EVALUATED):
        assert f"{verdict}: {cells.count(verdict)}" in found.text[-1].lower()
    assert len(cells) == 24


def test_departures_stand_under_the_table():
    notes = read(table2.table, [evaluation(range(3), train_samples=1)]).sections[0].notes
    assert "Departs from the paper (vae): num_members is 3; the paper: 5 (section 4)." in notes
    assert any("train_samples is 1; the paper: 16" in note for note in notes)


def test_what_table_2_has_no_numbers_for():
    with pytest.raises(UserError, match=r"--evaluation_dir.*Table 2.*digits"):
        read(table2.table, [evaluation(train_dataset="digits")])


def test_members_may_be_in_one_evaluation_only():
    for make in (table2.table, member_table.table):
        with pytest.raises(
            UserError, match=r"--evaluation_dir.*share no members.*; got 0/4 \(seed/member\) in"
        ):
            make([evaluation(range(5)), evaluation(range(4, 8))])


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([3], "member 3 of seed 1"),
        ([0, 1], "members 0, 1 of seed 1"),
        ([5, 6, 7], "members 5 to 7 of seed 1"),
        ([0, 2, 3], "members 0, 2, 3 of seed 1"),
    ],
)
def test_members_in_words(members, expected):
    assert configurations.describe_members(evaluation(members, sets=(), seed=1)) == expected


def test_sets_made_against_members():
    given = evaluation(sets=("hflip", "adversarial_clipped", "adversarial_waic_clipped"))
    assert configurations.attacked_sets(given) == (
        "adversarial_clipped",
        "adversarial_waic_clipped",
    )
    # In older files stand the attacked members, not the attack.
    for entry in given.document["sets"]:
        del entry["attack"]
    assert configurations.attacked_sets(given) == ("adversarial_clipped",)


def test_runs_that_differ_in_their_seed_repeat_one_another():
    runs = [evaluation(seed=0), evaluation(seed=1)]
    (configuration,) = configurations.group(runs)
    assert configuration.evaluations == tuple(runs)
    scores = member_curve.member_scores(configuration)
    assert scores.members == tuple(f"{seed}/{member}" for seed in (0, 1) for member in range(5))
    other_beta = evaluation(seed=1, beta=0.1)
    assert len(configurations.group([*runs, other_beta])) == 2
    assert configurations.differences(other_beta, runs[0]) == "beta 0.1 (not 1.0)"


def test_members_of_several_evaluations_are_joined():
    sets = ("hflip", "fashion_mnist", "adversarial_clipped", "adversarial_waic_clipped")
    together = evaluation(range(4), sets)
    parts = [evaluation(range(3), sets), evaluation([3], sets[::-1])]
    # Another order of the inputs is the same set.
    hflip = parts[1].ood[-1]
    hflip.scores.frame.loc[:] = hflip.scores.frame.iloc[::-1].to_numpy()
    found, expected = read(member_table.table, parts), read(member_table.table, [together])
    assert found.records == expected.records
    about, section = found.sections
    assert about.notes == (
        "Left out, because they were made against members: adversarial_clipped; "
        "adversarial_waic_clipped.",
    )
    assert section.heading == "WAIC by number of members"
    assert section.header == ("OoD set", "1", "2", "3", "4")
    assert section.body == expected.sections[1].body
    assert [line[0] for line in section.body] == ["HFlip", "fashion_mnist"]
    line = section.body[0]
    assert line[4] == f"{auroc(together, 'hflip', 'waic'):.1f}"
    single = [auroc(together, "hflip", "log_prob", m) for m in range(4)]
    assert line[1] == f"{np.mean(single):.1f} [{min(single):.1f}, {max(single):.1f}]"
    waic = [r for r in found.records if (r["ood_dataset"], r["score"]) == ("hflip", "waic")]
    assert [r["num_subsets"] for r in waic] == [4, 6, 4, 1]


def test_disjoint_ensembles_of_five_side_by_side():
    parts = [evaluation(range(5)), evaluation(range(5, 10))]
    disjoint = read(member_table.table, parts).sections[2]
    assert disjoint.header == (
        "OoD set",
        "0/0, 0/1, 0/2, 0/3, 0/4",
        "0/5, 0/6, 0/7, 0/8, 0/9",
        "largest difference",
    )
    values = [auroc(e, "hflip", "waic") for e in parts]
    assert disjoint.body[0] == (
        "HFlip",
        *(f"{value:.1f}" for value in values),
        f"{abs(values[0] - values[1]):.1f}",
    )
    assert len(read(member_table.table, [evaluation(range(9))]).sections) == 2


def test_evaluations_that_cannot_be_joined():
    def check(other, match):
        with pytest.raises(UserError, match=f"--evaluation_dir.*{match}"):
            read(member_table.table, [evaluation(range(2)), other])

    other = evaluation([2, 3])
    other.ood[0].scores.frame.loc[0, "example_id"] = "another"
    check(other, "the same inputs of HFlip.*2 that only one of two has")
    other = evaluation([2, 3])
    other.ood[0].scores.frame.loc[0, "example_id"] = "1"
    check(other, "a repeated one")
    other = evaluation([2, 3])
    other.ood[0].examples["first"][0] = 7.0
    check(other, "inputs that differ under one name")
    check(evaluation([2, 3], sets=()), "share OoD sets.*got none")


def test_sets_that_only_one_evaluation_has_are_no_part_of_the_curve():
    parts = [evaluation(range(2)), evaluation([2, 3], sets=("hflip",))]
    assert {r["ood_dataset"] for r in read(member_table.table, parts).records} == {"hflip"}


def test_too_little_for_a_curve():
    with pytest.raises(UserError, match=r"two members or more; got one"):
        read(member_table.table, [evaluation([0])])
    with pytest.raises(UserError, match=r"attack no members; got adversarial_clipped"):
        read(member_table.table, [evaluation(sets=("adversarial_clipped",))])
    with pytest.raises(UserError, match=r"evaluations of OoD sets.*which has none"):
        read(member_table.table, [evaluation(sets=())])
    other = evaluation()
    other.in_distribution.scores.ensemble_scores.clear()
    with pytest.raises(UserError, match=r"have one of dose, .*waic, .*which has log_prob, rate"):
        read(member_table.table, [other])


@pytest.mark.parametrize("make", [table2.table, member_table.table])
def test_every_form_can_be_written(make):
    document = make([evaluation(), evaluation(range(3), beta=0.1)])
    assert documents.to_markdown(document).count("\n| OoD set") >= 2
    assert documents.to_html(documents.to_markdown(document)).count("<table>") >= 2
    lines = documents.to_csv(document.records).splitlines()
    assert len(lines) == len(document.records) + 1
    members = next(csv.DictReader(lines))["members"]
    assert json.loads(members) == ["0/0", "0/1", "0/2", "0/3", "0/4"]
