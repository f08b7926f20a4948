"""Figure 3 of the paper: why log p(x) of a VAE does, or does not, tell a data set from another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from tfp_genens.errors import UserError
from tfp_genens.evaluation import results
from tfp_genens.paper.counterparts import counterpart
from tfp_genens.paper.figures.histograms import overlaid_histograms
from tfp_genens.paper.labels import member_name, run_label
from tfp_genens.paper.requirements import require_scores
from tfp_genens.reporting import layout, score_figures
from tfp_genens.reporting.evaluation_files import ARGUMENT, EvaluatedSet, Evaluation
from tfp_genens.reporting.image_figures import to_rgb
from tfp_genens.reporting.layout import IN_COLOR, OOD_COLOR, WIDTH, Page

SCORES = ("rate", "distortion", "log_prob")
EXAMPLES = ("first", "reconstructions")
MEMBER = 0  # the member that reconstructed the examples
NUM_IMAGES = 10
WIDEN = 8.0  # how far axes follow OoD scores, in widths of the in-distribution range

Ranges = Mapping[str, tuple[float, float]]


def figure(evaluations: Sequence[Evaluation]) -> Page:
    """Inputs and decoded outputs, rate against distortion, and log p(x), a block an evaluation.

    Raises:
      UserError: an evaluation lacks OoD sets, images with reconstructions, or one of the scores.
    """
    for evaluation in evaluations:
        _check(evaluation)
    title = "Reconstructions, rate, distortion and log p(x) of one VAE"
    drawing = Figure(figsize=(WIDTH, 5.3 * len(evaluations) + 0.5), layout="constrained")
    drawing.suptitle(title, x=0.01, ha="left")
    blocks = drawing.subfigures(len(evaluations), 1, squeeze=False, hspace=0.04)[:, 0]
    for block, evaluation in zip(blocks, evaluations, strict=True):
        _block(block, evaluation, _ranges(evaluation, evaluations))
    return Page(
        "figure_3",
        title,
        "After the paper's Figure 3. Of each evaluation one member is shown. Top: inputs and, "
        "below them, what the member decodes from its code of them. Bottom: rate against "
        "distortion of every input, and the distribution of its log p(x) (16-sample IWAE). "
        "Evaluations of the same training set share their axes; scores outside are drawn at the "
        "frame of the scatter plot and are counted in the legends. Means over inputs: "
        + " ".join(_sentence(evaluation) for evaluation in evaluations),
        drawing,
    )


def shown_set(evaluation: Evaluation) -> EvaluatedSet:
    """The OoD set that is shown beside the in-distribution one."""
    names = [s.name for s in evaluation.ood]
    return evaluation.ood[names.index(counterpart(evaluation.document["train_dataset"], names))]


def auroc(evaluation: Evaluation, score: str) -> float:
    """AUROC of the shown member on the shown set, percent."""
    return evaluation.row(shown_set(evaluation).name, score)["auroc_members"][MEMBER]


def _check(evaluation: Evaluation) -> None:
    require_scores(evaluation, SCORES)
    sides = (evaluation.in_distribution, shown_set(evaluation))
    if not evaluation.has_images or not all(name in s.examples for s in sides for name in EXAMPLES):
        raise UserError(
            ARGUMENT,
            "evaluations that keep examples of images and their reconstructions",
            f"{evaluation.directory}, which does not",
        )


def _ranges(evaluation: Evaluation, evaluations: Sequence[Evaluation]) -> Ranges:
    """Ends of each score's axis: one for all evaluations of the same training set."""
    found = {}
    for score in SCORES:
        ends = [
            score_figures.robust_range(
                e.in_distribution.values(score, MEMBER),
                [shown_set(e).values(score, MEMBER)],
                WIDEN,
            )
            for e in evaluations
            if e.document["train_dataset"] == evaluation.document["train_dataset"]
        ]
        found[score] = (min(low for low, _ in ends), max(high for _, high in ends))
    return found


