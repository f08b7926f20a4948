"""Figure 2 of the paper: density, discriminators and their variance on a 2-D normal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.patheffects import withTickedStroke
from scipy import stats

from tfp_genens.evaluation import tables
from tfp_genens.paper import documents
from tfp_genens.paper.toy.regions import BOX, CENTRE, box_ticks
from tfp_genens.reporting import layout
from tfp_genens.reporting.provenance import short_commit

if TYPE_CHECKING:  # Drawing needs the arrays that training leaves, not what trains.
    from tfp_genens.paper.toy.experiment import Ensemble, Toy

SHOWN_GANS = 4  # as in the paper
SHOWN_POINTS = 1000
SHOWN_LOSSES = 6  # of each curve, evenly spaced
GAN_COLORS = ("#009E73", "#CC79A7", "#E69F00", "#000000")
DISC_STYLE: dict[str, Any] = {"color": "#444444", "linestyle": (0, (4, 2)), "linewidth": 1.2}
TOWARDS_DATA = 135  # degrees; a contour has its higher values on the left
NUM_LEVELS = 15
LOG_PROB_RANGE = (-16.0, -2.0)  # nats, of what (a) tells apart by colour
TITLE = "A flow, four discriminators and an ensemble's variance on a 2-D normal"


def figure(toy: Toy) -> layout.Page:
    """(a) the flow's density, (b) four decision boundaries, (c) the variance of D."""
    drawing, axes = layout.panels(3, TITLE, height=2.9)
    _density(axes[0], toy)
    _boundaries(axes[1], toy)
    _variance(axes[2], toy)
    # Of all discs that hold 95 % of p(x), and of all regions, this is the smallest.
    radius = math.sqrt(stats.chi2.ppf(0.95, df=2))
    for ax in axes:
        ax.add_patch(Circle(CENTRE, radius, fill=False, **DISC_STYLE))
        ax.set(aspect="equal", xlim=BOX, ylim=BOX, xlabel="x1")
    axes[0].set_ylabel("x2")
    colors = {"threshold that accepts 95 % of held-out p(x)": layout.OOD_COLOR}
    colors |= dict(zip(_names(toy.gans), GAN_COLORS, strict=False))
    handles = [Line2D([], [], label="smallest region with 95 % of p(x)", **DISC_STYLE)]
    handles += [Line2D([], [], color=color, label=name) for name, color in colors.items()]
    drawing.legend(handles=handles, loc="outside lower left", ncols=len(handles))
    return layout.Page("figure_2", TITLE, documents.caption("figure_2", **_context(toy)), drawing)


def trained(seed: int) -> tuple[layout.Page, pd.DataFrame]:
    """Trains the paper's toy example and draws it."""
    from tfp_genens.paper.toy import experiment
    from tfp_genens.runtime import configure_tensorflow

    configure_tensorflow(num_threads=1)  # Networks as small as these lose time to more.
    toy = experiment.run(experiment.ToySettings(), seed)
    return figure(toy), records(toy)


def records(toy: Toy) -> pd.DataFrame:
    """The CSV: a line a region, shares from 0 to 1."""
    lines = toy.regions.drop(columns=["part", "is_centred"])
    lines.insert(0, "seed", toy.seed)
    return lines


def of_part(toy: Toy, part: str, is_centred: bool = True) -> pd.DataFrame:
    """Lines of `Toy.regions`."""
    return toy.regions[(toy.regions["part"] == part) & (toy.regions["is_centred"] == is_centred)]


def _score(
    ax: Axes, toy: Toy, part: str, values: np.ndarray, levels: np.ndarray, **kwargs: Any
) -> Any:
    """Filled contours, what lies beyond the levels like the ends, and the threshold of a part.

    Returns their scale.
    """
    ticks = box_ticks(len(values))
    clipped = np.clip(values, levels[0], levels[-1])
    drawn = ax.contourf(ticks, ticks, clipped, levels, **kwargs)
    threshold = of_part(toy, part)["threshold"].item()
    ax.contour(ticks, ticks, values, [threshold], colors=layout.OOD_COLOR, linewidths=1.5)
    return ax.figure.colorbar(drawn, ax=ax, shrink=0.75, pad=0.02)


