"""Histograms of several sets in one panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tfp_genens.reporting import layout
from tfp_genens.reporting.layout import IN_COLOR
from tfp_genens.reporting.score_figures import NUM_BINS


def overlaid_histograms(
    ax: Axes,
    in_distribution: tuple[str, np.ndarray],
    ood: Sequence[tuple[str, np.ndarray]],
    ends: tuple[float, float],
    num_bins: int = 2 * NUM_BINS,
    ood_styles: Sequence[tuple[str, Any]] = layout.OOD_STYLES,
) -> None:
    """Histograms of several sets in one panel, with a legend below it.

    Args:
      ax: the panel.
      in_distribution: what the legend calls the in-distribution set, and its scores.
      ood: likewise of OoD sets, one a style at most.
      ends: of the axis. Scores outside are not drawn; the legend says what share they are.
      num_bins: of equal width.
      ood_styles: colour and line of each OoD set.
    """
    edges = np.linspace(*ends, num_bins + 1)
    styles = [(IN_COLOR, "-"), *ood_styles]
    for k, ((label, values), (color, line)) in enumerate(
        zip((in_distribution, *ood), styles, strict=False)
    ):
        shares = np.histogram(values[np.isfinite(values)], edges)[0] / len(values)
        notes = [
            f"{share:.1%} {side}"
            for share, side in (
                (np.mean(values < edges[0]), "left of the axis"),
                (np.mean(values > edges[-1]), "right of the axis"),
                (np.mean(np.isnan(values)), "NaN"),
            )
            if share
        ]
        if k == 0:
            ax.stairs(shares, edges, fill=True, color=color, alpha=0.35, linewidth=0)
        ax.stairs(
            shares,
            edges,
            color=color,
            linestyle=line,
            linewidth=1.3,
            label=label + (f" ({', '.join(notes)})" if notes else ""),
        )
    ax.set_xlim(*ends)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    ax.legend(loc="upper left", bbox_to_anchor=(0.0, -0.2), borderaxespad=0.0, fontsize=8.5)
