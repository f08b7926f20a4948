"""Figure 3 of the paper: why log p(x) of a VAE does, or does not, tell a data set from another."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D

from tfp_genens.errors import UserError
from tfp_genens.paper import documents
from tfp_genens.paper.configurations import require_scores
from tfp_genens.paper.figures import scores
from tfp_genens.paper.numbers import counterpart
from tfp_genens.paper.shared import member_name, run_label
from tfp_genens.reporting import layout
from tfp_genens.reporting.evaluation_files import ARGUMENT, EvaluatedSet, Evaluation
from tfp_genens.reporting.image_figures import to_rgb

SCORES = ("rate", "distortion", "log_prob")
EXAMPLES = ("first", "reconstructions")
NUM_IMAGES = 10
WIDEN = 8.0  # how far axes follow OoD scores, in widths of the in-distribution range

Ranges = Mapping[str, tuple[float, float]]


def figure(evaluations: Sequence[Evaluation]) -> layout.Page:
    """Inputs and decoded outputs, rate against distortion, and log p(x), a block an evaluation.

    Raises:
      UserError: an evaluation lacks OoD sets, images with reconstructions, or one of the scores.
    """
    for evaluation in evaluations:
        _check(evaluation)
    title = "Reconstructions, rate, distortion and log p(x) of one VAE"
    drawing = layout.figure(title, layout.WIDTH, 5.3 * len(evaluations) + 0.5)
    blocks = drawing.subfigures(len(evaluations), 1, squeeze=False, hspace=0.04)[:, 0]
    for block, evaluation in zip(blocks, evaluations, strict=True):
        _block(block, evaluation, _ranges(evaluation, evaluations))
    functions = {"heading": _heading, "shown_set": shown_set, "mean": _mean, "auroc": scores.auroc}
    caption = documents.caption("figure_3", evaluations=evaluations, scores=SCORES, **functions)
    return layout.Page("figure_3", title, caption, drawing)


def shown_set(evaluation: Evaluation) -> EvaluatedSet:
    """The OoD set that is shown beside the in-distribution one."""
    names = [s.name for s in evaluation.ood]
    return evaluation.ood[names.index(counterpart(evaluation.document["train_dataset"], names))]


def _check(evaluation: Evaluation) -> None:
    require_scores(evaluation, SCORES)
    sides = (evaluation.in_distribution, shown_set(evaluation))
    if not evaluation.has_images or not all(name in s.examples for s in sides for name in EXAMPLES):
        expected = "evaluations that keep examples of images and their reconstructions"
        raise UserError(ARGUMENT, expected, f"{evaluation.directory}, which does not")


def _heading(evaluation: Evaluation) -> str:
    return f"{run_label(evaluation)}, {member_name(evaluation, scores.MEMBER)}"


def _ranges(evaluation: Evaluation, evaluations: Sequence[Evaluation]) -> Ranges:
    """Ends of each score's axis: one for all evaluations of the same training set."""
    train_dataset = evaluation.document["train_dataset"]
    alike = [e for e in evaluations if e.document["train_dataset"] == train_dataset]
    found = {}
    for score in SCORES:
        low, high = zip(*(scores.ends(e, [shown_set(e)], score, WIDEN) for e in alike), strict=True)
        found[score] = (min(low), max(high))
    return found


def _block(block: SubFigure, evaluation: Evaluation, ranges: Ranges) -> None:
    block.suptitle(_heading(evaluation), x=0.01, ha="left", fontsize=10.5)
    axes = block.subplots(2, 2, height_ratios=(1, 2))
    ood = shown_set(evaluation)
    _images(axes[0, 0], evaluation, evaluation.in_distribution, layout.IN_COLOR)
    _images(axes[0, 1], evaluation, ood, layout.OOD_COLOR)
    _scatter(axes[1, 0], evaluation, ranges)
    scores.histograms(axes[1, 1], evaluation, [ood], "log_prob", ranges["log_prob"])
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
    sides = (evaluation.in_distribution, layout.IN_COLOR), (shown_set(evaluation), layout.OOD_COLOR)
    for shown, color in sides:
        found = np.stack([shown.values(score, scores.MEMBER) for score in SCORES[:2]], axis=1)
        clipped = np.clip(found, *np.transpose([ranges[score] for score in SCORES[:2]]))
        outside = np.any(clipped != found, axis=1).mean()  # NaN is outside, and cannot be drawn
        points.append(clipped)
        colors += [color] * len(found)
        order.append(np.arange(len(found)) / len(found))
        label = shown.label + (f" ({outside:.1%} outside the axes)" if outside else "")
        handles.append(Line2D([], [], color=color, marker="o", linestyle="", ms=4, label=label))
    # Alternating, so that neither set hides the other.
    mixed = np.argsort(np.concatenate(order), kind="stable")
    x, y = np.concatenate(points)[mixed].T
    ax.scatter(x, y, s=5, c=np.array(colors)[mixed], alpha=0.4, linewidth=0, rasterized=True)
    for axis, score in zip("xy", SCORES, strict=False):
        low, high = ranges[score]
        margin = 0.02 * (high - low)  # so that points at the frame are seen whole
        ax.set(**{f"{axis}lim": (low - margin, high + margin)})
        ax.set(**{f"{axis}label": scores.axis_label(evaluation, score)})
    ax.legend(handles=handles, **scores.LEGEND_BELOW)


def _mean(shown: EvaluatedSet, score: str) -> float:
    return float(shown.values(score, scores.MEMBER).mean())
