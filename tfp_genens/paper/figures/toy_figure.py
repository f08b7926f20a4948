"""Figure 2 of the paper: density, discriminators and their variance on a 2-D normal."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.patheffects import withTickedStroke
from scipy import stats

from tfp_genens.paper.documents import Document, Section
from tfp_genens.paper.report import MeasuredFigure
from tfp_genens.reporting import layout
from tfp_genens.reporting.layout import IN_COLOR, OOD_COLOR, Page
from tfp_genens.reporting.provenance import short_commit

if TYPE_CHECKING:  # Drawing needs the arrays that training leaves, not what trains.
    from tfp_genens.paper.toy.experiment import Ensemble, Toy
    from tfp_genens.paper.toy.regions import Region

SHOWN_GANS = 4  # as in the paper
SHOWN_POINTS = 1000
SHOWN_LOSSES = 6  # of each curve, evenly spaced
GAN_COLORS = ("#009E73", "#CC79A7", "#E69F00", "#000000")
DISC_STYLE: dict[str, Any] = {"color": "#444444", "linestyle": (0, (4, 2)), "linewidth": 1.2}
TOWARDS_DATA = 135  # degrees; a contour has its higher values on the left
NUM_LEVELS = 15
LOG_PROB_RANGE = (-16.0, -2.0)  # nats, of what (a) tells apart by colour
TITLE = "A flow, four discriminators and an ensemble's variance on a 2-D normal"


def figure(toy: Toy) -> Page:
    """(a) the flow's density, (b) four decision boundaries, (c) the variance of D."""
    drawing, axes = layout.panels(3, TITLE, height=2.9)
    _density(axes[0], toy)
    _boundaries(axes[1], toy)
    _variance(axes[2], toy)
    # Of all discs that hold 95 % of p(x), and of all regions, this is the smallest.
    radius = math.sqrt(stats.chi2.ppf(0.95, df=2))
    for ax in axes:
        ax.add_patch(Circle(toy.centre, radius, fill=False, **DISC_STYLE))
        ax.set(aspect="equal", xlim=toy.box, ylim=toy.box, xlabel="x1")
    axes[0].set_ylabel("x2")
    handles = [
        Line2D([], [], label="smallest region with 95 % of p(x)", **DISC_STYLE),
        Line2D([], [], color=OOD_COLOR, label="threshold that accepts 95 % of held-out p(x)"),
        *(
            Line2D([], [], color=color, label=name)
            for color, name in zip(GAN_COLORS, _names(toy.gans), strict=False)
        ),
    ]
    drawing.legend(handles=handles, loc="outside lower left", ncols=len(handles))
    return Page("figure_2", TITLE, _caption(toy), drawing)


def trained(seed: int) -> MeasuredFigure:
    """Trains the paper's toy example and draws it."""
    from tfp_genens.paper.toy import experiment
    from tfp_genens.runtime import configure_tensorflow

    configure_tensorflow(num_threads=1)  # Networks as small as these lose time to more.
    toy = experiment.run(experiment.ToySettings(), seed)
    return measured(toy)


def measured(toy: Toy) -> MeasuredFigure:
    numbers = Document(
        "sections", {"title": None, "text": (), "sections": sections(toy)}, records(toy)
    )
    return MeasuredFigure(figure(toy), numbers)


def sections(toy: Toy) -> tuple[Section, ...]:
    """The figure's numbers, what was trained and how."""
    return (
        _regions(toy),
        _generators(toy, toy.gans, "The generators"),
        _generators(toy, toy.uncentred, "The generators of the uncentred GANs"),
        _losses(toy, "distances", "The critics' estimates of the Wasserstein distance"),
        _losses(toy, "cross_entropies", "The discriminators' sigmoid cross-entropy [nats]"),
        _settings(toy),
    )


def records(toy: Toy) -> tuple[Mapping[str, Any], ...]:
    """The CSV: a line a region, shares from 0 to 1."""
    return tuple({"seed": toy.seed} | dataclasses.asdict(region) for region in toy.regions)


def _filled(ax: Axes, toy: Toy, values: np.ndarray, levels: np.ndarray, **kwargs: Any) -> Any:
    """Filled contours and their scale; values beyond the levels are drawn like the ends."""
    values = np.clip(values, levels[0], levels[-1])
    drawn = ax.contourf(toy.ticks, toy.ticks, values, levels, **kwargs)
    return ax.figure.colorbar(drawn, ax=ax, shrink=0.75, pad=0.02)


def _line(ax: Axes, toy: Toy, values: np.ndarray, region: Region) -> None:
    ax.contour(toy.ticks, toy.ticks, values, [region.threshold], colors=OOD_COLOR, linewidths=1.5)


