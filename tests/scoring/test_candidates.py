"""Candidates by hand and against SciPy's."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, OutputSpec
from tfp_genens.scoring.candidates import available_candidates

SPECS = {
    "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL),
    "input_complexity": OutputSpec("bytes", LOWER_IS_NORMAL),
    "critic": OutputSpec("logits", HIGHER_IS_NORMAL),
    "log_prob_1": OutputSpec("nats", HIGHER_IS_NORMAL),
    "log_prob_2": OutputSpec("nats", HIGHER_IS_NORMAL),
    "a": OutputSpec("nats", HIGHER_IS_NORMAL, statistic=True),
    "b": OutputSpec("nats", HIGHER_IS_NORMAL, statistic=True),
}
ROWS = available_candidates(SPECS)
RNG = np.random.default_rng(0)
HELD_OUT = {
    "log_prob": RNG.normal(-90, 3, [2, 99]) + np.array([[5.0], [-5.0]]),
    "critic": RNG.normal(0, 1, [2, 99]) * np.array([[1.0], [100.0]]),
    "a": RNG.normal(0, 1, [2, 99]),
    "b": RNG.lognormal(0, 1, [2, 99]),
}


def score(name, **outputs):
    row = ROWS[name]
    state = row.fit(*(HELD_OUT[i] for i in row.inputs)) if row.fit else None
    return row({i: np.asarray(x, np.float64) for i, x in outputs.items()}, state).numpy()


def test_typicality_is_two_sided():
    centre = HELD_OUT["log_prob"].mean(axis=1, keepdims=True)
    log_prob = centre + np.array([[0.0, 4.0, -4.0, 4.0], [0.0, 4.0, -4.0, -4.0]])
    np.testing.assert_allclose(score("typicality", log_prob=log_prob), [0, 4, 4, 4], atol=1e-9)
    # In the ensemble's mean, members that differ in sign make up for one another.
    found = score("typicality_of_mean", log_prob=log_prob)
    np.testing.assert_allclose(found, [0, 4, 4, 0], atol=1e-9)


def test_complexity_is_subtracted_as_a_code_length():
    """A model that says no more than the compressor has a ratio of 0 nats."""
    length = np.array([[10.0, 100.0]] * 2)
    found = score("complexity_corrected", log_prob=-length * 8 * np.log(2), input_complexity=length)
    np.testing.assert_allclose(found, [0, 0], atol=1e-9)


def test_corrected_variance_has_no_part_of_the_noise():
    """On average it is the variance of what members say without noise, as the plain one is not."""
    exact = np.array([[0.0], [1.0], [3.0]])
    one, two = np.random.default_rng(1).normal(exact, 2.0, [2, 3, 20000])
    found = score("log_prob_var_corrected", log_prob_1=one, log_prob_2=two)
    standard_error = found.std() / np.sqrt(found.size)
    assert found.mean() == pytest.approx(exact.var(), abs=5 * standard_error)
    assert one.var(axis=0).mean() > exact.var() + 1.0
    waic = score("waic_corrected", log_prob_1=one, log_prob_2=two)
    np.testing.assert_allclose(waic, (one + two).mean(axis=0) / 2 - found)


def test_corrected_variance_of_an_estimate_without_noise_is_the_plain_one():
    values = np.random.default_rng(2).normal(size=[3, 5])
    found = score("log_prob_var_corrected", log_prob_1=values, log_prob_2=values)
    np.testing.assert_allclose(found, values.var(axis=0))


def p_values(a, b):
    """By counting: the share of held-out means at least as far out, on the nearer side, doubled."""
    found = []
    for name, values in (("a", a), ("b", b)):
        held_out = HELD_OUT[name].mean(axis=0)
        means = np.mean(values, axis=0)
        tails = [[(held_out <= v).sum(), (held_out >= v).sum()] for v in means]
        found.append(np.minimum(2 * (1 + np.min(tails, axis=1)) / (1 + len(held_out)), 1))
    return np.array(found)


@pytest.mark.parametrize("seed", range(3))
def test_combinations_of_p_values(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0, 2, [2, 20]), rng.lognormal(0, 2, [2, 20])
    p = p_values(a, b)
    np.testing.assert_allclose(score("p_min", a=a, b=b), p.min(axis=0))
    fisher = [scipy.stats.combine_pvalues(column, "fisher").statistic for column in p.T]
    np.testing.assert_allclose(score("p_fisher", a=a, b=b), fisher, rtol=1e-9, atol=1e-9)
    cauchy = scipy.stats.cauchy.isf(np.minimum(p, 0.99)).mean(axis=0)
    np.testing.assert_allclose(score("p_cauchy", a=a, b=b), cauchy, rtol=1e-6, atol=1e-6)


def test_what_is_nan_stays_nan():
    nan, one = np.full([2, 1], np.nan), np.ones([2, 1])
    for name in ("p_min", "p_fisher", "p_cauchy"):
        assert np.isnan(score(name, a=nan, b=one)).all()


def test_members_count_alike_once_their_critics_are_on_one_scale():
    loc = HELD_OUT["critic"].mean(axis=1, keepdims=True)
    scale = HELD_OUT["critic"].std(axis=1, keepdims=True)
    critic = loc + scale * np.array([[0.0, 1.0, 2.0], [0.0, 1.0, -2.0]])
    np.testing.assert_allclose(
        score("critic_var_standardised", critic=critic), [0, 0, 4], atol=1e-9
    )


@given(st.lists(st.floats(-50, 50), min_size=3, max_size=3))
def test_entropy_is_scipys(values):
    critic = np.array(values)[:, np.newaxis]
    chance = scipy.special.expit(critic).mean()
    expected = scipy.stats.entropy([chance, 1 - chance])
    np.testing.assert_allclose(score("critic_entropy", critic=critic), [expected], atol=1e-9)


def test_rows_need_their_inputs():
    assert set(available_candidates({"log_prob": SPECS["log_prob"]})) == {
        "typicality",
        "typicality_of_mean",
    }
    assert ROWS["p_min"].inputs == ("a", "b")
    assert all(row.function.__doc__ for row in ROWS.values())


def test_every_candidate_is_a_tensor_of_the_batch():
    outputs = {name: tf.ones([2, 7], tf.float64) for name in SPECS}
    for name, row in ROWS.items():
        state = row.fit(*(HELD_OUT[i] for i in row.inputs)) if row.fit else None
        assert row(outputs, state).shape == (7,), name
