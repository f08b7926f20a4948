"""Figures of one evaluation, drawn from its files alone.

A figure is a row of FIGURES: a function from an evaluation to pages. All colours are out of Okabe
and Ito's palette, which colour-blind readers can tell apart; in-distribution is blue and
out-of-distribution vermilion in every figure.
"""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from scipy import stats

from tfp_genens.evaluation import labels, metrics
from tfp_genens.evaluation.rows import ranking_score
from tfp_genens.files import atomic_path, make_directory, read_json, write_json
from tfp_genens.reporting import evaluation_files
from tfp_genens.reporting.evaluation_files import EvaluatedSet, Evaluation
from tfp_genens.spec import HIGHER_IS_NORMAL

IN_COLOR = "#0072B2"
OOD_COLOR = "#D55E00"
SCORE_STYLES: tuple[tuple[str, Any], ...] = (
    ("#009E73", "-"),
    ("#CC79A7", "--"),
    ("#000000", "-"),
    ("#E69F00", "-."),
)
MAX_PANELS = 9
MAX_SCORES = len(SCORE_STYLES)
NUM_BINS = 48
DPI = 130
WIDTH = 10.0  # inches

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "legend.frameon": False,
    "image.interpolation": "nearest",
}


@dataclasses.dataclass(frozen=True)
class Page:
    """One picture.

    Attributes:
      name: file name without suffix.
      title: one line.
      caption: what is seen and how it was made, for those who read only this.
      figure: the drawing.
    """

    name: str
    title: str
    caption: str
    figure: Figure

    def png(self) -> bytes:
        buffer = io.BytesIO()
        # No date and no version in the file: the same evaluation gives the same bytes.
        self.figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
        return buffer.getvalue()


def write_figures(output_dir: str | os.PathLike) -> None:
    """Draws every figure of an evaluation into its figures/, and figures/index.json last."""
    directory = make_directory(Path(output_dir) / "figures", "--output_dir")
    index_path = directory / "index.json"
    stale = set()
    if index_path.exists():
        stale = {entry["file"] for entry in read_json(index_path, "--output_dir")["figures"]}
        index_path.unlink()
    entries = []
    for page in pages(evaluation_files.load(output_dir, "--output_dir")):
        file = f"{page.name}.png"
        with atomic_path(directory / file) as temporary:
            temporary.write_bytes(page.png())
        entries.append({"file": file, "title": page.title, "caption": page.caption})
    for file in stale - {entry["file"] for entry in entries}:
        (directory / file).unlink(missing_ok=True)
    write_json(index_path, {"figures": entries})


def pages(evaluation: Evaluation) -> Iterator[Page]:
    """Every picture of an evaluation; nothing where no OoD set was evaluated."""
    if not evaluation.ood:
        return
    with matplotlib.rc_context(_STYLE):
        for draw in FIGURES.values():
            yield from draw(evaluation)


# --- distributions of scores -------------------------------------------------------------------


def robust_range(in_values: np.ndarray, ood_values: Sequence[np.ndarray]) -> tuple[float, float]:
    """A range that shows the in-distribution scores well, however far the others lie.

    The central 99 % of in-distribution scores, widened towards the OoD scores' central 99 % by at
    most twice its own width on either side.
    """

    def central(values: np.ndarray) -> tuple[float, float]:
        finite = values[np.isfinite(values)]
        if not finite.size:
            return np.nan, np.nan
        low, high = np.quantile(finite, [0.005, 0.995])
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
        float(max(lowest, low - 2 * width) - margin),
        float(min(highest, high + 2 * width) + margin),
    )


