"""What decides WAIC, from evaluations whose log p was made by hand."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from support import evaluations, read_back
from support.evaluations import NUM_INPUTS

from tfp_genens.errors import UserError
from tfp_genens.evaluation import bootstrap
from tfp_genens.paper import documents
from tfp_genens.paper.tables import waic_table
from tfp_genens.reporting import evaluation_files
from tfp_genens.scoring.columns import member_column

NUM = 50  # inputs that `make_evaluation` writes
OFFSETS = np.array([[150.0], [-150.0]])


def likelihoods(mean, disagreement, seed, offsets=OFFSETS):
    """Inputs about a mean, on which two members disagree by offsets and something of each input."""
    rng = np.random.default_rng(seed)
    of_input = rng.normal(mean, 1, NUM)
    apart = rng.normal(0, disagreement, NUM)
    return of_input + offsets + np.stack([apart, -apart])


@pytest.fixture
def make(make_evaluation):
    """Makes an evaluation of OoD sets named with their log p."""

    def make(inside, name="evaluation", **sets):
        log_probs = {"in_distribution": inside}
        log_probs |= {f"file_{k}": values for k, values in enumerate(sets.values())}
        directory = make_evaluation(name, sets=tuple(sets), log_probs=log_probs)
        return evaluation_files.load(directory)

    return make


def records(found, kind):
    return [record for record in found.records if record["record"] == kind]


def auroc_records(found, name):
    return {r["score"]: r for r in records(found, "auroc") if r["set"] == name}


def auroc(inside, outside, sign):
    labels = np.repeat([0, 1], [len(inside), len(outside)])
    return 100 * roc_auc_score(labels, sign * np.concatenate([inside, outside]))


def test_offsets_alone_drown_the_mean_and_centring_recovers_it(make):
    """OoD inputs are 10 nats less likely; the members differ in nothing else but offsets."""
    found = read_back.read(
        waic_table.table, [make(likelihoods(0, 0.5, 0), fashion_mnist=likelihoods(-10, 0.5, 1))]
    )
    of_set = {name: r["auroc"] for name, r in auroc_records(found, "fashion_mnist").items()}
    assert of_set["log_prob_mean"] == of_set["waic_centred"] == 100.0
    assert of_set["log_prob_mean_less_std"] == 100.0
    assert abs(of_set["waic"] - 50) < 20
    assert abs(of_set["waic"] - of_set["log_prob_var"]) < 5
    (rule,) = records(found, "rule")
    assert (rule["goes_with"], rule["goes_with_centred"]) == ("variance", "mean")
    assert rule["moved"] == of_set["waic_centred"] - of_set["waic"]
    _, counts, moves = found.sections[0].text
    assert counts == (
        "Of 1 OoD set WAIC goes with the variance on 1 (Fashion-MNIST), with mean log p(x) on 0, "
        "undecided on 0. Centred, it goes with the variance on 0, with mean log p(x) on 1 "
        "(Fashion-MNIST), undecided on 0. Of the 1 that go with the variance, centring turns 1 to "
        "mean log p(x)."
    )
    assert f"most on Fashion-MNIST ({of_set['waic']:.1f} → 100.0)" in moves


def test_members_that_disagree_on_inputs_stay_with_the_variance(make):
    """No offsets: what decides WAIC here is no matter of training members equally."""
    equal = np.zeros((2, 1))
    inside = likelihoods(0, 20, 0, equal)
    outside = likelihoods(-10, 20, 1, equal)
    found = read_back.read(waic_table.table, [make(inside, hflip=outside, omniglot=inside)])
    rules = {r["set"]: (r["goes_with"], r["goes_with_centred"]) for r in records(found, "rule")}
    assert rules == {"hflip": ("variance", "variance"), "omniglot": ("undecided", "undecided")}
    (text,) = [t for t in found.sections[0].text if t.startswith("Of 2 OoD sets")]
    assert "variance on 1 (hflip), with mean log p(x) on 0, undecided on 1 (Omniglot)." in text
    assert text.endswith("Of the 1 that go with the variance, centring turns 0 to mean log p(x).")


def test_aurocs_are_those_of_the_scores(make):
    inside, outside = likelihoods(0, 3, 0), likelihoods(-2, 5, 1, 0.9 * OFFSETS)
    given = make(inside, hflip=outside)
    of_set = auroc_records(read_back.read(waic_table.table, [given]), "hflip")
    offsets = inside.mean(axis=1) - inside.mean()
    centred_in, centred_out = inside.copy(), outside - offsets[:, None]
    even, odd = np.arange(0, NUM, 2), np.arange(1, NUM, 2)
    for half, other in ((even, odd), (odd, even)):
        part = inside[:, other]
        centred_in[:, half] -= (part.mean(axis=1) - part.mean())[:, None]
    expected = {
        "log_prob_mean": (lambda of, _: of.mean(0), -1),
        "log_prob_var": (lambda of, _: of.var(0), 1),
        "waic": (lambda of, _: of.mean(0) - of.var(0), -1),
        "log_prob_var_centred": (lambda _, of: of.var(0), 1),
        "waic_centred": (lambda _, of: of.mean(0) - of.var(0), -1),
        "log_prob_mean_less_std": (lambda of, _: of.mean(0) - of.std(0), -1),
    }
    assert of_set.keys() == expected.keys()
    for score, (function, sign) in expected.items():
        scores = function(inside, centred_in), function(outside, centred_out)
        assert of_set[score]["auroc"] == pytest.approx(auroc(*scores, sign))
        direction = "lower_is_normal" if sign == 1 else "higher_is_normal"
        settings = {"num_resamples": 20, "seed": 0, "path": ("hflip",)}
        ends = bootstrap.intervals(bootstrap.resampled_metrics(*scores, direction, **settings))[
            "auroc"
        ]
        found = of_set[score]["auroc_low"], of_set[score]["auroc_high"]
        assert found == pytest.approx(tuple(100 * end for end in ends))
    assert of_set["waic"]["auroc"] == given.row("hflip", "waic")["auroc"]


def test_nats_and_members(make):
    inside, outside = likelihoods(-8000, 3, 0), likelihoods(-6000, 5, 1, 0.9 * OFFSETS)
    found = read_back.read(waic_table.table, [make(inside, hflip=outside)])
    (first, second) = records(found, "medians")
    assert (first["set"], second["set"]) == ("in_distribution", "hflip")
    assert second["median_mean"] == np.median(outside.mean(0))
    assert second["median_var"] == np.median(outside.var(0))
    assert second["median_std"] == pytest.approx(np.median(outside.std(0)))
    offsets = inside.mean(axis=1) - inside.mean()
    assert second["median_var_centred"] == np.median((outside - offsets[:, None]).var(0))
    _, medians, members = found.sections
    assert [line[0] for line in medians.body] == ["MNIST test", "hflip"]
    assert medians.body[1][1:3] == (
        f"{second['median_mean']:,.1f}",
        f"{second['median_var']:,.1f}",
    )
    assert members.header == ("", "3/0", "3/1")
    assert members.body[:3] == (
        ("Training steps", "5,000", "5,000"),
        ("Mean log p(x), MNIST test", *(f"{v:,.1f}" for v in inside.mean(axis=1))),
        ("Offset, MNIST test", *(f"{v:+,.1f}" for v in offsets)),
    )
    of_members = records(found, "member")
    assert [(r["set"], r["member"]) for r in of_members] == [
        (name, member) for name in ("in_distribution", "hflip") for member in ("3/0", "3/1")
    ]
    assert of_members[0]["offset"] == pytest.approx(offsets[0])
    assert of_members[3]["log_prob"] == pytest.approx(outside[1].mean())


@pytest.mark.filterwarnings("error:.*encountered in:RuntimeWarning")
def test_scores_without_bounds(make):
    inside, noise = likelihoods(0, 3, 0), likelihoods(-2e15, 1e14, 1)
    with np.errstate(over="ignore", invalid="ignore"):
        overflown = np.full((2, NUM), np.finfo(np.float64).min)
        overflown[1] = -5.0
        given = make(inside, uniform=noise, gaussian=overflown)
    found = read_back.read(waic_table.table, [given])
    assert {r["auroc"] for r in auroc_records(found, "gaussian").values()} == {100.0}
    assert {r["num_nan"] for r in auroc_records(found, "gaussian").values()} == {0}
    (line,) = [line for line in found.sections[1].body if line[0] == "gaussian"]
    assert line[2:] == ("inf", "inf", "inf")
    (line,) = [line for line in found.sections[1].body if line[0] == "uniform"]
    assert line[1] == f"{np.median(noise.mean(axis=0)):.2e}"


def test_attacks_are_named(make):
    values = likelihoods(0, 1, 0)
    attacked, free = make(values, adversarial_clipped=values), make(values, "free", hflip=values)
    found = read_back.read(waic_table.table, [attacked, free])
    assert found.sections[0].notes == (
        "Made against these members as they are, not centred: adversarial_clipped.",
    )
    assert found.sections[3].notes == ()


def test_any_model_with_log_prob():
    sets = {"hflip": -1.0, "svhn": 2.0}
    vae, glow = (evaluations.evaluation(range(3), sets, model=model) for model in ("vae", "glow"))
    found = read_back.read(waic_table.table, [vae, glow])
    headings = [s.heading for s in found.sections if s.level == 2]
    assert headings == ["MNIST, 3 x vae", "MNIST, 3 x glow"]
    assert {r["model"] for r in found.records} == {"vae", "glow"}


def test_what_has_no_parts_is_refused():
    lone = evaluations.evaluation(range(2))
    lone.in_distribution.scores.frame.drop(index=range(1, NUM_INPUTS), inplace=True)
    cases = [
        (evaluations.evaluation([0]), "two members or more; got one in runs/x/0"),
        (evaluations.evaluation(sets={}), "evaluations of OoD sets"),
        (evaluations.evaluation(model="wgan"), "that have log_prob, .*which has critic"),
        (lone, "two in-distribution inputs or more; got one"),
    ]
    for given, match in cases:
        with pytest.raises(UserError, match=f"--evaluation_dir.*{match}"):
            waic_table.table([given])


@pytest.mark.parametrize(
    ("value", "mean"), [(np.nan, "nan"), (-np.inf, "-inf"), (-1e200, r"-2e\+198")]
)
def test_members_without_a_usable_mean_are_refused(make, value, mean):
    inside = likelihoods(0, 1, 0)
    inside[1, 7] = value
    with np.errstate(over="ignore", invalid="ignore"):
        given = make(inside, hflip=likelihoods(0, 1, 1))
    with pytest.raises(UserError, match=rf"--evaluation_dir.*centred; got means of 150, {mean} "):
        waic_table.table([given])


def test_every_form_can_be_written():
    given = evaluations.evaluation()
    document = waic_table.table([given])
    assert documents.to_markdown(document).count("\n| OoD set") == 1
    assert documents.to_html(documents.to_markdown(document)).count("<table>") == 3
    frame = pd.read_csv(io.StringIO(documents.to_csv(document.records)))
    assert len(frame) == len(document.records)
    assert json.loads(frame["members"][0]) == [f"0/{m}" for m in range(5)]
    means = given.in_distribution.scores.frame[[member_column("log_prob", m) for m in range(5)]]
    of_members = frame[(frame.record == "member") & (frame.set == "in_distribution")]
    np.testing.assert_allclose(of_members.log_prob, means.mean())
