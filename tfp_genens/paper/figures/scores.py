"""What figures of scores share: AUROC of one member, and histograms of several sets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tfp_genens.reporting import layout, score_figures
from tfp_genens.reporting.evaluation_files import EvaluatedSet, Evaluation

MEMBER = 0  # the member that is shown where one is; it reconstructed the examples
NUM_BINS = 2 * score_figures.NUM_BINS
_PLACE = {"loc": "upper left", "bbox_to_anchor": (0.0, -0.2), "borderaxespad": 0.0}
LEGEND_BELOW: dict[str, Any] = {"fontsize": 8.5, **_PLACE}


def auroc(evaluation: Evaluation, ood: EvaluatedSet, score: str) -> float:
    """AUROC of an ensemble score, or of a member's score by the member that is shown; percent."""
    row = evaluation.row(ood.name, score)
    return row["auroc"] if row["auroc_members"] is None else row["auroc_members"][MEMBER]


def ends(
    evaluation: Evaluation, shown: Sequence[EvaluatedSet], score: str, *args: float
) -> tuple[float, float]:
    """Of a score's axis, see `score_figures.robust_range`."""
    inside, *others = [s.values(score, MEMBER) for s in (evaluation.in_distribution, *shown)]
    return score_figures.robust_range(inside, others, *args)


def axis_label(evaluation: Evaluation, score: str) -> str:
    """E.g. "Rate [nats]"."""
    return f"{evaluation.score_label(score)} [{evaluation.spec(score).unit}]"


def histograms(
    ax: Axes,
    evaluation: Evaluation,
    shown: Sequence[EvaluatedSet],
    score: str,
    limits: tuple[float, float],
    styles: Sequence[tuple[str, Any]] = layout.OOD_STYLES,
) -> None:
    """In-distribution inputs against OoD sets, with AUROCs in the legend below the panel.

    `shown` are OoD sets, one of `styles` (colour and line) each. Scores outside `limits`, the ends
    of the axis, are not drawn; the legend says what share they are.
    """
    edges = np.linspace(*limits, NUM_BINS + 1)
    inside = evaluation.in_distribution
    labels = [inside.label, *(f"{s.label}, AUROC {auroc(evaluation, s, score):.1f}" for s in shown)]
    sets = zip(labels, (inside, *shown), [(layout.IN_COLOR, "-"), *styles], strict=False)
    for label, one, (color, line) in sets:
        values = one.values(score, MEMBER)
        shares = np.histogram(values[np.isfinite(values)], edges)[0] / len(values)
        if one is inside:
            ax.stairs(shares, edges, fill=True, color=color, alpha=0.35, linewidth=0)
        text = label + _outside(values, limits)
        ax.stairs(shares, edges, color=color, linestyle=line, linewidth=1.3, label=text)
    ax.set_xlim(*limits)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    ax.legend(**LEGEND_BELOW)
    where = score_figures.toward(evaluation, score)
    ax.set_xlabel(f"{axis_label(evaluation, score)} ({where})")


def _outside(values: np.ndarray, limits: tuple[float, float]) -> str:
    """What share of the values is not drawn, in brackets; "" for none."""
    shares = {
        "left of the axis": np.mean(values < limits[0]),
        "right of the axis": np.mean(values > limits[1]),
        "NaN": np.mean(np.isnan(values)),
    }
    said = [f"{share:.1%} {side}" for side, share in shares.items() if share]
    return f" ({', '.join(said)})" if said else ""
