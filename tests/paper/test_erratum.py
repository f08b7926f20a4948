"""The erratum table, from evaluations made by hand."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from support import read_back
from support.evaluations import scored

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, OutputSpec
from tfp_genens.errors import UserError
from tfp_genens.paper import documents
from tfp_genens.paper.tables import erratum
from tfp_genens.reporting.evaluation_files import EvaluatedSet, Evaluation
from tfp_genens.scoring.columns import member_column

OUTPUTS = {
    "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL),
    "elbo": OutputSpec("nats", HIGHER_IS_NORMAL),
    "rate": OutputSpec("nats", LOWER_IS_NORMAL),
}
NUM_INPUTS = 80
LABELS = {"mnist": "MNIST", "hflip": "HFlip"}
NOISE = [name for name, form in erratum.ATTACKS.items() if "gradient_at" not in form]
ATTACKS = [name for name in erratum.ATTACKS if name not in NOISE]
# How many nats likelier than test images each set is.
MEANS = {
    "hflip": -1.0,
    "fashion_mnist": -30.0,
    "uniform": -100.0,
    "gaussian": -100.0,
    "gaussian_unclipped": -90.0,
    "photo_patches": -9.0,
    "adversarial_clipped": -50.0,
    "adversarial_image_gradient_clipped": -60.0,
    "adversarial_unclipped_step": 5.0,
    "adversarial_unclipped": 300.0,
    "adversarial_as_released": 250.0,
}


def score_file(mean, seed, outputs=OUTPUTS):
    rng = np.random.default_rng(seed)
    log_prob = mean + rng.normal(0, 3, NUM_INPUTS) + rng.normal(0, 0.3, (3, NUM_INPUTS))
    values = {
        "log_prob": log_prob,
        "elbo": log_prob - rng.exponential(1, (3, NUM_INPUTS)),
        "rate": rng.normal(-0.1 * mean, 1, (3, NUM_INPUTS)),
    }
    values = {name: values[name] for name in outputs}
    return scored(values, {name: OUTPUTS[name] for name in values}, range(3))


def make(sets=tuple(MEANS), train_dataset="mnist", outputs=OUTPUTS):
    def evaluated(name, mean, seed, member=0):
        return EvaluatedSet(
            name, LABELS.get(name, name), score_file(mean, seed, outputs), {}, member
        )

    def attacked(name):
        return [1] if name in ATTACKS else None

    document = {
        "train_dataset": train_dataset,
        "model": "vae",
        "members": 3,
        "manifests": [{"seed": 0, "member": m} for m in range(3)],
        "num_in": NUM_INPUTS,
        "labels": {
            "datasets": LABELS,
            "scores": {"log_prob": "log p(x)", "waic": "WAIC", "rate": "Rate"},
        },
        "sets": [{"name": name, "attacked_members": attacked(name)} for name in sets],
        "settings": {"num_bootstrap": 50, "seed": 0},
        "missing": [],
        "notes": [],
    }
    return Evaluation(
        Path("runs/x/evaluation"),
        document,
        evaluated("in_distribution", 0.0, 0),
        tuple(evaluated(name, MEANS[name], 1 + k) for k, name in enumerate(sets)),
        None,
    )


@pytest.fixture(scope="module")
def document():
    return read_back.read(erratum.table, [make()])


def section(document, heading):
    (found,) = (s for s in document.sections if s.heading == heading)
    return found


def record(document, **wanted):
    (found,) = (r for r in document.records if wanted.items() <= r.items())
    return found


def sklearn_auroc(normal_in, normal_out):
    labels = np.repeat([0, 1], [len(normal_in), len(normal_out)])
    return 100 * roc_auc_score(labels, -np.concatenate([normal_in, normal_out]))


def test_a_line_a_preset_and_the_papers_last(document):
    for heading in ("log p(x)", "WAIC"):
        found = section(document, heading)
        # The paper's order; what it does not have (photo_patches) is left out.
        assert found.header[1:] == (
            "fashion_mnist",
            "uniform",
            "gaussian",
            "HFlip",
            "Adversarial",
        )
        labels = [line[0] for line in found.body]
        assert labels == [*(p["label"] for p in erratum.PRESETS.values()), "The paper"]
    assert section(document, "log p(x)").body[-1][1:] == ("100.0", "100.0", "100.0", "84.9", "0.0")
    assert section(document, "WAIC").body[-1][1:] == ("100.0", "100.0", "100.0", "86.1", "100.0")


def test_ordinary_columns_are_means_over_members(document):
    in_scores, ood_scores = score_file(0.0, 0), score_file(-1.0, 1)
    expected = np.mean(
        [
            sklearn_auroc(in_scores.frame[c], ood_scores.frame[c])
            for c in (member_column("log_prob", m) for m in range(3))
        ]
    )
    found = record(document, part="presets", name="correct", ood_dataset="hflip", score="log_prob")
    assert found["auroc"] == pytest.approx(expected)
    assert found["paper_auroc"] == 84.9
    cell = section(document, "log p(x)").body[0][4]
    assert cell == f"{expected:.1f} [{found['auroc_low']:.1f}, {found['auroc_high']:.1f}]"


def test_the_adversarial_column_is_each_presets_own_attack_judged_by_its_member(document):
    in_scores = score_file(0.0, 0)
    for name, preset in erratum.PRESETS.items():
        attack = preset["attack"]
        k = list(MEANS).index(attack)
        column = member_column(preset["log_prob"], 1)
        expected = sklearn_auroc(
            in_scores.frame[column], score_file(MEANS[attack], 1 + k).frame[column]
        )
        found = record(
            document,
            part="presets",
            name=name,
            ood_dataset=attack,
            score="log_prob",
        )
        assert found["auroc"] == pytest.approx(expected)
        assert found["paper_auroc"] == 0.0


def test_the_papers_zero_is_traced_to_what_is_not_clipped(document):
    notes = section(document, "log p(x)").notes
    (note,) = (n for n in notes if n.startswith("Adversarial"))
    assert note.startswith(
        "Adversarial: the paper's 0.0 is nearer to mistaken evaluations than to 100.0 [100.0, "
        "100.0], as it should be; nearest first: Nothing clipped 0.0 [0.0, 0.0]"
    )
    assert erratum.PRESETS["gradient_at_image"]["label"] not in note
    marked = {
        r["name"]
        for r in document.records
        if r["part"] == "presets"
        and r["score"] == "log_prob"
        and r["ood_dataset"] in ATTACKS
        and r["paper_is_nearer_to"] == erratum.MISTAKE
    }
    assert marked == {"unclipped_step", "unclipped_pixels", "as_released"}


def test_what_speaks_against_a_mistake_is_said_too(document):
    """Here an unclipped attack fools the ensemble as well; the paper's WAIC is not fooled."""
    labels = [
        erratum.PRESETS[name]["label"]
        for name in ("unclipped_step", "unclipped_pixels", "as_released")
    ]
    notes = [n for n in section(document, "WAIC").notes if "speaks against" in n]
    assert [n.split(":")[0] for n in notes if "Adversarial" in n] == labels
    assert not any(n.startswith("As it should be") for n in notes)
    found = record(
        document,
        part="presets",
        name="unclipped_pixels",
        ood_dataset="adversarial_unclipped",
        score="waic",
    )
    assert (found["auroc"], found["paper_is_nearer_to"]) == (0.0, erratum.RIGHT)


