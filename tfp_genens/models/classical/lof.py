"""Local outlier factor of new rows (Breunig et al. 2000; scikit-learn's with novelty=True)."""

import numpy as np
import tensorflow as tf
from sklearn.neighbors import NearestNeighbors

from tfp_genens.artifact.spec import LOWER_IS_NORMAL
from tfp_genens.models.classical import fitted
from tfp_genens.models.classical.references import References, stored
from tfp_genens.models.configs import LofConfig

DISTANCE_FLOOR = 1e-10
"""Added to the mean distance before it is inverted, as in scikit-learn: duplicates have none."""


class LocalOutlierFactor(fitted.Detector):
    """How much denser the neighbours' surroundings are than the input's own: about 1 if normal."""

    def __init__(self, rows: np.ndarray, num_neighbors: int):
        super().__init__(name="local_outlier_factor")
        self._num_neighbors = num_neighbors
        self.references = References(rows)
        # Of the rows among themselves; no row is its own neighbour.
        search = NearestNeighbors(n_neighbors=num_neighbors).fit(rows.astype(np.float64))
        distances, index = search.kneighbors()
        farthest = distances[:, -1]
        reachability = np.maximum(distances, farthest[index]).mean(axis=1)
        self.farthest = stored(farthest)
        self.density = stored(1.0 / (reachability + DISTANCE_FLOOR))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        distances, index = self.references.nearest(x, self._num_neighbors)
        reachability = tf.reduce_mean(
            tf.maximum(distances, tf.gather(self.farthest, index)), axis=-1
        )
        density = tf.reduce_mean(tf.gather(self.density, index), axis=-1)
        return density * (reachability + DISTANCE_FLOOR)


def fit(config: LofConfig, x: np.ndarray, seed: int) -> LocalOutlierFactor:
    rows = fitted.draw_references(config, x, seed)
    fitted.check_num_neighbors(config.num_neighbors, len(rows) - 1)
    return LocalOutlierFactor(rows, config.num_neighbors)


build = fitted.builder(fit, "lof", "ratio of densities", LOWER_IS_NORMAL, "Local outlier factor")
