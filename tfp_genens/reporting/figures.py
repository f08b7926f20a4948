"""Figures of one evaluation, drawn from its files alone.

A figure is a row of FIGURES: a function from an evaluation to pages; it yields nothing where the
evaluation lacks what it shows.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib

from tfp_genens.files import atomic_path, make_directory, read_json, write_json
from tfp_genens.reporting import evaluation_files, image_figures, score_figures, training_figures
from tfp_genens.reporting.evaluation_files import Evaluation
from tfp_genens.reporting.layout import STYLE, Page

FIGURES: dict[str, Callable[[Evaluation], Iterator[Page]]] = {
    "histograms": score_figures.histograms,
    "roc": score_figures.roc_curves,
    "rate_distortion": score_figures.rate_distortion,
    "calibration": score_figures.calibration,
    "extremes": image_figures.extremes,
    "sets": image_figures.first_inputs,
    "reconstructions": image_figures.reconstructions,
    "model_samples": image_figures.model_samples,
    "training": training_figures.training,
}


def write_figures(output_dir: str | os.PathLike) -> None:
    """Draws every figure of an evaluation into its figures/, and figures/index.json last."""
    directory = make_directory(Path(output_dir) / "figures", "--output_dir")
    index_path = directory / "index.json"
    stale = set()
    if index_path.exists():
        stale = {entry["file"] for entry in read_json(index_path, "--output_dir")["figures"]}
        index_path.unlink()
    entries = []
    for page in pages(evaluation_files.load(output_dir, "--output_dir")):
        file = f"{page.name}.png"
        with atomic_path(directory / file) as temporary:
            temporary.write_bytes(page.png())
        entries.append({"file": file, "title": page.title, "caption": page.caption})
    for file in stale - {entry["file"] for entry in entries}:
        (directory / file).unlink(missing_ok=True)
    write_json(index_path, {"figures": entries})


def pages(evaluation: Evaluation) -> Iterator[Page]:
    """Every picture of an evaluation; nothing where no OoD set was evaluated."""
    if not evaluation.ood:
        return
    with matplotlib.rc_context(STYLE):
        for draw in FIGURES.values():
            yield from draw(evaluation)
