"""Densities of statistics against SciPy's and scikit-learn's."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, OutputSpec
from tfp_genens.scoring import dose
from tfp_genens.scoring.scores import available_scores, combine


def two_clouds(num_members=2, num_inputs=600):
    """Two statistics of inputs that come in two kinds; members differ in their scale."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, num_inputs)
    first = np.where(kind, -30.0, 40.0) + rng.normal(0, 3, num_inputs)
    second = np.where(kind, 5.0, -5.0) + 0.3 * first + rng.normal(0, 1, num_inputs)
    scales = np.arange(1, num_members + 1)[:, np.newaxis]
    return scales * first, scales * second


def log_density(statistics, state):
    return dose.log_density(*(tf.constant(x, tf.float64) for x in statistics), state=state).numpy()


def test_one_gaussian_is_scipys():
    statistics = np.random.default_rng(1).multivariate_normal(
        [3.0, -2.0], [[4.0, 1.5], [1.5, 1.0]], 500
    )
    state = dose.fit(*statistics.T[:, np.newaxis], candidates=[1])
    values = (statistics - statistics.mean(axis=0)) / statistics.std(axis=0)
    covariance = np.cov(values.T, ddof=0) + dose.VARIANCE_FLOOR * np.eye(2)
    expected = scipy.stats.multivariate_normal(np.zeros(2), covariance).logpdf(values)
    np.testing.assert_allclose(
        log_density(statistics.T[:, np.newaxis], state), expected, rtol=1e-9, atol=1e-9
    )


def mixture_of(num, values):
    return GaussianMixture(num, reg_covar=dose.VARIANCE_FLOOR, random_state=0).fit(values)


def test_mixtures_are_scikit_learns_and_members_are_averaged():
    statistics = two_clouds()
    state = dose.fit(*statistics)
    expected = []
    for member in range(2):
        values = StandardScaler().fit_transform(np.stack([s[member] for s in statistics], axis=-1))
        folds = list(KFold(5, shuffle=True, random_state=0).split(values))
        likelihoods = {
            num: np.mean([mixture_of(num, values[a]).score(values[b]) for a, b in folds])
            for num in dose.NUM_COMPONENTS
        }
        mixture = mixture_of(max(likelihoods, key=likelihoods.get), values)
        expected.append(mixture.score_samples(values))
    np.testing.assert_allclose(log_density(statistics, state), np.mean(expected, axis=0), rtol=1e-6)


def test_the_number_of_gaussians_is_that_of_the_kinds_of_inputs():
    state = dose.fit(*two_clouds(num_members=3), candidates=[1, 2])
    assert np.isfinite(state["log_weights"]).sum(axis=1).tolist() == [2, 2, 2]
    plain = np.random.default_rng(0).normal(size=[2, 1, 600])
    assert np.isfinite(dose.fit(*plain, candidates=[1, 4])["log_weights"]).sum() == 1


def test_few_inputs_have_one_gaussian():
    state = dose.fit(*two_clouds(num_inputs=8))
    assert state["log_weights"].shape == (2, 1)


def test_statistics_are_taken_by_their_logarithm_where_all_are_positive():
    rng = np.random.default_rng(0)
    positive, signed = rng.lognormal(2, 1, [1, 500]), rng.normal(size=[1, 500])
    state = dose.fit(positive, signed)
    floor = state["floor"]
    assert floor[0, 0] == dose.FLOOR_SHARE * positive.min()
    assert np.isnan(floor[0, 1])
    np.testing.assert_allclose(
        dose.transformed(np.stack([positive, signed], axis=-1), floor),
        np.stack([np.log(positive), signed], axis=-1),
    )


def test_below_the_floor_the_logarithm_goes_on_along_its_tangent():
    floor = np.array([[0.5]])
    x = np.array([[[0.5], [0.25], [0.0], [-3.0]]])
    expected = np.log(0.5) + (x - 0.5) / 0.5
    np.testing.assert_allclose(dose.transformed(x, floor), expected)
    with tf.GradientTape() as tape:
        inputs = tf.constant([[[0.6], [0.1]]], tf.float64)
        tape.watch(inputs)
        values = dose.transformed(inputs, floor)
    np.testing.assert_allclose(tape.gradient(values, inputs), [[[1 / 0.6], [1 / 0.5]]])


