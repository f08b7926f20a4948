"""What training a WGAN through the package costs beyond the same steps in plain TensorFlow.

    python benchmarks/wgan.py

Either side makes --critic_steps critic steps and one generator step a call, as while training
begins, on the architecture of the paper and random images of MNIST's size, in float32. The
package's side is the graph that the training loop compiles: batches out of a shuffle, seeds folded,
the critic's schedule, metrics. The plain side is written below with nothing but TensorFlow. Both
begin with the same weights; they run in turns, in an order that alternates, and their ratio is what
to quote. Before the clock starts, both sides compute the critic's loss of the same batch, noise and
weights, which must agree.
"""

import argparse
import os
from collections.abc import Sequence

import start  # noqa: F401  (before anything imports TensorFlow)

# isort: split
import numpy as np
import tensorflow as tf
from timing import show, spread, timed_rounds

from tfp_genens.artifact.manifest import git_commit
from tfp_genens.artifact.spec import InputSpec
from tfp_genens.files import write_json
from tfp_genens.models.learner import Examples
from tfp_genens.models.wgan import WganConfig, WganLearner
from tfp_genens.runtime import configure_tensorflow
from tfp_genens.training.batches import ShuffledBatches

SIDE = 28
NUM_IMAGES = 6000
SPEC = InputSpec((SIDE, SIDE, 1), "uint8", (0.0, 255.0), "x / 255")
DECAY, EPSILON = 0.9, 1e-7  # of RMSProp, as in Keras


class PlainWgan:
    """The WGAN-GP of `models/wgan.py` in plain TensorFlow, from the weights of a learner."""

    def __init__(self, learner: WganLearner, images: np.ndarray, config: WganConfig):
        networks = learner.networks
        self.critic = [tf.Variable(v) for v in networks.critic.variables]
        self.generator = [tf.Variable(v) for v in networks.generator.variables]
        self.squares = {
            v.ref(): tf.Variable(tf.zeros_like(v)) for v in (*self.critic, *self.generator)
        }
        self.images = tf.constant(images)
        self.config = config

    def criticize(self, x):
        w, x = self.critic, 2.0 * x - 1.0
        for i, stride in enumerate((1, 2, 1, 2)):
            x = tf.nn.leaky_relu(tf.nn.conv2d(x, w[2 * i], stride, "SAME") + w[2 * i + 1])
        x = tf.nn.leaky_relu(tf.nn.conv2d(x, w[8], 1, "VALID") + w[9])
        x = tf.nn.leaky_relu(tf.matmul(tf.reshape(x, [-1, w[10].shape[0]]), w[10]) + w[11])
        return (tf.matmul(x, w[12]) + w[13])[:, 0]

    def generate(self, z):
        w, x = self.generator, tf.reshape(z, [-1, 1, 1, self.config.latent_size])
        num, quarter = tf.shape(z)[0], SIDE // 4
        shapes = {0: (quarter, 64), 2: (2 * quarter, 64), 4: (4 * quarter, 32)}
        for i in range(7):
            kernel, bias = w[2 * i], w[2 * i + 1]
            if i in shapes:
                side, channels = shapes[i]
                stride, padding = (1, "VALID") if i == 0 else (2, "SAME")
                shape = [num, side, side, channels]
                x = tf.nn.conv2d_transpose(x, kernel, shape, stride, padding) + bias
            else:
                x = tf.nn.conv2d(x, kernel, 1, "SAME") + bias
            x = tf.nn.leaky_relu(x) if i < 6 else x
        return x

    def critic_loss(self, real, fake, share):
        between = real + share * (fake - real)
        with tf.GradientTape() as tape:
            tape.watch(between)
            values = self.criticize(between)
        slope = tf.sqrt(tf.reduce_sum(tf.square(tape.gradient(values, between)), [1, 2, 3]) + 1e-12)
        values = self.criticize(tf.concat([real, fake], 0))
        num = tf.shape(real)[0]
        wasserstein = tf.reduce_mean(values[:num]) - tf.reduce_mean(values[num:])
        return self.config.penalty_weight * tf.reduce_mean(tf.square(slope - 1.0)) - wasserstein

    def update(self, gradients, variables):
        for gradient, variable in zip(gradients, variables, strict=True):
            square = self.squares[variable.ref()]
            square.assign(DECAY * square + (1.0 - DECAY) * tf.square(gradient))
            step = self.config.learning_rate * gradient / (tf.sqrt(square) + EPSILON)
            variable.assign_sub(step)

    @tf.function
    def steps(self, num_critic_steps):
        loss = tf.constant(0.0)
        size = self.config.batch_size
        for _ in tf.range(num_critic_steps):
            index = tf.random.uniform([size], maxval=NUM_IMAGES, dtype=tf.int32)
            real = tf.cast(tf.gather(self.images, index), tf.float32) / 255.0
            fake = self.generate(tf.random.normal([size, self.config.latent_size]))
            with tf.GradientTape() as tape:
                loss = self.critic_loss(real, fake, tf.random.uniform([size, 1, 1, 1]))
            self.update(tape.gradient(loss, self.critic), self.critic)
        with tf.GradientTape() as tape:
            fake = self.generate(tf.random.normal([size, self.config.latent_size]))
            generator_loss = -tf.reduce_mean(self.criticize(fake))
        self.update(tape.gradient(generator_loss, self.generator), self.generator)
        return loss + generator_loss


