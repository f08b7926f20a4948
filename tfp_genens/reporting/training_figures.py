"""Training curves: every recorded term against the step, one line a member."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tfp_genens.evaluation import tables
from tfp_genens.reporting import layout
from tfp_genens.reporting.evaluation_files import Evaluation, numbers, training_metrics

# Of metrics.csv, what is no term of a loss.
NOT_TERMS = ("step", "phase", "steps_per_sec", "wall_secs")
VALIDATION = "validation_"
COLORS = (layout.IN_COLOR, *(color for color, _ in layout.OOD_STYLES))
DASHED = (0, (3, 1.5))  # of members past the colours
SETTLED = 0.1  # share of a phase after which values set a panel's scale
TRAIN_LINE: dict[str, Any] = {"linewidth": 0.8}
TRAIN_ALPHA = 0.45  # where held-out inputs are shown too
VALIDATION_LINE: dict[str, Any] = {"linewidth": 1.5, "marker": "o", "markersize": 2.6}

Curves = Mapping[int, pd.DataFrame]


@dataclasses.dataclass(frozen=True)
class Panel:
    """One term, without the prefix of held-out inputs; of one phase, or of all where None.

    Its columns are the training term, the one on held-out inputs, or both.
    """

    term: str
    phase: str | None
    columns: tuple[str, ...]


def training(evaluation: Evaluation) -> Iterator[layout.Page]:
    """The training curves of all members that left any."""
    recorded = training_metrics(evaluation)
    curves = {member: numbers(frame) for member, frame in recorded.items() if len(frame)}
    if not curves:
        return
    phases = _phases(curves)
    chosen = _panels(curves)
    title = f"{tables.heading(evaluation.document)}: training"
    num_columns = 2 if len(chosen) == 4 else 3
    figure, axes = layout.panels(len(chosen), title, num_columns, height=2.4)
    for ax, panel in zip(axes, chosen, strict=True):
        _draw(ax, panel, curves, phases)
    for ax in axes[-num_columns:]:
        ax.set_xlabel("training step")
    # Below, because there may be ten members.
    figure.legend(handles=_handles(curves, chosen), loc="outside lower center", ncols=6)
    terms = [panel.term for panel in chosen if panel.phase is not None]
    split = [_words(term) for term in sorted(set(terms)) if terms.count(term) > 1]
    known: dict[str, Any] = {"phases": phases, "split": split, "not_drawn": _not_drawn(recorded)}
    yield layout.page("training", title, figure, **known)


def _not_drawn(recorded: Mapping[int, pd.DataFrame]) -> list[str]:
    """Values that were recorded and are not finite; an empty cell was not recorded."""
    found = []
    for member, frame in recorded.items():
        for column, values in frame.items():
            count = int(values.isin(["nan", "inf", "-inf"]).sum())
            if count:
                found.append(f"{count} of {_words(str(column))} of member {member}")
    return found


def _words(column: str) -> str:
    return column.replace("_", " ")


def _phases(curves: Curves) -> dict[str, tuple[int, int]]:
    """First and last step of each phase, in order; the first step is that before its records."""
    longest = max(curves.values(), key=lambda frame: frame["step"].max())
    phases: dict[str, tuple[int, int]] = {}
    start = 0
    for phase in dict.fromkeys(longest["phase"]):
        end = int(longest.loc[longest["phase"] == phase, "step"].max())
        phases[phase] = (start, end)
        start = end
    return phases


def _panels(curves: Curves) -> list[Panel]:
    """A panel a term; a training term of several phases, such as their losses, has one a phase.

    What is recorded on held-out inputs, in every phase, is shown with the training term of that
    name.
    """
    together = pd.concat(curves.values())
    columns = [str(c) for c in together if c not in NOT_TERMS and together[c].notna().any()]
    panels: list[Panel] = []
    for column in columns:
        term = column.removeprefix(VALIDATION)
        if term != column:
            if not any(column in panel.columns for panel in panels):
                panels.append(Panel(term, None, (column,)))
            continue
        phases = together.loc[together[column].notna(), "phase"].unique()
        held_out = f"{VALIDATION}{term}"
        if len(phases) == 1 and held_out in columns:
            panels.append(Panel(term, None, (column, held_out)))
        else:
            panels += [Panel(term, phase, (column,)) for phase in phases]
    return panels


def _draw(ax: Axes, panel: Panel, curves: Curves, phases: Mapping[str, tuple[int, int]]) -> None:
    scaled: list[float] = []
    for k, frame in enumerate(curves.values()):
        for column in panel.columns:
            if column not in frame:
                continue
            shown = frame[frame[column].notna()]
            if panel.phase is not None:
                shown = shown[shown["phase"] == panel.phase]
            is_held_out = column.startswith(VALIDATION)
            style = dict(VALIDATION_LINE if is_held_out else TRAIN_LINE)
            style["alpha"] = TRAIN_ALPHA if column != panel.columns[-1] else 1.0
            style["zorder"] = 3 if is_held_out else 2
            ax.plot(shown["step"], shown[column], **_line_of(k), **style)
            scaled += _settled(shown, phases)[column].tolist()
    of_phase = (panel.phase or " | ".join(phases)) if len(phases) > 1 else ""
    layout.title(ax, _words(panel.term), of_phase)
    ax.set_ylim(*_limits(scaled))
    ax.grid(color="#dddddd", linewidth=0.5)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    last_step = max(end for _, end in phases.values())
    first, last = phases[panel.phase] if panel.phase else (0, last_step)
    ax.set_xlim(first, last)
    for start, _ in phases.values():
        if first < start < last:
            ax.axvline(start, color="#666666", linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)


def _settled(frame: pd.DataFrame, phases: Mapping[str, tuple[int, int]]) -> pd.DataFrame:
    """The rows past the first tenth of their phase; all, where there are no such."""
    starts = {phase: start + SETTLED * (end - start) for phase, (start, end) in phases.items()}
    chosen = frame[frame["step"] > frame["phase"].map(starts)]
    return chosen if len(chosen) else frame


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """The ends of the axis: all the values, and a margin."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _line_of(position: int) -> dict[str, Any]:
    is_dashed = position >= len(COLORS)
    return {"color": COLORS[position % len(COLORS)], "linestyle": DASHED if is_dashed else "-"}


def _handles(curves: Curves, panels: Sequence[Panel]) -> list[Line2D]:
    handles = [
        Line2D([], [], label=f"member {member}", **_line_of(k)) for k, member in enumerate(curves)
    ]
    if any(column.startswith(VALIDATION) for panel in panels for column in panel.columns):
        handles.append(Line2D([], [], color="#444444", label="held-out inputs", **VALIDATION_LINE))
    return handles