def _density(ax: Axes, toy: Toy) -> None:
    levels = np.linspace(*LOG_PROB_RANGE, NUM_LEVELS)
    bar = _filled(ax, toy, toy.flow_log_prob, levels, cmap="Blues")
    bar.set_ticks(np.linspace(*LOG_PROB_RANGE, 5))
    _line(ax, toy, toy.flow_log_prob, toy.flow_region)
    ax.set_title("(a) Log density of the flow [nats]")


def _boundaries(ax: Axes, toy: Toy) -> None:
    x, y = toy.points[:SHOWN_POINTS].T
    ax.scatter(x, y, s=3, color=IN_COLOR, alpha=0.35, linewidth=0, rasterized=True)
    for grid, color in zip(toy.gans.discriminators, GAN_COLORS, strict=False):
        lines = ax.contour(toy.ticks, toy.ticks, grid, [0.0], colors=color, linewidths=1.3)
        lines.set(path_effects=[withTickedStroke(angle=TOWARDS_DATA, spacing=11, length=0.5)])
    ax.set_title(f"(b) D = 0 of {min(SHOWN_GANS, len(toy.gans.discriminators))} GANs")


def _variance(ax: Axes, toy: Toy) -> None:
    low, high = np.log10(np.quantile(toy.gans.variance, [0.001, 0.999]))
    levels = np.logspace(low, high, NUM_LEVELS)
    bar = _filled(ax, toy, toy.gans.variance, levels, cmap="Blues_r", norm=LogNorm())
    powers = 10.0 ** np.arange(np.ceil(low), high)
    bar.set_ticks(powers, labels=[f"{power:g}" for power in powers])
    bar.minorticks_off()
    _line(ax, toy, toy.gans.variance, toy.gans.variance_region)
    ax.set_title(f"(c) Var(D) of {len(toy.gans.discriminators)} GANs")


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _ends(regions: Sequence[Region], share: str) -> str:
    """The least and the greatest of a share, e.g. "1.0 to 2.0 %"."""
    values = [100 * getattr(region, share) for region in regions]
    return f"{min(values):.1f} to {max(values):.1f} %"


def _box(toy: Toy) -> str:
    low, high = toy.box
    return f"[{low:g}, {high:g}]^2"


def _caption(toy: Toy) -> str:
    gans, settings = toy.gans, toy.settings.gans
    shown = min(SHOWN_GANS, settings.num_members)
    return (
        "After the paper's Figure 2: p(x) is the 2-D normal with identity covariance around "
        f"(5, 5). (a) Log density of a flow of {toy.settings.flow.num_flows} MAF bijectors. "
        f"(b) Decision boundaries D = 0 of {shown} independently trained GANs, their "
        f"discriminators trained {settings.finetune_steps:,} steps further against the finished "
        "generators; ticks point to the side taken for data, dots are draws of p(x). "
        f"(c) Variance of the logit D over an ensemble of {settings.num_members}, the {shown} of "
        "(b) among them (the paper does not say how many). The solid line of (a) and (c) bounds "
        "what a threshold accepts that keeps 95 % of held-out draws of p(x): "
        f"{_share(toy.flow_region.box)} of the box {_box(toy)} by the flow's density and "
        f"{_share(gans.variance_region.box)} by Var(D), where p(x) itself would accept "
        f"{_share(toy.data_region.box)} and single discriminators, with thresholds set likewise, "
        f"accept {_ends(gans.member_regions, 'box')}. Of the box's edge, where a closed fence has "
        f"0 %, Var(D) accepts {_share(gans.variance_region.edge)} and single discriminators "
        f"{_ends(gans.member_regions, 'edge')}. The boundaries D = 0 leave "
        f"{_ends(gans.boundary_regions, 'mass')} of p(x) on the side of data, with "
        f"{_ends(gans.boundary_regions, 'box')} of the box. It hangs on how the GANs are set up: "
        "where their networks are given x as it is, not x - (5, 5), Var(D) accepts "
        f"{_share(toy.uncentred.variance_region.box)} of the box and "
        f"{_share(toy.uncentred.variance_region.edge)} of its edge."
    )


