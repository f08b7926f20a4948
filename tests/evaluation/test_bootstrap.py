"""Bootstrap intervals: coverage, agreement with a plain loop, and determinism."""

import time

import numpy as np
import pytest
from scipy import stats

from tfp_genens import seeds
from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL
from tfp_genens.evaluation import bootstrap, metrics


def bootstrap_intervals(*scores, **settings):
    """Percentile intervals, of resamples."""
    return bootstrap.intervals(bootstrap.resampled_metrics(*scores, **settings))


def plain_loop(in_scores, ood_scores, direction, num_resamples, seed, chunk_size):
    """The same resamples, one at a time, through the metrics of each resample as it stands."""
    generator = seeds.numpy_generator(seed, "bootstrap")
    num_in, num_out = in_scores.shape[1], ood_scores.shape[1]
    values = []
    for start in range(0, num_resamples, chunk_size):
        size = min(chunk_size, num_resamples - start)
        in_picked = generator.integers(num_in, size=(size, num_in))
        ood_picked = generator.integers(num_out, size=(size, num_out))
        for i, o in zip(in_picked, ood_picked, strict=True):
            members = [
                metrics.all_metrics(in_member[i], ood_member[o], direction)
                for in_member, ood_member in zip(in_scores, ood_scores, strict=True)
            ]
            values.append([np.mean([m[name] for m in members]) for name in metrics.METRICS])
    low, high = np.quantile(values, [0.025, 0.975], axis=0)
    return {name: (low[k], high[k]) for k, name in enumerate(metrics.METRICS)}


@pytest.mark.parametrize("num_members", [1, 3])
@pytest.mark.parametrize("direction", [HIGHER_IS_NORMAL, LOWER_IS_NORMAL])
def test_equals_a_plain_loop(monkeypatch, num_members, direction):
    monkeypatch.setattr(bootstrap, "_MAX_WEIGHTS", 70 * 20)  # Several chunks, the last one short.
    rng = np.random.default_rng(1)
    in_scores = np.round(rng.normal(size=(num_members, 40)), 1)
    ood_scores = np.round(rng.normal(1, 1, size=(num_members, 30)), 1)
    in_scores[0, 0], ood_scores[0, :2] = np.nan, (np.nan, np.inf)
    found = bootstrap_intervals(in_scores, ood_scores, direction, num_resamples=50, seed=3)
    expected = plain_loop(in_scores, ood_scores, direction, 50, seed=3, chunk_size=20)
    for name in metrics.METRICS:
        assert found[name] == pytest.approx(expected[name], abs=1e-12)


def test_covers_the_true_auroc_in_95_percent_of_draws():
    true_auroc = stats.norm.cdf(1.0 / np.sqrt(2))
    num_draws, covered = 300, 0
    for draw in range(num_draws):
        rng = np.random.default_rng(draw)
        low, high = bootstrap_intervals(
            rng.normal(size=150),
            rng.normal(-1, 1, size=200),
            HIGHER_IS_NORMAL,
            num_resamples=400,
            seed=draw,
        )["auroc"]
        covered += low <= true_auroc <= high
    assert stats.binomtest(covered, num_draws, 0.95).pvalue > 0.001


def test_covers_the_true_mean_over_members():
    """Members that agree on what is hard: resampling them apart would give too narrow intervals."""
    # Scores are shared + own noise, so each member's AUROC is that of two unit normals apart by 1.
    true_auroc = stats.norm.cdf(1.0 / np.sqrt(2))
    num_draws, covered = 200, 0
    for draw in range(num_draws):
        rng = np.random.default_rng(10_000 + draw)
        scores = np.sqrt(0.9) * rng.normal(size=(1, 300)) + np.sqrt(0.1) * rng.normal(size=(5, 300))
        low, high = bootstrap_intervals(
            scores[:, :150], scores[:, 150:] + 1, LOWER_IS_NORMAL, num_resamples=300, seed=draw
        )["auroc"]
        covered += low <= true_auroc <= high
    assert stats.binomtest(covered, num_draws, 0.95).pvalue > 0.001


def test_separable_scores_give_an_interval_without_width():
    intervals = bootstrap_intervals(
        np.arange(10.0), np.arange(20.0, 30.0), LOWER_IS_NORMAL, num_resamples=50, seed=0
    )
    assert intervals == {
        "auroc": (1, 1),
        "average_precision": (pytest.approx(1), pytest.approx(1)),
        "fpr_at_95_tpr": (0, 0),
    }


def test_seeded_by_seed_and_path_only():
    rng = np.random.default_rng(0)
    in_scores, ood_scores = rng.normal(size=100), rng.normal(1, 1, size=100)

    def intervals(**kwargs):
        return bootstrap_intervals(
            in_scores, ood_scores, LOWER_IS_NORMAL, num_resamples=200, **kwargs
        )

    assert intervals(seed=0) == intervals(seed=0)
    assert intervals(seed=0) != intervals(seed=1)
    assert intervals(seed=0) != intervals(seed=0, path=("hflip",))


def test_ten_rows_take_seconds():
    rng = np.random.default_rng(0)
    start = time.process_time()
    for row in range(10):
        bootstrap_intervals(
            rng.normal(size=2000),
            rng.normal(1, 1, size=2000),
            LOWER_IS_NORMAL,
            num_resamples=1000,
            seed=row,
        )
    assert time.process_time() - start < 15


def test_misuse():
    ones = np.ones(3)
    with pytest.raises(ValueError, match="num_resamples"):
        bootstrap_intervals(ones, ones, LOWER_IS_NORMAL, num_resamples=0, seed=0)
    with pytest.raises(ValueError, match="same members"):
        bootstrap_intervals(np.ones((2, 3)), ones, LOWER_IS_NORMAL, num_resamples=9, seed=0)