def test_a_member_is_fitted_as_if_there_were_no_others():
    statistics = [np.exp(two_clouds()[0] / 30), two_clouds()[1]]
    statistics[0][1] -= 1.0  # of the second member not all are positive
    together = dose.fit(*statistics)
    alone = [dose.fit(*(s[member : member + 1] for s in statistics)) for member in (0, 1)]
    found = dose.member_log_density(*map(tf.constant, statistics), state=together)
    for member, state in enumerate(alone):
        of_one = log_density([s[member : member + 1] for s in statistics], state)
        np.testing.assert_allclose(found[member], of_one, rtol=1e-9)


STATE = dose.fit(*two_clouds())


@given(
    st.tuples(st.floats(-1, 1), st.floats(-1, 1)).filter(lambda d: max(map(abs, d)) > 0.1),
    st.floats(3.0, 1e12),
    st.floats(1.01, 1e6),
)
def test_further_out_is_ever_stranger_and_finite(direction, distance, factor):
    near, far = (
        log_density(np.array([[direction], [direction]]).T * 1e3 * d, STATE)[0]
        for d in (distance, distance * factor)
    )
    assert np.isfinite(far)
    assert far < near < log_density([[[40.0]] * 2, [[7.0]] * 2], STATE)[0]


def test_the_largest_numbers_there_are_stay_finite():
    top = float(np.finfo(np.float32).max)
    positive = np.random.default_rng(0).lognormal(size=[2, 2, 300])
    state = dose.fit(*positive)
    for values in ([top, top], [-top, top], [-top, -top], [0.0, 0.0]):
        found = log_density([[[value]] * 2 for value in values], state)
        assert np.isfinite(found).all()
        assert found < log_density(positive[:, :, :1], state)


def test_nan_is_nan():
    assert np.isnan(log_density([[[np.nan]] * 2, [[7.0]] * 2], STATE)).all()


@pytest.mark.parametrize("constant", [7.0, 0.1, -113.7, 0.0])
def test_a_statistic_that_never_varies_is_no_trouble(constant):
    """Rounding makes the deviation of equal numbers not quite zero."""
    values = np.full([1, 1000], constant)
    state = dose.fit(values, np.random.default_rng(0).normal(size=[1, 1000]))
    beside = float(np.nextafter(np.float32(constant), np.float32(1e3)))
    statistics = [[[constant, beside, constant + 3.0]], [[0.0, 0.0, 0.0]]]
    inside, rounded, outside = log_density(statistics, state)
    assert rounded == pytest.approx(inside, abs=1e-3)
    assert np.isfinite([inside, outside]).all()
    assert outside < inside - 1


def test_it_is_a_row_of_the_outputs_that_are_marked():
    specs = {
        "a": OutputSpec("nats", HIGHER_IS_NORMAL, statistic=True),
        "b": OutputSpec("nats", HIGHER_IS_NORMAL),
        "c": OutputSpec("nats", HIGHER_IS_NORMAL, statistic=True),
    }
    row = available_scores(specs)["dose"]
    assert row.inputs == ("a", "c")
    first, second = two_clouds()
    outputs = {"a": first, "b": np.full_like(first, np.nan), "c": second}
    found = combine(outputs, {"dose": row}, {"dose": STATE})["dose"]
    np.testing.assert_array_equal(found, log_density([first, second], STATE))
    assert "dose" not in available_scores({"b": specs["b"]})


@pytest.mark.parametrize("num_members", [1, 3])
def test_it_separates_what_each_statistic_alone_does_not(num_members):
    """Between the clouds both statistics have values that normal inputs surround."""
    statistics = two_clouds(num_members)
    state = dose.fit(*statistics)
    scales = np.arange(1, num_members + 1)[:, np.newaxis]
    between = log_density([5.0 * scales, 1.5 * scales], state)
    assert between[0] < np.quantile(log_density(statistics, state), 0.001)
