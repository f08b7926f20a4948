"""Scores of held-out normal inputs, kept beside a member in disjoint parts.

`fit` is for what ensemble scores learn from normal inputs, `calibrate` for p-values and nothing
else: their guarantee needs inputs that had no other use. A third part, `tune`, validates training;
its scores are not kept.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfp_genens.errors import UserError
from tfp_genens.files import atomic_path, sha256_of_file

TUNE, FIT, CALIBRATE = "tune", "fit", "calibrate"
FILE = "held_out.npz"
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def write(
    directory: Path,
    example_ids: Sequence[str],
    parts: Sequence[str],
    scores: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """Keeps one member's scores of held-out inputs; returns the manifest's "held_out".

    Args:
      directory: the member's.
      example_ids: of the inputs.
      parts: FIT or CALIBRATE, one an input.
      scores: output name -> float64 [num_inputs].
    """
    path = directory / FILE
    part = np.array(parts, dtype="U9")
    arrays: dict[str, Any] = dict(scores)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, example_id=np.array(example_ids, dtype=str), part=part, **arrays)
    calibrating = {name: values[part == CALIBRATE] for name, values in scores.items()}
    return {
        "file": FILE,
        "sha256": sha256_of_file(path),
        "num_examples": {name: int((part == name).sum()) for name in (FIT, CALIBRATE)},
        "quantiles": {
            name: {str(q): float(np.quantile(values, q)) for q in QUANTILES}
            for name, values in calibrating.items()
            if len(values)
        },
    }


def read(directories: Sequence[Path], outputs: Sequence[str], part: str) -> dict[str, np.ndarray]:
    """Scores of one part by several members: output name -> float64 [num_members, num_inputs].

    Raises:
      UserError: the members were not scored on the same inputs.
    """
    stored = []
    for directory in directories:
        with np.load(directory / FILE, allow_pickle=False) as arrays:
            chosen = arrays["part"] == part
            stored.append({name: arrays[name][chosen] for name in (*outputs, "example_id")})
    for directory, scores in zip(directories, stored, strict=True):
        if not np.array_equal(scores["example_id"], stored[0]["example_id"]):
            expected = f"held-out inputs of {directory.name} to be those of {directories[0].name}"
            raise UserError("--run_dir", expected, "others")
    return {name: np.stack([scores[name] for scores in stored]) for name in outputs}
