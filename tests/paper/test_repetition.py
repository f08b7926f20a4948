"""Intervals over repetitions: against SciPy, by hand, and by simulated coverage."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL
from tfp_genens.evaluation import metrics
from tfp_genens.paper.repetition import (
    jackknife_interval,
    of_draws,
    of_one_ensemble,
    of_repeated_draws,
    prediction_interval,
)
from tfp_genens.scoring.scores import ENSEMBLE_SCORES


def waic(log_prob):
    return log_prob.mean(axis=0) - log_prob.var(axis=0)


def of_ensemble(in_members, ood_members, **kwargs):
    return of_one_ensemble(
        {"log_prob": in_members}, {"log_prob": ood_members}, ENSEMBLE_SCORES["waic"], **kwargs
    )


def test_prediction_interval_by_hand():
    # mean 80, s = 10, t(0.975, 2) = 4.302653, sqrt(1 + 1/3) = 1.154701
    assert prediction_interval([70.0, 80.0, 90.0]) == pytest.approx((30.3172, 129.6828), abs=1e-3)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=12), st.sampled_from([0.5, 0.9, 0.95]))
def test_prediction_interval_against_scipy(values, level):
    # (x - mean) / (s sqrt(1 + 1/n)) has Student's t distribution with n - 1 degrees of freedom.
    num = len(values)
    scale = statistics.stdev(values) * math.sqrt(1 + 1 / num)
    low, high = prediction_interval(values, level)
    assert low <= np.mean(values) + 1e-9
    assert high >= np.mean(values) - 1e-9
    if scale > 1e-6:
        expected = stats.t.interval(level, num - 1, loc=np.mean(values), scale=scale)
        assert (low, high) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(st.lists(st.floats(0, 100), min_size=3, max_size=8), st.integers(1, 4))
def test_repeated_draws_without_variance_among_them_are_one_each(values, num_draws):
    found, expected = of_repeated_draws([[v] * num_draws for v in values]), of_draws(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert (found.method, found.num_values) == ("t", len(values))


def test_repeated_draws_have_the_variance_of_one_draw():
    # Means 70, 80, 90: variance 100. Within: 8, 8, 0, of which 1 - 1/2 counts: 4, 4, 0.
    found = of_repeated_draws([[68.0, 72.0], [78.0, 82.0], [90.0]])
    half = stats.t.ppf(0.975, 2) * math.sqrt((100 + 8 / 3) * (1 + 1 / 3))
    assert found.low == pytest.approx(80 - half)
    assert found.high == 100.0  # clipped
    assert of_repeated_draws([[70.0, 72.0], [80.0, 82.0]]) is None


def test_repeated_draws_hold_the_next_at_least_as_often_as_they_say():
    rng = np.random.default_rng(0)
    num = 2000
    repetitions = rng.normal(50, 2, size=(num, 6, 1))
    draws = np.clip(repetitions + rng.normal(0, 3, size=(num, 6, 4)), 0, 100)
    held = 0
    for k in range(num):
        interval = of_repeated_draws(draws[k, :5].tolist())
        held += interval.low <= draws[k, 5, 0] <= interval.high
    assert held >= binomial_limits(num, 0.95)[0]
    assert held < num  # not by being of any width


def test_jackknife_of_a_mean_is_its_standard_error():
    values = np.array([3.0, 5.0, 4.0, 9.0])
    left_out = [(values.sum() - v) / 3 for v in values]
    low, high = jackknife_interval(values.mean(), left_out)
    half = stats.t.ppf(0.975, 3) * math.sqrt(2) * stats.sem(values)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half))


def binomial_limits(num, probability):
    """What `num` draws give but once in 100,000 times: the tests are seeded, this is their size."""
    return stats.binom.interval(1 - 1e-5, num, probability)


def test_both_intervals_hold_the_next_draw_as_often_as_they_say():
    rng = np.random.default_rng(0)
    num = 4000
    members = rng.normal(80, 3, size=(num, 5))
    next_member, next_mean = rng.normal(80, 3, size=num), rng.normal(80, 3 / math.sqrt(5), num)
    held_member = held_mean = 0
    for row, member, mean in zip(members, next_member, next_mean, strict=True):
        low, high = prediction_interval(row)
        held_member += low <= member <= high
        low, high = jackknife_interval(row.mean(), (row.sum() - row) / 4)
        held_mean += low <= mean <= high
    low, high = binomial_limits(num, 0.95)
    assert low <= held_member <= high
    assert low <= held_mean <= high


def draw_ensemble(rng, in_mean, ood_mean, num_members=5):
    """Members that disagree about every input, and more about OoD inputs, also as a whole."""

    def members(mean, scale, shift):
        return mean + shift + scale * rng.normal(size=(num_members, len(mean)))

    shift = 0.5 * rng.normal(size=(num_members, 1))
    return members(in_mean, 0.5, 0.0), members(ood_mean, 1.0, shift)


def test_the_jackknife_of_waics_auroc_holds_the_next_ensembles():
    # No exact answer is known here: the interval is allowed to be wide, but not to mislead.
    rng = np.random.default_rng(0)
    in_mean, ood_mean = rng.normal(size=150), rng.normal(size=150) - 0.5
    num, held = 200, 0
    for _ in range(num):
        interval = of_ensemble(*draw_ensemble(rng, in_mean, ood_mean))
        in_next, ood_next = draw_ensemble(rng, in_mean, ood_mean)
        auroc = 100 * metrics.auroc(waic(in_next), waic(ood_next), HIGHER_IS_NORMAL)
        held += interval.low <= auroc <= interval.high
    assert held >= binomial_limits(num, 0.95)[0]


def test_one_ensemble_is_the_jackknife_of_plainly_computed_aurocs():
    rng = np.random.default_rng(1)
    in_members, ood_members = draw_ensemble(rng, rng.normal(size=40), rng.normal(size=30))

    def auroc(chosen):
        scores = [waic(members[chosen]) for members in (in_members, ood_members)]
        return 100 * metrics.auroc(*scores, HIGHER_IS_NORMAL)

    left_out = {m: auroc([k for k in range(5) if k != m]) for m in range(5)}
    found = of_ensemble(in_members, ood_members)
    expected = jackknife_interval(auroc(list(range(5))), list(left_out.values()))
    assert (found.method, found.num_values) == ("jackknife", 5)
    assert (found.low, found.high) == pytest.approx(tuple(np.clip(expected, 0, 100)))
    # The attacked member stays: the others alone are left out.
    found = of_ensemble(in_members, ood_members, attacked_members=(1,))
    expected = jackknife_interval(
        auroc(list(range(5))), [left_out[member] for member in (0, 2, 3, 4)]
    )
    assert found.num_values == 4
    assert (found.low, found.high) == pytest.approx(tuple(np.clip(expected, 0, 100)))


def test_intervals_end_at_0_and_100():
    found = of_draws([99.0, 95.0, 90.0])
    assert (found.high, found.method, found.num_values) == (100.0, "t", 3)
    assert of_draws([1.0, 5.0, 10.0]).low == 0.0


def test_too_few_give_no_interval():
    assert of_draws([90.0, 91.0]) is None
    members = np.random.default_rng(0).normal(size=(3, 10))
    assert of_ensemble(members[:2], members[:2]) is None
    assert of_ensemble(members, members, attacked_members=(0,)) is None
    assert of_ensemble(members, members) is not None
    with pytest.raises(ValueError, match="`values`"):
        prediction_interval([1.0])
    with pytest.raises(ValueError, match="`left_out`"):
        jackknife_interval(1.0, [1.0])
