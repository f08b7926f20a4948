"""The frauds that decide FPR@95%TPR, and which methods share them."""

import numpy as np
import pytest

from tfp_genens.paper.tables.hardest_frauds import Scored, hardest, section


def test_hardest_are_the_lowest_twentieth():
    fraud = np.random.default_rng(0).permutation(60).astype(float)
    assert sorted(fraud[hardest(fraud)]) == [0, 1, 2]
    assert len(hardest(fraud[:3])) == 1


def test_what_is_no_number_is_hardest_and_its_row_is_missed():
    fraud = np.array([0.0, np.nan, 2.0])
    assert hardest(fraud) == [1]
    scored = Scored("a", "m", [(np.array([1.0, np.nan, 3.0]), fraud)])
    assert section([scored], scored).body[0][2] == "100.0"


def test_a_line_a_method():
    normal = np.arange(100.0)
    fraud = np.arange(40.0)  # the hardest are 0 and 1
    half = np.where(np.arange(40) == 1, 99.0, fraud)  # 0 and 2
    reference = Scored("a", "m", [(normal, fraud)])
    found = section([reference, Scored("b", "n", [(normal + 0.5, half + 50)])], reference)
    assert found.header[-1] == "shared with a"
    # Above 0 and 1 are 99 and 98 of 100; above 50 and 52, 50 and 48.
    assert found.body == (("a", "m", "98.5", "-"), ("b", "n", "49.0", "50.0"))


def test_splits_are_averaged():
    normal = np.arange(10.0)
    splits = [(normal, np.array([4.5, 20.0])), (normal, np.array([20.0, 2.5]))]
    first = [(normal, np.array([0.0, 1.0])), (normal, np.array([0.0, 1.0]))]
    (line,) = section([Scored("b", "n", splits)], Scored("a", "m", first)).body
    assert [float(cell) for cell in line[2:]] == pytest.approx([60.0, 50.0])
