"""False alarms of p-values, from statistics made by hand."""

import numpy as np
import pytest
import scipy.stats
from support import read_back
from support.statistics import NUM, calibrating, evaluation

from tfp_genens.errors import UserError
from tfp_genens.paper.tables import false_alarm_table


@pytest.fixture
def made(tmp_path):
    """As many inputs to calibrate with as to fit on."""
    found = evaluation(tmp_path, omniglot={})
    calibrating(tmp_path)
    return found


def test_normal_inputs_are_flagged_as_often_as_asked_for(made, monkeypatch):
    monkeypatch.setattr(false_alarm_table, "NUM_SPLITS", 6)
    found = read_back.read(false_alarm_table.table, [made])
    assert len(found.records) == 6 * 3
    assert all(record["num_test"] == NUM for record in found.records)
    for alpha in false_alarm_table.ALPHAS:
        shares = [r["percent"] for r in found.records if r["alpha"] == alpha]
        error = 100 * np.sqrt(alpha * (1 - alpha) * 2 / NUM / len(shares))
        assert np.mean(shares) == pytest.approx(100 * alpha, abs=4 * error)
    assert found.document.context["num_within"] >= 14


def test_the_band_is_that_of_simulated_exchangeable_inputs():
    rng = np.random.default_rng(0)
    flagged = []
    for _ in range(2000):
        calibrate, test = np.sort(rng.random(99)), rng.random(200)
        p_value = (1 + np.searchsorted(calibrate, test, side="right")) / 100
        flagged.append((p_value <= 0.1 + 1e-12).sum())
    low, high = false_alarm_table._band(0.1, 99, 200)
    flagged = np.array(flagged)
    assert 0.94 < np.mean((low <= flagged) & (flagged <= high)) < 0.98
    law = scipy.stats.betabinom(200, 10, 90)
    assert np.mean(flagged) == pytest.approx(law.mean(), abs=4 * law.std() / np.sqrt(2000))


def test_no_alpha_below_the_smallest_p_value_flags_anything():
    assert false_alarm_table._band(0.01, 50, 200) == (0.0, 0.0)


def test_without_calibrating_inputs_there_is_none(tmp_path):
    with pytest.raises(UserError, match="held-out inputs"):
        false_alarm_table.table([evaluation(tmp_path, omniglot={})])
