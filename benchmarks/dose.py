"""What the density of states costs beside the 16-sample bound on log p(x).

    python benchmarks/dose.py --run_dir=runs/vae_mnist --spec=tfds:mnist:test

Two things run in turns, in an order that alternates, on the same inputs, all members each time:

dose      the statistics of one encoder and one decoder pass, and their density
log_prob  everything that the default signature has: the 16-sample bound, and the statistics

Prints how many times as many inputs a second `dose` scores: the median over rounds, the lowest and
the highest. Peak memory is of a process of its own for each, and so holds TensorFlow, too.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence

import start  # noqa: F401  (before anything imports TensorFlow)

# isort: split
import numpy as np
import tensorflow as tf
from timing import show, spread, timed_rounds

from tfp_genens.artifact.manifest import git_commit
from tfp_genens.data import open_source, take
from tfp_genens.files import write_json
from tfp_genens.runtime import configure_tensorflow
from tfp_genens.scoring import Ensemble

TASKS = ("dose", "log_prob")


def task(ensemble: Ensemble, batches: Sequence[np.ndarray], name: str) -> Callable[[], None]:
    """A function that scores all batches by all members; it has run once."""

    def run() -> None:
        for batch in batches:
            ensemble.score(batch, (name,))

    run()
    return run


def peak_mib(argv: Sequence[str], name: str) -> float:
    """Peak memory in MiB of a process that does one task alone."""
    command = [sys.executable, __file__, *argv, f"--memory_of={name}"]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(found.stdout.splitlines()[-1])


def main(argv: Sequence[str] | None = None) -> None:
    argv = sys.argv[1:] if argv is None else argv
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
    parser.add_argument("--memory_of", choices=TASKS, help="do this alone and print its peak")
    args = parser.parse_args(argv)
    configure_tensorflow(args.num_threads)

    ensemble = Ensemble.load(args.run_dir)
    source = take(open_source(args.spec, ensemble.input_spec), args.num_examples)
    batches = [batch.values for batch in source.batches(args.batch_size)]
    if args.memory_of:
        task(ensemble, batches, args.memory_of)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return

    secs = timed_rounds({name: task(ensemble, batches, name) for name in TASKS}, args.rounds)
    ratios = {clock: spread(of["log_prob"] / of["dose"]) for clock, of in secs.items()}
    num = sum(map(len, batches))
    speed = {name: spread(num / secs["wall"][name]) for name in TASKS}
    memory = {name: peak_mib(argv, name) for name in TASKS}
    print(f"{ensemble.num_members} members, {num:,} inputs, {args.rounds} rounds")
    for name in TASKS:
        show(f"{name}, inputs a second", "{:,.1f}", speed[name])
        print(f"{name}, peak memory: {memory[name]:,.0f} MiB")
    for clock, ratio in ratios.items():
        show(f"log_prob / dose, {clock} time", "{:.1f}", ratio)
    if args.output:
        settings = ("run_dir", "spec", "batch_size", "rounds", "num_threads")
        write_json(
            args.output,
            {
                "ratio": ratios,
                "inputs_per_sec": speed,
                "peak_mib": memory,
                "seconds": {c: {n: list(v) for n, v in of.items()} for c, of in secs.items()},
                "members": ensemble.num_members,
                "num_examples": num,
                "settings": {name: getattr(args, name) for name in settings},
                "cpus": os.cpu_count(),
                "git_commit": git_commit(),
                "tensorflow": tf.__version__,
            },
        )


if __name__ == "__main__":
    main()
