"""AUROC against the number of members: what an ensemble's size buys on each OoD set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tfp_genens.evaluation import results
from tfp_genens.paper import configurations
from tfp_genens.paper.labels import run_label
from tfp_genens.paper.member_curve import MAX_SUBSETS, Point
from tfp_genens.paper.requirements import require_any_score
from tfp_genens.paper.tables.member_table import MemberScores, member_scores
from tfp_genens.reporting import layout
from tfp_genens.reporting.evaluation_files import Evaluation
from tfp_genens.reporting.layout import WIDTH, Page

# Colour, line, marker and width; later ones are drawn on top and are thinner.
STYLES: dict[str, tuple[str, Any, str, float]] = {
    "log_prob_mean": ("#E69F00", "-", "s", 2.6),
    "log_prob_var": ("#CC79A7", (0, (1.5, 1)), "^", 1.6),
    "waic": ("#000000", "-", "o", 1.4),
    "critic_mean": ("#56B4E9", "-", "s", 2.0),
    "critic_var": ("#0072B2", "-", "o", 1.4),
}
NUM_COLUMNS = 3
MIN_SPAN = 10.0  # points of AUROC: less would blow noise up
SMALLEST = {"log_prob_var": 2, "critic_var": 2}  # one member has no variance


def figure(evaluations: Sequence[Evaluation]) -> Page:
    """A block of panels a training configuration, one panel an OoD set.

    Raises:
      UserError: an evaluation lacks the scores, or members cannot be joined; see
        `member_table.member_scores`.
    """
    for evaluation in evaluations:
        require_any_score(evaluation, STYLES)
    joined = [member_scores(c) for c in configurations.group(evaluations)]
    num_lines = [-(-len(scores.ood_outputs) // NUM_COLUMNS) for scores in joined]
    heights = [2.1 * lines + 0.4 for lines in num_lines]
    title = "AUROC by number of members"
    drawing = Figure(figsize=(WIDTH, sum(heights) + 0.9), layout="constrained")
    drawing.suptitle(title, x=0.01, ha="left")
    blocks = drawing.subfigures(len(joined), 1, squeeze=False, height_ratios=heights)[:, 0]
    for block, scores, lines in zip(blocks, joined, num_lines, strict=True):
        _block(block, scores, lines)
    layout.outer_labels(drawing, "members in the ensemble", "AUROC, percent")
    layout.legend(drawing, _handles(joined))
    return Page(
        "members",
        title,
        "Lines are means over the subsets of each size, bands reach from the lowest to the "
        "highest of them. Subsets of one size share members, so a band is of these members, not "
        "an interval for others, and has no width where all members are in. Sizes with more than "
        f"{MAX_SUBSETS} subsets are judged on {MAX_SUBSETS} drawn ones. One member has no "
        "variance, so its line begins at two, and WAIC of one member is its log p(x). The scales "
        f"of the panels differ, none spanning less than {MIN_SPAN:.0f} points. "
        + " ".join(_sentence(scores) for scores in joined),
        drawing,
    )


def _block(block: SubFigure, scores: MemberScores, num_lines: int) -> None:
    block.suptitle(_heading(scores), x=0.01, ha="left", fontsize=10.5)
    axes = block.subplots(num_lines, NUM_COLUMNS, squeeze=False).flat
    by_set: dict[str, list[Point]] = {}
    for point in scores.curve():
        if point.score in STYLES and point.size >= SMALLEST.get(point.score, 1):
            by_set.setdefault(point.ood_dataset, []).append(point)
    for ax, (name, points) in zip(axes, by_set.items(), strict=False):
        _panel(ax, points)
        ax.set_title(results.dataset_label(scores.configuration.first.document, name))
    for ax in list(block.axes)[len(by_set) :]:
        ax.set_visible(False)


def _panel(ax: Axes, points: Sequence[Point]) -> None:
    for score, (color, line, marker, width) in STYLES.items():
        chosen = [point for point in points if point.score == score]
        if not chosen:
            continue
        sizes = [point.size for point in chosen]
        ax.fill_between(
            sizes,
            [point.lowest for point in chosen],
            [point.highest for point in chosen],
            color=color,
            alpha=0.18,
            linewidth=0,
        )
        ax.plot(
            sizes,
            [point.mean for point in chosen],
            color=color,
            linestyle=line,
            linewidth=width,
            marker=marker,
            markersize=2 * width + 1,
            clip_on=False,
        )
    low, high = limits(points)
    margin = 0.03 * (high - low)
    ax.set_ylim(low - margin, high + margin)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    ax.grid(color="#dddddd", linewidth=0.5)


def limits(points: Sequence[Point]) -> tuple[float, float]:
    """The ends of a panel's AUROC axis: all bands, MIN_SPAN at least, within 0 to 100."""
    low, high = min(p.lowest for p in points), max(p.highest for p in points)
    missing = max(0.0, MIN_SPAN - (high - low)) / 2
    low, high = low - missing, high + missing
    shift = max(0.0, -low) - max(0.0, high - 100.0)
    return low + shift, high + shift


def _handles(joined: Sequence[MemberScores]) -> list[Line2D]:
    labels = {
        score: results.score_label(scores.configuration.first.document, score)
        for scores in joined
        for score in scores.configuration.first.in_distribution.scores.ensemble_scores
    }
    return [
        Line2D(
            [],
            [],
            color=color,
            linestyle=line,
            linewidth=width,
            marker=marker,
            markersize=2 * width + 1,
            label=labels[score],
        )
        for score, (color, line, marker, width) in STYLES.items()
        if score in labels
    ]


def _heading(scores: MemberScores) -> str:
    return f"{run_label(scores.configuration.first)}, {len(scores.members)} members"


def _sentence(scores: MemberScores) -> str:
    document = scores.configuration.first.document
    if not scores.left_out:
        return f"{_heading(scores)}: all its sets."
    names = "; ".join(results.dataset_label(document, name) for name in scores.left_out)
    return f"{_heading(scores)}: left out, because they were made against members: {names}."
