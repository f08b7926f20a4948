"""Bits a dimension, from evaluations made by hand."""

import dataclasses
import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support import evaluations, read_back

from tfp_genens.errors import UserError
from tfp_genens.evaluation import rows
from tfp_genens.paper import documents
from tfp_genens.paper import numbers as published
from tfp_genens.paper.tables import bits_table
from tfp_genens.scoring.columns import member_column

SETTINGS = {"num_steps": 6, "num_levels": 3, "width": 96, "coupling": "additive"}
WARNING = "simpler images are likelier than held-out ones (black 99 % of them)"
VALIDATION_SECTION = "Held-out bits/dim over training"
PROBES_SECTION = "Images that should not be likelier"


def checks(**changes):
    """What the gate leaves in a manifest."""
    probes = {
        "black": {"bits_per_dim": 4.25, "likelier_share": 0.985, "advantage_nats": 1237.5},
        "uniform_noise": {"bits_per_dim": 76.6, "likelier_share": 0.0, "advantage_nats": -1e5},
    }
    return {
        "actnorms_initialized": True,
        "num_examples": 200,
        "untrained_bits_per_dim": 6.9749670225747575,
        "bits_per_dim": 3.9809242346913445,
        "inversion_error": 1.077e-06,
        "probes": probes,
        "warnings": [WARNING],
    } | changes


def evaluation(members=(0, 1), *, train_dataset="cifar10", gate=None, steps=8000, **config):
    """Of GLOWs; `gate`: member -> what is stored under "checks"."""
    found = evaluations.evaluation(
        members, train_dataset=train_dataset, model="glow", train_steps=steps, **SETTINGS | config
    )
    for manifest in found.document["manifests"]:
        stored = (gate or {}).get(manifest["member"], checks())
        manifest |= {"checks": stored, "num_parameters": 1_234_567, "steps": steps}
    return found


def with_training(found, directory, cells):
    """`cells`: member -> {step: text of the cell}."""
    (directory / "training").mkdir()
    for member, by_step in cells.items():
        lines = [f"{step},train,4.0,{bits}" for step, bits in by_step.items()]
        text = "\n".join(["step,phase,loss,validation_bits_per_dim", *lines, ""])
        (directory / f"training/member_{member}.csv").write_text(text)
    return dataclasses.replace(found, directory=directory)


def section(found, heading):
    """The lines by their first cell, each a mapping from column to cell."""
    (one,) = (s for s in found.sections if s.heading == heading)
    return {line[0]: dict(zip(one.header, line, strict=True)) for line in one.body}


def headings(found):
    return [s.heading for s in found.sections]


def records(found, kind):
    return [record for record in found.records if record["record"] == kind]


def test_a_line_a_member():
    one = evaluation(gate={1: checks(actnorms_initialized=False, warnings=[])})
    found = read_back.read(bits_table.table, [one])
    lines = section(found, "CIFAR-10, 2 x glow")
    assert list(lines) == ["Member 0", "Member 1", "Mean over members"]
    frame = one.in_distribution.scores.frame
    values = frame[[member_column("bits_per_dim", m) for m in (0, 1)]].to_numpy().T
    expected = [*values, values.mean(axis=0)]
    for line, of_inputs in zip(lines.values(), expected, strict=True):
        mean = of_inputs.mean()
        low, high = stats.t.interval(0.95, len(of_inputs) - 1, mean, stats.sem(of_inputs))
        assert line["test inputs"] == f"{mean:.3f} [{low:.3f}, {high:.3f}]"
    assert lines["Member 0"] == {
        "Member": "Member 0",
        "parameters": "1,234,567",
        "steps": "8,000",
        "held out, untrained": "6.975",
        "held out, trained": "3.981",
        "test inputs": lines["Member 0"]["test inputs"],
        "inversion error": "1.1e-06",
        "actnorms initialised": "yes",
        "warnings": "1",
    }
    assert lines["Member 1"]["actnorms initialised"] == "no"
    assert lines["Member 1"]["warnings"] == "0"
    (text,) = found.sections[0].text
    assert text.startswith(
        "Members 0, 1 of seed 0 of runs/x; K 6; L 3; width 96; coupling additive. "
    )
    assert found.sections[0].notes == (f"Member 0: {WARNING}.",)

    first, second = records(found, "member")
    assert [first["member"], second["member"]] == ["0/0", "0/1"]
    assert first["bits_per_dim"] == pytest.approx(values[0].mean(), rel=1e-15)
    assert first["untrained_held_out_bits_per_dim"] == 6.9749670225747575
    assert first["held_out_bits_per_dim"] == 3.9809242346913445
    assert (first["width"], first["num_parameters"]) == (96, 1_234_567)
    (mean,) = records(found, "mean_over_members")
    low, high = stats.t.interval(0.95, 60, values.mean(), stats.sem(expected[-1]))
    assert [mean[f"bits_per_dim{end}"] for end in ("", "_low", "_high")] == pytest.approx(
        [values.mean(), low, high]
    )


