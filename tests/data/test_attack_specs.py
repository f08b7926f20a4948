"""Attacks as anyone asks for them."""

import dataclasses

import numpy as np
import pytest

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, InputSpec, OutputSpec
from tfp_genens.data import adversarial, attack_specs
from tfp_genens.data.ood import (
    OOD_SETS,
    OodContext,
    made_or_registered,
    open_ood,
    parse_ood,
    start_of_attack,
)
from tfp_genens.data.sources import array_source, read_all, take
from tfp_genens.errors import UserError


@pytest.fixture
def context(make_context):
    return make_context(40)


def values_of(name, context):
    return read_all(open_ood(name, context)[1])[1]


def test_a_text_says_it_all():
    spec = attack_specs.parse("attack:dose+waic:fashion_mnist:0.1:10", "--ood")
    assert spec == attack_specs.AttackSpec(("dose", "waic"), "fashion_mnist", 0.1, 10)
    assert (spec.attack.steps, spec.attack.eps) == (10, 0.1)
    assert spec.attack.step_size == pytest.approx(0.03)
    assert spec.attack.last_step_size == pytest.approx(0.00003)
    assert attack_specs.AttackSpec(("dose",), "noise", 0.1, 1).attack.step_size == 0.1
    name = "attack:waic:noise:0.1:2"
    assert parse_ood(name) == (name, None)
    row = made_or_registered(name)
    assert row.label == "Attack on waic from Gaussian noise, eps 0.1, steps 2"
    assert row.attack["eps"] == 0.1
    assert row.description.endswith("sign steps: 2.")


@pytest.mark.parametrize(
    "text",
    [
        *("attack:dose", "attack:dose:noise:a:1", "attack:dose:noise:0.1:1.5"),
        *("attack::noise:0.1:1", "attack:dose::0.1:1", "attack:dose:noise:0:1"),
        *("attack:dose:noise:2:1", "attack:dose:noise:0.1:0", "attack:dose:noise:0.1:1:2"),
    ],
)
def test_another_text_is_refused_with_the_form(text):
    with pytest.raises(UserError, match="attack:SCORES:START:EPS:STEPS"):
        parse_ood(text)


def test_a_start_that_is_not_there_is_refused():
    with pytest.raises(UserError, match=r"noise or one of .*mnist.* to start from; got 'fog'"):
        parse_ood("attack:waic:fog:0.1:1")


def test_noise_is_moved_uphill_and_not_too_far(context, ensemble):
    start = values_of("gaussian", context)
    found = values_of("attack:waic:noise:0.1:5", context)
    assert np.abs(found - start).max() <= 25.5 + 1e-3
    assert (ensemble.waic(found) > ensemble.waic(start)).all()


def test_other_inputs_are_moved(context, ensemble):
    start = values_of("vflip", context).astype(np.float32)
    found = values_of("attack:waic:vflip:0.02:3", context)
    assert found.min() >= 0
    assert found.max() <= 255
    assert 0 < np.abs(found - start).max() <= 5.1 + 1e-3
    assert (ensemble.waic(found) > ensemble.waic(start)).mean() > 0.9


def test_scores_count_alike_whatever_their_unit(ensemble):
    class Two:
        ensemble_scores = dict.fromkeys("ab", OutputSpec("nats", HIGHER_IS_NORMAL))

        def score_gradient(self, score, values):
            return {"a": 1e6, "b": -1e-6}[score] * np.sign(values - 100.0)

    values = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 1))
    np.testing.assert_allclose(adversarial.scores_gradient(Two(), values, ["a", "b"]), 0, atol=1e-9)
    alone = adversarial.scores_gradient(Two(), values, ["b"])
    np.testing.assert_allclose(alone, -np.sign(values - 100.0))


def test_a_score_that_is_lower_for_normal_inputs_is_descended(context):
    up, down = (values_of(f"attack:{score}:noise:0.1:3", context) for score in ("waic", "distance"))
    np.testing.assert_array_equal(up, down)


def test_a_start_with_fewer_inputs_makes_a_smaller_set(context, monkeypatch):
    row = OOD_SETS["vflip"]
    fewer = dataclasses.replace(row, build=lambda context: take(row.build(context), 7))
    monkeypatch.setitem(OOD_SETS, "vflip", fewer)
    assert len(values_of("attack:waic:vflip:0.02:1", context)) == 7


def test_a_start_that_does_not_suit_is_refused(image_spec, ensemble):
    spec = InputSpec((8, 8, 3), *dataclasses.astuple(image_spec)[1:])
    test = array_source("colours", np.zeros((3, 8, 8, 3), np.uint8), "colours")
    context = OodContext(test, spec, 3, seed=0, ensemble=ensemble)
    with pytest.raises(UserError, match=r"--ood=omniglot: expected a model of grey images"):
        open_ood("attack:waic:omniglot:0.1:1", context)


def test_where_an_attack_starts_is_known(context):
    start = start_of_attack(made_or_registered("attack:waic:vflip:0.02:1"), context)
    np.testing.assert_array_equal(read_all(start)[1], values_of("vflip", context))
    assert start_of_attack(made_or_registered("attack:waic:noise:0.1:1"), context) is None
    assert start_of_attack(made_or_registered("adversarial_clipped"), context) is None


def test_it_needs_an_ensemble(context):
    name = "attack:waic:noise:0.1:1"
    with pytest.raises(ValueError, match=r"`context\.ensemble`"):
        values_of(name, dataclasses.replace(context, ensemble=None))


def test_a_table_without_a_range_is_refused(table_spec, ensemble):
    test = array_source("rows", np.zeros((3, 2), np.float32), "rows")
    context = OodContext(test, table_spec, 3, seed=0, ensemble=ensemble)
    with pytest.raises(UserError, match="inputs with a value range"):
        open_ood("attack:waic:noise:0.1:1", context)
