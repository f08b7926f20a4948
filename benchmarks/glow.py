"""What a GLOW costs here, in TFP's own `tfb.Glow` and in a PyTorch one (normflows).

    python benchmarks/glow.py
    python benchmarks/glow.py --torch_python=PATH    # a Python that has torch and normflows
    python benchmarks/glow.py --xla                  # ours compiled by XLA, too

The sides (glow_package.py, glow_tfb.py, glow_normflows.py) have the same L, K, width, batch and
random images, in float32; ours also with couplings in bfloat16. Each is a process of its own, so
that its peak memory is its own and PyTorch need not be installed beside TensorFlow; one works at a
time, in turns and in an order that alternates. Ratios are taken round by round and are what to
quote.

The first step is building, initialising, tracing and compiling, up to the end of one training step,
at each of --first_steps. The share of the machine's convolution rate is a training step's work in
the coupling networks' convolutions, forward and backward, over its time and over the rate of a 3x3
convolution of --width channels alone, measured in the same rounds.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import start  # noqa: F401  (before anything imports TensorFlow)

# isort: split
import numpy as np
from timing import show, spread, timed_rounds

from tfp_genens.artifact.manifest import git_commit
from tfp_genens.files import write_json

HERE = Path(__file__).parent
SIDES: dict[str, tuple[str, dict[str, Any]]] = {
    "package": ("glow_package.py", {}),
    "package_bfloat16": ("glow_package.py", {"precision": "bfloat16"}),
    "package_xla": ("glow_package.py", {"jit_compile": True}),
    "tfb": ("glow_tfb.py", {}),
    "normflows": ("glow_normflows.py", {}),
}
TASKS = ("train", "log_prob", "sample")
SETTINGS = ("side", "channels", "num_levels", "width", "batch_size", "num_threads")


class Side:
    """A process that builds a GLOW, makes one training step, then does what it is asked.

    Attributes:
      first_step_secs: from nothing but imports to the end of the first training step.
    """

    def __init__(self, name: str, python: str, num_steps: int, settings: dict[str, int]):
        script, own = SIDES[name]
        options = {**settings, "num_steps": num_steps, **own}
        self.name = name
        self._process = subprocess.Popen(
            [python, str(HERE / script), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first_step_secs = float(self._answer()["first_step_secs"])

    def do(self, task: str) -> dict[str, Any]:
        """Runs "train", "log_prob", "sample", "convolution" or "memory"; returns its answer."""
        self._process.stdin.write(f"{task}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with exit code {self._process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        self._process.communicate()


@contextlib.contextmanager
def started(names: Sequence[str], pythons: dict[str, str], *args) -> Iterator[dict[str, Side]]:
    with contextlib.ExitStack() as stack:
        sides = {}
        for name in names:  # one after the other: their first steps are timed
            sides[name] = Side(name, pythons[name], *args)
            stack.callback(sides[name].close)
        yield sides


def convolution_gflop(settings: dict[str, int], num_steps: int) -> float:
    """Of the coupling networks' convolutions in one training step, affine couplings."""
    total, side, channels = 0.0, settings["side"], settings["channels"]
    for _ in range(settings["num_levels"]):
        side, channels = side // 2, 4 * channels
        kept = channels // 2
        width = settings["width"]
        weights = 9 * kept * width + width * width + 9 * width * 2 * (channels - kept)
        total += 2.0 * side**2 * weights * num_steps
        channels //= 2
    return 3.0 * settings["batch_size"] * total / 1e9  # forward, and twice that backward


def timings(sides: dict[str, Side], num_rounds: int) -> dict[str, dict[str, np.ndarray]]:
    """Seconds by task and side, [num_rounds]."""
    found = {}
    for task in (*TASKS, "convolution"):
        asked = {n: s for n, s in sides.items() if task != "convolution" or n == "package"}
        for side in asked.values():
            side.do(task)  # traced and warm
        turns = {name: lambda s=side, t=task: s.do(t) for name, side in asked.items()}
        found[task] = timed_rounds(turns, num_rounds)["wall"]
    return found


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=32, help="pixels")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--num_levels", type=int, default=3)
    parser.add_argument("--num_steps", type=int, default=4, help="K of all but the first steps")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--first_steps", type=int, nargs="*", default=[4, 8, 16, 32], help="K")
    parser.add_argument("--num_threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--xla", action="store_true", help="ours compiled by XLA as well")
    parser.add_argument("--torch_python", help="a Python with torch and normflows; none: left out")
    parser.add_argument("--output", help="JSON file to write")
    args = parser.parse_args(argv)
    settings = {name: getattr(args, name) for name in SETTINGS}
    pythons = dict.fromkeys(SIDES, sys.executable)
    asked = {"normflows": args.torch_python, "package_xla": args.xla}
    names = [name for name in SIDES if asked.get(name, True)]
    if args.torch_python:
        pythons["normflows"] = args.torch_python

    first_steps: dict[int, dict[str, float]] = {}
    for num_steps in args.first_steps:
        first_steps[num_steps] = {}
        for name in names:
            if name != "package_bfloat16":
                with started([name], pythons, num_steps, settings) as sides:
                    first_steps[num_steps][name] = sides[name].first_step_secs
                secs = first_steps[num_steps][name]
                print(f"first step, K={num_steps}, {name}: {secs:.1f} s", flush=True)
    with started(names, pythons, args.num_steps, settings) as sides:
        secs = timings(sides, args.rounds)
        memory = {name: side.do("memory")["peak_mib"] for name, side in sides.items()}
        versions = {name: side.do("version")["version"] for name, side in sides.items()}
        rate = sides["package"].do("convolution")["gflop"] / secs["convolution"]["package"]

    print(f"K={args.num_steps}, {settings}, {args.rounds} rounds")
    results: dict[str, Any] = {"seconds": {}, "times_package": {}}
    for task in TASKS:
        results["seconds"][task] = {n: spread(s) for n, s in secs[task].items()}
        ratios = {n: spread(s / secs[task]["package"]) for n, s in secs[task].items()}
        results["times_package"][task] = ratios
        for name in names:
            show(f"{task}, {name}, s", "{:.4f}", results["seconds"][task][name])
            show(f"{task}, {name} / package", "{:.2f}", ratios[name])
    gflop = convolution_gflop(settings, args.num_steps)
    achieved = gflop / secs["train"]["package"]
    results |= {
        "first_step_secs": first_steps,
        "peak_mib": memory,
        "convolution_gflop_per_sec": spread(rate),
        "share_of_convolution_rate": spread(achieved / rate),
    }
    show("3x3 convolution alone, GFLOP/s", "{:.0f}", results["convolution_gflop_per_sec"])
    show("of it in a training step, package", "{:.0%}", results["share_of_convolution_rate"])
    for name, mib in memory.items():
        print(f"peak memory, {name}: {mib:.0f} MiB")
    if args.output:
        about = {"settings": {**settings, "num_steps": args.num_steps, "rounds": args.rounds}}
        about |= {"cpus": os.cpu_count(), "git_commit": git_commit(), "versions": versions}
        write_json(args.output, {**results, **about})


if __name__ == "__main__":
    main()