def package_steps(learner: WganLearner, images: np.ndarray, batch_size: int):
    """(generator step) -> the loss after its critic steps: what the training loop compiles."""
    phase = learner.phases()[0]
    batches = ShuffledBatches(Examples(images), batch_size, np.array([1, 2], np.int32))

    @tf.function
    def steps(step):
        return phase.step(step, tf.random.experimental.stateless_fold_in([3, 4], step), batches)

    return steps


def check_same_loss(plain: PlainWgan, learner: WganLearner, images: np.ndarray) -> None:
    """Raises ValueError where the two sides do not compute the same critic's loss."""
    real = tf.cast(images[: plain.config.batch_size], tf.float32) / 255.0
    noise = tf.random.stateless_normal([len(real), plain.config.latent_size], [5, 6])
    share_seed = tf.constant([7, 8])
    share = tf.random.stateless_uniform([len(real), 1, 1, 1], share_seed)
    ours = learner.networks.generator(noise)
    theirs = plain.generate(noise)
    penalty = learner._penalty(real, ours, share_seed)
    losses = (
        plain.config.penalty_weight * penalty - learner._wasserstein(real, ours),
        plain.critic_loss(real, theirs, share),
    )
    if not np.allclose(*losses, rtol=1e-4, atol=1e-4):
        raise ValueError(f"The two sides must compute the same loss; got {losses}.")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--critic_steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--num_threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--output", help="JSON file to write")
    args = parser.parse_args(argv)
    configure_tensorflow(args.num_threads)
    tf.random.set_seed(0)

    images = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, *SPEC.shape)).astype(np.uint8)
    config = WganConfig(
        batch_size=args.batch_size,
        critic_steps=args.critic_steps,
        opening_steps=0,
        long_critic_steps=args.critic_steps,
    )
    learner = WganLearner(config, SPEC, seed=0)
    plain = PlainWgan(learner, images, config)
    check_same_loss(plain, learner, images)
    package = package_steps(learner, images, args.batch_size)
    step, num_critic_steps = tf.constant(1, tf.int64), tf.constant(args.critic_steps)
    tasks = {
        "package": lambda: float(package(step)["generator_loss"]),
        "plain": lambda: float(plain.steps(num_critic_steps)),
    }
    for task in tasks.values():
        task()
    secs = timed_rounds(tasks, args.rounds)

    overhead = {clock: spread(s["package"] / s["plain"] - 1.0) for clock, s in secs.items()}
    speed = {name: spread(args.critic_steps / secs["wall"][name]) for name in tasks}
    print(f"{args.critic_steps} critic steps and a generator step a call, {args.rounds} rounds")
    for name, values in speed.items():
        show(f"{name}, critic steps a second", "{:.2f}", values)
    for clock, values in overhead.items():
        show(f"overhead, package / plain - 1, {clock} time", "{:+.1%}", values)
    if args.output:
        settings = {
            n: getattr(args, n) for n in ("batch_size", "critic_steps", "rounds", "num_threads")
        }
        write_json(
            args.output,
            {
                "overhead": overhead,
                "critic_steps_per_sec": speed,
                "settings": settings,
                "cpus": os.cpu_count(),
                "git_commit": git_commit(),
                "tensorflow": tf.__version__,
            },
        )


if __name__ == "__main__":
    main()
