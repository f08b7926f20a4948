"""How long a frozen ensemble takes from a cold start to its first score, and its graph's size.

    python benchmarks/loading.py --run_dir=runs/digits --spec=digits:test

Four processes are started in turns, in an order that alternates, and timed by the clock:

tensorflow  imports TensorFlow, and ends
members     loads the members' own SavedModels, one after the other, and scores ten inputs with each
ensemble    loads the frozen ensemble and scores the same ten inputs
score       `python -m tfp_genens.score` on ten inputs: imports, verification, reading, writing

Prints seconds, and the ratios of members to ensemble without TensorFlow's import in either.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import start  # noqa: F401  (before anything imports TensorFlow)

# isort: split
import numpy as np
from timing import show, spread, timed_rounds

from tfp_genens.artifact.manifest import SAVED_MODEL, git_commit
from tfp_genens.data import open_source, take
from tfp_genens.files import write_json
from tfp_genens.scoring import Ensemble
from tfp_genens.scoring.freeze import ensure_frozen

NUM_INPUTS = 10
IMPORT = "import tensorflow as tf"
SCORE = """
import sys
import numpy as np
import tensorflow as tf

inputs = tf.constant(np.load(sys.argv[1]), tf.float32)
for directory in sys.argv[2:]:
    signature = tf.saved_model.load(directory).signatures["serving_default"]
    takes_seed = "seed" in signature.structured_input_signature[1]
    signature(inputs=inputs, **({"seed": tf.constant([0, 1])} if takes_seed else {}))
"""


def process(*arguments: str | os.PathLike) -> Callable[[], None]:
    command = [sys.executable, *map(str, arguments)]
    return lambda: subprocess.run(command, check=True, stderr=subprocess.DEVNULL) and None


def graph_bytes(directories: Sequence[Path]) -> int:
    return sum((directory / "saved_model.pb").stat().st_size for directory in directories)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run_dir", required=True)
    parser.add_argument("--spec", required=True, help="SPEC of the inputs to score")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", help="JSON file to write")
    args = parser.parse_args(argv)

    ensure_frozen(args.run_dir)
    ensemble = Ensemble.load(args.run_dir)
    members = [Path(args.run_dir) / f"member_{i}" / SAVED_MODEL for i in ensemble.members]
    frozen = ensemble.directory / "1"
    values = next(take(open_source(args.spec, ensemble.input_spec), NUM_INPUTS).batches(NUM_INPUTS))
    with tempfile.TemporaryDirectory() as directory:
        inputs = Path(directory, "inputs.npy")
        np.save(inputs, values.values)
        archive = Path(directory, "inputs.npz")
        np.savez(archive, x=values.values)
        tasks = {
            "tensorflow": process("-c", IMPORT),
            "members": process("-c", SCORE, inputs, *members),
            "ensemble": process("-c", SCORE, inputs, frozen),
            "score": process(
                "-m",
                "tfp_genens.score",
                f"--run_dir={args.run_dir}",
                f"--input=npz:{archive}",
                f"--output={directory}/scores.csv",
            ),
        }
        for task in tasks.values():
            task()
        secs = timed_rounds(tasks, args.rounds)["wall"]

    own = {name: secs[name] - secs["tensorflow"] for name in ("members", "ensemble")}
    found = {
        "seconds": {name: spread(values) for name, values in secs.items()},
        "members_to_ensemble": spread(own["members"] / own["ensemble"]),
        "graph_bytes": {"members": graph_bytes(members), "ensemble": graph_bytes([frozen])},
    }
    for name, values in found["seconds"].items():
        show(f"{name}, seconds", "{:.1f}", values)
    show("members / ensemble, without the import", "{:.1f}", found["members_to_ensemble"])
    for name, size in found["graph_bytes"].items():
        print(f"{name}, graph: {size / 1e6:.2f} MB")
    if args.output:
        settings = {name: getattr(args, name) for name in ("run_dir", "spec", "rounds")}
        write_json(
            args.output,
            found
            | {
                "members": ensemble.num_members,
                "settings": settings,
                "cpus": os.cpu_count(),
                "git_commit": git_commit(),
            },
        )


if __name__ == "__main__":
    main()