def _block(block: SubFigure, evaluation: Evaluation, ranges: Ranges) -> None:
    heading = f"{run_label(evaluation)}, {member_name(evaluation, MEMBER)}"
    block.suptitle(heading, x=0.01, ha="left", fontsize=10.5)
    axes = block.subplots(2, 2, height_ratios=(1, 2))
    sides = ((evaluation.in_distribution, IN_COLOR), (shown_set(evaluation), OOD_COLOR))
    for ax, (shown, color) in zip(axes[0], sides, strict=True):
        _images(ax, evaluation, shown, color)
    _scatter(axes[1, 0], evaluation, ranges)
    in_values, ood_values = (s.values("log_prob", MEMBER) for s, _ in sides)
    overlaid_histograms(
        axes[1, 1],
        (sides[0][0].label, in_values),
        [(f"{sides[1][0].label}, AUROC {auroc(evaluation, 'log_prob'):.1f}", ood_values)],
        ranges["log_prob"],
    )
    label, unit = evaluation.score_label("log_prob"), evaluation.spec("log_prob").unit
    axes[1, 1].set_xlabel(f"{label} [{unit}] ({score_figures.toward(evaluation, 'log_prob')})")
    axes[1, 1].set_ylabel("share of inputs per bin")


def _images(ax: Axes, evaluation: Evaluation, shown: EvaluatedSet, color: str) -> None:
    strips = [
        layout.strip(list(to_rgb(shown.examples[name][:NUM_IMAGES], evaluation)), color)
        for name in EXAMPLES
    ]
    ax.imshow(np.concatenate(strips))
    height = strips[0].shape[0]
    ax.set_yticks([0.5 * height, 1.5 * height], ["input", "decoded"])
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    rate, distortion = (_mean(shown, score) for score in SCORES[:2])
    ax.set_title(f"{shown.label}: mean distortion {distortion:.1f}, rate {rate:.1f} nats")


def _scatter(ax: Axes, evaluation: Evaluation, ranges: Ranges) -> None:
    points, colors, order, handles = [], [], [], []
    for shown, color in (
        (evaluation.in_distribution, IN_COLOR),
        (shown_set(evaluation), OOD_COLOR),
    ):
        scores = np.stack([shown.values(score, MEMBER) for score in SCORES[:2]], axis=1)
        clipped = np.clip(scores, *np.transpose([ranges[score] for score in SCORES[:2]]))
        outside = np.any(clipped != scores, axis=1).mean()  # NaN is outside, and cannot be drawn
        points.append(clipped)
        colors += [color] * len(scores)
        order.append(np.arange(len(scores)) / len(scores))
        note = f" ({outside:.1%} outside the axes)" if outside else ""
        handles.append(
            Line2D(
                [], [], color=color, marker="o", linestyle="", ms=4, label=f"{shown.label}{note}"
            )
        )
    # Alternating, so that neither set hides the other.
    mixed = np.argsort(np.concatenate(order), kind="stable")
    x, y = np.concatenate(points)[mixed].T
    ax.scatter(x, y, s=5, c=np.array(colors)[mixed], alpha=0.4, linewidth=0, rasterized=True)
    rate, distortion = (
        f"{evaluation.score_label(score)} [{evaluation.spec(score).unit}]" for score in SCORES[:2]
    )
    ax.set(
        xlim=_widened(ranges["rate"]),
        ylim=_widened(ranges["distortion"]),
        xlabel=rate,
        ylabel=distortion,
    )
    ax.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.0, -0.2),
        borderaxespad=0.0,
        fontsize=8.5,
    )


def _widened(ends: tuple[float, float]) -> tuple[float, float]:
    """So that points at the frame are seen whole."""
    margin = 0.02 * (ends[1] - ends[0])
    return ends[0] - margin, ends[1] + margin


def _mean(shown: EvaluatedSet, score: str) -> float:
    return float(shown.values(score, MEMBER).mean())


def _sentence(evaluation: Evaluation) -> str:
    means = "; ".join(
        f"{s.label}: distortion {_mean(s, 'distortion'):.1f}, rate {_mean(s, 'rate'):.1f}, "
        f"log p(x) {_mean(s, 'log_prob'):.1f} nats"
        for s in (evaluation.in_distribution, shown_set(evaluation))
    )
    aurocs = ", ".join(
        f"{results.score_label(evaluation.document, score)} {auroc(evaluation, score):.1f}"
        for score in SCORES
    )
    return (
        f"{run_label(evaluation)}, {member_name(evaluation, MEMBER)}: {means}; AUROC of {aurocs}."
    )
