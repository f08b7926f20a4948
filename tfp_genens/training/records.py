"""What training leaves behind to look at: metrics.csv and TensorBoard events."""

import csv
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf

from tfp_genens.files import atomic_path


class MetricsFile:
    """A CSV file of one row a logging interval; rows after the step resumed from are dropped.

    Args:
      path: the file.
      columns: its header; "step" comes first.
      resume_step: keep rows up to this step.
    """

    def __init__(self, path: Path, columns: Sequence[str], resume_step: int):
        self._columns = list(columns)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = []
        if path.exists():
            with open(path, newline="") as file:
                rows = [r for r in csv.DictReader(file) if _step(r) <= resume_step]
        with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, self._columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        self._file = open(path, "a", newline="")  # noqa: SIM115
        self._writer = csv.DictWriter(self._file, self._columns, restval="")

    def write(self, row: Mapping[str, object]) -> None:
        self._writer.writerow(row)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _step(row: Mapping[str, str]) -> float:
    """The row's step; a row that a crash cut short counts as never written."""
    if None in row.values() or not row["step"].isdecimal():
        return math.inf
    return int(row["step"])


class EventsWriter:
    """TensorBoard scalars and images."""

    def __init__(self, directory: str | os.PathLike):
        self._writer = tf.summary.create_file_writer(str(directory))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        with self._writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=step)

    def images(self, step: int, images: Mapping[str, tf.Tensor]) -> None:
        with self._writer.as_default():
            for name, batch in images.items():
                tf.summary.image(name, batch, step=step, max_outputs=len(batch))

    def close(self) -> None:
        self._writer.close()
