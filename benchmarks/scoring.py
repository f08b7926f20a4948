"""What scoring costs beyond the members' own work, and what scoring the rate alone saves.

    python benchmarks/scoring.py --run_dir=runs/vae_mnist --spec=tfds:mnist:test

Three things run in turns, in an order that alternates, on the same inputs:

bare     the members' serving_default signatures, one member after the other, on batches that are
         in memory already
scorer   what `python -m tfp_genens.score` runs: inputs read, scored by all members, combined,
         p-values, a Parquet file
rate     the same scorer asked for the rate alone

Prints the ratios, which are what to quote: medians over rounds, and their lowest and highest. Each
is run once before the clock starts, as loading and tracing are not scoring. Ratios of CPU seconds
stand beside those of wall-clock time: other processes disturb them less.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import start  # noqa: F401  (before anything imports TensorFlow)

# isort: split
import numpy as np
import tensorflow as tf
from timing import show, spread, timed_rounds

from tfp_genens.artifact.manifest import SAVED_MODEL, git_commit, member_dir
from tfp_genens.artifact.member import DEFAULT, scoring_seed
from tfp_genens.data import Source, open_source, take
from tfp_genens.files import write_json
from tfp_genens.runtime import configure_tensorflow
from tfp_genens.scoring import Ensemble, score_to_file


def bare_scores(
    run_dir: str, ensemble: Ensemble, source: Source, batch_size: int
) -> Callable[[], Iterator[np.ndarray]]:
    """A function that yields log_prob of every batch by one member after the other, and does
    nothing besides; the batches are in memory from now on."""
    batches = [tf.constant(b.values, tf.float32) for b in source.batches(batch_size)]
    members = [
        (
            tf.saved_model.load(str(member_dir(run_dir, member) / SAVED_MODEL)),
            tf.constant(scoring_seed(ensemble.seed, member)),
        )
        for member in ensemble.members
    ]

    def run() -> Iterator[np.ndarray]:
        for model, seed in members:
            for batch in batches:
                # An accelerator's result is waited for only when it is fetched.
                yield model.signatures[DEFAULT](inputs=batch, seed=seed)["log_prob"].numpy()

    return run


def ratios(secs: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """What is quoted, from the seconds of the three tasks by one clock."""
    return {
        "overhead": spread(secs["scorer"] / secs["bare"] - 1.0),
        "rate_speedup": spread(secs["scorer"] / secs["rate"]),
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run_dir", required=True)
    parser.add_argument("--spec", required=True, help="SPEC of the inputs to score")
    parser.add_argument("--num_examples", type=int, default=1000)
    parser.add_argument("--batch_size", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--num_threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--output", help="JSON file to write")
    args = parser.parse_args(argv)
    configure_tensorflow(args.num_threads)

    ensemble = Ensemble.load(args.run_dir)
    source = take(open_source(args.spec, ensemble.input_spec), args.num_examples)
    bare = bare_scores(args.run_dir, ensemble, source, args.batch_size)
    num_scored: set[int] = set()

    with tempfile.TemporaryDirectory() as directory:

        def scorer(outputs: Sequence[str] | None) -> Callable[[], None]:
            path = Path(directory, "scores.parquet")
            return lambda: num_scored.add(
                score_to_file(ensemble, source, path, batch_size=args.batch_size, outputs=outputs)
            )

        tasks = {"bare": lambda: list(bare()), "scorer": scorer(None), "rate": scorer(("rate",))}
        for task in tasks.values():
            task()
        secs = timed_rounds(tasks, args.rounds)

    (num_examples,) = num_scored
    found = {clock: ratios(of_clock) for clock, of_clock in secs.items()}
    speed = {name: spread(num_examples / secs["wall"][name]) for name in ("bare", "scorer", "rate")}
    print(f"{ensemble.num_members} members, {num_examples:,} inputs, {args.rounds} rounds")
    for name, values in speed.items():
        show(f"{name}, inputs a second", "{:,.1f}", values)
    for clock, of_clock in found.items():
        show(f"overhead, scorer / bare - 1, {clock} time", "{:+.1%}", of_clock["overhead"])
        show(f"scorer / rate, {clock} time", "{:.1f}", of_clock["rate_speedup"])
    if args.output:
        settings = {
            name: getattr(args, name)
            for name in ("run_dir", "spec", "batch_size", "rounds", "num_threads")
        }
        write_json(
            args.output,
            {
                **found,
                "inputs_per_sec": speed,
                "seconds": {
                    clock: {name: list(v) for name, v in of_clock.items()}
                    for clock, of_clock in secs.items()
                },
                "members": ensemble.num_members,
                "num_examples": num_examples,
                "settings": settings,
                "cpus": os.cpu_count(),
                "git_commit": git_commit(),
                "tensorflow": tf.__version__,
            },
        )


if __name__ == "__main__":
    main()
