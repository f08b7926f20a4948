"""Density of states: how usual a model's statistics of an input are among those of normal inputs.

After Morningstar et al. (2021, "Density of States Estimation for Out-of-Distribution Detection").
An input is strange where its statistics are, in either direction: too likely counts as much as too
unlikely. Each member has a density of its own, a mixture of Gaussians.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from threadpoolctl import threadpool_limits

NUM_COMPONENTS = (1, 2, 3, 4, 6, 8)
"""What the number of Gaussians is chosen from, see docs/protocol.md."""

NUM_FOLDS = 5
MIN_INPUTS = 5
"""A statistic and Gaussian: with fewer held-out inputs, mixtures have fewer Gaussians, and with
fewer than one Gaussian takes there is no density."""

VARIANCE_FLOOR = 1e-3
"""Added to each Gaussian's variances, in units of the held-out inputs' variance."""

SMALLEST_SCALE = 1e-6
"""Of a statistic's size: what varies less than float32 can say counts as constant."""

FLOOR_SHARE = 0.5
"""Of the smallest held-out value: below it the logarithm goes on as a straight line."""


def fit(
    *statistics: np.ndarray, candidates: Sequence[int] = NUM_COMPONENTS
) -> dict[str, np.ndarray]:
    """A mixture of Gaussians a member, of standardised statistics.

    Each member has one by itself: what it is does not depend on the others. A statistic that is
    positive for all held-out inputs is taken by its logarithm, and the number of Gaussians is the
    one with the highest log-likelihood in cross-validation.

    Args:
      *statistics: of held-out normal inputs, float64 [num_members, num_inputs] each.
      candidates: numbers of Gaussians to choose from.

    Returns:
      float64: "floor", NaN where no logarithm is taken, "loc" and "scale"
      [num_members, num_statistics]; "log_weights" [num_members, num_components], "means" and
      "whitening" [num_members, num_components, num_statistics(, num_statistics)]. Members with
      fewer Gaussians have some without weight.
    """
    values = np.stack(statistics, axis=-1)
    lowest = values.min(axis=1)
    floor = np.where(lowest > 0, FLOOR_SHARE * lowest, np.nan)
    values = transformed(values, floor).numpy()
    loc, scale = values.mean(axis=1), values.std(axis=1)
    varies = scale > SMALLEST_SCALE * np.maximum(np.abs(loc), 1.0)
    scale = np.where(varies, scale, 1.0)
    standardised = (values - loc[:, np.newaxis]) / scale[:, np.newaxis]
    with threadpool_limits(1):  # matrices are so small that threads mostly wait for one another
        mixtures = [_mixture(member, candidates) for member in standardised]
    most, size = max(m.n_components for m in mixtures), len(statistics)
    log_weights = np.full([len(mixtures), most], -np.inf)
    means = np.zeros([len(mixtures), most, size])
    whitening = np.tile(np.eye(size), [len(mixtures), most, 1, 1])
    for member, mixture in enumerate(mixtures):
        log_weights[member, : mixture.n_components] = np.log(mixture.weights_)
        means[member, : mixture.n_components] = mixture.means_
        whitening[member, : mixture.n_components] = mixture.precisions_cholesky_
    arrays = {"log_weights": log_weights, "means": means, "whitening": whitening}
    return {"floor": floor, "loc": loc, "scale": scale, **arrays}


def _mixture(values: np.ndarray, candidates: Sequence[int]) -> Any:
    """scikit-learn's mixture of standardised values [num_inputs, num_statistics]."""
    from sklearn.mixture import GaussianMixture  # slow to import
    from sklearn.model_selection import GridSearchCV, KFold

    num_inputs, size = values.shape
    most = num_inputs * (NUM_FOLDS - 1) // NUM_FOLDS // (MIN_INPUTS * size)
    possible = [num for num in candidates if num <= most] or [1]
    mixture = GaussianMixture(possible[0], reg_covar=VARIANCE_FLOOR, random_state=0)
    if len(possible) == 1:
        return mixture.fit(values)
    folds = KFold(NUM_FOLDS, shuffle=True, random_state=0)
    return GridSearchCV(mixture, {"n_components": possible}, cv=folds).fit(values).best_estimator_


def transformed(values, floor) -> tf.Tensor:
    """The logarithm where `floor` is a number: below it, its tangent there.

    values: [num_members, batch, num_statistics]; floor: [num_members, num_statistics].
    """
    values = tf.cast(values, tf.float64)
    floor = tf.cast(floor, tf.float64)[:, tf.newaxis]
    is_log = tf.math.is_finite(floor)
    safe = tf.where(is_log, floor, 1.0)
    log = tf.math.log(tf.maximum(values, safe)) + tf.minimum(values - safe, 0.0) / safe
    return tf.where(is_log, log, values)


def member_log_density(*statistics: tf.Tensor, state) -> tf.Tensor:
    """Log densities in nats of standardised statistics.

    Finite for any finite statistics, and the lower the further out they are.

    Args:
      *statistics: float64 [num_members, batch] each.
      state: what `fit` returned.

    Returns:
      float64 [num_members, batch].
    """
    values = transformed(tf.stack(statistics, axis=-1), state["floor"])
    x = (values - state["loc"][:, np.newaxis]) / state["scale"][:, np.newaxis]
    centred = x[:, :, tf.newaxis] - state["means"][:, np.newaxis]
    whitened = tf.einsum("mbcs,mcst->mbct", centred, tf.constant(state["whitening"]))
    log_det = np.log(np.einsum("mcss->mcs", state["whitening"])).sum(axis=-1)
    norm = state["log_weights"] + log_det - 0.5 * len(statistics) * np.log(2.0 * np.pi)
    log_densities = norm[:, np.newaxis] - 0.5 * tf.reduce_sum(whitened**2, axis=-1)
    return tf.reduce_logsumexp(log_densities, axis=-1)


def log_density(*statistics: tf.Tensor, state) -> tf.Tensor:
    """The mean over members of `member_log_density`, [batch]: the score."""
    return tf.reduce_mean(member_log_density(*statistics, state=state), axis=0)
