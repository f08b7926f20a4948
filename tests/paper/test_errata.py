"""The released code's mistakes, switched on one at a time, on scores made by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from support.evaluations import scored

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, OutputSpec
from tfp_genens.data.ood import OOD_SETS
from tfp_genens.evaluation import rows
from tfp_genens.paper.tables import erratum
from tfp_genens.paper.tables.erratum import ATTACKS, PRESETS
from tfp_genens.reporting.evaluation_files import EvaluatedSet, Evaluation

OUTPUTS = {
    "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL),
    "elbo": OutputSpec("nats", HIGHER_IS_NORMAL),
    "rate": OutputSpec("nats", LOWER_IS_NORMAL),
}
MEMBERS = (4, 0, 2)
ENDS = ("auroc", "auroc_low", "auroc_high")


def made(seed, mean, num_inputs=60):
    """Inputs differ much (3 nats) and members little (0.3), as real ones do."""
    rng = np.random.default_rng(seed)
    log_prob = mean + rng.normal(0, 3, num_inputs) + rng.normal(0, 0.3, (3, num_inputs))
    return {
        "log_prob": log_prob,
        "elbo": log_prob - rng.exponential(4, (3, num_inputs)),
        "rate": -0.3 * log_prob + rng.normal(0, 1, (3, num_inputs)),
    }


def judge(name, in_values, ood_values, ood_dataset="hflip", attacked=None, num_bootstrap=200):
    """The preset's numbers of an evaluation with these member outputs."""
    sets = [
        EvaluatedSet(name, name, scored(values, OUTPUTS, MEMBERS), {}, 0)
        for name, values in (("in_distribution", in_values), (ood_dataset, ood_values))
    ]
    document = {"settings": {"num_bootstrap": num_bootstrap, "seed": 5}}
    evaluation = Evaluation(Path("runs/x"), document, sets[0], (sets[1],), None)
    preset = PRESETS[name]
    return erratum.judge_preset(
        evaluation, preset["aligned"], preset["log_prob"], ood_dataset, attacked
    )


def misaligned(of_members, set_name="hflip", seed=1):
    return erratum.misaligned(of_members, MEMBERS, set_name=set_name, seed=seed)


def sklearn_auroc(normal_in, normal_out):
    labels = np.repeat([0, 1], [len(normal_in), len(normal_out)])
    return 100 * roc_auc_score(labels, -np.concatenate([normal_in, normal_out]))


def test_judged_correctly_the_numbers_are_those_of_the_evaluation():
    in_values, ood_values = made(0, 0), made(1, -2)
    ordinary = rows.make_rows(
        scored(in_values, OUTPUTS, MEMBERS),
        scored(ood_values, OUTPUTS, MEMBERS),
        ood_dataset="hflip",
        description="",
        attacked_members=None,
        train_dataset="mnist",
        model="vae",
        num_bootstrap=200,
        seed=5,
    )
    expected = {row["score"]: [row[end] for end in ENDS] for row in ordinary}
    found = judge("correct", in_values, ood_values)
    assert list(found) == ["log_prob", "rate", "waic"]
    for score, judged in found.items():
        # WAIC is computed anew; numbers are counts of pairs, alike where the order of inputs is.
        assert [judged[end] for end in ENDS] == expected[score]


def test_misaligned_members_keep_their_own_scores_and_mix_the_images():
    values = made(0, 0)
    judged = {output: misaligned(values[output]) for output in ("log_prob", "rate")}
    orders = []
    for k in range(3):
        order = [
            int(np.flatnonzero(values["log_prob"][k] == value)[0])
            for value in judged["log_prob"][k]
        ]
        assert sorted(order) == list(range(60))
        # A member's outputs stay together, and no two members are in the same order.
        np.testing.assert_array_equal(judged["rate"][k], values["rate"][k][order])
        orders.append(tuple(order))
    assert len(set(orders)) == 3
    assert tuple(range(60)) not in orders


def test_orders_differ_between_sets_and_repeat_with_the_seed():
    def order(set_name, seed):
        return tuple(misaligned(made(0, 0)["log_prob"], set_name, seed)[0])

    assert order("hflip", 1) == order("hflip", 1)
    assert len({order("hflip", 1), order("vflip", 1), order("hflip", 2)}) == 3


def test_misaligned_members_leave_a_single_model_alone_and_change_waic():
    in_values, ood_values = made(0, 0, 400), made(1, -3, 400)
    correct, mistaken = (
        judge(name, in_values, ood_values) for name in ("correct", "misaligned_members")
    )
    for score in ("log_prob", "rate"):
        assert mistaken[score]["auroc"] == pytest.approx(correct[score]["auroc"], abs=1e-9)
    # Mixed images bring the variance between images (9 nats^2) into every row's variance.
    mixed = [
        misaligned(values["log_prob"], name, 5)
        for name, values in (("in_distribution", in_values), ("hflip", ood_values))
    ]
    assert in_values["log_prob"].var(axis=0).mean() < 0.1
    assert mixed[0].var(axis=0).mean() == pytest.approx(9 * 2 / 3, rel=0.2)
    waic = sklearn_auroc(*(m.mean(axis=0) - m.var(axis=0) for m in mixed))
    assert mistaken["waic"]["auroc"] == pytest.approx(waic)
    low, high = mistaken["waic"]["auroc_low"], mistaken["waic"]["auroc_high"]
    assert not low <= correct["waic"]["auroc"] <= high


