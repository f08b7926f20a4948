"""The figures that `report --figure=NAME` draws: a new one is one row of FIGURES_OF_PAPER."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tfp_genens.paper.figures import likelihood_figure, member_figure, rate_distortion_figure
from tfp_genens.reporting.evaluation_files import Evaluation
from tfp_genens.reporting.layout import Page

FIGURES_OF_PAPER: dict[str, Callable[[Sequence[Evaluation]], Page]] = {
    "1": likelihood_figure.figure,
    "3": rate_distortion_figure.figure,
    "members": member_figure.figure,
}
