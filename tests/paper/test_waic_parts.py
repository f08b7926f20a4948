"""The parts of WAIC on cases solved by hand, and where float64 ends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfp_genens.evaluation import metrics
from tfp_genens.paper import verdicts, waic_parts
from tfp_genens.paper.waic_parts import MEAN, UNDECIDED, VARIANCE

LOWEST = np.finfo(np.float64).min

# Member means 4 and 10, the ensemble's 7; of the even inputs 2 and 6, of the odd ones 6 and 14.
LOG_PROB = np.array([[1.0, 5.0, 3.0, 7.0], [4.0, 16.0, 8.0, 12.0]])


def test_offsets_by_hand():
    np.testing.assert_array_equal(waic_parts.offsets(LOG_PROB), [-3, 3])


def test_each_half_is_centred_by_the_other():
    # Offsets of the even inputs are -2 and 2, those of the odd ones -4 and 4.
    expected = [[5, 7, 7, 9], [0, 14, 4, 10]]
    np.testing.assert_array_equal(waic_parts.cross_centred(LOG_PROB), expected)
    # The last input of an odd number belongs to the first half.
    odd = waic_parts.cross_centred(LOG_PROB[:, :3])
    np.testing.assert_array_equal(odd, [[6.5, 7, 8.5], [-1.5, 14, 2.5]])
    with pytest.raises(ValueError, match=r"two inputs or more; got 1"):
        waic_parts.cross_centred(LOG_PROB[:, :1])


def test_an_input_has_no_part_in_its_own_centring():
    changed = LOG_PROB.copy()
    changed[0, 2] = -1e6
    before, after = map(waic_parts.cross_centred, (LOG_PROB, changed))
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    assert after[0, 2] - before[0, 2] == -1e6 - 3
    assert after[1, 2] == before[1, 2]


def test_scores_and_medians_by_hand():
    log_prob, centred = (
        np.array([[0.0, 1.0, 2.0], [2.0, 5.0, 2.0]]),
        np.array([[1.0, 3, 4], [1, 3, 0]]),
    )
    found = waic_parts.scores(log_prob, centred)
    assert found.keys() == waic_parts.DIRECTIONS.keys()
    np.testing.assert_array_equal(found["log_prob_var_centred"], [0, 0, 4])
    np.testing.assert_array_equal(found["waic_centred"], [1, 3, 2 - 4])
    np.testing.assert_array_equal(found["log_prob_mean_less_std"], [1 - 1, 3 - 2, 2 - 0])
    medians = waic_parts.medians(log_prob, centred)
    assert medians == {"mean": 2, "var": 1, "var_centred": 0, "std": 1}


@settings(deadline=None)
@given(
    values=st.lists(st.lists(st.integers(-9, 9), min_size=3, max_size=3), min_size=2, max_size=9),
    shifts=st.lists(st.integers(-99, 99), min_size=3, max_size=3),
)
def test_offsets_do_not_matter_once_centred(values, shifts):
    log_prob = np.array(values, np.float64).T
    shifted = log_prob + np.array(shifts)[:, None]
    one, other = map(waic_parts.cross_centred, (log_prob, shifted))
    np.testing.assert_allclose(other - one, np.mean(shifts), atol=1e-9)
    np.testing.assert_allclose(one.mean(axis=0), log_prob.mean(axis=0), atol=1e-9)


def test_mean_less_std_ranks_alike_in_nats_and_in_bits_and_waic_does_not():
    nats = np.array([[-10.0, 3.0], [-10.0, -3.0]])
    bits = nats / np.log(2)
    for log_prob in (nats, bits):
        assert np.argmax(waic_parts.scores(log_prob, log_prob)["log_prob_mean_less_std"]) == 1
    assert np.argmax(waic_parts.waic(nats)) == 1  # -10 against 0 - 9
    assert np.argmax(waic_parts.waic(bits)) == 0  # -14.4 against 0 - 18.7


@np.errstate(over="ignore", invalid="ignore")
def test_what_overflows_is_the_most_anomalous():
    inside = np.array([[0.0, 1.0, 2.0], [0.5, 1.5, 2.0], [0.0, 1.0, 3.0]])
    # One, two and all members at the lowest number there is; a deviation whose square fits.
    outside = np.array(
        [[LOWEST, LOWEST, LOWEST, -1e100], [0, LOWEST, LOWEST, 0], [0, 0, LOWEST, 0]]
    )
    centred = outside - waic_parts.offsets(inside)[:, None]
    of_inside = waic_parts.scores(inside, waic_parts.cross_centred(inside))
    of_outside = waic_parts.scores(outside, centred)
    for name, direction in waic_parts.DIRECTIONS.items():
        sign = 1 if name == "log_prob_var_centred" else -1
        np.testing.assert_array_equal(of_outside[name][:3], [sign * np.inf] * 3)
        assert np.isfinite(of_outside[name][3])
        assert metrics.auroc(of_inside[name], of_outside[name], direction) == 1.0
    medians = waic_parts.medians(outside[:, :3], centred[:, :3])
    assert medians == {"mean": -np.inf, "var": np.inf, "var_centred": np.inf, "std": np.inf}


@np.errstate(over="ignore", invalid="ignore")
@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf])
def test_what_is_not_finite_counts_against_the_score(value):
    inside, outside = np.array([[0.0, 1.0], [0.5, 1.5]]), np.array([[value], [0.0]])
    centred = outside - waic_parts.offsets(inside)[:, None]
    of_inside = waic_parts.scores(inside, waic_parts.cross_centred(inside))
    for name, values in waic_parts.scores(outside, centred).items():
        assert np.isnan(values).all()
        direction = waic_parts.DIRECTIONS[name]
        assert metrics.auroc(of_inside[name], values, direction) == 0.0
        assert metrics.auroc(values, of_inside[name], direction) == 0.0
    assert not np.isfinite(waic_parts.offsets(outside)).any()


@pytest.mark.parametrize(
    ("aurocs", "expected"),
    [
        ((30.0, 25.0, 60.0), VARIANCE),
        ((20.0, 25.0, 60.0), VARIANCE),  # beyond both
        ((50.0, 25.0, 60.0), MEAN),
        ((42.5, 25.0, 60.0), UNDECIDED),  # as far from either
        ((90.0, 90.0, 90.0 - verdicts.TOLERANCE), UNDECIDED),
        ((90.0, 90.0, 90.0 - 1.01 * verdicts.TOLERANCE), VARIANCE),
        ((100.0, 100.0, 100.0), UNDECIDED),
    ],
)
def test_what_decides(aurocs, expected):
    assert waic_parts.decided_by(*aurocs) == expected
