"""Section 4.1: numbers against hand computations, and every verdict made to change."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from support import read_back
from support.evaluations import scored

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, OutputSpec
from tfp_genens.errors import UserError
from tfp_genens.evaluation.rows import make_rows
from tfp_genens.paper import documents
from tfp_genens.paper.tables.beta_table import NO, PARTLY, YES, by_beta, judgements, table
from tfp_genens.reporting import evaluation_files
from tfp_genens.reporting.evaluation_files import EvaluatedSet, Evaluation

OUTPUTS = {
    "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL),
    "rate": OutputSpec("nats", LOWER_IS_NORMAL),
    "distortion": OutputSpec("nats", LOWER_IS_NORMAL),
}
LABELS = {"mnist": "MNIST", "hflip": "HFlip", "in_distribution": "Fashion-MNIST test"}
NUM_MEMBERS, NUM_INPUTS = 2, 80


def evaluated_set(name, rate, distortion, seed):
    """Normal scores about two means, a standard deviation of 1; log_prob is the ELBO."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(2, NUM_MEMBERS, NUM_INPUTS))
    scores = {"rate": rate + noise[0], "distortion": distortion + noise[1]}
    scores["log_prob"] = -scores["rate"] - scores["distortion"]
    scores_file = scored(scores, OUTPUTS, range(NUM_MEMBERS))
    return EvaluatedSet(name, LABELS[name], scores_file, {}, 0)


def evaluation(beta, inside=(10, 100), attacked=None, train_dataset="fashion_mnist", **sets):
    """Each set: mean rate and distortion in nats."""
    in_distribution = evaluated_set("in_distribution", *inside, seed=0)
    sets = sets or {"mnist": (15, 100)}
    ood = [evaluated_set(name, *means, seed=k) for k, (name, means) in enumerate(sets.items(), 1)]
    rows = [
        row
        for scored in ood
        for row in make_rows(
            in_distribution.scores,
            scored.scores,
            ood_dataset=scored.name,
            description="",
            attacked_members=attacked,
            train_dataset=train_dataset,
            model="vae",
            num_bootstrap=50,
            seed=0,
        )
    ]
    document = {
        "train_dataset": train_dataset,
        "model": "vae",
        "members": NUM_MEMBERS,
        "num_in": NUM_INPUTS,
        "labels": {
            "datasets": LABELS | {"fashion_mnist": "Fashion-MNIST"},
            "scores": {"rate": "Rate", "log_prob": "log p(x)", "waic": "WAIC"},
        },
        "rows": rows,
        "manifests": [
            {"seed": 0, "member": 0, "config": {"beta": beta, "seed": 0, "train_samples": 1}}
        ],
    }
    return Evaluation(Path(f"runs/beta{beta}"), document, in_distribution, tuple(ood), None)


def verdicts(*evaluations):
    found = judgements(by_beta(evaluations))
    assert list(found.index) == [
        *("poor_everywhere", "similar_distortion", "bulk_is_distortion", "not_discriminative"),
        *("fidelity", "higher_rates", "rate_beats_distortion", "fixed"),
    ]
    return {claim.Index: claim for claim in found.itertuples()}


def test_auroc_mean_and_share_are_those_of_the_scores():
    low, high = evaluation(0.1), evaluation(1.0, inside=(5, 110), mnist=(5.5, 111))
    records = pd.DataFrame(table([low, high]).records)
    for source in (low, high):
        beta = source.document["manifests"][0]["config"]["beta"]
        inside, outside = source.in_distribution.scores.frame, source.ood[0].scores.frame
        chosen = records[(records.beta == beta) & (records.set == "mnist")].set_index("score")
        auroc = [
            roc_auc_score(
                [0] * NUM_INPUTS + [1] * NUM_INPUTS,
                [*inside[f"distortion_member_{m}"], *outside[f"distortion_member_{m}"]],
            )
            for m in range(NUM_MEMBERS)
        ]
        of_auroc, of_nats = (
            chosen[chosen.record == record].loc["distortion"] for record in ("auroc", "nats")
        )
        assert of_auroc.auroc == pytest.approx(100 * np.mean(auroc))
        distortion = outside[["distortion_member_0", "distortion_member_1"]].to_numpy()
        rate = outside[["rate_member_0", "rate_member_1"]].to_numpy()
        assert of_nats["mean"] == pytest.approx(distortion.mean())
        assert of_nats["std"] == pytest.approx(distortion.std(axis=0).mean())
        share = distortion.mean() / (distortion.mean() + rate.mean())
        assert of_nats.distortion_share == pytest.approx(share)


def test_the_highest_beta_comes_first_whatever_the_order():
    evaluations = [evaluation(0.1), evaluation(1.0), evaluation(0.5)]
    document = read_back.read(table, evaluations)
    assert document.title == "Section 4.1: Fashion-MNIST with beta 1, 0.5 and 0.1"
    again = read_back.read(table, evaluations[::-1])
    assert (again.sections, again.records) == (document.sections, document.records)
    score_section = next(s for s in document.sections if s.heading == "AUROC of Rate")
    assert score_section.header == (
        "OoD set",
        "beta 1",
        "beta 0.5",
        "beta 0.1",
        "change",
        "paper, beta 0.1",
    )
    assert score_section.body[0][-1] == "97.1"  # Table 2, Fashion-MNIST against MNIST, Rate


