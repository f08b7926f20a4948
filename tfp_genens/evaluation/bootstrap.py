"""Confidence intervals for the metrics by stratified bootstrap over inputs."""

from collections.abc import Mapping

import numpy as np

from tfp_genens import seeds
from tfp_genens.evaluation import metrics

LEVEL = 0.95
TAILS = [(1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0]
# Weights held at once: bounds memory, and small arrays stay in the processor's cache.
_MAX_WEIGHTS = 1 << 16


def resampled_metrics(
    in_scores: np.ndarray,
    ood_scores: np.ndarray,
    direction: str,
    *,
    num_resamples: int,
    seed: int,
    path: tuple[str | int, ...] = (),
) -> dict[str, np.ndarray]:
    """Every metric, or its mean over several members, on resamples of the inputs.

    ID and OoD inputs are resampled separately. Where several members scored the same inputs, all
    are judged on the inputs that a resample picks.

    Args:
      in_scores: [num_in] or [num_members, num_in], of in-distribution inputs.
      ood_scores: [num_out] or [num_members, num_out], of out-of-distribution inputs.
      direction: of spec.DIRECTIONS.
      num_resamples: positive.
      seed: equal seed and path pick the same inputs for every score, so that scores of the same
        sets are compared on the same resamples.
      path: labels, see `seeds.derive_seed`.

    Returns:
      By metric name, fractions from 0 to 1, float64 [num_resamples].
    """
    if num_resamples < 1:
        raise ValueError(f"`num_resamples` must be positive; got {num_resamples}.")
    in_scores, ood_scores = np.atleast_2d(in_scores), np.atleast_2d(ood_scores)
    if len(in_scores) != len(ood_scores):
        raise ValueError(
            "`in_scores` and `ood_scores` must come from the same members; got "
            f"{len(in_scores)} and {len(ood_scores)}."
        )
    pairs = zip(in_scores, ood_scores, strict=True)
    rankings = [metrics.rank(*pair, direction) for pair in pairs]
    generator = seeds.numpy_generator(seed, "bootstrap", *path)
    num_in, num_out = in_scores.shape[1], ood_scores.shape[1]
    # A function of the sets' sizes alone: members or ties must not change the inputs picked.
    chunk_size = max(1, _MAX_WEIGHTS // (num_in + num_out))
    resampled: dict[str, list[np.ndarray]] = {name: [] for name in metrics.METRICS}
    for start in range(0, num_resamples, chunk_size):
        size = min(chunk_size, num_resamples - start)
        in_weights = _resampled_weights(generator, num_in, size)
        ood_weights = _resampled_weights(generator, num_out, size)
        members = [metrics.weighted_metrics(r, in_weights, ood_weights) for r in rankings]
        for name in metrics.METRICS:
            resampled[name].append(np.mean([member[name] for member in members], axis=0))
    return {name: np.concatenate(parts) for name, parts in resampled.items()}


def intervals(resampled: Mapping[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of what `resampled_metrics` returned: (low, high) by metric name.

    What they do not cover: they treat the members as given, so other members (another seed, another
    training run) are not in them, nor is any shift between these inputs and the ones a user will
    meet. Flipped images are resampled apart from the images they were made of, which may make them
    wider than need be. Where a metric is exactly 0 or 1 one has no width: the sample holds no
    counter-example, which does not say that none exists.
    """
    quantiles = {name: np.quantile(values, TAILS) for name, values in resampled.items()}
    return {name: (float(low), float(high)) for name, (low, high) in quantiles.items()}


def _resampled_weights(
    generator: np.random.Generator, num_inputs: int, num_resamples: int
) -> np.ndarray:
    """How often each input was picked: multinomial counts, int [num_inputs, num_resamples]."""
    picked = generator.integers(num_inputs, size=(num_resamples, num_inputs))
    flat = (picked + np.arange(num_resamples)[:, None] * num_inputs).ravel()
    counts = np.bincount(flat, minlength=num_resamples * num_inputs)
    return np.ascontiguousarray(counts.reshape(num_resamples, num_inputs).T)
