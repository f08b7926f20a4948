"""What --precision=mixed_bfloat16 gains and costs: the same trained VAE, side by side in one run.

    python benchmarks/precision.py --run_dir=runs/vae_mnist --spec=tfds:mnist:test

Prints the time of a training step in both precisions, taken in turns (the ratio is what to quote),
and how far the scores of single images differ when the same weights run in either.
"""

from __future__ import annotations

import argparse
import itertools

from tfp_genens import quiet  # noqa: F401  (before anything imports TensorFlow)

# isort: split
import numpy as np
import tensorflow as tf
from timing import show, spread, timed_rounds

from tfp_genens.artifacts import member_dir, read_manifest
from tfp_genens.config import PRECISIONS
from tfp_genens.data import open_source, read_all, take
from tfp_genens.learner import Examples
from tfp_genens.models.vae import VaeConfig, VaeLearner
from tfp_genens.runtime import configure_tensorflow
from tfp_genens.seeds import derive_int
from tfp_genens.spec import InputSpec


def load(run_dir: str, precision: str):
    """The learner of member 0 with its trained weights, to run in the given precision."""
    directory = member_dir(run_dir, 0)
    manifest = read_manifest(directory)
    fields = {**manifest["config"], "precision": precision}
    input_spec = InputSpec.from_json(manifest["input"])
    # Permutations are not weights: they follow from the member's seed.
    seed = derive_int(manifest["seed"], "member", 0)
    learner = VaeLearner(VaeConfig.from_values(fields), input_spec, seed)
    checkpoint = tf.train.Checkpoint(state=tf.train.Checkpoint(learner=learner))
    checkpoint.restore(tf.train.latest_checkpoint(str(directory / "checkpoints"))).expect_partial()
    return learner, input_spec, manifest["config"]["batch_size"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run_dir", required=True)
    parser.add_argument("--spec", required=True, help="SPEC of the images to compare scores on")
    parser.add_argument("--num_examples", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--num_threads", type=int, default=1)
    args = parser.parse_args()
    configure_tensorflow(args.num_threads)

    learners, steps, scores = {}, {}, {}
    for precision in PRECISIONS:
        learners[precision], input_spec, batch_size = load(args.run_dir, precision)
    _, images = read_all(take(open_source(args.spec, input_spec), args.num_examples))
    x = tf.cast(images, tf.float32) / 255.0
    noise = tf.random.stateless_normal([1, 1, learners["float32"].networks.latent_size], [1, 2])
    for precision, learner in learners.items():
        loc, scale = learner.networks.encode(x)
        z, rate = learner.networks.rate(loc, scale, noise)
        distortion = learner.networks.distortion(x, z[0])
        scores[precision] = {"rate": rate[0].numpy(), "distortion": distortion.numpy()}
        batch = tf.constant(images[:batch_size])
        phase = learner.phases()[0]
        steps[precision] = tf.function(
            lambda i, phase=phase, batch=batch: phase.step(
                i, tf.constant([1, 2]), lambda _: Examples(batch)
            )
        )
        steps[precision](tf.constant(0, tf.int64))

    numbers = itertools.count()
    tasks = {
        precision: lambda step=step: float(step(tf.constant(next(numbers), tf.int64))["loss"])
        for precision, step in steps.items()
    }
    secs = timed_rounds(tasks, args.rounds)["wall"]
    for precision, values in secs.items():
        print(f"{precision}: {1e3 * np.median(values):.0f} ms a training step (median)")
    ratios = spread(secs["float32"] / secs["mixed_bfloat16"])
    show("float32 / mixed_bfloat16", "{:.2f}", ratios)
    for name in ("rate", "distortion"):
        both = [scores[precision][name] for precision in PRECISIONS]
        gap = np.abs(both[1] - both[0])
        print(
            f"{name}: mean {both[0].mean():.3f} and {both[1].mean():.3f} nats; an image's differs "
            f"by {np.median(gap):.3f} nats in the median and {gap.max():.3f} at most; "
            f"correlation {np.corrcoef(*both)[0, 1]:.6f}"
        )


if __name__ == "__main__":
    main()
