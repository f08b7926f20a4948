"""AUROC against the number of members: what an ensemble's size buys on each OoD set."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tfp_genens.paper import configurations, documents, member_curve
from tfp_genens.paper.shared import run_label, set_labels
from tfp_genens.reporting import layout
from tfp_genens.reporting.evaluation_files import Evaluation


def _style(color: str, line: Any, marker: str, width: float) -> dict[str, Any]:
    points = {"marker": marker, "markersize": 2 * width + 1}
    return {"color": color, "linestyle": line, "linewidth": width, **points}


# Later ones are drawn on top and are thinner.
STYLES = {
    "dose": _style("#009E73", "-", "D", 2.0),
    "log_prob_mean": _style("#E69F00", "-", "s", 2.6),
    "log_prob_var": _style("#CC79A7", (0, (1.5, 1)), "^", 1.6),
    "waic": _style("#000000", "-", "o", 1.4),
    "critic_mean": _style("#56B4E9", "-", "s", 2.0),
    "critic_var": _style("#0072B2", "-", "o", 1.4),
}
NUM_COLUMNS = 3
MIN_SPAN = 10.0  # points of AUROC: less would blow noise up
SMALLEST = {"log_prob_var": 2, "critic_var": 2}  # one member has no variance


def figure(evaluations: Sequence[Evaluation]) -> layout.Page:
    """A block of panels a training configuration, one panel an OoD set.

    Raises:
      UserError: an evaluation lacks the scores, or members cannot be joined; see
        `member_table.member_scores`.
    """
    for evaluation in evaluations:
        configurations.require_scores(evaluation, STYLES, only_one=True)
    joined = [member_curve.member_scores(c) for c in configurations.group(evaluations)]
    num_lines = [-(-len(scores.ood_outputs) // NUM_COLUMNS) for scores in joined]
    heights = [2.1 * lines + 0.4 for lines in num_lines]
    title = "AUROC by number of members"
    drawing = layout.figure(title, layout.WIDTH, sum(heights) + 0.9)
    blocks = drawing.subfigures(len(joined), 1, squeeze=False, height_ratios=heights)[:, 0]
    for block, scores, lines in zip(blocks, joined, num_lines, strict=True):
        _block(block, scores, lines)
    layout.outer_labels(drawing, "members in the ensemble", "AUROC, percent")
    firsts = [scores.configuration.first for scores in joined]
    labels = {
        score: first.score_label(score)
        for first in firsts
        for score in first.in_distribution.scores.ensemble_scores
    }
    styles = {labels[score]: style for score, style in STYLES.items() if score in labels}
    layout.legend(drawing, [Line2D([], [], label=k, **style) for k, style in styles.items()])
    said = {"max_subsets": member_curve.MAX_SUBSETS, "min_span": MIN_SPAN, "joined": joined}
    caption = documents.caption("figure_members", heading=_heading, **said)
    return layout.Page("members", title, caption, drawing)


def _block(block: SubFigure, scores: member_curve.MemberScores, num_lines: int) -> None:
    block.suptitle(_heading(scores), x=0.01, ha="left", fontsize=10.5)
    axes = list(block.subplots(num_lines, NUM_COLUMNS, squeeze=False).flat)
    points = member_curve.curve(scores.in_outputs, scores.ood_outputs, scores.scores)
    smallest = points["score"].map(SMALLEST).fillna(1)
    points = points[points["score"].isin(STYLES) & (points["size"] >= smallest)]
    by_set = points.groupby("ood_dataset", sort=False)
    labels = set_labels(scores.configuration.first)
    for ax, (name, of_set) in zip(axes, by_set, strict=False):
        _panel(ax, of_set)
        ax.set_title(labels[str(name)])
    for ax in axes[by_set.ngroups :]:
        ax.set_visible(False)


def _panel(ax: Axes, points: pd.DataFrame) -> None:
    for score, style in STYLES.items():
        chosen = points[points["score"] == score]
        if len(chosen):
            band = (chosen["size"], chosen["lowest"], chosen["highest"])
            ax.fill_between(*band, color=style["color"], alpha=0.18, linewidth=0)
            ax.plot(chosen["size"], chosen["mean"], clip_on=False, **style)
    low, high = limits(points["lowest"].min(), points["highest"].max())
    margin = 0.03 * (high - low)
    ax.set_ylim(low - margin, high + margin)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    ax.grid(color="#dddddd", linewidth=0.5)


def limits(low: float, high: float) -> tuple[float, float]:
    """The ends of a panel's AUROC axis: all bands, MIN_SPAN at least, within 0 to 100."""
    missing = max(0.0, MIN_SPAN - (high - low)) / 2
    low, high = low - missing, high + missing
    shift = max(0.0, -low) - max(0.0, high - 100.0)
    return low + shift, high + shift


def _heading(scores: member_curve.MemberScores) -> str:
    return f"{run_label(scores.configuration.first)}, {len(scores.members)} members"
