"""Ensemble scores against numbers worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfp_genens.scoring.calibration import Calibration
from tfp_genens.scoring.combine import (
    DECISION_SCORES,
    ENSEMBLE_SCORES,
    available_scores,
    combine,
    waic,
)

LOG_PROB = np.array([[-80.0, -100.0], [-90.0, -100.0], [-100.0, -100.0]])


def test_waic_by_hand():
    # Means -90 and -100; deviations 10, 0, -10, so the population variance is 200 / 3.
    np.testing.assert_allclose(waic(LOG_PROB), [-90.0 - 200.0 / 3.0, -100.0], rtol=1e-14)


def test_every_score_by_hand():
    scores = combine({"log_prob": LOG_PROB, "rate": np.array([[1.0, 2.0], [3.0, 2.0]])})
    np.testing.assert_allclose(scores["log_prob_mean"], [-90.0, -100.0])
    np.testing.assert_allclose(scores["log_prob_var"], [200.0 / 3.0, 0.0])
    np.testing.assert_allclose(scores["rate_mean"], [2.0, 2.0])
    np.testing.assert_allclose(scores["rate_var"], [1.0, 0.0])


def test_only_what_the_outputs_allow():
    assert set(available_scores(["rate"])) == {"rate_mean", "rate_var"}
    assert available_scores(["distortion"]) == {}


@given(hnp.arrays(np.float64, (5, 3), elements=st.floats(-1e6, 1e6)), st.floats(-1e3, 1e3))
def test_waic_moves_with_a_common_shift_and_ignores_order(log_prob, shift):
    np.testing.assert_allclose(waic(log_prob + shift), waic(log_prob) + shift, rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(waic(log_prob[::-1]), waic(log_prob), rtol=1e-9, atol=1e-6)


@given(hnp.arrays(np.float64, (1, 4), elements=st.floats(-1e6, 1e6)))
def test_one_member_has_no_variance(log_prob):
    np.testing.assert_array_equal(waic(log_prob), log_prob[0])


def test_decision_scores_are_registered():
    assert set(DECISION_SCORES) <= set(ENSEMBLE_SCORES)


class TestCalibration:
    def test_p_values_by_hand(self):
        calibration = Calibration("waic", np.array([-30.0, -20.0, -10.0]))
        p = calibration.p_value(np.array([-40.0, -30.0, -25.0, -10.0, 0.0]))
        np.testing.assert_allclose(p, [1 / 4, 2 / 4, 2 / 4, 1.0, 1.0])

    def test_nan_counts_as_least_normal(self):
        calibration = Calibration("waic", np.array([-30.0, -20.0, -10.0]))
        p = calibration.p_value(np.array([np.nan, -np.inf, np.inf]))
        np.testing.assert_allclose(p, [1 / 4, 1 / 4, 1.0])

    def test_direction_is_taken_from_the_registry(self):
        calibration = Calibration("rate_mean", np.sort(-np.array([10.0, 20.0, 30.0])))
        p = calibration.p_value(np.array([40.0, 5.0]))
        np.testing.assert_allclose(p, [1 / 4, 1.0])

    @pytest.mark.parametrize("alpha", [0.05, 0.2])
    def test_normal_inputs_are_flagged_no_more_often_than_stated(self, alpha):
        """Over the draw of calibration and test data together, P(p <= alpha) <= alpha."""
        rng = np.random.default_rng(0)
        repetitions, num_calibration = 2000, 99
        flagged = [
            Calibration("waic", np.sort(rng.normal(size=num_calibration))).p_value(
                rng.normal(size=1)
            )[0]
            <= alpha
            for _ in range(repetitions)
        ]
        standard_error = np.sqrt(alpha * (1 - alpha) / repetitions)
        assert np.mean(flagged) == pytest.approx(alpha, abs=4 * standard_error)
