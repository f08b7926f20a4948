"""Regions of known shape: shares against areas and probabilities worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from tfp_genens.paper.toy import regions

SIDE = 200


def scored(score, num=20000):
    """All points that a region is measured by, by a function of points [num, 2]."""
    return {name: score(x) for name, x in regions.places(num, SIDE, seed=0).items()}


def squared_distance(x):
    return np.square(x - np.array(regions.CENTRE)).sum(axis=-1)


def test_a_fitted_disc_is_the_one_that_holds_95_percent():
    disc = regions.region("disc", scored(squared_distance), False)
    # 95 % of a chi-squared with two degrees of freedom: -2 log 0.05. Its quantile's standard error
    # with n draws is sqrt(0.95 * 0.05 / n) / density, the density there being 0.025.
    exact = -2 * math.log(0.05)
    error = math.sqrt(0.95 * 0.05 / 20000) / 0.025
    assert disc["threshold"] == pytest.approx(exact, abs=4 * error)
    assert disc["box"] == pytest.approx(math.pi * disc["threshold"] / 100, abs=1e-3)
    assert disc["edge"] == 0
    assert disc["is_fitted"]
    assert disc["mass_low"] < disc["mass"] < disc["mass_high"]
    assert disc["mass"] == pytest.approx(1 - math.exp(-disc["threshold"] / 2), abs=0.005)
    of_log_p = regions.region("log p", scored(regions.log_prob))
    assert all(of_log_p[share] == disc[share] for share in ("mass", "box", "edge"))


@pytest.mark.parametrize(
    ("value", "mass", "box", "edge"), [(5.0, 0.5, 0.5, 0.5), (7.5, stats.norm.sf(2.5), 0.25, 0.375)]
)
def test_a_half_plane(value, mass, box, edge):
    found = regions.region("right", scored(lambda x: x[:, 0]), value=value)
    assert found["box"] == pytest.approx(box)
    assert found["edge"] == pytest.approx(edge)
    assert found["mass_low"] <= mass <= found["mass_high"]
    assert not found["is_fitted"]


def test_intervals_are_clopper_and_pearsons():
    sizes = {"held_out": 40.0, "test": 20, "box": 9, "edge": 9}
    scores = {name: np.arange(size) for name, size in sizes.items()}
    found = regions.region("first three", scores, False, value=2.0)
    assert found["mass"] == 3 / 20
    assert found["mass_low"] == pytest.approx(stats.beta.ppf(0.025, 3, 18))
    assert found["mass_high"] == pytest.approx(stats.beta.ppf(0.975, 4, 17))


@given(hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(-9, 9)), st.booleans())
def test_a_threshold_is_the_tightest_that_accepts_95_percent(held_out, higher_is_normal):
    value = regions.threshold(held_out, higher_is_normal)
    sign = 1 if higher_is_normal else -1
    assert np.mean(sign * held_out >= sign * value) >= 0.95
    assert np.mean(sign * held_out > sign * value) < 0.95


def test_nan_is_refused():
    scores = scored(squared_distance, num=50)
    scores["test"][3] = np.nan
    with pytest.raises(ValueError, match="must not be NaN"):
        regions.region("disc", scores, False)


def test_points_lie_in_the_box_and_on_its_edge():
    places = regions.places(9, 4, seed=0)
    box, edge = places["box"], places["edge"]
    assert box[0] == pytest.approx((1.25, 1.25))
    assert box[1] == pytest.approx((3.75, 1.25))  # the first coordinate runs fastest
    assert len(np.unique(box, axis=0)) == 16
    assert len(np.unique(edge, axis=0)) == 16
    assert np.isin(edge, regions.BOX).any(axis=1).all()


def test_log_prob_is_scipys():
    x = np.random.default_rng(0).normal(5, 3, (20, 2))
    expected = stats.multivariate_normal(regions.CENTRE).logpdf(x)
    np.testing.assert_allclose(regions.log_prob(x), expected)