def _density(ax: Axes, toy: Toy) -> None:
    levels = np.linspace(*LOG_PROB_RANGE, NUM_LEVELS)
    bar = _score(ax, toy, "flow", toy.flow_log_prob, levels, cmap="Blues")
    bar.set_ticks(np.linspace(*LOG_PROB_RANGE, 5))
    ax.set_title("(a) Log density of the flow [nats]")


def _boundaries(ax: Axes, toy: Toy) -> None:
    x, y = toy.points[:SHOWN_POINTS].T
    ax.scatter(x, y, s=3, color=layout.IN_COLOR, alpha=0.35, linewidth=0, rasterized=True)
    for grid, color in zip(toy.gans.discriminators, GAN_COLORS, strict=False):
        ticks = box_ticks(len(grid))
        lines = ax.contour(ticks, ticks, grid, [0.0], colors=color, linewidths=1.3)
        lines.set(path_effects=[withTickedStroke(angle=TOWARDS_DATA, spacing=11, length=0.5)])
    ax.set_title(f"(b) D = 0 of {min(SHOWN_GANS, len(toy.gans.discriminators))} GANs")


def _variance(ax: Axes, toy: Toy) -> None:
    variance = toy.gans.variance
    low, high = np.log10(np.quantile(variance, [0.001, 0.999]))
    levels = np.logspace(low, high, NUM_LEVELS)
    bar = _score(ax, toy, "variance", variance, levels, cmap="Blues_r", norm=LogNorm())
    powers = 10.0 ** np.arange(np.ceil(low), high)
    bar.set_ticks(powers, labels=[f"{power:g}" for power in powers])
    bar.minorticks_off()
    ax.set_title(f"(c) Var(D) of {len(toy.gans.discriminators)} GANs")


def _names(gans: Ensemble) -> list[str]:
    return [f"GAN {k + 1}" for k in range(len(gans.samples))]


def _context(toy: Toy) -> Mapping[str, Any]:
    """What the template shows beside the picture."""
    return {
        "toy": toy,
        "shown_gans": min(SHOWN_GANS, toy.settings.gans.num_members),
        "box": "[{:g}, {:g}]^2".format(*BOX),
        "side": len(toy.flow_log_prob),
        "of_part": of_part,
        "regions": _regions(toy.regions),
        "generators": [_generators(toy.gans), _generators(toy.uncentred)],
        "distances": _losses(toy, toy.gans.distances),
        "cross_entropies": _losses(toy, toy.gans.cross_entropies),
        "entropy": math.log(2 * math.pi * math.e),
        "commit": short_commit(toy.git_commit),
    }


def _regions(regions: pd.DataFrame) -> pd.DataFrame:
    percent = 100 * regions[["mass", "mass_low", "mass_high", "box", "edge"]]
    signs = regions["higher_is_normal"].map({True: ">= ", False: "<= "})
    return pd.DataFrame(
        {
            "score": regions["name"],
            "accepts": signs + regions["threshold"].map("{:.4g}".format),
            "of p(x), %": percent.apply(tables.value_text, axis=1, name="mass"),
            "of the box, %": percent["box"],
            "of its edge, %": percent["edge"],
        }
    )


def _generators(gans: Ensemble) -> pd.DataFrame:
    means, covariances = gans.samples.mean(axis=1), np.stack([np.cov(x.T) for x in gans.samples])
    moments = {
        "mean x1": means[:, 0],
        "mean x2": means[:, 1],
        "var x1": covariances[:, 0, 0],
        "var x2": covariances[:, 1, 1],
        "cov": covariances[:, 0, 1],
    }
    lines = pd.DataFrame(moments).map("{:.2f}".format)
    lines.insert(0, "", _names(gans))
    lines["accuracy of D, %"] = 100 * gans.accuracies
    return lines


def _losses(toy: Toy, curve: np.ndarray) -> pd.DataFrame:
    """Some means of a loss curve of the GANs that are drawn."""
    shown = np.unique(np.linspace(0, len(curve) - 1, SHOWN_LOSSES).round().astype(int))
    lines = pd.DataFrame(curve[shown], columns=_names(toy.gans)).map("{:.4f}".format)
    lines.insert(0, "steps", [f"{k * toy.steps_a_mean + 1:,} and on" for k in shown])
    return lines
