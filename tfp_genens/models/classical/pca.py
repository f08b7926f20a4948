"""Reconstruction error of principal components (scikit-learn's PCA)."""

import numpy as np
import tensorflow as tf
from sklearn.decomposition import PCA

from tfp_genens.artifact.spec import LOWER_IS_NORMAL
from tfp_genens.errors import UserError
from tfp_genens.models.classical import fitted
from tfp_genens.models.classical.references import stored
from tfp_genens.models.configs import PcaConfig


class PcaReconstruction(fitted.Detector):
    """The Euclidean distance to the subspace of the principal components.

    How far out an input lies within the subspace does not count. `num_components` is a number of
    them, or a share of variance; x: float64 [num_train, num_features].
    """

    def __init__(self, x: np.ndarray, num_components: int | float):
        super().__init__(name="pca_reconstruction")
        pca = PCA(num_components).fit(x)
        self.loc = stored(pca.mean_)
        self.components = stored(pca.components_)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        centred = x - self.loc
        code = tf.matmul(centred, self.components, transpose_b=True)
        return tf.norm(centred - tf.matmul(code, self.components), axis=-1)


def fit(config: PcaConfig, x: np.ndarray, seed: int) -> PcaReconstruction:
    most = min(len(x), x.shape[1] - 1)
    if config.num_components is not None and config.num_components > most:
        expected = f"at most {most}, for {len(x):,} training rows of {x.shape[1]} features"
        raise UserError("--num_components", expected, str(config.num_components))
    return PcaReconstruction(x, config.num_components or config.explained_variance)


build = fitted.builder(fit, "pca_reconstruction", "distance", LOWER_IS_NORMAL, "PCA reconstruction")
