"""Ours, for benchmarks/glow.py."""

from functools import partial

import start  # noqa: F401  (before anything imports TensorFlow)
from glow_side import random_images, serve, settings

# isort: split
import tensorflow as tf
import tf_keras

from tfp_genens.bijectors.glow import Glow
from tfp_genens.models.frozen_glow import GlowDensity
from tfp_genens.runtime import configure_tensorflow

CONFIG = settings()
configure_tensorflow(CONFIG["num_threads"])


def build():
    images = tf.constant(random_images(CONFIG))
    bfloat16 = CONFIG.get("precision") == "bfloat16"
    compiled = partial(tf.function, jit_compile=CONFIG.get("jit_compile"))
    flow = Glow(
        images.shape[1:],
        num_levels=CONFIG["num_levels"],
        num_steps=CONFIG["num_steps"],
        width=CONFIG["width"],
        coupling="affine",
        seed=0,
        convolution_dtype="bfloat16" if bfloat16 else None,
    )
    flow.initialize(images)
    density = GlowDensity(flow)
    x = 256.0 * (images + 0.5)
    noise = tf.zeros_like(x)
    optimizer = tf_keras.optimizers.legacy.Adamax(1e-3)
    optimizer._create_all_weights(flow.trainable_variables)

    @compiled
    def train():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(density.bits_per_dim(density.log_prob(x, noise)))
        variables = flow.trainable_variables
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    log_prob = compiled(lambda: density.log_prob(x, noise))
    sample = compiled(lambda: density.sample(CONFIG["batch_size"], tf.constant([1, 2])))

    side, width = CONFIG["side"] // 2, CONFIG["width"]
    hidden = tf.random.stateless_normal([CONFIG["batch_size"], side, side, width], [3, 4])
    kernel = tf.random.stateless_normal([3, 3, width, width], [5, 6])
    convolve = tf.function(lambda: tf.nn.conv2d(hidden, kernel, 1, "SAME"))

    def convolution():
        convolve().numpy()
        return {"gflop": 2 * 9 * width**2 * side**2 * CONFIG["batch_size"] / 1e9}

    return {
        "train": lambda: float(train()),
        "log_prob": lambda: log_prob().numpy().sum(),
        "sample": lambda: sample().numpy().sum(),
        "convolution": convolution,
    }


serve(f"tensorflow {tf.__version__}", build)