def test_misaligned_members_are_resampled_on_images_of_their_own():
    """Independent errors: the mean of three AUROCs varies by 1 / sqrt(3) of one's."""
    in_values, ood_values = made(0, 0, 400), made(1, -1, 400)
    widths = {}
    for name in ("correct", "misaligned_members"):
        row = judge(name, in_values, ood_values, num_bootstrap=1000)["log_prob"]
        widths[name] = row["auroc_high"] - row["auroc_low"]
    # A percentile interval of 1,000 resamples has a width known to about 5 %.
    assert widths["misaligned_members"] / widths["correct"] == pytest.approx(3**-0.5, rel=0.15)


def test_the_mean_of_elbos_takes_the_place_of_log_prob():
    in_values, ood_values = made(0, 0), made(1, -2)
    found = judge("mean_of_elbos", in_values, ood_values)
    elbos = [values["elbo"] for values in (in_values, ood_values)]
    expected = np.mean([sklearn_auroc(i, o) for i, o in zip(*elbos, strict=True)])
    assert found["log_prob"]["auroc"] == pytest.approx(expected)
    waic = [e.mean(axis=0) - e.var(axis=0) for e in elbos]
    assert found["waic"]["auroc"] == pytest.approx(sklearn_auroc(*waic))
    assert found["rate"] == judge("correct", in_values, ood_values)["rate"]


def test_attacks_are_judged_by_the_attacked_member():
    in_values, ood_values = made(0, 0), made(1, -2)
    found = judge("as_released", in_values, ood_values, "an_attack", attacked=(1,))
    one = [values["elbo"][1] for values in (in_values, ood_values)]
    assert found["log_prob"]["auroc"] == pytest.approx(sklearn_auroc(*one))


@pytest.mark.parametrize(
    ("papers", "mistaken", "correct", "expected"),
    [
        (0.0, (0.0, 0.0, 0.0), (80.0, 79.0, 81.0), True),
        (84.9, (85.0, 84.0, 86.0), (80.0, 79.0, 81.0), True),
        (82.0, (85.0, 84.0, 86.0), (80.0, 79.0, 81.0), False),  # nearer to the correct one
        # Nearer to the mistake, but within the interval.
        (83.4, (85.0, 84.0, 86.0), (80.0, 79.0, 81.0), False),
        # The mistake's own interval is the wider.
        (84.9, (85.0, 81.0, 88.0), (80.0, 79.0, 81.0), False),
        (100.0, (79.09, 79.08, 79.1), (80.0, 79.0, 81.0), False),
        (100.0, (100.0, 100.0, 100.0), (99.92, 99.92, 99.92), False),  # 99.96 is printed so, too
        (np.nan, (85.0, 84.0, 86.0), (80.0, 79.0, 81.0), False),
    ],
)
def test_nearer_is_by_more_than_the_wider_interval_and_the_papers_rounding(
    papers, mistaken, correct, expected
):
    to, than = (pd.DataFrame([ends], columns=ENDS) for ends in (mistaken, correct))
    assert erratum.is_nearer(papers, to, than).item() is expected


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(2, 40))
def test_misalignment_permutes_each_members_rows(seed, num_inputs):
    values = made(3, 0, num_inputs)["elbo"]
    np.testing.assert_array_equal(np.sort(misaligned(values, "uniform", seed)), np.sort(values))


def test_each_preset_but_the_last_makes_one_mistake():
    correct = PRESETS[erratum.CORRECT]
    counts = {
        name: sum(preset[key] != correct[key] for key in ("aligned", "log_prob", "attack"))
        for name, preset in PRESETS.items()
    }
    assert counts.pop("correct") == 0
    assert counts.pop("as_released") == 3
    assert set(counts.values()) == {1}


def test_every_presets_attack_is_among_the_forms():
    assert {preset["attack"] for preset in PRESETS.values()} <= ATTACKS.keys()


@pytest.mark.parametrize("name", ATTACKS)
def test_the_forms_are_how_the_sets_are_made(name):
    attack, form = OOD_SETS[name].attack, ATTACKS[name]
    if "gradient_at" not in form:
        assert not attack
        return
    places = {"at_noise": "the noise", "at_test_inputs": "a test image"}
    assert places[attack["gradient_at"]] == form["gradient_at"]
    assert attack["noise_clipped"] is form["noise_clipped"]
    assert attack["result_clipped"] is form["result_clipped"]
    right = OOD_SETS[erratum.RIGHT_ATTACK]
    assert OOD_SETS[name].attacked_members == right.attacked_members
    for key in ("gradient", "steps", "eps", "step_size"):
        assert attack[key] == right.attack[key]
