"""Regions of known shape: shares against areas and probabilities worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from tfp_genens.paper.toy import normal, regions
from tfp_genens.paper.toy.regions import Scores

SIDE = 200


def scored(score, num=20000):
    """All points of a region, by a function of points [num, 2]."""
    draws = [normal.draws(num, 0, "test", k) for k in range(2)]
    return Scores(*map(score, [*draws, regions.box_points(SIDE), regions.edge_points(SIDE)]))


def squared_distance(x):
    return np.square(x - np.array(normal.CENTRE)).sum(axis=-1)


def test_a_fitted_disc_is_the_one_that_holds_95_percent():
    region = regions.fitted("disc", scored(squared_distance), False)
    # 95 % of a chi-squared with two degrees of freedom: -2 log 0.05. Its quantile's standard error
    # with n draws is sqrt(0.95 * 0.05 / n) / density, the density there being 0.025.
    exact = -2 * math.log(0.05)
    error = math.sqrt(0.95 * 0.05 / 20000) / 0.025
    assert region.threshold == pytest.approx(exact, abs=4 * error)
    assert region.box == pytest.approx(math.pi * region.threshold / 100, abs=1e-3)
    assert region.edge == 0
    assert region.is_fitted
    assert region.mass_low < region.mass < region.mass_high
    assert region.mass == pytest.approx(1 - math.exp(-region.threshold / 2), abs=0.005)


def test_log_p_itself_accepts_that_disc():
    exact = regions.fitted("log p", scored(normal.log_prob), True)
    disc = regions.fitted("disc", scored(squared_distance), False)
    assert (exact.mass, exact.box, exact.edge) == (disc.mass, disc.box, disc.edge)


@pytest.mark.parametrize(
    ("value", "mass", "box", "edge"), [(5.0, 0.5, 0.5, 0.5), (7.5, stats.norm.sf(2.5), 0.25, 0.375)]
)
def test_a_half_plane(value, mass, box, edge):
    region = regions.measured("right", scored(lambda x: x[:, 0]), value, True)
    assert region.box == pytest.approx(box)
    assert region.edge == pytest.approx(edge)
    assert region.mass_low <= mass <= region.mass_high
    assert not region.is_fitted


def test_intervals_are_clopper_and_pearsons():
    scores = Scores(*(np.arange(k) for k in (40.0, 20, 9, 9)))
    region = regions.measured("first three", scores, 2.0, False)
    assert region.mass == 3 / 20
    assert region.mass_low == pytest.approx(stats.beta.ppf(0.025, 3, 18))
    assert region.mass_high == pytest.approx(stats.beta.ppf(0.975, 4, 17))


@given(hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(-9, 9)), st.booleans())
def test_a_threshold_is_the_tightest_that_accepts_95_percent(held_out, higher_is_normal):
    value = regions.threshold(held_out, higher_is_normal)
    sign = 1 if higher_is_normal else -1
    assert np.mean(sign * held_out >= sign * value) >= 0.95
    assert np.mean(sign * held_out > sign * value) < 0.95


def test_nan_is_refused():
    scores = scored(squared_distance, num=50)
    scores.test[3] = np.nan
    with pytest.raises(ValueError, match="must not be NaN"):
        regions.fitted("disc", scores, False)


def test_points_lie_in_the_box_and_on_its_edge():
    box, edge = regions.box_points(4), regions.edge_points(4)
    assert box[0] == pytest.approx((1.25, 1.25))
    assert box[1] == pytest.approx((3.75, 1.25))  # the first coordinate runs fastest
    assert len(np.unique(box, axis=0)) == 16
    assert len(np.unique(edge, axis=0)) == 16
    assert np.isin(edge, regions.BOX).any(axis=1).all()


def test_log_prob_is_scipys():
    x = np.random.default_rng(0).normal(5, 3, (20, 2))
    expected = stats.multivariate_normal(normal.CENTRE).logpdf(x)
    np.testing.assert_allclose(normal.log_prob(x), expected)