def _regions(toy: Toy) -> Section:
    num, side = f"{toy.settings.num_points:,}", len(toy.ticks)
    return Section(
        "How well each score fences p(x) in",
        (
            f"Thresholds are set to accept 95 % of {num} held-out draws of p(x), but for the "
            f"discriminators' own, D > 0. The mass inside is that of {num} fresh draws (with 95 % "
            f"Clopper-Pearson intervals); of the box {_box(toy)}, {side} x {side} points are "
            f"scored, and {4 * side:,} of its edge.",
        ),
        ("score", "accepts", "of p(x), %", "of the box, %", "of its edge, %"),
        tuple(
            (
                region.name,
                f"{'>=' if region.higher_is_normal else '<='} {region.threshold:.4g}",
                f"{100 * region.mass:.1f} "
                f"[{100 * region.mass_low:.1f}, {100 * region.mass_high:.1f}]",
                f"{100 * region.box:.1f}",
                f"{100 * region.edge:.1f}",
            )
            for region in toy.regions
        ),
        (
            "Nothing can accept as much of p(x) with less of the plane than log p(x) itself.",
            "A region that reaches the box's edge is open there: it does not fence p(x) in.",
            "D is the discriminators' logit; Var(D) is the population's (ddof 0).",
        ),
    )


def _generators(toy: Toy, gans: Ensemble, heading: str) -> Section:
    num = f"{toy.settings.num_points:,}"
    body = []
    for name, samples, accuracy in zip(_names(gans), gans.samples, gans.accuracies, strict=True):
        (x, y), ((xx, xy), (_, yy)) = samples.mean(axis=0), np.cov(samples.T)
        cells = (f"{value:.2f}" for value in (x, y, xx, yy, xy))
        body.append((name, *cells, f"{100 * accuracy:.1f}"))
    return Section(
        heading,
        (
            f"Moments of {num} samples of each; those of p(x) are 5, 5, 1, 1 and 0. The accuracy "
            "is that of its discriminator on those samples and as many fresh draws of p(x): 50 % "
            "where they cannot be told apart.",
        ),
        ("", "mean x1", "mean x2", "var x1", "var x2", "cov", "accuracy of D, %"),
        tuple(body),
    )


def _names(gans: Ensemble) -> list[str]:
    return [f"GAN {k + 1}" for k in range(len(gans.samples))]


def _losses(toy: Toy, name: str, heading: str) -> Section:
    """Some means of the loss curves of the GANs that are drawn."""
    curve = getattr(toy.gans, name)
    shown = np.unique(np.linspace(0, len(curve) - 1, SHOWN_LOSSES).round().astype(int))
    steps = [f"{k * toy.steps_a_mean + 1:,} and on" for k in shown]
    body = zip(steps, (map("{:.4f}".format, curve[k]) for k in shown), strict=True)
    return Section(
        heading,
        (f"Means over {toy.steps_a_mean} steps of the phase, or what is left of it.",),
        ("steps", *_names(toy.gans)),
        tuple((first, *values) for first, values in body),
    )


def _settings(toy: Toy) -> Section:
    flow, gans = toy.settings.flow, toy.settings.gans
    hidden = " and ".join(map(str, gans.hidden_units))
    return Section(
        "How it was trained",
        (
            "The paper states the data, the kinds of models, four GANs, and 10,000 further steps "
            "of the discriminators. All else is ours: steps and learning rates by the moments of "
            "samples and the loss curves of (uncentred) GANs of another seed than the default.",
        ),
        notes=(
            f"Flow: {flow.num_flows} MAF bijectors with hidden layers of "
            f"{' and '.join(map(str, flow.hidden_units))} units, the dimensions changing places "
            f"between them; {flow.steps:,} Adam steps of maximum likelihood from learning rate "
            f"{flow.learning_rate:g} along a cosine, batches of {flow.batch_size}. Its last mean "
            f"negative log-likelihood is {toy.flow_losses[-1]:.3f} nats (the entropy of p(x): "
            f"{math.log(2 * math.pi * math.e):.3f}), its mass in the box {toy.flow_mass:.4f}.",
            f"GANs: generator and critic with hidden layers of {hidden} leaky ReLU units, a latent "
            f"code of {gans.latent_size} dimensions; WGAN-GP with penalty {gans.penalty_weight:g}, "
            f"{gans.generator_steps:,} generator steps with {gans.critic_steps} critic steps "
            f"before each, batches of {gans.batch_size}; Adam (0.5, 0.9) with learning rates "
            f"{gans.critic_learning_rate:g} for critics and {gans.generator_learning_rate:g} for "
            "generators.",
            f"Discriminators: the critics trained {gans.finetune_steps:,} steps further by sigmoid "
            f"cross-entropy (data 1, samples 0) with Adam at {gans.critic_learning_rate:g}, the "
            "generators standing still.",
            "Each batch is fresh draws of p(x). Members share neither weights nor random numbers.",
            "The networks work with x - (5, 5); those of the uncentred GANs with x, so that their "
            "generators start at the origin and all approach p(x) from the same side. Both were "
            "run, and their shares seen, before it was chosen which to draw: those whose samples "
            "are nearer to p(x), by the accuracies above.",
            f"Seed {toy.seed}; trained and drawn by commit {short_commit(toy.git_commit)}.",
        ),
    )
