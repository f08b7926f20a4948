"""Distance to the nearest training rows: of tables, and of images pixel by pixel."""

import numpy as np
import tensorflow as tf

from tfp_genens.artifact.spec import LOWER_IS_NORMAL
from tfp_genens.models.classical import fitted
from tfp_genens.models.classical.references import References
from tfp_genens.models.configs import KnnConfig


class KnnDistance(fitted.Detector):
    """The mean Euclidean distance to the `num_neighbors` nearest rows."""

    def __init__(self, rows: np.ndarray, num_neighbors: int):
        super().__init__(name="knn_distance")
        self.references = References(rows)
        self._num_neighbors = num_neighbors

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        distances, _ = self.references.nearest(x, self._num_neighbors)
        return tf.reduce_mean(distances, axis=-1)


def fit(config: KnnConfig, x: np.ndarray, seed: int) -> KnnDistance:
    rows = fitted.draw_references(config, x, seed)
    fitted.check_num_neighbors(config.num_neighbors, len(rows))
    return KnnDistance(rows, config.num_neighbors)


build = fitted.builder(fit, "knn_distance", "distance", LOWER_IS_NORMAL, "Nearest neighbours")
