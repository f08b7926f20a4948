"""The released code's mistakes, switched on one at a time, on scores made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, OutputSpec
from tfp_genens.data.ood import OOD_SETS
from tfp_genens.evaluation import rows
from tfp_genens.paper import errata
from tfp_genens.paper.errata import PRESETS
from tfp_genens.scoring.columns import ScoreFile, member_column
from tfp_genens.scoring.combine import available_scores, combine

OUTPUTS = {
    "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL),
    "elbo": OutputSpec("nats", HIGHER_IS_NORMAL),
    "rate": OutputSpec("nats", LOWER_IS_NORMAL),
}
MEMBERS = (4, 0, 2)


def score_file(values, members=MEMBERS):
    """values: output -> [num_members, num_inputs]."""
    columns = {"example_id": [str(i) for i in range(values["log_prob"].shape[1])]}
    for name, of_members in values.items():
        columns |= {member_column(name, m): v for m, v in zip(members, of_members, strict=True)}
    columns |= combine(values)
    return ScoreFile(
        pd.DataFrame(columns),
        tuple(members),
        {name: OUTPUTS[name] for name in values},
        {name: score.spec for name, score in available_scores(values).items()},
        "mnist",
        "a source",
        {},
    )


def made(seed, mean, num_inputs=60):
    """Inputs differ much (3 nats) and members little (0.3), as real ones do."""
    rng = np.random.default_rng(seed)
    log_prob = mean + rng.normal(0, 3, num_inputs) + rng.normal(0, 0.3, (3, num_inputs))
    return score_file(
        {
            "log_prob": log_prob,
            "elbo": log_prob - rng.exponential(4, (3, num_inputs)),
            "rate": -0.3 * log_prob + rng.normal(0, 1, (3, num_inputs)),
        }
    )


def judge(preset, in_scores, ood_scores, ood_dataset="hflip", **kwargs):
    given = {
        "attacked_members": None,
        "num_bootstrap": 200,
        "seed": 5,
    }
    return errata.judge(
        PRESETS[preset], in_scores, ood_scores, ood_dataset=ood_dataset, **(given | kwargs)
    )


def sklearn_auroc(normal_in, normal_out):
    labels = np.repeat([0, 1], [len(normal_in), len(normal_out)])
    return 100 * roc_auc_score(labels, -np.concatenate([normal_in, normal_out]))


def values_of(scores, output):
    return scores.frame[[member_column(output, m) for m in scores.members]].to_numpy().T


def test_judged_correctly_the_numbers_are_those_of_the_evaluation():
    in_scores, ood_scores = made(0, 0), made(1, -2)
    ordinary = rows.make_rows(
        in_scores,
        ood_scores,
        ood_dataset="hflip",
        description="",
        attacked_members=None,
        train_dataset="mnist",
        model="vae",
        num_bootstrap=200,
        seed=5,
    )
    expected = {
        row["score"]: errata.Auroc(row["auroc"], row["auroc_low"], row["auroc_high"])
        for row in ordinary
    }
    found = judge("correct", in_scores, ood_scores)
    assert list(found) == ["log_prob", "rate", "waic"]
    assert found == {score: expected[score] for score in found}


def test_misaligned_members_keep_their_own_scores_and_mix_the_images():
    scores = made(0, 0)
    judged = errata.as_judged(PRESETS["misaligned_members"], scores, set_name="hflip", seed=1)
    for output in ("log_prob", "rate"):
        before, after = values_of(scores, output), values_of(judged, output)
        np.testing.assert_array_equal(np.sort(before), np.sort(after))
    # A member's outputs stay together, and no two members are in the same order.
    orders = []
    for k in range(3):
        order = [
            int(np.flatnonzero(values_of(scores, "log_prob")[k] == value)[0])
            for value in values_of(judged, "log_prob")[k]
        ]
        np.testing.assert_array_equal(
            values_of(judged, "rate")[k], values_of(scores, "rate")[k][order]
        )
        orders.append(tuple(order))
    assert len(set(orders)) == 3
    assert tuple(range(60)) not in orders
    log_prob = values_of(judged, "log_prob")
    np.testing.assert_allclose(judged.frame["waic"], log_prob.mean(axis=0) - log_prob.var(axis=0))


def test_orders_differ_between_sets_and_repeat_with_the_seed():
    def order(set_name, seed):
        judged = errata.as_judged(
            PRESETS["misaligned_members"], made(0, 0), set_name=set_name, seed=seed
        )
        return tuple(judged.frame[member_column("log_prob", 0)])

    assert order("hflip", 1) == order("hflip", 1)
    assert len({order("hflip", 1), order("vflip", 1), order("hflip", 2)}) == 3


def test_misaligned_members_leave_a_single_model_alone_and_change_waic():
    in_scores, ood_scores = made(0, 0, 400), made(1, -3, 400)
    correct, mistaken = (
        judge(name, in_scores, ood_scores) for name in ("correct", "misaligned_members")
    )
    assert mistaken["log_prob"].value == pytest.approx(correct["log_prob"].value, abs=1e-9)
    assert mistaken["rate"].value == pytest.approx(correct["rate"].value, abs=1e-9)
    # Mixed images bring the variance between images (9 nats^2) into every row's variance.
    judged = errata.as_judged(
        PRESETS["misaligned_members"], in_scores, set_name="in_distribution", seed=5
    )
    assert values_of(in_scores, "log_prob").var(axis=0).mean() < 0.1
    assert values_of(judged, "log_prob").var(axis=0).mean() == pytest.approx(9 * 2 / 3, rel=0.2)
    assert not mistaken["waic"].low <= correct["waic"].value <= (mistaken["waic"].high)


def test_misaligned_members_are_resampled_on_images_of_their_own():
    """Independent errors: the mean of three AUROCs varies by 1 / sqrt(3) of one's."""
    in_scores, ood_scores = made(0, 0, 400), made(1, -1, 400)
    widths = {}
    for name in ("correct", "misaligned_members"):
        row = judge(name, in_scores, ood_scores, num_bootstrap=1000)["log_prob"]
        widths[name] = row.high - row.low
    # A percentile interval of 1,000 resamples has a width known to about 5 %.
    assert widths["misaligned_members"] / widths["correct"] == pytest.approx(3**-0.5, rel=0.15)


