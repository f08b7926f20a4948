"""A normalizing flow on points of the plane, trained by maximum likelihood."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_genens.bijectors import masked_autoregressive_flow
from tfp_genens.paper.toy.steps import adam, tensor_draws, train
from tfp_genens.seeds import derive_int, derive_seed


@dataclasses.dataclass(frozen=True)
class FlowSettings:
    """What the paper leaves open."""

    num_flows: int = 4  # MAF bijectors; between them the two dimensions change places
    hidden_units: tuple[int, ...] = (32, 32)  # of each bijector's network, ReLU
    batch_size: int = 256
    learning_rate: float = 5e-3  # of Adam at the start; it falls to zero along a half cosine
    steps: int = 3000  # of maximum likelihood on fresh draws of p(x)


class Flow(tf.Module):
    """MAF bijectors on a standard normal, with weights and data of a seed."""

    def __init__(self, settings: FlowSettings, seed: int):
        super().__init__(name="flow")
        self._settings, self._seed = settings, seed
        layers: list[tfb.Bijector] = []
        for i in range(settings.num_flows):
            seed_of_weights = derive_int(seed, "toy", "flow", i)
            units = settings.hidden_units
            layers += [
                masked_autoregressive_flow(2, hidden_units=units, seed=seed_of_weights),
                tfb.Permute([1, 0]),
            ]
        base = tfd.MultivariateNormalDiag(loc=tf.zeros(2))
        self.distribution = tfd.TransformedDistribution(base, tfb.Chain(layers[:-1]))

    def train(self) -> np.ndarray:
        """Returns the mean negative log-likelihoods in nats, float32 [num_calls]."""
        settings = self._settings
        schedule = tf_keras.optimizers.schedules.CosineDecay(settings.learning_rate, settings.steps)
        minimize = adam(self.distribution.trainable_variables, schedule)
        seed = tf.constant(derive_seed(self._seed, "toy", "flow"))

        def step(i: tf.Tensor) -> tf.Tensor:
            step_seed = tf.random.experimental.stateless_fold_in(seed, i)
            x = tensor_draws([settings.batch_size], step_seed)
            with tf.GradientTape() as tape:
                loss = -tf.reduce_mean(self.distribution.log_prob(x))
            minimize(tape, loss)
            return loss

        return train(step, settings.steps, [], "flow")

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log density in nats: [num, 2] -> float64 [num]."""
        return self.distribution.log_prob(tf.constant(x, tf.float32)).numpy().astype(np.float64)
