"""Ensemble scores and p-values against numbers worked by hand."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, OutputSpec
from tfp_genens.scoring import calibration
from tfp_genens.scoring.scores import available_scores, combine, waic

LOG_PROB = np.array([[-80.0, -100.0], [-90.0, -100.0], [-100.0, -100.0]])
OUTPUTS = {
    "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL, "log p(x)"),
    "rate": OutputSpec("nats", LOWER_IS_NORMAL, "Rate"),
}


def test_waic_by_hand():
    # Means -90 and -100; deviations 10, 0, -10, so the population variance is 200 / 3.
    np.testing.assert_allclose(waic(LOG_PROB), [-90.0 - 200.0 / 3.0, -100.0], rtol=1e-14)


def test_every_output_has_a_mean_and_a_variance():
    rate = np.array([[1.0, 2.0], [3.0, 2.0], [2.0, 2.0]])
    found = combine({"log_prob": LOG_PROB, "rate": rate}, available_scores(OUTPUTS))
    assert set(found) == {"log_prob_mean", "log_prob_var", "rate_mean", "rate_var", "waic"}
    np.testing.assert_allclose(found["log_prob_mean"], [-90.0, -100.0])
    np.testing.assert_allclose(found["log_prob_var"], [200.0 / 3.0, 0.0])
    np.testing.assert_allclose(found["rate_mean"], [2.0, 2.0])
    np.testing.assert_allclose(found["rate_var"], [2.0 / 3.0, 0.0])


def test_what_they_are_follows_from_the_output():
    scores = available_scores(OUTPUTS)
    assert scores["rate_mean"].spec == OutputSpec("nats", LOWER_IS_NORMAL, "Mean Rate")
    assert scores["log_prob_mean"].direction == HIGHER_IS_NORMAL
    assert scores["log_prob_var"].spec == OutputSpec("nats^2", LOWER_IS_NORMAL, "Var log p(x)")
    assert "waic" not in available_scores({"rate": OUTPUTS["rate"]})


@given(hnp.arrays(np.float64, (5, 3), elements=st.floats(-1e6, 1e6)), st.floats(-1e3, 1e3))
def test_waic_moves_with_a_common_shift_and_ignores_order(log_prob, shift):
    np.testing.assert_allclose(waic(log_prob + shift), waic(log_prob) + shift, rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(waic(log_prob[::-1]), waic(log_prob), rtol=1e-9, atol=1e-6)


@given(hnp.arrays(np.float64, (1, 4), elements=st.floats(-1e6, 1e6)))
def test_one_member_has_no_variance(log_prob):
    # Subnormal numbers may become 0.
    np.testing.assert_allclose(waic(log_prob), log_prob[0], rtol=0, atol=1e-300)


def p_values(scores, held_out, direction=HIGHER_IS_NORMAL):
    scores, held_out = (tf.constant(x, tf.float64) for x in (scores, held_out))
    ordered = tf.sort(calibration.normality(held_out, direction))
    return calibration.p_value(calibration.normality(scores, direction), ordered).numpy()


class TestPValues:
    @pytest.mark.parametrize(
        ("scores", "direction", "expected"),
        [
            ([-40, -30, -25, -10, 0], HIGHER_IS_NORMAL, [1 / 4, 2 / 4, 2 / 4, 1, 1]),
            ([np.nan, -np.inf, np.inf], HIGHER_IS_NORMAL, [1 / 4, 1 / 4, 1]),
            ([0, -15, -40, np.nan], LOWER_IS_NORMAL, [1 / 4, 2 / 4, 1, 1 / 4]),
        ],
    )
    def test_by_hand(self, scores, direction, expected):
        np.testing.assert_allclose(p_values(scores, [-10, -30, -20], direction), expected)

    @pytest.mark.parametrize("alpha", [0.05, 0.2])
    def test_normal_inputs_are_flagged_no_more_often_than_stated(self, alpha):
        """Over the draw of calibration and test data together, P(p <= alpha) <= alpha."""
        rng = np.random.default_rng(0)
        repetitions = 1000
        draws = rng.normal(size=[repetitions, 100])
        flagged = [p_values(draw[:1], draw[1:])[0] <= alpha for draw in draws]
        standard_error = np.sqrt(alpha * (1 - alpha) / repetitions)
        assert np.mean(flagged) == pytest.approx(alpha, abs=4 * standard_error)
