"""Figures of scores: histograms, ROC curves, rate against distortion, calibration."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from scipy import stats

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL
from tfp_genens.evaluation import metrics
from tfp_genens.reporting import layout
from tfp_genens.reporting.evaluation_files import EvaluatedSet, Evaluation
from tfp_genens.reporting.layout import IN_COLOR, NEUTRAL_COLOR, OOD_COLOR, WIDTH, Page
from tfp_genens.scoring.columns import P_VALUE

# Colour, line and width; later ones are drawn on top and are thinner, so that equal curves show.
SCORE_STYLES: tuple[tuple[str, Any, float], ...] = (
    ("#009E73", "-", 1.8),
    ("#E69F00", "-", 3.2),
    ("#000000", "--", 1.4),
    ("#CC79A7", ":", 1.4),
)
MAX_SCORES = len(SCORE_STYLES)
NUM_BINS = 48


def robust_range(
    in_values: np.ndarray, ood_values: Sequence[np.ndarray], widen: float = 2.0, share: float = 0.99
) -> tuple[float, float]:
    """A range that shows the in-distribution scores well, however far the others lie.

    The central `share` of in-distribution scores, widened towards that of the OoD scores by at most
    `widen` times its own width on either side.
    """

    def central(values: np.ndarray) -> tuple[float, float]:
        finite = values[np.isfinite(values)]
        if not finite.size:
            return np.nan, np.nan
        low, high = np.quantile(finite, [0.5 - share / 2, 0.5 + share / 2])
        return float(low), float(high)

    low, high = central(in_values)
    ends = np.array([central(values) for values in ood_values]).reshape(-1, 2)
    if not np.isfinite(low):
        finite = ends[np.isfinite(ends).all(axis=1)]
        low, high = (finite[:, 0].min(), finite[:, 1].max()) if len(finite) else (0.0, 1.0)
    width = (high - low) or max(abs(high), 1.0)
    lowest = np.fmin.reduce([low, *ends[:, 0]])
    highest = np.fmax.reduce([high, *ends[:, 1]])
    margin = 0.02 * width
    return (
        float(max(lowest, low - widen * width) - margin),
        float(min(highest, high + widen * width) + margin),
    )


def _range_of(evaluation: Evaluation, score: str) -> tuple[float, float]:
    others = [ood.values(score) for ood in evaluation.ood]
    return robust_range(evaluation.in_distribution.values(score), others)


def histogram(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Share of inputs in each bin; what lies outside goes into the outer bins, NaN into none."""
    clipped = np.clip(values[~np.isnan(values)], edges[0], edges[-1])
    return np.histogram(clipped, edges)[0] / len(values)


def toward(evaluation: Evaluation, score: str) -> str:
    """Where on an axis of this score the normal inputs are."""
    is_right = evaluation.spec(score).direction == HIGHER_IS_NORMAL
    return f"more normal to the {'right' if is_right else 'left'}"


def histograms(evaluation: Evaluation) -> Iterator[Page]:
    """Distributions of each main score, in-distribution against every OoD set."""
    inside = evaluation.in_distribution
    for score in _main_scores(evaluation):
        label = evaluation.score_label(score)
        title = f"{label}: in-distribution against each OoD set"
        x = f"{label} [{evaluation.spec(score).unit}] ({toward(evaluation, score)})"
        edges = np.linspace(*_range_of(evaluation, score), NUM_BINS + 1)
        handles = layout.side_handles(inside.label, alpha=0.55)
        for suffix, group in layout.groups(evaluation.ood):
            figure, panels = layout.set_panels(title, group, x, "share of inputs per bin", handles)
            # In-distribution peaks decide the height; taller bars are cut and their height said.
            in_values = {s.member: inside.values(score, s.member) for s in group}
            top = 1.6 * max(histogram(v, edges).max() for v in in_values.values()) or 1.0
            for ax, ood in panels:
                notes = _draw_side(ax, in_values[ood.member], "in-dist.", IN_COLOR, edges, top)
                notes += _draw_side(ax, ood.values(score), "OoD", OOD_COLOR, edges, top)
                for k, (note, color) in enumerate(notes):
                    style: dict[str, Any] = {"transform": ax.transAxes, "ha": "center", "va": "top"}
                    ax.text(0.5, 0.97 - 0.1 * k, note, color=color, fontsize=7.5, **style)
                ax.set(xlim=(edges[0], edges[-1]), ylim=(0, top))
                ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
                auroc = evaluation.row(ood.name, score)["auroc"]
                layout.title(ax, ood.label, f"AUROC {auroc:.1f}")
            known = {"label": label, "is_single": score in inside.scores.member_scores}
            yield layout.page("histograms", title, figure, f"_{score}{suffix}", **known)


def _draw_side(
    ax: Axes, values: np.ndarray, name: str, color: str, edges: np.ndarray, top: float
) -> list[tuple[str, str]]:
    """Returns what cannot be seen in the histogram, and the colour to say it in."""
    shares = histogram(values, edges)
    ax.stairs(shares, edges, fill=True, color=color, alpha=0.45, linewidth=0)
    ax.stairs(shares, edges, color=color, linewidth=1.0)
    peak = int(shares.argmax())
    if shares[peak] > top:
        near_right = peak > NUM_BINS / 2
        at, shift, side = (peak, -2, "right") if near_right else (peak + 1, 2, "left")
        style: dict[str, Any] = {"ha": side, "va": "top", "color": color, "fontsize": 8}
        style |= {"xytext": (shift, -2), "textcoords": "offset points"}
        ax.annotate(f"{shares[peak]:.0%}", (edges[at], top), **style)
    beyond = {"below": np.mean(values < edges[0]), "above": np.mean(values > edges[-1])}
    notes = [f"{x:.0%} of {name} {side} the axis" for side, x in beyond.items() if x >= 0.01]
    num_nan = np.isnan(values).sum()
    if num_nan:
        notes.append(f"{num_nan} {name} NaN")
    return [(note, color) for note in notes]


