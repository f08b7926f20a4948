"""Tasks timed in turns, and what is quoted of their times."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

CLOCKS = {"wall": time.perf_counter, "CPU": time.process_time}


def timed_rounds(
    tasks: Mapping[str, Callable[[], Any]], num_rounds: int
) -> dict[str, dict[str, np.ndarray]]:
    """Seconds by clock and task, [num_rounds]; every other round runs the tasks in reverse."""
    secs = {clock: {name: np.zeros(num_rounds) for name in tasks} for clock in CLOCKS}
    for i in range(num_rounds):
        for name in list(tasks)[:: 1 if i % 2 == 0 else -1]:
            began = {clock: now() for clock, now in CLOCKS.items()}
            tasks[name]()
            for clock, now in CLOCKS.items():
                secs[clock][name][i] = now() - began[clock]
    return secs


def spread(values: np.ndarray) -> dict[str, float]:
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    return {"median": float(middle), "lowest": float(low), "highest": float(high)}


def show(name: str, form: str, values: Mapping[str, float]) -> None:
    low, middle, high = (form.format(values[k]) for k in ("lowest", "median", "highest"))
    print(f"{name}: {middle} (from {low} to {high})")
