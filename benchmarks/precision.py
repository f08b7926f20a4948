"""What --precision=mixed_bfloat16 gains and costs: one trained member, side by side in one run.

    python benchmarks/precision.py --run_dir=runs/glow_cifar10 --spec=tfds:cifar10:test

Prints the time of a training step in both precisions, taken in turns (the ratio is what to quote),
and how far what training validates (of a VAE the rate, of a GLOW bits/dim) differs when the same
weights run in either, over batches of the same inputs and the same noise.
"""

import argparse
import itertools
from collections.abc import Sequence
from typing import Any

import start  # noqa: F401  (before anything imports TensorFlow)

# isort: split
import numpy as np
import tensorflow as tf
from timing import show, spread, timed_rounds

from tfp_genens.artifact.manifest import git_commit, member_dir, read_manifest
from tfp_genens.artifact.spec import InputSpec
from tfp_genens.config import PRECISIONS
from tfp_genens.data import TrainingData, open_source, read_all, take
from tfp_genens.files import write_json
from tfp_genens.models import FAMILIES
from tfp_genens.models.learner import Examples, Learner
from tfp_genens.runtime import configure_tensorflow
from tfp_genens.seeds import derive_int

BATCH_SIZE = 25
SEED = (1, 2)


def load(run_dir: str, images: np.ndarray, precision: str) -> Learner:
    """The learner of member 0 with its trained weights, to run in the given precision."""
    directory = member_dir(run_dir, 0)
    manifest = read_manifest(directory)
    family = FAMILIES[manifest["model"]]
    config = family.config.from_values({**manifest["config"], "precision": precision})
    data = TrainingData(
        name="benchmark",
        train=images,
        validation=images,
        validation_ids=tuple(map(str, range(len(images)))),
        input_spec=InputSpec.from_json(manifest["input"]),
        fingerprint="",
    )
    # Permutations are not weights: they follow from the member's seed.
    learner = family.build(config, data, derive_int(manifest["seed"], "member", 0))
    checkpoint = tf.train.Checkpoint(state=tf.train.Checkpoint(learner=learner))
    checkpoint.restore(tf.train.latest_checkpoint(str(directory / "checkpoints"))).expect_partial()
    return learner


def validated(learner: Learner, images: np.ndarray) -> dict[str, np.ndarray]:
    """What training validates, over batches of BATCH_SIZE: name -> [num_batches]."""
    validate = tf.function(lambda x: dict(learner.validate(Examples(x), tf.constant(SEED))))
    batches = np.split(images, len(images) // BATCH_SIZE)
    found = [validate(tf.constant(batch)) for batch in batches]
    return {name: np.array([float(values[name]) for values in found]) for name in found[0]}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run_dir", required=True)
    parser.add_argument("--spec", required=True, help="SPEC of the images to compare scores on")
    parser.add_argument("--num_examples", type=int, default=500, help=f"divides by {BATCH_SIZE}")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--num_threads", type=int, default=1)
    parser.add_argument("--output", help="JSON file to write")
    args = parser.parse_args(argv)
    configure_tensorflow(args.num_threads)

    manifest = read_manifest(member_dir(args.run_dir, 0))
    input_spec = InputSpec.from_json(manifest["input"])
    _, images = read_all(take(open_source(args.spec, input_spec), args.num_examples))
    steps, scores = {}, {}
    for precision in PRECISIONS:
        learner = load(args.run_dir, images, precision)
        scores[precision] = validated(learner, images)
        batch = tf.constant(images[: manifest["config"]["batch_size"]])
        phase = learner.phases()[0]
        steps[precision] = tf.function(
            lambda i, phase=phase, batch=batch: phase.step(
                i, tf.constant(SEED), lambda _: Examples(batch)
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
    ratio = spread(secs["float32"] / secs["mixed_bfloat16"])
    show("float32 / mixed_bfloat16", "{:.2f}", ratio)
    results: dict[str, Any] = {"float32_over_mixed_bfloat16": ratio, "validation": {}}
    for name in scores["float32"]:
        float32, bfloat16 = (scores[precision][name] for precision in PRECISIONS)
        gaps = bfloat16 - float32
        results["validation"][name] = {
            "float32": float32.mean(),
            "mixed_bfloat16": bfloat16.mean(),
            "difference": gaps.mean(),
            "largest_difference_of_a_batch": np.abs(gaps).max(),
        }
        print(
            f"{name}: mean {float32.mean():.4f} in float32, {gaps.mean():+.4f} in mixed_bfloat16; "
            f"a batch of {BATCH_SIZE} differs by {np.abs(gaps).max():.4f} at most"
        )
    if args.output:
        about = {"model": manifest["model"], "num_examples": len(images), "rounds": args.rounds}
        about |= {"num_threads": args.num_threads, "git_commit": git_commit()}
        write_json(args.output, {**results, **about})


if __name__ == "__main__":
    main()
