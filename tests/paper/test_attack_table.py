"""What attacks leave of a detector, from statistics made by hand."""

import numpy as np
import pytest
from support import read_back
from support.statistics import NUM, calibrating, evaluation

from tfp_genens.errors import UserError
from tfp_genens.paper.tables import attack_table


@pytest.fixture
def attacked(tmp_path):
    made = evaluation(tmp_path, far={"log_scale": 9.0}, near={}, omniglot={"log_prob": -9.0})
    for entry, (scores, eps) in zip(
        made.document["sets"], [(["dose"], 0.1), (["dose", "waic"], 0.3)], strict=False
    ):
        entry["attack"] = {"scores": scores, "start": "noise", "eps": eps, "steps": 10}
    return made


def test_detection_is_by_p_values_of_held_out_inputs(attacked, tmp_path):
    log_prob = calibrating(tmp_path)["log_prob"]
    held_out = log_prob.mean(axis=0) - log_prob.var(axis=0)
    found = read_back.read(attack_table.table, [attacked])
    far, near = found.records
    assert (far["attacked"], near["attacked"]) == ("dose", "dose+waic")
    assert far["dose_detected"] == 100.0
    outside = attacked.ood[1].values("waic")
    # Of 101 p-values those of 5 % and less are 1 to 5 of 101: up to four held-out inputs below.
    flagged = (held_out[:, np.newaxis] <= outside).sum(axis=0) <= 4
    assert 0 < flagged.sum() < NUM
    assert near["waic_detected"] == pytest.approx(100 * np.mean(flagged))
    assert len(found.sections[0].body) == 2


def test_nan_is_detected(attacked, tmp_path):
    calibrating(tmp_path)
    frame = attacked.ood[1].scores.frame
    frame["dose"] = np.nan
    assert attack_table.table([attacked]).records["dose_detected"].iloc[1] == 100.0


def test_without_held_out_inputs_nothing_is_detected_nor_missed(attacked):
    with pytest.raises(UserError, match="held-out inputs"):
        attack_table.table([attacked])


def test_evaluations_without_attacks_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"attack:SCORES:START:EPS:STEPS; got .* which has none"):
        attack_table.table([evaluation(tmp_path, omniglot={})])