def test_the_mean_of_elbos_takes_the_place_of_log_prob():
    in_scores, ood_scores = made(0, 0), made(1, -2)
    found = judge("mean_of_elbos", in_scores, ood_scores)
    elbos = [values_of(s, "elbo") for s in (in_scores, ood_scores)]
    expected = np.mean([sklearn_auroc(i, o) for i, o in zip(*elbos, strict=True)])
    assert found["log_prob"].value == pytest.approx(expected)
    waic = [e.mean(axis=0) - e.var(axis=0) for e in elbos]
    assert found["waic"].value == pytest.approx(sklearn_auroc(*waic))
    assert found["rate"] == judge("correct", in_scores, ood_scores)["rate"]


def test_without_elbos_there_is_no_mean_of_them():
    scores = made(0, 0)
    without = score_file({"log_prob": values_of(scores, "log_prob")})
    with pytest.raises(ValueError, match="'elbo'"):
        judge("mean_of_elbos", without, without)
    assert list(judge("correct", without, without)) == ["log_prob", "waic"]


def test_attacks_are_judged_by_the_attacked_member():
    in_scores, ood_scores = made(0, 0), made(1, -2)
    found = judge("as_released", in_scores, ood_scores, "an_attack", attacked_members=(1,))
    one = [values_of(s, "elbo")[1] for s in (in_scores, ood_scores)]
    assert found["log_prob"].value == pytest.approx(sklearn_auroc(*one))


@pytest.mark.parametrize(
    ("papers", "mistaken", "expected"),
    [
        (0.0, (0.0, 0.0, 0.0), True),
        (84.9, (85.0, 84.0, 86.0), True),
        (82.0, (85.0, 84.0, 86.0), False),  # nearer to the correct one
        (83.4, (85.0, 84.0, 86.0), False),  # nearer to the mistake, but within the interval
        (84.9, (85.0, 81.0, 88.0), False),  # the mistake's own interval is the wider
        (100.0, (79.09, 79.08, 79.1), False),
    ],
)
def test_nearer_is_by_more_than_the_wider_interval(papers, mistaken, expected):
    correct = errata.Auroc(80.0, 79.0, 81.0)
    assert errata.is_nearer(papers, to=errata.Auroc(*mistaken), than=correct) is expected


def test_nearer_is_by_more_than_the_papers_rounding():
    correct, mistaken = errata.Auroc(99.92, 99.92, 99.92), errata.Auroc(100.0, 100.0, 100.0)
    assert not errata.is_nearer(
        100.0, to=mistaken, than=correct
    )  # 99.96 is printed as 100.0 as well


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(2, 40))
def test_misalignment_permutes_each_members_rows(seed, num_inputs):
    scores = made(3, 0, num_inputs)
    judged = errata.as_judged(PRESETS["as_released"], scores, set_name="uniform", seed=seed)
    np.testing.assert_array_equal(
        np.sort(values_of(judged, "log_prob")), np.sort(values_of(scores, "elbo"))
    )


def test_each_preset_but_the_last_makes_one_mistake():
    def mistakes(preset):
        correct = PRESETS[errata.CORRECT]
        fields = ("aligned", "log_prob", "attack")
        return sum(getattr(preset, f) != getattr(correct, f) for f in fields)

    counts = {name: mistakes(preset) for name, preset in PRESETS.items()}
    assert counts.pop("correct") == 0
    assert counts.pop("as_released") == 3
    assert set(counts.values()) == {1}


def test_every_presets_attack_is_among_the_forms():
    forms = {form.name for form in errata.ATTACK_FORMS}
    assert {preset.attack for preset in PRESETS.values()} <= forms


@pytest.mark.parametrize("form", errata.ATTACK_FORMS, ids=lambda form: form.name)
def test_the_forms_are_how_the_sets_are_made(form):
    attack = OOD_SETS[form.name].attack
    if form.gradient_at is None:
        assert not attack
        return
    places = {"at_noise": errata.AT_NOISE, "at_test_inputs": errata.AT_IMAGE}
    assert places[attack["gradient_at"]] == form.gradient_at
    assert attack["noise_clipped"] is form.noise_clipped
    assert attack["result_clipped"] is form.result_clipped
    right = OOD_SETS[errata.RIGHT_ATTACK]
    assert OOD_SETS[form.name].attacked_members == right.attacked_members
    for name in ("gradient", "steps", "eps", "step_size"):
        assert attack[name] == right.attack[name]
