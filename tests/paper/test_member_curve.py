"""The member-count curve against the plain way of computing each of its numbers."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from support.statistics import MARKED, NUM, evaluation, statistics

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, OutputSpec
from tfp_genens.evaluation import metrics
from tfp_genens.paper import configurations, member_curve
from tfp_genens.scoring import dose

SCORES = member_curve.combined_scores(
    {
        "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL),
        "rate": OutputSpec("nats", LOWER_IS_NORMAL),
        "critic": OutputSpec("logits", HIGHER_IS_NORMAL),
    }
)
EXPECTED = {
    "log_prob_mean": ("log_prob", -1, lambda x: x.mean(axis=0)),
    "log_prob_var": ("log_prob", 1, lambda x: x.var(axis=0)),
    "waic": ("log_prob", -1, lambda x: x.mean(axis=0) - x.var(axis=0)),
    "rate_mean": ("rate", 1, lambda x: x.mean(axis=0)),
    "critic_mean": ("critic", -1, lambda x: x.mean(axis=0)),
    "critic_var": ("critic", 1, lambda x: x.var(axis=0)),
}
"""Score -> member output, sign of what is anomalous, and how members are combined."""


def curve(in_outputs, ood_outputs):
    return list(member_curve.curve(in_outputs, ood_outputs, SCORES).itertuples())


def outputs(seed, num_members=4, num=60, shift=0.0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=num)
    return {
        name: shared + rng.normal(size=(num_members, num)) - shift
        for name in ("log_prob", "rate", "critic")
    }


def test_each_point_is_the_mean_and_range_over_all_subsets():
    in_outputs, ood = outputs(0), {"far": outputs(1, num=50, shift=1), "near": outputs(2)}
    points = curve(in_outputs, ood)
    assert [(p.ood_dataset, p.score, p.size) for p in points] == [
        (name, score, k)
        for name in ood
        for score in member_curve.SCORES
        if score in EXPECTED
        for k in (1, 2, 3, 4)
    ]
    for p in points:
        output, sign, combined = EXPECTED[p.score]
        expected = []
        for subset in itertools.combinations(range(4), p.size):
            scores = [
                combined(found[output][list(subset)]) for found in (in_outputs, ood[p.ood_dataset])
            ]
            labels = np.repeat([0, 1], [len(s) for s in scores])
            expected.append(100 * roc_auc_score(labels, sign * np.concatenate(scores)))
        assert (p.num_subsets, p.is_all) == (math.comb(4, p.size), True)
        assert [p.mean, p.lowest, p.highest] == pytest.approx(
            [np.mean(expected), np.min(expected), np.max(expected)], abs=1e-9
        )


def test_one_member_has_no_variance():
    points = curve(outputs(0), {"far": outputs(1, shift=2)})
    by_name = {(p.score, p.size): p for p in points}
    assert by_name["log_prob_var", 1].mean == 50.0
    assert by_name["waic", 1].mean == by_name["log_prob_mean", 1].mean


VALUES = st.lists(
    st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 1.0, np.inf, np.nan]), min_size=1, max_size=8
)


@settings(deadline=None)
@given(in_scores=VALUES, ood_scores=VALUES, score=st.sampled_from(["log_prob_mean", "rate_mean"]))
def test_ties_infinities_and_nan_count_as_in_metrics(in_scores, ood_scores, score):
    output, direction = {
        "log_prob_mean": ("log_prob", HIGHER_IS_NORMAL),
        "rate_mean": ("rate", LOWER_IS_NORMAL),
    }[score]
    outputs = [{output: np.array([values])} for values in (in_scores, ood_scores)]
    found = member_curve.subset_aurocs(
        outputs[0], {"x": outputs[1]}, SCORES[score], np.array([[0]])
    )
    expected = metrics.auroc(np.array(in_scores), np.array(ood_scores), direction)
    assert found["x"] == pytest.approx([100 * expected], abs=1e-9)


def test_many_subsets_are_drawn_by_seed():
    subsets, is_all = member_curve.subsets_of_size(8, 4, 20, seed=0)
    assert not is_all
    assert len({tuple(s) for s in subsets}) == 20
    assert (np.diff(subsets, axis=1) > 0).all()
    np.testing.assert_array_equal(subsets, member_curve.subsets_of_size(8, 4, 20, seed=0)[0])
    assert not np.array_equal(subsets, member_curve.subsets_of_size(8, 4, 20, seed=1)[0])
    # Every member must be drawn, or the draw favours some.
    assert set(subsets.ravel()) == set(range(8))
    assert member_curve.subsets_of_size(8, 4, 70, seed=0)[1]


def test_the_density_has_a_curve_that_fits_each_member_once(tmp_path):
    """A mean over members of log densities: a subset's is that of an ensemble of it alone."""
    made = evaluation(tmp_path, num_members=3, omniglot={"log_scale": 1.0})
    (configuration,) = configurations.group([made])
    joined = member_curve.member_scores(configuration)
    points = member_curve.curve(joined.in_outputs, joined.ood_outputs, joined.scores)
    found = points[points["score"] == "dose"].set_index("size")
    names = MARKED
    fitted, inside, outside = statistics(1, 3), statistics(0, 3), statistics(2, 3, log_scale=1.0)
    aurocs = []
    for member in range(3):
        state = dose.fit(*(fitted[name][[member]] for name in names))
        values = [
            dose.log_density(*(of_set[name][[member]] for name in names), state=state).numpy()
            for of_set in (inside, outside)
        ]
        aurocs.append(100 * roc_auc_score(np.repeat([0, 1], NUM), -np.concatenate(values)))
    assert found.loc[1, "mean"] == pytest.approx(np.mean(aurocs))
    assert found.loc[1, "highest"] == pytest.approx(max(aurocs))
    assert found.loc[3, "num_subsets"] == 1
