"""Mahalanobis distance to the training rows' mean (scikit-learn's EmpiricalCovariance)."""

import numpy as np
import tensorflow as tf
from sklearn.covariance import EmpiricalCovariance

from tfp_genens.artifact.spec import LOWER_IS_NORMAL
from tfp_genens.models.classical import fitted
from tfp_genens.models.classical.references import stored
from tfp_genens.models.configs import DetectorConfig

RELATIVE_FLOOR = 1e-8
"""Smallest variance in any direction, as a part of the largest.

scikit-learn's pseudo-inverse gives directions without variance no weight at all, so that what never
varied in training may then vary freely; here it counts, and heavily.
"""


class Mahalanobis(fitted.Detector):
    """The square root of scikit-learn's `mahalanobis`, which is squared.

    x: features of the training rows, float64 [num_train, num_features].
    """

    def __init__(self, x: np.ndarray):
        super().__init__(name="mahalanobis")
        covariance = EmpiricalCovariance(store_precision=False).fit(x)
        variances, directions = np.linalg.eigh(covariance.covariance_)
        floor = RELATIVE_FLOOR * max(variances[-1], np.finfo(np.float64).tiny)
        whitening = directions / np.sqrt(np.maximum(variances, floor))
        self.loc = stored(covariance.location_)
        self.whitening = stored(whitening)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.norm(tf.matmul(x - self.loc, self.whitening), axis=-1)


def fit(config: DetectorConfig, x: np.ndarray, seed: int) -> Mahalanobis:
    return Mahalanobis(x)


build = fitted.builder(
    fit, "mahalanobis", "standard deviations", LOWER_IS_NORMAL, "Mahalanobis distance"
)
