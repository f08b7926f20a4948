"""Likelihoods p(x|z) of table rows: independent columns, given what the decoder says of each."""

import abc
import math
from collections.abc import Callable
from functools import partial

import numpy as np
import tensorflow as tf

from tfp_genens.models.configs import BERNOULLI

SCALE_FLOOR = 1e-2
"""Smallest scale: bounds the density of columns that hardly vary."""

MIN_DF = 1.0
"""Fewest degrees of freedom of a Student t: Cauchy's."""

_INVERSE_SOFTPLUS_1 = math.log(math.expm1(1.0))


class Likelihood(tf.Module, abc.ABC):
    """p(x|z) of rows x [..., d], given the decoder's outputs [..., num_outputs]; in float64."""

    num_outputs: int

    @abc.abstractmethod
    def log_prob(self, x: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
        """log p(x|z) of each column, nats [..., d]."""

    @abc.abstractmethod
    def mean(self, outputs: tf.Tensor) -> tf.Tensor:
        """The mean of x, or its median where there is no mean: [..., d]."""


class Bernoulli(Likelihood):
    """Of columns in [0, 1], taken as probabilities, as the paper's code does; no density."""

    def __init__(self, num_columns: int, scale: str):
        super().__init__(name="bernoulli")
        self.num_outputs = num_columns

    def log_prob(self, x, outputs):
        logits = tf.cast(outputs, tf.float64)
        return -tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits)

    def mean(self, outputs):
        return tf.sigmoid(tf.cast(outputs, tf.float64))


def _normal_log_prob(residual: tf.Tensor, df: tf.Tensor) -> tf.Tensor:
    return -0.5 * tf.square(residual) - 0.5 * math.log(2.0 * math.pi)


def _logistic_log_prob(residual: tf.Tensor, df: tf.Tensor) -> tf.Tensor:
    residual = tf.abs(residual)
    return -residual - 2.0 * tf.math.log1p(tf.exp(-residual))


def _student_t_log_prob(residual: tf.Tensor, df: tf.Tensor) -> tf.Tensor:
    log_norm = (
        tf.math.lgamma(0.5 * df) + 0.5 * tf.math.log(df * math.pi) - tf.math.lgamma(0.5 * df + 0.5)
    )
    return -0.5 * (df + 1.0) * tf.math.log1p(tf.square(residual) / df) - log_norm


STUDENT_T = "student_t"
_SHAPES = {
    "normal": _normal_log_prob,
    "logistic": _logistic_log_prob,
    STUDENT_T: _student_t_log_prob,
}
"""Log densities of (x - loc) / scale, given degrees of freedom, which Student's alone learns."""


class LocationScale(Likelihood):
    """A density of the residual (x - loc) / scale, with loc predicted by the decoder."""

    def __init__(self, shape: str, num_columns: int, scale: str):
        super().__init__(name=shape)
        self._log_prob = _SHAPES[shape]
        self._has_df = shape == STUDENT_T
        self._is_predicted = scale == "predicted"
        self.num_outputs = (2 if self._is_predicted else 1) * num_columns
        zeros = np.zeros(num_columns, np.float32)
        if not self._is_predicted:
            self.raw_scale = tf.Variable(zeros, name="raw_scale")
        if self._has_df:
            self.raw_df = tf.Variable(zeros + 5.0, name="raw_df")

    def _split(self, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """loc and scale."""
        outputs = tf.cast(outputs, tf.float64)
        if self._is_predicted:
            loc, raw_scale = tf.split(outputs, 2, axis=-1)
        else:
            loc, raw_scale = outputs, tf.cast(self.raw_scale, tf.float64)
        return loc, tf.nn.softplus(raw_scale + _INVERSE_SOFTPLUS_1) + SCALE_FLOOR

    def _df(self) -> tf.Tensor:
        if not self._has_df:
            return tf.constant(np.inf, tf.float64)
        return MIN_DF + tf.nn.softplus(tf.cast(self.raw_df, tf.float64))

    def log_prob(self, x, outputs):
        loc, scale = self._split(outputs)
        return self._log_prob((x - loc) / scale, self._df()) - tf.math.log(scale)

    def mean(self, outputs):
        return self._split(outputs)[0]


LIKELIHOODS: dict[str, Callable[[int, str], Likelihood]] = {
    **{shape: partial(LocationScale, shape) for shape in _SHAPES},
    BERNOULLI: Bernoulli,
}
"""name -> (number of columns, scale) -> Likelihood."""
