"""One-class support vector machine with a Gaussian kernel (scikit-learn's OneClassSVM)."""

import numpy as np
import tensorflow as tf
from sklearn.svm import OneClassSVM

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL
from tfp_genens.models.classical import fitted
from tfp_genens.models.classical.references import CHUNK, References, stored
from tfp_genens.models.configs import OneClassSvmConfig


class KernelSum(fitted.Detector):
    """Log of the weighted sum of kernels, scikit-learn's `score_samples`.

    The log, because far from all support vectors the sum itself is 0 to the last digit, and what is
    further out must still score lower.
    """

    def __init__(self, support_vectors: np.ndarray, weights: np.ndarray, gamma: float):
        super().__init__(name="kernel_sum")
        self.references = References(support_vectors)
        self.log_weights = stored(np.log(weights))
        self.gamma = stored(gamma)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        total = tf.fill([tf.shape(x)[0]], tf.constant(-np.inf, tf.float64))
        for start in tf.range(0, self.references.num_rows(), CHUNK):
            log_kernel = -2.0 * self.gamma * self.references.half_squared_distances(x, start)
            terms = self.log_weights[start : start + CHUNK] + log_kernel
            chunk = tf.reduce_logsumexp(terms, axis=-1)
            total = tf.reduce_logsumexp(tf.stack([total, chunk]), axis=0)
        return total - self.gamma * tf.reduce_sum(tf.square(x), axis=-1)


def fit(config: OneClassSvmConfig, x: np.ndarray, seed: int) -> KernelSum:
    rows = fitted.draw_references(config, x, seed).astype(np.float64)
    variance = rows.var()
    gamma = config.gamma
    if gamma is None:
        gamma = 1.0 / (rows.shape[1] * variance) if variance else 1.0
    svm = OneClassSVM(nu=config.nu, gamma=gamma).fit(rows)
    return KernelSum(svm.support_vectors_.astype(np.float32), svm.dual_coef_[0], gamma)


build = fitted.builder(
    fit, "one_class_svm", "log of the kernel sum", HIGHER_IS_NORMAL, "One-class SVM"
)