def roc_curves(evaluation: Evaluation) -> Iterator[Page]:
    """ROC curves of the main scores for every OoD set."""
    scores = _main_scores(evaluation)
    num_in = len(evaluation.in_distribution.scores.frame)
    grid = np.geomspace(1.0 / num_in, 1.0, 200)
    title, y = "ROC curves", "share of OoD inputs flagged"
    x = "false alarms: share of in-distribution inputs flagged (logarithmic)"
    labels = [*map(evaluation.score_label, scores), "chance"]
    styles = [*SCORE_STYLES[: len(scores)], (NEUTRAL_COLOR, ":", None)]
    handles = [
        Line2D([], [], color=color, linestyle=line, linewidth=width, label=label)
        for label, (color, line, width) in zip(labels, styles, strict=True)
    ]
    for suffix, group in layout.groups(evaluation.ood):
        figure, panels = layout.set_panels(title, group, x, y, handles)
        for ax, ood in panels:
            ax.plot(grid, grid, color=NEUTRAL_COLOR, linewidth=0.8, linestyle=":")
            for score, (color, line, width) in zip(scores, SCORE_STYLES, strict=False):
                curve = mean_roc(evaluation, ood, score, grid)
                ax.plot(grid, curve, color=color, linestyle=line, linewidth=width)
            ax.set(xscale="log", xlim=(grid[0], 1.0), ylim=(-0.02, 1.02))
            ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
            ax.grid(color="#dddddd", linewidth=0.5)
            layout.title(ax, ood.label)
        yield layout.page("roc", title, figure, suffix, num_in=num_in)


def mean_roc(evaluation: Evaluation, ood: EvaluatedSet, score: str, grid: np.ndarray) -> np.ndarray:
    """True-positive rate at each false-positive rate of `grid`, mean over the members in use."""
    is_member_score = score in ood.scores.member_scores
    members = evaluation.row(ood.name, score)["members_used"] if is_member_score else [0]
    direction = evaluation.spec(score).direction
    sides = (evaluation.in_distribution, ood)
    scores = [[side.values(score, member) for side in sides] for member in members]
    curves = [metrics.roc_curve(inside, outside, direction) for inside, outside in scores]
    return np.mean([np.interp(grid, fpr, tpr) for fpr, tpr in curves], axis=0)


def rate_distortion(evaluation: Evaluation) -> Iterator[Page]:
    """Rate against distortion of every input (paper, Figure 3); VAEs only."""
    pair = ("rate", "distortion")
    inside = evaluation.in_distribution
    if not all(score in inside.scores.member_scores for score in pair):
        return
    ranges = [_range_of(evaluation, score) for score in pair]
    title = "Rate and distortion of each input"
    x, y = (f"{score} [{evaluation.spec(score).unit}]" for score in pair)
    dot: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 4}
    handles = layout.side_handles(inside.label, partial(Line2D, [], []), **dot)
    for suffix, group in layout.groups(evaluation.ood):
        figure, panels = layout.set_panels(title, group, x, y, handles)
        for ax, ood in panels:
            share = 0.0
            for shown, color in ((inside, IN_COLOR), (ood, OOD_COLOR)):
                points = np.stack([shown.values(score, ood.member) for score in pair])
                clipped = [np.clip(p, *r) for p, r in zip(points, ranges, strict=True)]
                share = np.any(~(points == clipped), axis=0).mean()  # in the end, of OoD inputs
                style: dict[str, Any] = {"s": 5, "color": color, "alpha": 0.35, "linewidth": 0}
                ax.scatter(*clipped, **style, clip_on=False, rasterized=True)
            ax.set(xlim=ranges[0], ylim=ranges[1])
            layout.title(ax, ood.label, f"{share:.0%} at the frame" if share >= 0.005 else "")
        yield layout.page("rate_distortion", title, figure, suffix)


def calibration(evaluation: Evaluation) -> Iterator[Page]:
    """False alarms on in-distribution inputs against the rate asked for."""
    if P_VALUE not in evaluation.in_distribution.scores.frame:
        return
    p_values = evaluation.in_distribution.values(P_VALUE)
    num_in = len(p_values)
    alphas = np.geomspace(max(1e-3, 1.0 / num_in), 1.0, 200)
    flagged = (p_values[None, :] <= alphas[:, None]).mean(axis=1)
    title = "Calibration"
    figure = layout.figure(title, WIDTH / 2, WIDTH / 2)
    ax = figure.subplots()
    band = stats.binom.ppf([[0.025], [0.975]], num_in, alphas) / num_in
    ax.plot(alphas, flagged, color=IN_COLOR, linewidth=1.8, zorder=3, label="found")
    ax.plot(alphas, alphas, color="#666666", linestyle=":", label="asked for")
    style: dict[str, Any] = {"color": "#cccccc", "alpha": 0.6, "linewidth": 0, "zorder": 1}
    ax.fill_between(alphas, *band, **style, label="95 % of samples")
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(alphas[0], 1),
        ylim=(alphas[0] / 2, 1.3),
        xlabel="alpha: rate of false alarms asked for",
        ylabel=f"share of {evaluation.in_distribution.label} flagged",
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    ax.grid(color="#dddddd", linewidth=0.5)
    ax.legend(loc="lower right")  # Both curves rise from the lower left to the upper right.
    yield layout.page("calibration", title, figure, num_in=num_in)


def _main_scores(evaluation: Evaluation) -> list[str]:
    return list(evaluation.document["main_scores"])[:MAX_SCORES]