def histogram(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Share of inputs in each bin; what lies outside goes into the outer bins, NaN into none."""
    clipped = np.clip(values[~np.isnan(values)], edges[0], edges[-1])
    return np.histogram(clipped, edges)[0] / len(values)


def _histograms(evaluation: Evaluation) -> Iterator[Page]:
    for score in _main_scores(evaluation):
        spec = evaluation.spec(score)
        of = "of one member" if score in evaluation.in_distribution.scores.member_scores else ""
        edges = np.linspace(
            *robust_range(
                evaluation.in_distribution.values(score), [s.values(score) for s in evaluation.ood]
            ),
            NUM_BINS + 1,
        )
        for suffix, group in _groups(evaluation.ood):
            title = f"{labels.score(score)}: in-distribution against each OoD set"
            figure, axes = _panels(len(group), title, sharex=True, sharey=True)
            # In-distribution peaks decide the height; taller bars are cut and their height said.
            members = {s.member for s in group}
            top = 1.6 * max(
                histogram(evaluation.in_distribution.values(score, m), edges).max() for m in members
            )
            for ax, ood in zip(axes, group, strict=False):
                _histogram_panel(ax, evaluation, ood, score, edges, top)
            toward = "right" if spec.direction == HIGHER_IS_NORMAL else "left"
            _outer_labels(
                figure,
                f"{labels.score(score)} [{spec.unit}] (more normal to the {toward})",
                "share of inputs per bin",
            )
            _legend(
                figure,
                [
                    Patch(color=IN_COLOR, alpha=0.55, label=evaluation.in_distribution.label),
                    Patch(color=OOD_COLOR, alpha=0.55, label="OoD set"),
                ],
            )
            yield Page(
                f"histograms_{score}{suffix}",
                title,
                f"Distribution of {labels.score(score)} {of} on each set, in equal bins. The "
                "outermost bins also hold everything beyond them (said in the panel from 1 % on); "
                "bars taller than the frame are cut, with their height beside them.".replace(
                    "  ", " "
                ),
                figure,
            )


def _histogram_panel(
    ax: Axes,
    evaluation: Evaluation,
    ood: EvaluatedSet,
    score: str,
    edges: np.ndarray,
    top: float,
) -> None:
    notes = []
    for values, color in (
        (evaluation.in_distribution.values(score, ood.member), IN_COLOR),
        (ood.values(score), OOD_COLOR),
    ):
        shares = histogram(values, edges)
        ax.stairs(shares, edges, fill=True, color=color, alpha=0.45, linewidth=0)
        ax.stairs(shares, edges, color=color, linewidth=1.0)
        peak = int(shares.argmax())
        if shares[peak] > top:
            near_right = peak > NUM_BINS / 2
            ax.annotate(
                f"{shares[peak]:.0%}",
                (edges[peak] if near_right else edges[peak + 1], top),
                xytext=(-2 if near_right else 2, -2),
                textcoords="offset points",
                ha="right" if near_right else "left",
                va="top",
                color=color,
                fontsize=8,
            )
        below, above = np.mean(values < edges[0]), np.mean(values > edges[-1])
        name = "OoD" if color == OOD_COLOR else "in-dist."
        for share, side in ((below, "below"), (above, "above")):
            if share >= 0.01:
                notes.append((f"{share:.0%} of {name} {side} the axis", color))
        if np.isnan(values).any():
            notes.append((f"{np.isnan(values).sum()} {name} NaN", color))
    for k, (note, color) in enumerate(notes):
        ax.text(
            0.5,
            0.97 - 0.1 * k,
            note,
            transform=ax.transAxes,
            color=color,
            fontsize=7.5,
            ha="center",
            va="top",
        )
    ax.set_ylim(0, top)
    ax.set_xlim(edges[0], edges[-1])
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    _title(ax, ood, f"AUROC {evaluation.row(ood.name, score)['auroc']:.1f}")


def _roc_curves(evaluation: Evaluation) -> Iterator[Page]:
    scores = _main_scores(evaluation)
    num_in = len(evaluation.in_distribution.scores.frame)
    grid = np.geomspace(1.0 / num_in, 1.0, 200)
    for suffix, group in _groups(evaluation.ood):
        title = "ROC curves"
        figure, axes = _panels(len(group), title, sharex=True, sharey=True)
        for ax, ood in zip(axes, group, strict=False):
            ax.plot(grid, grid, color="#999999", linewidth=0.8, linestyle=":")
            for score, (color, line) in zip(scores, SCORE_STYLES, strict=False):
                curve = mean_roc(evaluation, ood, score, grid)
                ax.plot(grid, curve, color=color, linestyle=line, linewidth=1.6, clip_on=False)
            ax.set_xscale("log")
            ax.set_xlim(grid[0], 1.0)
            ax.set_ylim(0, 1.0)
            ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
            ax.grid(color="#dddddd", linewidth=0.5)
            _title(ax, ood)
        _outer_labels(
            figure,
            "false alarms: share of in-distribution inputs flagged (logarithmic)",
            "share of OoD inputs flagged",
        )
        handles = [
            Line2D([], [], color=color, linestyle=line, label=labels.score(score))
            for score, (color, line) in zip(scores, SCORE_STYLES, strict=False)
        ]
        _legend(figure, [*handles, Line2D([], [], color="#999999", linestyle=":", label="chance")])
        yield Page(
            f"roc{suffix}",
            title,
            "Single-model scores: mean of the members' curves at each rate of false alarms (the "
            f"attacked member's alone where a set attacks one). {num_in:,} in-distribution inputs, "
            "so rates below the left end cannot be told.",
            figure,
        )


def mean_roc(evaluation: Evaluation, ood: EvaluatedSet, score: str, grid: np.ndarray) -> np.ndarray:
    """True-positive rate at each false-positive rate of `grid`, mean over the members in use."""
    curves = []
    is_member_score = score in ood.scores.member_scores
    members = evaluation.row(ood.name, score)["members_used"] if is_member_score else [0]
    for member in members:
        fpr, tpr = metrics.roc_curve(
            evaluation.in_distribution.values(score, member),
            ood.values(score, member),
            evaluation.spec(score).direction,
        )
        curves.append(np.interp(grid, fpr, tpr))
    return np.mean(curves, axis=0)


def _rate_distortion(evaluation: Evaluation) -> Iterator[Page]:
    pair = ("rate", "distortion")
    if not all(score in evaluation.in_distribution.scores.member_scores for score in pair):
        return
    ranges = [
        robust_range(
            evaluation.in_distribution.values(score), [s.values(score) for s in evaluation.ood]
        )
        for score in pair
    ]
    title = "Rate and distortion of each input"
    for suffix, group in _groups(evaluation.ood):
        figure, axes = _panels(len(group), title, sharex=True, sharey=True)
        for ax, ood in zip(axes, group, strict=False):
            outside = np.zeros(len(ood.scores.frame), dtype=bool)
            for shown, color in ((evaluation.in_distribution, IN_COLOR), (ood, OOD_COLOR)):
                points = np.stack([shown.values(score, ood.member) for score in pair])
                inside = [np.clip(p, *r) for p, r in zip(points, ranges, strict=True)]
                if shown is ood:
                    outside = np.any(~(points == inside), axis=0)
                ax.scatter(
                    inside[0],
                    inside[1],
                    s=5,
                    color=color,
                    alpha=0.35,
                    linewidth=0,
                    clip_on=False,
                    rasterized=True,
                )
            ax.set_xlim(*ranges[0])
            ax.set_ylim(*ranges[1])
            share = outside.mean()
            _title(ax, ood, f"{share:.0%} at the frame" if share >= 0.005 else "")
        units = [evaluation.spec(score).unit for score in pair]
        _outer_labels(figure, f"rate [{units[0]}]", f"distortion [{units[1]}]")
        _legend(
            figure,
            [
                Line2D([], [], color=color, marker="o", linestyle="", markersize=4, label=label)
                for color, label in (
                    (IN_COLOR, evaluation.in_distribution.label),
                    (OOD_COLOR, "OoD set"),
                )
            ],
        )
        yield Page(
            f"rate_distortion{suffix}",
            title,
            "One member (the attacked one where a set attacks one). OoD inputs that lie outside "
            "the axes, or whose score is not a number, are counted in the title; those outside "
            "are drawn at the frame.",
            figure,
        )


def _calibration(evaluation: Evaluation) -> Iterator[Page]:
    if "p_value" not in evaluation.in_distribution.scores.frame:
        return
    p_values = evaluation.in_distribution.scores.frame["p_value"].to_numpy(np.float64)
    num_in = len(p_values)
    alphas = np.geomspace(max(1e-3, 1.0 / num_in), 1.0, 200)
    # A p-value that is NaN flags nothing.
    flagged = (p_values[None, :] <= alphas[:, None]).mean(axis=1)
    title = "Calibration: false alarms against the rate asked for"
    figure = Figure(figsize=(WIDTH / 2, WIDTH / 2), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    ax = figure.subplots()
    band = stats.binom.ppf([[0.025], [0.975]], num_in, alphas) / num_in
    ax.fill_between(alphas, *band, color="#cccccc", alpha=0.6, linewidth=0)
    ax.plot(alphas, alphas, color="#666666", linestyle=":")
    ax.plot(alphas, flagged, color=IN_COLOR, linewidth=1.8)
    ax.set(
        xscale="log",
        yscale="log",
        xlim=(alphas[0], 1),
        ylim=(alphas[0] / 2, 1.3),
        xlabel="alpha: rate of false alarms asked for",
        ylabel=f"share of {evaluation.in_distribution.label} flagged",
    )
    ax.grid(color="#dddddd", linewidth=0.5)
    _legend(
        figure,
        [
            Line2D([], [], color=IN_COLOR, label="found"),
            Line2D([], [], color="#666666", linestyle=":", label="asked for"),
            Patch(color="#cccccc", alpha=0.6, label="95 % of samples"),
        ],
    )
    yield Page(
        "calibration",
        title,
        f"Share of {num_in:,} in-distribution inputs with p-value <= alpha. The band holds 95 % of "
        "what samples of this size would show if p-values were uniform.",
        figure,
    )


# --- images --------------------------------------------------------------------------------------


def _extremes(evaluation: Evaluation) -> Iterator[Page]:
    shown = [
        s for s in (evaluation.in_distribution, *evaluation.ood) if "most_normal" in s.examples
    ]
    if not evaluation.has_images or len(shown) != 1 + len(evaluation.ood):
        return
    score = ranking_score(evaluation.in_distribution.scores)
    if score is None:
        return
    sign = 1.0 if evaluation.spec(score).direction == HIGHER_IS_NORMAL else -1.0
    title = f"Most and least normal inputs by {labels.score(score)}"
    for suffix, group in _groups(evaluation.ood):
        rows = []
        for ood in group:
            blocks = []
            for end, order in (("least", sign), ("most", -sign)):
                sides = ((evaluation.in_distribution, IN_COLOR), (ood, OOD_COLOR))
                images = np.concatenate(
                    [to_rgb(side.examples[f"{end}_normal"], evaluation) for side, _ in sides]
                )
                values = np.concatenate([side.examples[f"{end}_normal_score"] for side, _ in sides])
                colors = [
                    color for side, color in sides for _ in side.examples[f"{end}_normal_score"]
                ]
                # NaN last: as in the metrics, it never counts as found.
                chosen = np.argsort(order * values, kind="stable")[: len(values) // 2]
                blocks.append(strip([images[k] for k in chosen], [colors[k] for k in chosen]))
            rows.append((ood.label, blocks))
        figure = _strips(title, rows, ("least normal first", "most normal first"))
        _legend(
            figure,
            [
                Patch(color=IN_COLOR, label=evaluation.in_distribution.label),
                Patch(color=OOD_COLOR, label="OoD set"),
            ],
        )
        yield Page(
            f"extremes{suffix}",
            title,
            f"Each line mixes the in-distribution test inputs with one OoD set and shows the "
            f"{len(blocks) and len(chosen)} least (left) and most (right) normal of the mix by "
            f"{labels.score(score)}; the frame says where an input came from. A good score frames "
            "the left side vermilion and the right side blue.",
            figure,
        )


def _set_samples(evaluation: Evaluation) -> Iterator[Page]:
    if not evaluation.has_images:
        return
    title = "The sets: their first inputs"
    everyone = (evaluation.in_distribution, *evaluation.ood)
    for suffix, group in _groups(everyone, MAX_PANELS + 1):
        rows = [
            (
                shown.label,
                [
                    strip(
                        list(to_rgb(shown.examples["first"], evaluation)),
                        IN_COLOR if shown is evaluation.in_distribution else OOD_COLOR,
                    )
                ],
            )
            for shown in group
        ]
        yield Page(
            f"sets{suffix}",
            title,
            "The first inputs of each set as they were scored; values outside the valid range, "
            "which adversarial noise without clipping has, are shown clipped.",
            _strips(title, rows),
        )


def _reconstructions(evaluation: Evaluation) -> Iterator[Page]:
    shown = [
        s for s in (evaluation.in_distribution, *evaluation.ood) if "reconstructions" in s.examples
    ]
    if not evaluation.has_images or not shown:
        return
    title = "Inputs and their reconstructions"
    for suffix, group in _groups(shown, MAX_PANELS + 1):
        rows = []
        for s in group:
            color = IN_COLOR if s is evaluation.in_distribution else OOD_COLOR
            rows.append(
                (
                    s.label,
                    [
                        strip(list(to_rgb(s.examples["first"], evaluation)), color),
                        strip(list(to_rgb(s.examples["reconstructions"], evaluation)), color),
                    ],
                )
            )
        yield Page(
            f"reconstructions{suffix}",
            title,
            "Inputs (left) and what member 0 makes of them (right), in the same order.",
            _strips(title, rows, ("inputs", "reconstructions by member 0")),
        )


def _model_samples(evaluation: Evaluation) -> Iterator[Page]:
    samples = evaluation.model_samples
    if samples is None or samples.ndim != 5 or samples.shape[-1] not in (1, 3):
        return
    title = "Samples from the members"
    rows = [
        (f"member {m}", [strip(list(to_rgb(images, evaluation)), "#999999")])
        for m, images in enumerate(samples)
    ]
    yield Page(
        "model_samples",
        title,
        "Images drawn from each member: what it takes the training data to look like.",
        _strips(title, rows[:MAX_PANELS]),
    )


def to_rgb(images: np.ndarray, evaluation: Evaluation) -> np.ndarray:
    """Raw inputs [num, height, width, 1 or 3] as float [num, height, width, 3] in [0, 1]."""
    low, high = evaluation.document["value_range"] or (0.0, 255.0)
    scaled = np.clip((np.asarray(images, np.float64) - low) / (high - low), 0.0, 1.0)
    scaled = np.nan_to_num(scaled, nan=0.0)
    return np.repeat(scaled, 3, axis=-1) if scaled.shape[-1] == 1 else scaled


def strip(images: Sequence[np.ndarray], colors: str | Sequence[str]) -> np.ndarray:
    """Images [height, width, 3] side by side, each framed in its colour."""
    if isinstance(colors, str):
        colors = [colors] * len(images)
    zoom = max(1, round(64 / max(images[0].shape[:2])))
    frame, gap = 3, 4
    tiles = []
    for image, color in zip(images, colors, strict=True):
        large = image.repeat(zoom, axis=0).repeat(zoom, axis=1)
        height, width = large.shape[:2]
        tile = np.ones((height + 2 * (frame + gap), width + 2 * (frame + gap), 3))
        tile[gap:-gap, gap:-gap] = matplotlib.colors.to_rgb(color)
        tile[gap + frame : -gap - frame, gap + frame : -gap - frame] = large
        tiles.append(tile)
    return np.concatenate(tiles, axis=1)


# --- layout --------------------------------------------------------------------------------------


def _main_scores(evaluation: Evaluation) -> list[str]:
    return list(evaluation.document["main_scores"])[:MAX_SCORES]


def _groups(
    sets: Sequence[EvaluatedSet], size: int = MAX_PANELS
) -> Iterator[tuple[str, Sequence[EvaluatedSet]]]:
    """The sets a page can hold, with what to add to the page's file name."""
    for start in range(0, len(sets), size):
        suffix = "" if start == 0 else f"_{start // size + 1}"
        yield suffix, sets[start : start + size]


def _panels(num: int, title: str, **kwargs: Any) -> tuple[Figure, list[Axes]]:
    """A grid of panels, three a line; unused ones are hidden."""
    num_columns = min(num, 3)
    num_rows = -(-num // num_columns)
    figure = Figure(figsize=(WIDTH, 2.25 * num_rows + 0.9), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    grid = figure.subplots(num_rows, num_columns, squeeze=False, **kwargs)
    axes = list(grid.flat)
    for ax in axes[num:]:
        ax.set_visible(False)
        # The panel above has no neighbour below to carry its ticks.
    for ax in axes[max(0, num - num_columns) : num]:
        ax.tick_params(labelbottom=True)
    return figure, axes[:num]


def _strips(
    title: str, rows: Sequence[tuple[str, Sequence[np.ndarray]]], heads: Sequence[str] = ()
) -> Figure:
    """Lines of image strips with a label each; `heads` stand over the columns."""
    num_columns = max(len(blocks) for _, blocks in rows)
    strip_height = max(
        WIDTH / num_columns * 0.87 * blocks[0].shape[0] / blocks[0].shape[1] for _, blocks in rows
    )
    figure = Figure(figsize=(WIDTH, (strip_height + 0.12) * len(rows) + 1.1), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    grid = figure.subplots(len(rows), num_columns, squeeze=False)
    for line, (label, blocks) in zip(grid, rows, strict=True):
        for ax, block in zip(line, blocks, strict=False):
            ax.imshow(block)
        for ax in line:
            ax.set_xticks([])
            ax.set_yticks([])
            ax.spines[:].set_visible(False)
        line[0].set_ylabel(
            label.replace(", ", ",\n"), rotation=0, ha="right", va="center", fontsize=9
        )
    for ax, head in zip(grid[0], heads, strict=False):
        ax.set_title(head)
    return figure


def _title(ax: Axes, ood: EvaluatedSet, right: str = "") -> None:
    ax.set_title(ood.label)
    if right:
        ax.set_title(right, loc="right", fontsize=8.5, color="#444444")


def _outer_labels(figure: Figure, x: str, y: str) -> None:
    figure.supxlabel(x, fontsize=9.5)
    figure.supylabel(y, fontsize=9.5)


def _legend(figure: Figure, handles: Sequence[Any]) -> None:
    """Under the title, over the panels: it never covers data."""
    figure.legend(handles=list(handles), loc="outside upper right", ncols=len(handles), fontsize=9)


FIGURES: dict[str, Callable[[Evaluation], Iterator[Page]]] = {
    "histograms": _histograms,
    "roc": _roc_curves,
    "rate_distortion": _rate_distortion,
    "calibration": _calibration,
    "extremes": _extremes,
    "sets": _set_samples,
    "reconstructions": _reconstructions,
    "model_samples": _model_samples,
}
