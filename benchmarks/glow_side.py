"""A side of benchmarks/glow.py: answers on standard output what is asked on standard input."""

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def settings() -> dict[str, Any]:
    """What benchmarks/glow.py passes: side, channels, num_levels, num_steps, width, ..."""
    return json.loads(sys.argv[1])


def random_images(config: dict[str, Any]) -> np.ndarray:
    """float32 [batch, side, side, channels] as a GLOW sees them: in [-0.5, 0.5)."""
    shape = (config["batch_size"], config["side"], config["side"], config["channels"])
    return np.random.default_rng(0).random(shape, np.float32) - 0.5


def serve(version: str, build: Callable[[], dict[str, Callable[[], Any]]]) -> None:
    """Builds, makes the first training step, then answers one line for each line that is read.

    Args:
      version: of the library.
      build: returns "train", "log_prob" and "sample", each of which waits until its work is done;
        also what else the side can be asked for, whose result is the answer.
    """
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    began = time.perf_counter()
    tasks = build()
    tasks["train"]()
    answer = {"first_step_secs": time.perf_counter() - began}
    tasks |= {
        "version": lambda: {"version": version},
        "memory": lambda: {"peak_mib": peak_mib()},
    }
    print(json.dumps(answer), file=answers, flush=True)
    for line in sys.stdin:
        result = tasks[line.strip()]()
        print(json.dumps(result if isinstance(result, dict) else {}), file=answers, flush=True)


def peak_mib() -> float:
    """The largest resident set of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