def test_one_member_has_no_mean_and_one_input_no_interval():
    one = evaluation([3])
    scores = one.in_distribution.scores
    scores = dataclasses.replace(scores, frame=scores.frame.head(1))
    in_distribution = dataclasses.replace(one.in_distribution, scores=scores)
    one = dataclasses.replace(one, in_distribution=in_distribution)
    found = read_back.read(bits_table.table, [one])
    lines = section(found, "CIFAR-10, 1 x glow")
    value = scores.frame[member_column("bits_per_dim", 3)].iloc[0]
    assert {name: line["test inputs"] for name, line in lines.items()} == {
        "Member 3": f"{value:.3f}"
    }


def test_what_is_not_finite_is_said():
    probes = checks()["probes"]
    broken = {
        "black": probes["black"] | {"bits_per_dim": None, "advantage_nats": None},
        "uniform_noise": probes["uniform_noise"] | {"likelier_share": None},
    }
    nothing = dict.fromkeys(("untrained_bits_per_dim", "bits_per_dim", "inversion_error"))
    one = evaluation(gate={1: checks(probes=broken, **nothing)})
    one.in_distribution.scores.frame.loc[4, member_column("bits_per_dim", 1)] = math.nan
    found = read_back.read(bits_table.table, [one])
    lines = section(found, "CIFAR-10, 2 x glow")
    columns = ("held out, untrained", "held out, trained", "test inputs", "inversion error")
    assert {lines["Member 1"][column] for column in columns} == {"not finite"}
    assert "not finite" not in lines["Member 0"].values()
    shares = section(found, PROBES_SECTION)
    assert [line["member 1"] for line in shares.values()] == ["not finite"] * 2
    assert [line["member 0"] for line in shares.values()] == ["98 %", "0 %"]
    # In the CSV an empty cell is what was not measured; pandas reads both as NaN by itself.
    text = documents.to_csv(found.document.records)
    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    member = frame[(frame["record"] == "member") & (frame["member"] == "0/1")].iloc[0]
    assert (member["inversion_error"], member["bits_per_dim"]) == ("nan", "nan")
    assert member["likelier_share"] == ""


def test_a_member_without_a_gate_or_a_count():
    one = evaluation(gate={0: {}, 1: {}})
    for manifest in one.document["manifests"]:
        del manifest["num_parameters"], manifest["checks"]
    found = read_back.read(bits_table.table, [one])
    assert headings(found) == ["CIFAR-10, 2 x glow", "CIFAR-10: beside published numbers"]
    line = section(found, "CIFAR-10, 2 x glow")["Member 0"]
    unknown = {name for name, cell in line.items() if cell == "-"}
    assert unknown == set(line) - {"Member", "steps", "test inputs"}
    assert found.sections[0].notes == ()
    assert not records(found, "probe")


def test_bits_over_training(tmp_path):
    steps = range(250, 7501, 250)  # 30
    cells = {
        0: {step: "" if step == 500 else repr(8.0 - step / 3000) for step in steps},
        1: {250: "nan", 500: "4.5"},
    }
    one = with_training(evaluation(range(3)), tmp_path, cells)
    found = read_back.read(bits_table.table, [one])
    lines = section(found, VALIDATION_SECTION)
    shown = [int(step.replace(",", "")) for step in lines]
    assert len(shown) == bits_table.MAX_LINES
    assert (shown[0], shown[-1]) == (250, 7500)
    assert shown == sorted(shown)
    assert max(np.diff(shown)) <= 750  # 29 gaps of 250 in 11 lines
    assert lines["250"]["member 0"] == f"{8.0 - 250 / 3000:.3f}"
    assert lines["250"]["member 1"] == "not finite"
    assert {line["member 2"] for line in lines.values()} == {"-"}
    (text,) = (s.text[0] for s in found.sections if s.heading == VALIDATION_SECTION)
    assert text.endswith("12 of 30 recorded steps; the CSV file has all.")
    recorded = records(found, "validation")
    assert len(recorded) == 29 + 2
    by_step = {r["step"]: r["bits_per_dim"] for r in recorded if r["member"] == "0/0"}
    assert by_step == {step: 8.0 - step / 3000 for step in steps if step != 500}
    assert [r["bits_per_dim"] for r in recorded if r["member"] == "0/1"] == ["nan", 4.5]