def test_single_model_numbers_of_attacks_are_of_the_attacked_member():
    attacked = evaluation(0.1, attacked=(1,))
    records = pd.DataFrame(table([attacked, evaluation(1.0)]).records)
    row = records[(records.beta == 0.1) & (records.record == "nats") & (records.set == "mnist")]
    values = attacked.ood[0].scores.frame["rate_member_1"]
    assert row.set_index("score").loc["rate", "mean"] == pytest.approx(values.mean())


def test_the_papers_story_is_recognised():
    """Alike in distortion and log p(x) before, apart in both after."""
    found = verdicts(
        evaluation(1.0, inside=(5, 110), mnist=(5, 110), hflip=(5, 110)),
        evaluation(0.1, inside=(10, 100), mnist=(20, 103), hflip=(20, 103)),
    )
    assert {name: j.verdict for name, j in found.items()} == dict.fromkeys(found, YES)


def test_the_opposite_story_is_recognised():
    found = verdicts(
        evaluation(1.0, inside=(50, 10), mnist=(80, 40), hflip=(80, 40)),
        evaluation(0.1, inside=(40, 20), mnist=(40, 30), hflip=(40, 30)),
    )
    assert {name: j.verdict for name, j in found.items()} == dict.fromkeys(found, NO)


def test_what_holds_on_some_sets_holds_in_part():
    found = verdicts(
        evaluation(1.0, mnist=(10, 100), hflip=(10, 120)),
        evaluation(0.1, mnist=(20, 100), hflip=(10, 120)),
    )
    assert found["poor_everywhere"].verdict == PARTLY
    assert "(MNIST)" in found["poor_everywhere"].found
    assert found["rate_beats_distortion"].verdict == PARTLY
    assert "on 1 of 2 sets" in found["rate_beats_distortion"].found


def test_nan_does_not_make_a_claim_hold():
    low, high = evaluation(0.1), evaluation(1.0)
    for source in (low, high):
        for judged in (source.in_distribution, *source.ood):
            for output in ("rate", "distortion"):
                judged.scores.frame.loc[0, f"{output}_member_0"] = np.nan
    found = verdicts(low, high)
    for name in ("similar_distortion", "bulk_is_distortion", "fidelity", "higher_rates"):
        assert found[name].verdict == NO
        assert "nan" in found[name].found


def test_a_negative_distortion_has_no_share():
    evaluations = [evaluation(0.1, mnist=(10, -500)), evaluation(1.0, mnist=(10, 100))]
    document = read_back.read(table, evaluations)
    lines = {line[:2]: line for line in document.sections[-1].body}
    assert lines["MNIST", "0.1"][-2] == "-"
    assert lines["MNIST", "1"][-2] == "91 %"


def test_other_differences_are_said():
    low, high = evaluation(0.1, mnist=(1, 1), hflip=(1, 1)), evaluation(1.0)
    high.document["manifests"][0]["config"] |= {"train_samples": 16, "new_setting": "x"}
    high.document["num_in"] = 40
    notes = read_back.read(table, [low, high]).sections[0].notes
    assert "train_samples differs too: 16 at beta 1, 1 at beta 0.1." in notes
    assert "new_setting differs too: x at beta 1, None at beta 0.1." in notes
    assert (
        "The number of in-distribution inputs differs too: 40 at beta 1, 80 at beta 0.1." in notes
    )
    assert "Left out, because only beta 0.1 has it: HFlip." in notes


@pytest.mark.parametrize(
    "evaluations",
    [
        [],
        [evaluation(0.1)],
        [evaluation(0.1), evaluation(0.1)],
        [evaluation(0.1), evaluation(None)],
        [evaluation(0.1), evaluation(1.0, train_dataset="mnist")],
        [evaluation(0.1), evaluation(1.0, hflip=(1, 1))],
    ],
    ids=["none", "one", "same_beta", "no_beta", "two_training_sets", "no_common_set"],
)
def test_what_cannot_be_compared_is_refused(evaluations):
    with pytest.raises(UserError, match="--evaluation_dir"):
        table(evaluations)


def test_from_files_to_markdown(make_evaluation):
    directories = [make_evaluation(name) for name in ("low", "high")]
    path = directories[1] / "results.json"
    document = json.loads(path.read_text())
    for manifest in document["manifests"]:
        manifest["config"] = manifest["config"] | {"beta": 1.0}
    path.write_text(json.dumps(document))
    text = documents.to_markdown(table([evaluation_files.load(d) for d in directories]))
    assert "# Section 4.1: MNIST with beta 1 and 0.1" in text
    assert "The paper speaks of Fashion-MNIST; here it is MNIST." in text
