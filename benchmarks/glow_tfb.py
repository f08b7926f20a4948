"""TFP's own `tfb.Glow`, for benchmarks/glow.py."""

import start  # noqa: F401  (before anything imports TensorFlow)
from glow_side import random_images, serve, settings

# isort: split
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from tfp_genens.runtime import configure_tensorflow

CONFIG = settings()
configure_tensorflow(CONFIG["num_threads"])
tfb, tfd = tfp.bijectors, tfp.distributions


def build():
    images = tf.constant(random_images(CONFIG))
    tf.random.set_seed(0)
    shape = images.shape[1:]
    glow = tfb.Glow(
        output_shape=shape.as_list(),
        num_glow_blocks=CONFIG["num_levels"],
        num_steps_per_block=CONFIG["num_steps"],
        coupling_bijector_fn=lambda shape: tfb.GlowDefaultNetwork(shape, CONFIG["width"]),
        exit_bijector_fn=tfb.GlowDefaultExitNetwork,
    )
    size = shape.num_elements()
    flow = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(size)), glow)
    flow.log_prob(images)  # its actnorms take what they see first
    optimizer = tf_keras.optimizers.legacy.Adamax(1e-3)
    optimizer._create_all_weights(flow.trainable_variables)

    @tf.function
    def train():
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(flow.log_prob(images)) / size
        variables = flow.trainable_variables
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    log_prob = tf.function(lambda: flow.log_prob(images))
    sample = tf.function(lambda: flow.sample(CONFIG["batch_size"], seed=tf.constant([1, 2])))
    return {
        "train": lambda: float(train()),
        "log_prob": lambda: log_prob().numpy().sum(),
        "sample": lambda: sample().numpy().sum(),
    }


serve(f"tensorflow-probability {tfp.__version__}", build)
