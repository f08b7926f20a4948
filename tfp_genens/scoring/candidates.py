"""Other ensemble scores that have been proposed: none decides unless it is asked for.

Each is a row like those of `scores`, with its source in its function's docstring.
`--decision_score=NAME` freezes one into an ensemble; `paper leaderboard` compares them all.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, OutputSpec
from tfp_genens.scoring.scores import EnsembleScore, State, mean, variance

BITS_PER_BYTE = 8.0


def fit_typicality(log_prob: np.ndarray) -> dict[str, np.ndarray]:
    """The mean of held-out log p(x) of each member: minus the entropy."""
    return {"loc": log_prob.mean(axis=1)}


def typicality(log_prob: tf.Tensor, state: State) -> tf.Tensor:
    """How far log p(x) is from what it is for normal inputs, either way; the mean over members.

    Nalisnick et al. (2019, "Detecting Out-of-Distribution Inputs to Deep Generative Models Using
    Typicality"), whose test of a batch this is with a batch of one.
    """
    return mean(tf.abs(log_prob - state["loc"][:, np.newaxis]))


def typicality_of_mean(log_prob: tf.Tensor, state: State) -> tf.Tensor:
    """The same of the ensemble: of the mean over members, not the mean of each."""
    return tf.abs(mean(log_prob) - state["loc"].mean())


def complexity_corrected(log_prob: tf.Tensor, input_complexity: tf.Tensor) -> tf.Tensor:
    """log p(x) less what a general compressor says of x: a likelihood ratio, in nats.

    Serra et al. (2020, "Input Complexity and Out-of-Distribution Detection with Likelihood-based
    Generative Models"), equation 2, whose score is its negative in bits; the compressor is PNG.
    """
    return mean(log_prob + BITS_PER_BYTE * math.log(2.0) * input_complexity)


def fit_two_sided(*statistics: np.ndarray) -> dict[str, np.ndarray]:
    """Means over members of held-out statistics, sorted: [num_statistics, num_inputs]."""
    return {"held_out": np.sort(np.stack([s.mean(axis=0) for s in statistics]), axis=1)}


def two_sided(statistics: tuple[tf.Tensor, ...], state: State) -> tf.Tensor:
    """Of each statistic's mean over members, the share of held-out inputs that are further out.

    Twice the smaller of both tails, each counted with the input itself, and at most 1; NaN where
    the statistic is. float64 [num_statistics, batch].
    """
    held_out = tf.constant(state["held_out"])
    values = tf.stack([mean(statistic) for statistic in statistics])
    num = held_out.shape[1]
    below = tf.cast(tf.searchsorted(held_out, values, side="right"), tf.float64)
    above = num - tf.cast(tf.searchsorted(held_out, values, side="left"), tf.float64)
    p_value = tf.minimum(2.0 * (1.0 + tf.minimum(below, above)) / (1.0 + num), 1.0)
    return tf.where(tf.math.is_nan(values), values, p_value)


def bonferroni(*statistics: tf.Tensor, state: State) -> tf.Tensor:
    """The smallest of the statistics' two-sided p-values; Bonferroni's factor orders nothing."""
    return tf.reduce_min(two_sided(statistics, state), axis=0)


def fisher(*statistics: tf.Tensor, state: State) -> tf.Tensor:
    """-2 sum log p (Fisher 1932).

    Dependence between statistics changes its distribution (Brown 1975), and so what it is compared
    with, but not its order; here it is compared with held-out inputs, whose statistics depend on
    one another alike.
    """
    return -2.0 * tf.reduce_sum(tf.math.log(two_sided(statistics, state)), axis=0)


def cauchy(*statistics: tf.Tensor, state: State) -> tf.Tensor:
    """Mean of tan(pi (1/2 - p)) (Liu and Xie 2020, "Cauchy Combination Test").

    A p-value of 1 would be -infinity and outweigh all others: it is taken as the next smaller one.
    """
    largest = 1.0 - 1.0 / (1.0 + state["held_out"].shape[1])
    p_value = tf.minimum(two_sided(statistics, state), largest)
    return tf.reduce_mean(tf.tan(math.pi * (0.5 - p_value)), axis=0)


def fit_standardised(critic: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and standard deviation of held-out D of each member."""
    scale = critic.std(axis=1)
    return {"loc": critic.mean(axis=1), "scale": np.where(scale > 0, scale, 1.0)}


def standardised_variance(critic: tf.Tensor, state: State) -> tf.Tensor:
    """Var(D) over members whose D have been brought to one scale; ours, after the paper's Var(D).

    A critic's scale is arbitrary: without this, members of large D are all that counts.
    """
    values = (critic - state["loc"][:, np.newaxis]) / state["scale"][:, np.newaxis]
    return variance(values)


def critic_entropy(critic: tf.Tensor) -> tf.Tensor:
    """Entropy in nats of the mean over members of sigmoid(D), taken as the chance to be real.

    The paper, section 3.2, names the predictive entropy of an ensemble of discriminators.
    """
    chance = mean(tf.sigmoid(critic))
    return -(tf.math.xlogy(chance, chance) + tf.math.xlogy(1.0 - chance, 1.0 - chance))


def corrected_variance(log_prob_1: tf.Tensor, log_prob_2: tf.Tensor) -> tf.Tensor:
    """Var[log p(x)] over members without the noise of the estimator; it may be below zero.

    The variance over members of a random estimate holds the estimate's own variance, too. Two
    seeds tell it: half their squared difference, in the mean over members. What remains is an
    unbiased estimate of what the variance (ddof 0) would be without noise.
    """
    num_members = log_prob_1.shape[0]
    within = mean((log_prob_1 - log_prob_2) ** 2 / 2.0)
    share = (num_members - 1) / num_members
    return variance((log_prob_1 + log_prob_2) / 2.0) - share * within / 2.0


def corrected_waic(log_prob_1: tf.Tensor, log_prob_2: tf.Tensor) -> tf.Tensor:
    """WAIC of both seeds' mean log p(x) with `corrected_variance`."""
    return mean((log_prob_1 + log_prob_2) / 2.0) - corrected_variance(log_prob_1, log_prob_2)


_LOG_PROB, _CRITIC = ("log_prob",), ("critic",)
_TWO_SEEDS = ("log_prob_1", "log_prob_2")
_OF_OUTPUTS = (
    EnsembleScore(
        *("typicality", "Typicality", "nats", LOWER_IS_NORMAL, _LOG_PROB, typicality),
        fit=fit_typicality,
    ),
    EnsembleScore(
        *("typicality_of_mean", "Typicality of the mean", "nats", LOWER_IS_NORMAL),
        *(_LOG_PROB, typicality_of_mean),
        fit=fit_typicality,
    ),
    EnsembleScore(
        *("complexity_corrected", "log p(x) less complexity", "nats", HIGHER_IS_NORMAL),
        *(("log_prob", "input_complexity"), complexity_corrected),
    ),
    EnsembleScore(
        *("critic_var_standardised", "Var(D), standardised", "1", LOWER_IS_NORMAL),
        *(_CRITIC, standardised_variance),
        fit=fit_standardised,
    ),
    EnsembleScore(
        *("log_prob_var_corrected", "Var log p(x), corrected", "nats^2", LOWER_IS_NORMAL),
        *(_TWO_SEEDS, corrected_variance),
    ),
    EnsembleScore(
        *("waic_corrected", "WAIC, corrected", "nats", HIGHER_IS_NORMAL),
        *(_TWO_SEEDS, corrected_waic),
    ),
    EnsembleScore(
        *("critic_entropy", "Entropy of D", "nats", LOWER_IS_NORMAL, _CRITIC, critic_entropy)
    ),
)
_OF_STATISTICS: dict[str, tuple[str, str, str, Callable[..., tf.Tensor]]] = {
    "p_min": ("Smallest p-value", "probability", HIGHER_IS_NORMAL, bonferroni),
    "p_fisher": ("Fisher's p-values", "nats", LOWER_IS_NORMAL, fisher),
    "p_cauchy": ("Cauchy's p-values", "1", LOWER_IS_NORMAL, cauchy),
}
"""Of the statistics that `scoring.dose` has."""


def available_candidates(outputs: Mapping[str, OutputSpec]) -> dict[str, EnsembleScore]:
    """Every candidate that can be made of these member outputs, by name."""
    found = {row.name: row for row in _OF_OUTPUTS if set(row.inputs) <= set(outputs)}
    statistics = tuple(name for name, spec in outputs.items() if spec.statistic)
    if statistics:
        for name, (label, unit, direction, function) in _OF_STATISTICS.items():
            found[name] = EnsembleScore(
                name, label, unit, direction, statistics, function, fit=fit_two_sided
            )
    return found
