"""Metrics against scikit-learn, hand-computed cases and the promises made about NaN."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sklearn_metrics

from tfp_genens.artifact.spec import DIRECTIONS, HIGHER_IS_NORMAL, LOWER_IS_NORMAL
from tfp_genens.evaluation import metrics


def tied_scores(min_size=1, max_size=40):
    """Vectors with many ties and both infinities."""
    values = st.sampled_from([-np.inf, -3.0, -1.0, -0.0, 0.0, 1e-300, 0.5, 2.0, 7.0, np.inf])
    sizes = st.integers(min_size, max_size)
    return sizes.flatmap(lambda size: hnp.arrays(np.float64, size, elements=values))


def scores_with_nan():
    values = st.sampled_from([-np.inf, -1.0, 0.0, 2.0, np.inf, np.nan])
    return st.integers(1, 15).flatmap(lambda size: hnp.arrays(np.float64, size, elements=values))


def sklearn_values(in_scores, ood_scores, direction):
    """The three metrics by scikit-learn, infinities replaced by values further out."""
    scores = np.nan_to_num(np.concatenate([in_scores, ood_scores]), posinf=1e9, neginf=-1e9)
    anomaly = -scores if direction == HIGHER_IS_NORMAL else scores
    is_ood = np.repeat([0, 1], [len(in_scores), len(ood_scores)])
    fpr, tpr, _ = sklearn_metrics.roc_curve(is_ood, anomaly, drop_intermediate=False)
    true_positives = np.rint(tpr * len(ood_scores)).astype(int)
    return {
        "auroc": sklearn_metrics.roc_auc_score(is_ood, anomaly),
        "average_precision": sklearn_metrics.average_precision_score(is_ood, anomaly),
        "fpr_at_95_tpr": fpr[100 * true_positives >= 95 * len(ood_scores)].min(),
    }


@settings(deadline=None)
@given(tied_scores(), tied_scores(), st.sampled_from(DIRECTIONS))
def test_equals_scikit_learn_with_ties(in_scores, ood_scores, direction):
    ours = metrics.all_metrics(in_scores, ood_scores, direction)
    theirs = sklearn_values(in_scores, ood_scores, direction)
    assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("decimals", [0, 1, 12])
def test_equals_scikit_learn_on_normal_scores(direction, decimals):
    rng = np.random.default_rng(7)
    in_scores = np.round(rng.normal(size=501), decimals)
    ood_scores = np.round(rng.normal(1.0, 2.0, size=733), decimals)
    ours = metrics.all_metrics(in_scores, ood_scores, direction)
    assert ours == pytest.approx(sklearn_values(in_scores, ood_scores, direction), abs=1e-12)


@given(tied_scores(), tied_scores(), st.sampled_from(DIRECTIONS))
def test_balanced_metrics_equal_scikit_learns_with_weights(in_scores, ood_scores, direction):
    found = metrics.balanced_metrics(in_scores, ood_scores, direction)
    scores = np.nan_to_num(np.concatenate([in_scores, ood_scores]), posinf=1e9, neginf=-1e9)
    num_in, num_out = len(in_scores), len(ood_scores)
    expected = sklearn_metrics.average_precision_score(
        np.repeat([0, 1], [num_in, num_out]),
        -scores if direction == HIGHER_IS_NORMAL else scores,
        sample_weight=np.repeat([1 / num_in, 1 / num_out], [num_in, num_out]),
    )
    assert found["average_precision"] == pytest.approx(expected, abs=1e-9)
    as_sampled = metrics.all_metrics(in_scores, ood_scores, direction)
    for name in ("auroc", "fpr_at_95_tpr"):
        assert found[name] == pytest.approx(as_sampled[name], abs=1e-12)
    if num_in == num_out:
        assert found == as_sampled


def test_by_hand():
    # Anomaly order: OoD 4 | tie of OoD 3 and ID 3 | ID 2 | ID 1.
    in_scores, ood_scores = np.array([1.0, 2.0, 3.0]), np.array([3.0, 4.0])
    values = metrics.all_metrics(in_scores, ood_scores, LOWER_IS_NORMAL)
    assert values["auroc"] == pytest.approx(5.5 / 6)
    assert values["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert values["fpr_at_95_tpr"] == pytest.approx(1 / 3)


def test_fpr_needs_exactly_95_percent():
    # The 19 most anomalous of 20 OoD inputs are 95 %; the twentieth lies below every ID input.
    ood_scores = np.array([0.0] + [10.0] * 19)
    in_scores = np.arange(1.0, 5.0)
    assert metrics.all_metrics(in_scores, ood_scores, LOWER_IS_NORMAL)["fpr_at_95_tpr"] == 0.0
    # Of 21, nineteen are 90.5 %: all 21 need flagging only if the missing two lie below.
    ood_scores = np.array([0.0, 0.0] + [10.0] * 19)
    assert metrics.all_metrics(in_scores, ood_scores, LOWER_IS_NORMAL)["fpr_at_95_tpr"] == 1.0


def test_directions_mirror_each_other():
    rng = np.random.default_rng(0)
    in_scores, ood_scores = rng.normal(size=50), rng.normal(1, 1, size=60)
    assert metrics.all_metrics(in_scores, ood_scores, HIGHER_IS_NORMAL) == metrics.all_metrics(
        -in_scores, -ood_scores, LOWER_IS_NORMAL
    )
    assert metrics.auroc(in_scores, ood_scores, HIGHER_IS_NORMAL) == pytest.approx(
        1 - metrics.auroc(in_scores, ood_scores, LOWER_IS_NORMAL), abs=1e-12
    )


def test_infinities_are_ordinary_values():
    in_scores, ood_scores = np.array([0.0, 1.0]), np.array([np.inf, np.inf])
    assert metrics.auroc(in_scores, ood_scores, LOWER_IS_NORMAL) == 1.0
    assert metrics.auroc(in_scores, ood_scores, HIGHER_IS_NORMAL) == 0.0
    assert metrics.auroc(np.full(3, np.inf), np.full(2, np.inf), HIGHER_IS_NORMAL) == 0.5


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_nan_counts_against_the_score(direction):
    worse = np.inf if direction == HIGHER_IS_NORMAL else -np.inf  # Looks most normal.
    in_scores, ood_scores = np.array([0.0, 1.0, worse]), np.array([5.0, np.nan])
    nan_is_last = metrics.all_metrics(in_scores, ood_scores, direction)
    # Not even a tie with the ID input at infinity: only one of two OoD inputs can win any pair.
    without = metrics.auroc(in_scores, ood_scores[:1], direction)
    assert nan_is_last["auroc"] == pytest.approx(without / 2)
    assert nan_is_last["fpr_at_95_tpr"] == 1.0
    assert metrics.auroc(np.array([np.nan]), np.array([-worse]), direction) == 0.0
    assert metrics.auroc(np.array([np.nan]), np.array([np.nan]), direction) == 0.0


@settings(deadline=None)
@given(scores_with_nan(), scores_with_nan(), st.sampled_from(DIRECTIONS), st.data())
def test_nan_never_flatters(in_scores, ood_scores, direction, data):
    """No value that a NaN could have had would have made a metric worse."""
    with_nan = metrics.all_metrics(in_scores, ood_scores, direction)
    filler = st.floats(allow_nan=False)
    in_scores = np.where(np.isnan(in_scores), data.draw(filler), in_scores)
    ood_scores = np.where(np.isnan(ood_scores), data.draw(filler), ood_scores)
    filled = metrics.all_metrics(in_scores, ood_scores, direction)
    assert with_nan["auroc"] <= filled["auroc"] + 1e-12
    assert with_nan["fpr_at_95_tpr"] >= filled["fpr_at_95_tpr"] - 1e-12
    # Step-wise average precision can gain from a tie among OoD inputs, so only without such ties.
    if np.unique(ood_scores).size == ood_scores.size:
        assert with_nan["average_precision"] <= filled["average_precision"] + 1e-12


def test_nan_are_not_dropped():
    ranking = metrics.rank(np.array([np.nan, 1.0]), np.array([np.nan, 2.0]), LOWER_IS_NORMAL)
    assert ranking.in_order.size == ranking.ood_order.size == 2


@settings(deadline=None)
@given(tied_scores(), tied_scores(), st.sampled_from(DIRECTIONS))
def test_roc_curve_encloses_the_area(in_scores, ood_scores, direction):
    fpr, tpr = metrics.roc_curve(in_scores, ood_scores, direction)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    area = np.trapezoid(tpr, fpr)
    assert area == pytest.approx(metrics.auroc(in_scores, ood_scores, direction), abs=1e-12)


def test_misuse():
    with pytest.raises(ValueError, match="direction"):
        metrics.auroc(np.ones(2), np.ones(2), "sideways")
    with pytest.raises(ValueError, match="in_scores"):
        metrics.auroc(np.ones(0), np.ones(2), HIGHER_IS_NORMAL)
    with pytest.raises(ValueError, match="ood_scores"):
        metrics.auroc(np.ones(2), np.ones((2, 2)), HIGHER_IS_NORMAL)
