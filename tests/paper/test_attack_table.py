"""What attacks leave of a detector, from statistics made by hand."""

import numpy as np
import pytest
from support import read_back
from support.statistics import evaluation

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


def test_detection_is_at_the_false_alarm_rate(attacked):
    found = read_back.read(attack_table.table, [attacked])
    far, near = found.records
    assert (far["attacked"], near["attacked"]) == ("dose", "dose+waic")
    assert far["dose_detected"] == 100.0
    inside, outside = (s.values("waic") for s in (attacked.in_distribution, attacked.ood[1]))
    ordered = np.sort(inside)
    allowed = len(ordered) // 20  # 5 % of 200: these may be flagged
    threshold = ordered[allowed - 1]
    assert np.mean(inside <= threshold) == pytest.approx(0.05)
    assert near["waic_detected"] == pytest.approx(100 * np.mean(outside <= threshold))
    assert len(found.sections[0].body) == 2


def test_nan_is_detected(attacked):
    frame = attacked.ood[1].scores.frame
    frame["dose"] = np.nan
    assert attack_table.table([attacked]).records["dose_detected"].iloc[1] == 100.0


def test_evaluations_without_attacks_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"attack:SCORES:START:EPS:STEPS; got .* which has none"):
        attack_table.table([evaluation(tmp_path, omniglot={})])