def test_without_a_cell_nearer_to_a_mistake_a_note_says_so():
    evaluation = make(sets=("uniform", *NOISE, *ATTACKS))
    uniform = make().ood[2].scores
    always_found = tuple(dataclasses.replace(s, scores=uniform) for s in evaluation.ood)
    document = read_back.read(erratum.table, [dataclasses.replace(evaluation, ood=always_found)])
    assert section(document, "WAIC").notes == (
        "No cell of the paper's is nearer to a mistake by the rule above.",
    )


def test_the_attack_table_has_means_in_nats_of_the_attacked_member(document):
    found = section(document, "Adversarial noise")
    assert [line[0] for line in found.body] == [
        "in_distribution",
        *erratum.ATTACKS,
    ]
    for line, name in zip(found.body[1:], erratum.ATTACKS, strict=True):
        k = list(MEANS).index(name)
        scores = score_file(MEANS[name], 1 + k)
        mean = scores.frame[member_column("log_prob", 1)].mean()
        assert line[4] == f"{mean:,.1f}"
        row = record(document, part="attacks", name=name, score="rate")
        assert row["mean_log_prob"] == pytest.approx(mean)
        rates = [s.frame[member_column("rate", 1)] for s in (score_file(0.0, 0), scores)]
        assert row["auroc"] == pytest.approx(sklearn_auroc(-rates[0], -rates[1]))


def test_it_can_be_written_in_every_form(document):
    markdown = documents.to_markdown(document.document)
    assert "| The paper " in markdown
    assert len(documents.to_csv(document.document.records).splitlines()) == 1 + len(
        document.records
    )
    assert len(document.records) == 2 * 5 * 7 + 7 * 3
    assert "<td>The paper</td>" in documents.to_html(markdown)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_dataset": "digits"}, "digits"),
        (
            {"sets": tuple(n for n in MEANS if n != "adversarial_as_released")},
            f"--flagfile={erratum.FLAGFILE}, or add to its --ood: adversarial_as_released)",
        ),
        ({"outputs": ("log_prob", "rate")}, "without elbo"),
    ],
)
def test_what_an_evaluation_lacks_is_named(changes, message):
    with pytest.raises(UserError) as e:
        erratum.table([make(**changes)])
    assert e.value.argument == "--evaluation_dir"
    assert message in str(e.value)


def test_the_flagfile_has_what_is_needed():
    flagfile = Path(__file__).resolve().parents[2] / erratum.FLAGFILE
    (line,) = (x for x in flagfile.read_text().splitlines() if x.startswith("--ood="))
    assert set(erratum.ATTACKS) <= set(line[6:].split(","))
