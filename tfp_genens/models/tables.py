"""Table rows on the scale that a density model sees, fitted on training rows; all in float64.

Each transform acts on every column by itself, is increasing and smooth enough to have a density,
and is defined for any finite value: far outside the training range it grows as a logarithm, so
that squares stay finite and further out is ever further out. `forward` returns the log-determinant
of its Jacobian, so that densities of raw rows can be compared whatever the preprocessing.
"""

import abc
from collections.abc import Callable

import numpy as np
import scipy.stats
import tensorflow as tf

from tfp_genens.models.freezing import as_float32

LINEAR_LIMIT = 1000.0
"""Standard deviations (or ranges) within which standardisation is affine."""

NUM_KNOTS = 100
"""Of the quantile transform, a column."""

_MAX_EXPONENT = 600.0  # exp of it is a float64, and far beyond float32


class Preprocessing(abc.ABC):
    """An increasing transform of each column."""

    @abc.abstractmethod
    def forward(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Raw rows [batch, d] -> x, float64 [batch, d], and log|det dx/d inputs|, [batch]."""

    @abc.abstractmethod
    def inverse(self, x: tf.Tensor) -> tf.Tensor:
        """x [batch, d] -> raw rows, float32 [batch, d]."""


class Affine(Preprocessing):
    """(x - loc) / scale, up to LINEAR_LIMIT; L * (1 + log(|u| / L)) beyond, with its sign.

    loc and the positive scale are [d].
    """

    def __init__(self, loc: np.ndarray, scale: np.ndarray):
        self._loc = np.asarray(loc, np.float64)
        self._scale = np.asarray(scale, np.float64)

    def forward(self, inputs):
        u = (tf.cast(inputs, tf.float64) - self._loc) / self._scale
        log_excess = tf.math.log(tf.maximum(tf.abs(u), LINEAR_LIMIT) / LINEAR_LIMIT)
        near = tf.clip_by_value(u, -LINEAR_LIMIT, LINEAR_LIMIT)
        x = near + tf.sign(u) * LINEAR_LIMIT * log_excess
        return x, -tf.reduce_sum(log_excess, axis=-1) - np.log(self._scale).sum()

    def inverse(self, x):
        x = tf.cast(x, tf.float64)
        near = tf.clip_by_value(x, -LINEAR_LIMIT, LINEAR_LIMIT)
        exponent = tf.minimum(tf.abs(x - near) / LINEAR_LIMIT, _MAX_EXPONENT)
        return as_float32(self._loc + self._scale * near * tf.exp(exponent))


class Quantile(Preprocessing):
    """Each column's normal scores: piecewise linear between quantiles of the training rows.

    The knots lie at quantiles equally spaced in normal scores, so that tails are resolved; equal
    ones are merged. Beyond the outermost ones, z grows as log(1 + slope * distance).

    Args:
      knots: float64 [d, k], strictly increasing; infinities fill rows of fewer knots.
      scores: their normal scores, likewise; 0 where there is no knot.
    """

    def __init__(self, knots: np.ndarray, scores: np.ndarray):
        self._knots = np.asarray(knots, np.float64)
        is_knot = np.isfinite(self._knots)
        self._scores = np.where(is_knot, scores, np.inf)
        self._last = is_knot.sum(axis=1)[:, np.newaxis] - 1  # [d, 1]

    def forward(self, inputs):
        x = tf.transpose(tf.cast(inputs, tf.float64))
        lower, upper, z_lower, z_upper, first, last = self._bin(x, self._knots, self._scores)
        slope = (z_upper - z_lower) / (upper - lower)
        # In a tail, distance from the outermost knot; 0 elsewhere.
        below = tf.nn.relu(first - x) * slope
        above = tf.nn.relu(x - last) * slope
        inside = tf.clip_by_value(x, first, last)
        # Clipped, as rounding would else take it past the end of its bin.
        z = tf.clip_by_value(z_lower + (inside - lower) * slope, z_lower, z_upper)
        z = z + tf.math.log1p(above) - tf.math.log1p(below)
        log_slope = tf.math.log(slope) - tf.math.log1p(above) - tf.math.log1p(below)
        return tf.transpose(z), tf.reduce_sum(log_slope, axis=0)

    def inverse(self, x):
        z = tf.transpose(tf.cast(x, tf.float64))
        z_lower, z_upper, lower, upper, first, last = self._bin(z, self._scores, self._knots)
        slope = (z_upper - z_lower) / (upper - lower)
        below = tf.math.expm1(tf.minimum(tf.nn.relu(first - z), _MAX_EXPONENT)) / slope
        above = tf.math.expm1(tf.minimum(tf.nn.relu(z - last), _MAX_EXPONENT)) / slope
        inside = tf.clip_by_value(z, first, last)
        return as_float32(tf.transpose(lower + (inside - z_lower) / slope + above - below))

    def _bin(self, x: tf.Tensor, edges: np.ndarray, others: np.ndarray) -> tuple[tf.Tensor, ...]:
        """The ends of each value's bin in `edges` and in `others` [d, k], and the outermost edges.

        x: [d, batch]. Values in a tail belong to the bin next to it.
        """
        index = tf.searchsorted(tf.constant(edges), x, side="right") - 1
        index = tf.clip_by_value(index, 0, tf.constant(self._last - 1, tf.int32))
        ends = [
            tf.gather(table, index + i, batch_dims=1) for table in (edges, others) for i in (0, 1)
        ]
        return *ends, edges[:, :1], np.take_along_axis(edges, self._last, axis=1)


def fit_standard(rows: np.ndarray) -> Affine:
    """Mean 0 and standard deviation 1 of the training rows; constant columns keep their unit."""
    rows = rows.astype(np.float64)
    spread = rows.std(axis=0)
    constant = rows.min(axis=0) == rows.max(axis=0)
    loc = np.where(constant, rows[0], rows.mean(axis=0))
    scale = np.where(constant, 1.0, spread)
    return Affine(loc, scale)


def fit_minmax(rows: np.ndarray) -> Affine:
    """The training rows' range of each column to [0, 1]; constant columns keep their unit."""
    rows = rows.astype(np.float64)
    low, high = rows.min(axis=0), rows.max(axis=0)
    return Affine(low, np.where(high > low, high - low, 1.0))


def fit_quantile(rows: np.ndarray) -> Quantile:
    """Normal scores of the training rows; constant columns keep their unit around their value."""
    rows = rows.astype(np.float64)
    outermost = scipy.stats.norm.isf(0.5 / len(rows)) if len(rows) > 1 else 1.0
    scores = np.linspace(-outermost, outermost, NUM_KNOTS)
    levels = scipy.stats.norm.cdf(scores)
    levels[[0, -1]] = 0.0, 1.0
    # Values that occur: between two that do, interpolation may come within rounding of one.
    values = np.quantile(rows, levels, axis=0, method="inverted_cdf")  # [k, d]
    knots = np.full((rows.shape[1], NUM_KNOTS), np.inf)
    knot_scores = np.zeros_like(knots)
    for i, column in enumerate(values.T):
        unique, group = np.unique(column, return_inverse=True)
        means = np.bincount(group, scores) / np.bincount(group)
        if len(unique) == 1:
            half = max(0.5, 1e-6 * abs(unique[0]))  # a knot must differ from its neighbour
            unique, means = unique[0] + np.array([-half, half]), np.array([-0.5, 0.5])
        knots[i, : len(unique)] = unique
        knot_scores[i, : len(unique)] = means
    return Quantile(knots, knot_scores)


PREPROCESSINGS: dict[str, Callable[[np.ndarray], Preprocessing]] = {
    "standard": fit_standard,
    "quantile": fit_quantile,
    "minmax": fit_minmax,
}
"""name -> (training rows [num_train, d]) -> Preprocessing."""