def test_few_steps_are_all_shown(tmp_path):
    cells = {0: {100: "5.0", 200: "4.0"}}
    found = read_back.read(bits_table.table, [with_training(evaluation(), tmp_path, cells)])
    assert list(section(found, VALIDATION_SECTION)) == ["100", "200"]
    assert "CSV" not in next(s for s in found.sections if s.heading == VALIDATION_SECTION).text[0]


@pytest.mark.parametrize("text", ["step,phase,loss\n50,train,4.0\n", "step,phase,loss\n"])
def test_no_section_without_held_out_records(tmp_path, text):
    one = with_training(evaluation(), tmp_path, {})
    (tmp_path / "training/member_0.csv").write_text(text)
    assert VALIDATION_SECTION not in headings(read_back.read(bits_table.table, [one]))


def test_probes_by_member():
    other = {"black": {"bits_per_dim": 4.0, "likelier_share": 0.25, "advantage_nats": -3.5}}
    found = read_back.read(bits_table.table, [evaluation(gate={1: checks(probes=other)})])
    assert section(found, PROBES_SECTION) == {
        "Black": {"Probe": "Black", "member 0": "98 %", "member 1": "25 %"},
        "Uniform noise": {"Probe": "Uniform noise", "member 0": "0 %", "member 1": "-"},
    }
    assert [(r["member"], r["probe"], r["likelier_share"]) for r in records(found, "probe")] == [
        ("0/0", "black", 0.985),
        ("0/0", "uniform_noise", 0.0),
        ("0/1", "black", 0.25),
    ]


def test_evaluations_differ_by_their_settings():
    several = [evaluation(), evaluation([0], steps=2000), evaluation(train_dataset="mnist")]
    found = read_back.read(bits_table.table, several)
    changed = "CIFAR-10, 1 x glow: train_steps 2000 (not 8000)"
    assert [s.heading for s in found.sections if s.level == 2] == [
        "CIFAR-10, 2 x glow",
        changed,
        "MNIST, 2 x glow",
        "CIFAR-10: beside published numbers",
    ]
    assert section(found, changed)["Member 0"]["steps"] == "2,000"
    assert [r["steps"] for r in records(found, "member")] == [8000, 8000, 2000, 8000, 8000]


def test_published_numbers_stand_beside_ours():
    one = evaluation()
    found = read_back.read(bits_table.table, [one])
    lines = section(found, "CIFAR-10: beside published numbers")
    values = rows.member_values(one.in_distribution.scores, "bits_per_dim")
    ours = lines["CIFAR-10, 2 x glow"]
    assert ours.pop("source") == (
        "ours, members 0, 1 of seed 0 of runs/x: mean over members and 61 test inputs"
    )
    assert list(ours.values())[1:] == [
        f"{values.mean():.3f}",
        "6",
        "3",
        "96",
        "additive",
        "1,234,567",
    ]
    glow = lines["Glow"]
    columns = ("bits/dim", "K", "L", "width", "coupling", "parameters")
    assert [glow[column] for column in columns] == ["3.35", "32", "3", "512", "affine", "-"]
    assert lines["GLOW, five members"]["bits/dim"] == "~3.5"
    kept = records(found, "published")
    assert [r["bits_per_dim"] for r in kept] == [3.49, 3.35, 3.39, 3.49, 3.46, 3.5]


def test_nothing_is_published_of_other_sets():
    found = read_back.read(bits_table.table, [evaluation(train_dataset="mnist")])
    assert not any("published" in heading for heading in headings(found))
    assert not records(found, "published")


def test_every_published_number_has_its_source():
    found = published.published_bits_per_dim("cifar10")
    (keys,) = {frozenset(row) for row in found}
    assert {"model", "bits_per_dim", "source", "num_parameters", *bits_table.SETTINGS} <= keys
    assert all(row["source"] and 3.0 < row["bits_per_dim"] < 4.0 for row in found)


def test_what_has_no_bits_per_dim():
    other = evaluations.evaluation(train_dataset="cifar10")
    match = "--evaluation_dir: expected .*density models, with bits_per_dim.*log_prob, rate"
    with pytest.raises(UserError, match=match):
        bits_table.table([evaluation(), other])


def test_every_form_can_be_written(tmp_path):
    cells = {member: {100: "5.0"} for member in (0, 1)}
    document = bits_table.table([with_training(evaluation(), tmp_path, cells)])
    assert documents.to_markdown(document).count("\n| ---") == 4
    assert documents.to_html(documents.to_markdown(document)).count("<table>") == 4
    frame = pd.read_csv(io.StringIO(documents.to_csv(document.records)))
    assert len(frame) == len(document.records)
    warnings = frame.loc[frame["record"] == "member", "warnings"]
    assert [json.loads(cell) for cell in warnings] == [[WARNING]] * 2
