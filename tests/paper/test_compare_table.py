"""Evaluations side by side, from evaluations made by hand."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support import evaluations
from support.evaluations import NUM_INPUTS, OUTPUTS
from support.read_back import read

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, OutputSpec
from tfp_genens.errors import UserError
from tfp_genens.paper import documents, repetition
from tfp_genens.paper.tables import compare_table
from tfp_genens.scoring.columns import member_column

SETS = ("hflip", "adversarial_clipped")
BASE_NAME, OTHER_NAME = "base", "train_samples 16 (not 1)"


def table(evaluations):
    return read(compare_table.table, evaluations)


def evaluation(members=range(5), sets=SETS, mean=-1.0, **options):
    return evaluations.evaluation(members, dict.fromkeys(sets, mean), **options)


def one_more(mean=-1.0, **config):
    return evaluation([7], mean=mean, **{"train_samples": 16} | config)


def records(found, kind):
    return [record for record in found.records if record["record"] == kind]


def auroc_record(found, column, ood, score):
    (record,) = (
        r
        for r in records(found, "auroc")
        if (r["column"], r["ood_dataset"], r["score"]) == (column, ood, score)
    )
    return record


def section(found, heading):
    (one,) = (s for s in found.sections if s.heading == heading)
    return {line[0]: dict(zip(s_header(one), line[1:], strict=True)) for line in one.body}


def s_header(one):
    return one.header[1:]


def test_columns_are_named_by_what_they_change():
    found = read(
        compare_table.table,
        [evaluation(), one_more(), evaluation(range(3), seed=1), evaluation([3], seed=1)],
    )
    names = (BASE_NAME, OTHER_NAME, "members 0 to 2 of seed 1", "member 3 of seed 1")
    assert found.sections[0].header == ("", *names)
    again = table([evaluation(), one_more(), one_more(seed=1)])
    assert again.sections[0].header[2:] == (
        f"{OTHER_NAME}; member 7 of seed 0",
        f"{OTHER_NAME}; member 7 of seed 1",
    )
    assert [s.heading for s in found.sections[1:]] == [
        "AUROC of Rate",
        "AUROC of log p(x)",
        "AUROC of WAIC",
    ]


def test_cells_are_those_of_the_results():
    base, other = evaluation(), one_more()
    found = table([base, other])
    row, other_row = base.row("hflip", "log_prob"), other.row("hflip", "log_prob")
    members = row["auroc_members"]
    cells = section(found, "AUROC of log p(x)")["HFlip"]
    assert cells[BASE_NAME] == f"{np.mean(members):.1f} ({min(members):.1f} to {max(members):.1f})"
    assert cells[OTHER_NAME].split(" ")[0] == f"{other_row['auroc']:.1f}"
    assert "(" not in cells[OTHER_NAME]
    assert cells["paper"] == "84.9"
    waic = section(found, "AUROC of WAIC")["HFlip"]
    assert waic[BASE_NAME] == f"{base.row('hflip', 'waic')['auroc']:.1f}"
    assert waic["paper"] == "86.1"
    # Of an attacked set, the attacked member's.
    attacked = section(found, "AUROC of log p(x)")["adversarial_clipped"]
    expected = base.row("adversarial_clipped", "log_prob")["auroc_members"][0]
    assert attacked[BASE_NAME] == f"{expected:.1f}"
    assert attacked["paper"] == "-"
    record = auroc_record(found, OTHER_NAME, "hflip", "log_prob")
    assert record["auroc"] == other_row["auroc"]
    assert record["change_from_base"] == pytest.approx(other_row["auroc"] - row["auroc"])
    assert record["difference"] == pytest.approx(other_row["auroc"] - 84.9)


@pytest.mark.parametrize(
    ("mean", "flag", "mark"), [(-1.0, "within", ""), (-3.0, "above", " ↑"), (1.0, "below", " ↓")]
)
def test_one_member_is_held_to_the_bases_interval(mean, flag, mark):
    base, other = evaluation(), one_more(mean)
    found = table([base, other])
    members = base.row("hflip", "log_prob")["auroc_members"]
    half = stats.t.ppf(0.975, 4) * np.std(members, ddof=1) * np.sqrt(1 + 1 / 5)
    low, high = np.clip([np.mean(members) - half, np.mean(members) + half], 0, 100)
    auroc = other.row("hflip", "log_prob")["auroc"]
    assert {"within": low <= auroc <= high, "above": auroc > high, "below": auroc < low}[flag]
    record = auroc_record(found, OTHER_NAME, "hflip", "log_prob")
    assert (record["base_members_low"], record["base_members_high"]) == pytest.approx((low, high))
    assert record["flag"] == flag
    cells = section(found, "AUROC of log p(x)")["HFlip"]
    assert cells[OTHER_NAME] == f"{auroc:.1f}{mark}"
    assert cells["interval over base's members"] == f"[{low:.1f}, {high:.1f}]"
    # Held: rate and log p(x) on the one set that attacks nobody.
    num_marked = sum(r["flag"] in ("above", "below") for r in records(found, "auroc"))
    assert f"here {num_marked} of 2 are" in found.text[1]


def test_what_is_not_held_to_an_interval():
    found = table([evaluation(), one_more(-9.0)])
    assert auroc_record(found, OTHER_NAME, "hflip", "waic")["flag"] is None
    assert auroc_record(found, OTHER_NAME, "adversarial_clipped", "log_prob")["flag"] is None
    assert auroc_record(found, BASE_NAME, "hflip", "log_prob")["flag"] is None
    several = read(
        compare_table.table, [evaluation(), evaluation([7, 8], mean=-9.0, train_samples=16)]
    )
    few = table([evaluation(range(2)), one_more(-9.0)])
    for document in (several, few):
        assert {record["flag"] for record in records(document, "auroc")} == {None}
        assert document.text[1].startswith("No cell is held to an interval")
    assert f"base of {repetition.MIN_REPETITIONS} members" in few.text[1]
    assert "interval over base's members" in several.sections[1].header
    assert "interval over base's members" not in few.sections[1].header


def test_in_distribution_facts():
    base, other = evaluation(), one_more()
    found = table([base, other])
    facts = section(found, "In-distribution test inputs, and training")
    assert facts["Members"] == {BASE_NAME: "5", OTHER_NAME: "1"}
    assert facts["Steps a member"] == {BASE_NAME: "5,000", OTHER_NAME: "5,000"}
    minutes = facts["Training time a member, min"]
    assert minutes == {BASE_NAME: "12.0 (10.0 to 14.0)", OTHER_NAME: "17.0"}
    frame = base.in_distribution.scores.frame
    values = frame[[member_column("log_prob", m) for m in range(5)]]
    of_members = values.mean().tolist()
    error = stats.sem(values.mean(axis=1))
    assert facts["log p(x), nats"][BASE_NAME] == (
        f"{np.mean(of_members):.2f} ± {error:.2f} ({min(of_members):.2f} to {max(of_members):.2f})"
    )
    (record,) = (
        r
        for r in records(found, "in_distribution")
        if (r["column"], r["score"]) == (BASE_NAME, "log_prob")
    )
    assert record["mean"] == pytest.approx(np.mean(of_members))
    assert record["standard_error"] == pytest.approx(error)
    assert record["member_means"] == pytest.approx(of_members)
    training = records(found, "training")
    assert training[1]["wall_clock_secs"] == [1020.0]
    notes = found.sections[0].notes
    assert notes[0] == "base: MNIST, 5 x vae, members 0 to 4 of seed 0 of runs/x."
    assert any("numbers of members differ" in note for note in notes)
    assert notes[-1] == "adversarial_clipped: made against each evaluation's own members."


def test_other_inputs_are_said():
    notes = table([evaluation(), one_more()]).sections[0].notes
    assert not any("inputs differ" in note for note in notes)
    found = read(
        compare_table.table, [evaluation(), evaluation([7], train_samples=16, num_examples=50)]
    )
    expected = f"with num_examples {NUM_INPUTS} (base), 50 ({OTHER_NAME})."
    assert any(note.endswith(expected) for note in found.sections[0].notes)


def test_a_set_that_only_one_has_is_shown():
    found = read(
        compare_table.table, [evaluation(), evaluation([7], (*SETS, "vflip"), train_samples=16)]
    )
    cells = section(found, "AUROC of Rate")["vflip"]
    assert (cells[BASE_NAME], cells["paper"]) == ("-", "89.3")
    assert cells[OTHER_NAME] != "-"
    record = auroc_record(found, OTHER_NAME, "vflip", "rate")
    assert (record["change_from_base"], record["flag"]) == (None, None)


def test_another_model_is_compared_by_the_scores_that_both_have():
    log_prob = {"log_prob": OUTPUTS["vae"]["log_prob"]}
    both_have = {"train_steps": 5000, "batch_size": 32}
    other = evaluation(range(3), model="glow", outputs=log_prob, levels=3, **both_have)
    found = table([evaluation(), other])
    assert found.sections[0].header[2] == "glow (not vae)"
    assert [s.heading for s in found.sections[1:]] == ["AUROC of log p(x)", "AUROC of WAIC"]
    facts = section(found, "In-distribution test inputs, and training")
    assert facts["Rate, nats"]["glow (not vae)"] == "-"
    assert found.sections[1].header[-1] == "paper, vae"


def test_what_cannot_be_compared():
    critic = {"critic": OutputSpec("logits", HIGHER_IS_NORMAL)}
    other = evaluation([5], train_dataset="fashion_mnist")
    cases = [
        ([evaluation()], r"two or more evaluations of one training set; got 1 of mnist"),
        ([evaluation(), other], r"of one training set; got 2 of mnist, fashion_mnist"),
        ([evaluation(), evaluation([4])], r"share no members.*got 0/4"),
        ([evaluation(), evaluation(model="wgan", outputs=critic)], r"a main score in common"),
        ([evaluation(sets=()), evaluation([5], sets=())], r"evaluations of OoD sets"),
    ]
    for given, match in cases:
        with pytest.raises(UserError, match=rf"--evaluation_dir.*{match}"):
            table(given)


def test_every_form_can_be_written():
    document = table([evaluation(), one_more()])
    assert documents.to_markdown(document.document).count("\n| OoD set") == 3
    assert documents.to_html(documents.to_markdown(document.document)).count("<table>") == 4
    frame = pd.read_csv(io.StringIO(documents.to_csv(document.records)))
    assert len(frame) == len(document.records)
    assert json.loads(frame["members"][0]) == [f"0/{m}" for m in range(5)]
