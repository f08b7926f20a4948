"""`--table=flips`: which classes' images look the same in a mirror, and which are still told.

No paper has it. It tests why mirrored test images are the hardest row: where a class is symmetric,
its mirrored images are normal.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.spatial
import scipy.stats

from tfp_genens.data import open_source, take
from tfp_genens.data.sources import read_batch
from tfp_genens.errors import UserError
from tfp_genens.evaluation import metrics
from tfp_genens.paper import configurations, shared
from tfp_genens.paper.densities import DOSE
from tfp_genens.paper.documents import Document
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation
from tfp_genens.scoring.columns import EXAMPLE_ID

AXES = {"hflip": 2, "vflip": 1}
"""OoD set -> the axis of [batch, height, width, channels] that is reversed."""


def table(evaluations: Sequence[Evaluation]) -> Document:
    """A section an evaluation, a line a class.

    The in-distribution images are read anew, for their classes and for what a flip does to them.

    Raises:
      UserError: evaluations without the score or a flip, or of images without classes.
    """
    records = [_by_class(evaluation) for evaluation in evaluations]
    sections = []
    for evaluation, of_one in zip(evaluations, records, strict=True):
        wide = of_one.set_index(["class", "ood_dataset"])[["distance", "auroc"]].unstack()
        labels = shared.set_labels(evaluation)
        nums = of_one.groupby("class")["num"].first().map("{:,}".format)
        found = pd.DataFrame({"class": wide.index.astype(str), "images": nums}, wide.index)
        correlations = {}
        for name in of_one["ood_dataset"].unique():
            distance, auroc = wide["distance", name], wide["auroc", name]
            found[f"{labels[name]}, distance"] = distance.map("{:.2f}".format)
            found[f"{labels[name]}, AUROC"] = auroc
            correlations[labels[name]] = scipy.stats.spearmanr(distance, auroc).statistic
        sections.append({"evaluation": evaluation, "table": found, "correlations": correlations})
    return Document("flips", {"sections": sections}, pd.concat(records))


def _by_class(evaluation: Evaluation) -> pd.DataFrame:
    """A row a flip and class of two images or more.

    "distance": how far the mirrored images are from the class's own, see `_distance`; "auroc": of
    the mirrored images beside the class's own, percent.
    """
    configurations.require_scores(evaluation, [DOSE])
    flips = [ood for ood in evaluation.ood if ood.name in AXES]
    if not flips:
        got = f"{evaluation.directory}, which has {', '.join(o.name for o in evaluation.ood)}"
        raise UserError(ARGUMENT, f"evaluations with {' or '.join(AXES)}", got)
    spec = evaluation.document["in_distribution"]
    frame = evaluation.in_distribution.scores.frame
    batch = read_batch(take(open_source(spec, None, argument=ARGUMENT), len(frame)))
    if batch.labels is None or list(batch.example_ids) != list(frame[EXAMPLE_ID]):
        got = f"{evaluation.directory}, of {spec}"
        raise UserError(ARGUMENT, "evaluations of the first images of sets with classes", got)
    images = batch.values.astype(np.float64)
    rows = []
    for flip in flips:
        mirrored = np.flip(images, AXES[flip.name])
        for number in np.unique(batch.labels):
            chosen = np.flatnonzero(batch.labels == number)
            if len(chosen) < 2:
                continue
            inside, outside = (
                one.scores.frame[DOSE].to_numpy()[chosen]
                for one in (evaluation.in_distribution, flip)
            )
            direction = evaluation.spec(DOSE).direction
            rows.append(
                {
                    **shared.identity(evaluation),
                    "ood_dataset": flip.name,
                    "class": int(number),
                    "num": len(chosen),
                    "distance": _distance(images[chosen], mirrored[chosen]),
                    "auroc": 100.0 * metrics.auroc(inside, outside, direction),
                }
            )
    return pd.DataFrame(rows)


def _distance(images: np.ndarray, mirrored: np.ndarray) -> float:
    """From mirrored images to the nearest other image, in units of the images' own; the median.

    Euclidean, between pixels; both [num_images, height, width, channels], in the same order.
    """
    flat = images.reshape(len(images), -1)
    own, theirs = (
        scipy.spatial.distance.cdist(one, flat) for one in (flat, mirrored.reshape(flat.shape))
    )
    itself = np.eye(len(flat), dtype=bool)
    nearest = [np.where(itself, np.inf, distances).min(axis=1) for distances in (theirs, own)]
    is_alone = nearest[1] > 0  # an image that is there twice has no unit
    return float(np.median(nearest[0][is_alone] / nearest[1][is_alone]))
