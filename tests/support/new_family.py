"""A family that nobody else knows: how dark an image is, against training images' mean."""

import dataclasses

import tensorflow as tf

from tfp_genens.artifact.frozen import Frozen, FrozenFunction
from tfp_genens.artifact.spec import LOWER_IS_NORMAL, OutputSpec
from tfp_genens.config import FamilyConfig, option
from tfp_genens.models.family import Family
from tfp_genens.models.learner import Learner

OUTPUTS = {"darkness": OutputSpec("grey levels", LOWER_IS_NORMAL, "Darkness", main=True)}


@dataclasses.dataclass(frozen=True)
class BrightnessConfig(FamilyConfig):
    """Flags of `--model=brightness`."""

    power: float = option(2.0, "of the distance", above=0)


class Brightness(Learner):
    """Fitted when it is built."""

    def __init__(self, config, data, seed):
        super().__init__()
        self._power = config.power
        self.mean = tf.Variable(data.train.mean(), dtype=tf.float32, trainable=False)

    def phases(self):
        return ()

    def state_variables(self):
        return [self.mean]

    def validate(self, examples, seed):
        return {"darkness": tf.reduce_mean(self.scores(examples.inputs)["darkness"])}

    @tf.function
    def scores(self, inputs):
        means = tf.reduce_mean(tf.cast(inputs, tf.float32), axis=[1, 2, 3])
        return {"darkness": tf.abs(means - self.mean) ** self._power}

    def freeze(self):
        function = FrozenFunction(self.scores, ("inputs",), OUTPUTS)
        return Frozen(self, {"serving_default": function}, decides=("darkness_mean",))


FAMILY = Family(BrightnessConfig, Brightness, "mean brightness", num_members=1)
