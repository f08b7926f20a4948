"""The leaderboard as one picture: AUROC by score and OoD set."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from tfp_genens.paper import configurations, documents
from tfp_genens.paper.tables import leaderboard_table
from tfp_genens.reporting import layout
from tfp_genens.reporting.evaluation_files import Evaluation

MAX_SCORES = 25
LINE, HEAD = 0.24, 1.5  # inches
COLORS = "RdYlBu"
DARK = (15.0, 90.0)  # AUROCs beyond which white is read more easily than black


def figure(evaluations: Sequence[Evaluation]) -> layout.Page:
    """A panel a training set: its best scores by mean rank; raises UserError as the table does."""
    boards = [
        leaderboard_table.board(of_one) for of_one in configurations.by_training_set(evaluations)
    ]
    shown = [board["aurocs"].head(MAX_SCORES).set_index("score") for board in boards]
    heights = [LINE * len(aurocs) + HEAD for aurocs in shown]
    title = "Every score on every OoD set"
    drawing = layout.figure(title, layout.WIDTH, sum(heights))
    panels = drawing.subplots(len(boards), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, board, aurocs in zip(panels, boards, shown, strict=True):
        _panel(ax, board, aurocs)
    dropped = [
        len(board["aurocs"]) - len(aurocs) for board, aurocs in zip(boards, shown, strict=True)
    ]
    caption = documents.caption("figure_leaderboard", num_shown=MAX_SCORES, dropped=max(dropped))
    return layout.Page("leaderboard", title, caption, drawing)


def _panel(ax: Axes, board: dict[str, Any], aurocs: Any) -> None:
    ax.imshow(aurocs, cmap=COLORS, vmin=0.0, vmax=100.0, aspect="auto")
    ax.set_title(board["label"])
    ax.set_yticks(range(len(aurocs)), aurocs.index)
    ax.set_xticks(range(aurocs.shape[1]), aurocs.columns, rotation=30, ha="left")
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for line, values in enumerate(aurocs.to_numpy()):
        for column, value in enumerate(values):
            color = "white" if not DARK[0] < value < DARK[1] else "black"
            ax.text(
                column, line, f"{value:.1f}", ha="center", va="center", color=color, fontsize=7.5
            )
