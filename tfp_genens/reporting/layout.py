"""How every figure looks: colours, grids of panels, strips of images.

All colours are out of Okabe and Ito's palette, which colour-blind readers can tell apart;
in-distribution is blue and out-of-distribution vermilion in every figure.
"""

import dataclasses
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jinja2
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tfp_genens.files import packaged
from tfp_genens.reporting.evaluation_files import EvaluatedSet

IN_COLOR = "#0072B2"
OOD_COLOR = "#D55E00"
NEUTRAL_COLOR = "#999999"
# Where several OoD sets share a panel: colour and line.
OOD_STYLES: tuple[tuple[str, Any], ...] = (
    (OOD_COLOR, "-"),
    ("#009E73", "-"),
    ("#000000", (0, (4, 1.5))),
    ("#CC79A7", "-"),
    ("#E69F00", (0, (1.5, 1))),
    ("#56B4E9", "-"),
)
MAX_PANELS = 9
DPI = 130
WIDTH = 10.0  # inches

STYLE: dict[Any, Any] = {
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
    "text.parse_math": False,  # Names of sets are the user's, and may hold a "$".
}


@dataclasses.dataclass(frozen=True)
class Page:
    """One picture: the name of its file, a line, a caption for those who read only this."""

    name: str
    title: str
    caption: str
    figure: Figure

    def png(self) -> bytes:
        buffer = io.BytesIO()
        # No date and no version in the file: the same evaluation gives the same bytes.
        self.figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
        return buffer.getvalue()


def page(figure_name: str, title: str, drawing: Figure, suffix: str = "", **known: Any) -> Page:
    """A finished picture with its caption out of captions.toml, which shows what is `known`."""
    text = packaged("tfp_genens.reporting", "captions.toml")[figure_name]
    caption = jinja2.Template(text, undefined=jinja2.StrictUndefined).render(known)
    return Page(f"{figure_name}{suffix}", title, caption, drawing)


def figure(title: str, width: float, height: float) -> Figure:
    """An empty figure, in inches, with its title at the left."""
    drawing = Figure(figsize=(width, height), layout="constrained")
    drawing.suptitle(title, x=0.01, ha="left")
    return drawing


def groups(
    sets: Sequence[EvaluatedSet], size: int = MAX_PANELS
) -> Iterator[tuple[str, Sequence[EvaluatedSet]]]:
    """The sets a page can hold, with what to add to the page's file name."""
    for start in range(0, len(sets), size):
        suffix = "" if start == 0 else f"_{start // size + 1}"
        yield suffix, sets[start : start + size]


def set_panels(
    title: str, group: Sequence[EvaluatedSet], x: str, y: str, handles: Sequence[Any]
) -> tuple[Figure, Iterator[tuple[Axes, EvaluatedSet]]]:
    """A panel a set on common axes, to be filled; the rest of the figure is finished."""
    drawing, axes = panels(len(group), title, sharex=True, sharey=True)
    outer_labels(drawing, x, y)
    legend(drawing, handles)
    return drawing, zip(axes, group, strict=True)


def panels(
    num: int, title: str, max_columns: int = 3, height: float = 2.25, **kwargs: Any
) -> tuple[Figure, list[Axes]]:
    """A grid of panels, `max_columns` a line and `height` inches tall; unused ones are hidden."""
    num_columns = min(num, max_columns)
    num_rows = -(-num // num_columns)
    drawing = figure(title, WIDTH, height * num_rows + 0.9)
    axes = list(drawing.subplots(num_rows, num_columns, squeeze=False, **kwargs).flat)
    for ax in axes[num:]:
        ax.set_visible(False)
    # Where the last line is not full, the panels above its gaps must carry their own ticks.
    for ax in axes[max(0, num - num_columns) : num]:
        ax.tick_params(labelbottom=True)
    return drawing, axes[:num]


def strips(
    title: str, rows: Sequence[tuple[str, Sequence[np.ndarray]]], heads: Sequence[str] = ()
) -> Figure:
    """Lines of image strips with a label each; `heads` stand over the columns."""
    num_columns = max(len(blocks) for _, blocks in rows)
    total_width = WIDTH if num_columns > 1 else 0.65 * WIDTH
    strip_height = max(
        total_width / num_columns * 0.87 * blocks[0].shape[0] / blocks[0].shape[1]
        for _, blocks in rows
    )
    drawing = figure(title, total_width, (strip_height + 0.12) * len(rows) + 1.1)
    grid = drawing.subplots(len(rows), num_columns, squeeze=False)
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
    return drawing


def title(ax: Axes, label: str, right: str = "") -> None:
    ax.set_title(label)
    if right:
        ax.set_title(right, loc="right", fontsize=8.5, color="#444444")


def outer_labels(figure: Figure, x: str, y: str) -> None:
    figure.supxlabel(x, fontsize=9.5)
    figure.supylabel(y, fontsize=9.5)


def legend(figure: Figure, handles: Sequence[Any]) -> None:
    """Under the title, over the panels: it never covers data."""
    figure.legend(handles=list(handles), loc="outside upper right", ncols=len(handles), fontsize=9)


def side_handles(in_label: str, make: Callable[..., Any] = Patch, **style: Any) -> list[Any]:
    """For a legend: which colour is in-distribution and which the OoD set."""
    sides = ((IN_COLOR, in_label), (OOD_COLOR, "OoD set"))
    return [make(color=color, label=label, **style) for color, label in sides]


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
