"""What each signature of an ensemble costs: of VAEs, the density of states beside log p(x).

    python benchmarks/dose.py --run_dir=runs/vae_mnist --spec=tfds:mnist:test

The signatures that score run in turns, in an order that alternates, on the same inputs, all members
each time. Of VAEs:

statistics       what the density of states takes, one encoder and one decoder pass, and the density
serving_default  everything that is scored by default: the 16-sample bound, and the statistics
candidates       likelihood regret, two more bounds, the gradient of one, distances between codes

Prints the milliseconds an input of each, and how many times as many inputs a second the first
scores: the median over rounds, the lowest and the highest. Peak memory is of a process of its own
for each, and so holds TensorFlow, too.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import start  # noqa: F401  (before anything imports TensorFlow)

# isort: split
import numpy as np
import tensorflow as tf
from timing import show, spread, timed_rounds

from tfp_genens.artifact.manifest import git_commit
from tfp_genens.artifact.member import DEFAULT
from tfp_genens.data import open_source, take
from tfp_genens.files import write_json
from tfp_genens.runtime import configure_tensorflow
from tfp_genens.scoring import Ensemble

STATISTICS = "statistics"


def task(ensemble: Ensemble, batches: Sequence[np.ndarray], signature: str) -> Callable[[], None]:
    """A function that scores all batches by all members; it has run once."""
    outputs = list(ensemble.specs(signature, "member_scores"))

    def run() -> None:
        for batch in batches:
            ensemble.score(batch, outputs)

    run()
    return run


def own_peak_mib() -> float:
    """Peak memory of this process alone: getrusage's would begin with its parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def peak_mib(argv: Sequence[str], signature: str) -> float:
    """Peak memory in MiB of a process that scores by one signature alone."""
    command = [sys.executable, __file__, *argv, f"--memory_of={signature}"]
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
    parser.add_argument("--memory_of", help="score by this signature alone and print its peak")
    args = parser.parse_args(argv)
    configure_tensorflow(args.num_threads)

    ensemble = Ensemble.load(args.run_dir)
    source = take(open_source(args.spec, ensemble.input_spec), args.num_examples)
    batches = [batch.values for batch in source.batches(args.batch_size)]
    if args.memory_of:
        task(ensemble, batches, args.memory_of)
        print(own_peak_mib())
        return

    names = ensemble.signatures
    secs = timed_rounds({name: task(ensemble, batches, name) for name in names}, args.rounds)
    num = sum(map(len, batches))
    signatures: dict[str, dict[str, Any]] = {
        name: {
            "outputs": [*ensemble.specs(name, "member_scores")],
            "ms_per_input": spread(1000.0 * secs["wall"][name] / num),
            "inputs_per_sec": spread(num / secs["wall"][name]),
            "peak_mib": peak_mib(argv, name),
        }
        for name in names
    }
    print(f"{ensemble.num_members} members, {num:,} inputs, {args.rounds} rounds")
    for name, found in signatures.items():
        show(f"{name}, milliseconds an input", "{:,.2f}", found["ms_per_input"])
        print(f"{name}, peak memory: {found['peak_mib']:,.0f} MiB")
    ratios = {}
    if {STATISTICS, DEFAULT} <= set(names):
        ratios = {clock: spread(of[DEFAULT] / of[STATISTICS]) for clock, of in secs.items()}
    for clock, ratio in ratios.items():
        show(f"{DEFAULT} / {STATISTICS}, {clock} time", "{:.1f}", ratio)
    if args.output:
        settings = ("run_dir", "spec", "batch_size", "rounds", "num_threads")
        write_json(
            args.output,
            {
                "model": ensemble.model,
                "train_dataset": ensemble.train_dataset,
                "members": ensemble.num_members,
                "signatures": signatures,
                "ratio": ratios,
                "seconds": {c: {n: list(v) for n, v in of.items()} for c, of in secs.items()},
                "num_examples": num,
                "settings": {name: getattr(args, name) for name in settings},
                "cpus": os.cpu_count(),
                "git_commit": git_commit(),
                "tensorflow": tf.__version__,
            },
        )


if __name__ == "__main__":
    main()
