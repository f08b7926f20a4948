"""Isolation forest (Liu et al. 2008; scikit-learn's IsolationForest)."""

from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.ensemble import IsolationForest

from tfp_genens.artifact.spec import LOWER_IS_NORMAL
from tfp_genens.errors import UserError
from tfp_genens.models.classical import fitted
from tfp_genens.models.classical.references import stored
from tfp_genens.models.configs import IsolationForestConfig
from tfp_genens.seeds import derive_int


class Forest(fitted.Detector):
    """The anomaly score, between 0 and 1: minus scikit-learn's `score_samples`.

    2^(-h / c): h is the mean number of splits that isolate the input, c what it is expected to be
    for trees (scikit-learn's `tree_`) grown on `num_samples` rows each.
    """

    def __init__(self, trees: list[Any], num_samples: int):
        super().__init__(name="isolation_forest")
        # The nodes of all trees in a row; a leaf's children are the leaf itself, so that a walk of
        # the greatest depth has arrived whichever way it went.
        sizes = [tree.node_count for tree in trees]
        roots = np.cumsum([0, *sizes[:-1]])
        itself = np.arange(sum(sizes))
        is_leaf = np.concatenate([tree.children_left for tree in trees]) < 0
        left, right = (
            np.concatenate([getattr(t, side) + root for t, root in zip(trees, roots, strict=True)])
            for side in ("children_left", "children_right")
        )
        depth = np.concatenate([_depths(tree) for tree in trees])
        num_rows = np.concatenate([tree.n_node_samples for tree in trees])

        self.roots = stored(roots, tf.int32)
        self.left = stored(np.where(is_leaf, itself, left), tf.int32)
        self.right = stored(np.where(is_leaf, itself, right), tf.int32)
        feature = np.concatenate([tree.feature for tree in trees])
        self.feature = stored(np.where(is_leaf, 0, feature), tf.int32)
        self.threshold = stored(np.concatenate([tree.threshold for tree in trees]), tf.float64)
        # Rows that a leaf leaves together would take so many splits more.
        self.path_length = stored(depth + expected_path_length(num_rows), tf.float64)
        self.expected = stored(expected_path_length(np.array([num_samples]))[0], tf.float64)
        self.num_steps = stored(depth.max(), tf.int32)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        x = tf.cast(x, tf.float32)  # as scikit-learn's trees do
        node = tf.repeat(self.roots[tf.newaxis], tf.shape(x)[0], axis=0)
        for _ in tf.range(self.num_steps):
            value = tf.gather(x, tf.gather(self.feature, node), batch_dims=1)
            goes_left = tf.cast(value, tf.float64) <= tf.gather(self.threshold, node)
            node = tf.where(goes_left, tf.gather(self.left, node), tf.gather(self.right, node))
        path_length = tf.reduce_mean(tf.gather(self.path_length, node), axis=-1)
        return tf.pow(tf.constant(2.0, tf.float64), -path_length / self.expected)


def _depths(tree: Any) -> np.ndarray:
    """Splits above each node; parents stand before their children."""
    depths = np.zeros(tree.node_count, np.int64)
    for node, left in enumerate(tree.children_left):
        if left >= 0:
            depths[[left, tree.children_right[node]]] = depths[node] + 1
    return depths


def expected_path_length(num_rows: np.ndarray) -> np.ndarray:
    """Mean splits that isolate one of at least 1 rows: c(n) of Liu et al. (2008), equation 1."""
    n = np.maximum(num_rows, 3).astype(np.float64)
    many = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    return np.select([num_rows <= 1, num_rows == 2], [0.0, 1.0], many)


def fit(config: IsolationForestConfig, x: np.ndarray, seed: int) -> Forest:
    if len(x) < 2:
        raise UserError("--dataset", "at least 2 training rows for a tree", str(len(x)))
    forest = IsolationForest(
        n_estimators=config.num_trees,
        max_samples=min(config.tree_samples, len(x)),
        random_state=derive_int(seed, "isolation_forest"),
    ).fit(x)
    return Forest([tree.tree_ for tree in forest.estimators_], forest.max_samples_)


build = fitted.builder(
    fit, "isolation_forest", "anomaly score", LOWER_IS_NORMAL, "Isolation forest"
)
