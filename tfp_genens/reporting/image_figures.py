"""Figures of inputs: the sets, what ranks first and last, reconstructions, samples."""

from collections.abc import Iterator

import numpy as np

from tfp_genens.evaluation import rows
from tfp_genens.evaluation.results import NUM_EXTREME
from tfp_genens.reporting import layout
from tfp_genens.reporting.evaluation_files import EvaluatedSet, Evaluation
from tfp_genens.reporting.layout import IN_COLOR, MAX_PANELS, NEUTRAL_COLOR, OOD_COLOR, Page


def extremes(evaluation: Evaluation) -> Iterator[Page]:
    """What the ranking score takes for most and least normal, in-distribution and OoD mixed."""
    score = rows.ranking_score(evaluation.in_distribution.scores)
    if not evaluation.has_images or score is None:
        return
    if not all("most_normal" in shown.examples for shown in evaluation.sets):
        return
    label, direction = evaluation.score_label(score), evaluation.spec(score).direction
    title = f"Most and least normal inputs by {label}"
    for suffix, group in layout.groups(evaluation.ood):
        ends = ("least_normal", "most_normal")
        lines = [
            (ood.label, [_extreme_strip(evaluation, ood, end, direction) for end in ends])
            for ood in group
        ]
        figure = layout.strips(title, lines, ("least normal first", "most normal first"))
        layout.legend(figure, layout.side_handles(evaluation.in_distribution.label))
        known = {"label": label, "num_extreme": NUM_EXTREME}
        yield layout.page("extremes", title, figure, suffix, **known)


def _extreme_strip(
    evaluation: Evaluation, ood: EvaluatedSet, end: str, direction: str
) -> np.ndarray:
    """The inputs at one end of the ranking, in-distribution and OoD mixed."""
    sides = ((evaluation.in_distribution, IN_COLOR), (ood, OOD_COLOR))
    images = np.concatenate([to_rgb(side.examples[end], evaluation) for side, _ in sides])
    values = np.concatenate([side.examples[f"{end}_score"] for side, _ in sides])
    colors = [color for side, color in sides for _ in side.examples[end]]
    chosen = rows.extremes(values, direction)[end]
    return layout.strip([images[k] for k in chosen], [colors[k] for k in chosen])


def _strip(evaluation: Evaluation, shown: EvaluatedSet, name: str) -> np.ndarray:
    color = IN_COLOR if shown is evaluation.in_distribution else OOD_COLOR
    return layout.strip(list(to_rgb(shown.examples[name], evaluation)), color)


def first_inputs(evaluation: Evaluation) -> Iterator[Page]:
    """What each set looks like."""
    if not evaluation.has_images:
        return
    title = "The sets: their first inputs"
    for suffix, group in layout.groups(evaluation.sets, MAX_PANELS + 1):
        lines = [(shown.label, [_strip(evaluation, shown, "first")]) for shown in group]
        yield layout.page("sets", title, layout.strips(title, lines), suffix)


def reconstructions(evaluation: Evaluation) -> Iterator[Page]:
    """Inputs beside what a member makes of them (paper, Figure 3)."""
    if not evaluation.has_images:
        return
    shown = [s for s in evaluation.sets if "reconstructions" in s.examples]
    title = "Inputs and their reconstructions"
    for suffix, group in layout.groups(shown, MAX_PANELS + 1):
        names = ("first", "reconstructions")
        lines = [(s.label, [_strip(evaluation, s, name) for name in names]) for s in group]
        figure = layout.strips(title, lines, ("inputs", "reconstructions by member 0"))
        yield layout.page("reconstructions", title, figure, suffix)


def model_samples(evaluation: Evaluation) -> Iterator[Page]:
    """Draws from the members."""
    samples = evaluation.model_samples
    if samples is None or samples.ndim != 5 or samples.shape[-1] not in (1, 3):
        return
    title = "Samples from the members"
    lines = [
        (f"member {m}", [layout.strip(list(to_rgb(images, evaluation)), NEUTRAL_COLOR)])
        for m, images in enumerate(samples)
    ]
    yield layout.page("model_samples", title, layout.strips(title, lines[:MAX_PANELS]))


def to_rgb(images: np.ndarray, evaluation: Evaluation) -> np.ndarray:
    """Raw inputs [num, height, width, 1 or 3] as float [num, height, width, 3] in [0, 1]."""
    low, high = evaluation.document["value_range"] or (0.0, 255.0)
    scaled = np.clip((np.asarray(images, np.float64) - low) / (high - low), 0.0, 1.0)
    scaled = np.nan_to_num(scaled, nan=0.0)
    return np.repeat(scaled, 3, axis=-1) if scaled.shape[-1] == 1 else scaled
