"""Figure 1 of the paper, with our sets: what one likelihood and what WAIC tells apart."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from tfp_genens.paper.figures.histograms import overlaid_histograms
from tfp_genens.paper.labels import member_name, run_label
from tfp_genens.paper.requirements import require_scores
from tfp_genens.reporting import layout, score_figures
from tfp_genens.reporting.evaluation_files import EvaluatedSet, Evaluation
from tfp_genens.reporting.layout import OOD_STYLES, Page

SCORES = ("log_prob", "waic")
# Not noise and attacks: their histograms lie orders of magnitude away, or in a single bin.
SHOWN_SETS = (
    "omniglot",
    "not_mnist",
    "mnist",
    "fashion_mnist",
    "cifar10",
    "svhn",
    "celeba",
    "imagenet32",
    "photo_patches",
    "hflip",
    "vflip",
)
SHARE = 0.95  # of the scores of a set that the axis is for; WAIC has heavy tails
WIDEN = 5.0  # how far the axis follows OoD scores, in widths of the in-distribution range
MEMBER = 0
DASH_DOT = (0, (6, 1.5, 1, 1.5))


def figure(evaluations: Sequence[Evaluation]) -> Page:
    """Histograms of log p(x) by one member and of WAIC, one line of panels an evaluation.

    Raises:
      UserError: an evaluation lacks OoD sets or one of the scores.
    """
    for evaluation in evaluations:
        require_scores(evaluation, SCORES)
    title = "log p(x) of one model and WAIC of the ensemble: test inputs and OoD sets"
    drawing, axes = layout.panels(
        len(SCORES) * len(evaluations), title, max_columns=len(SCORES), height=3.7
    )
    styles = set_styles(evaluations)
    for k, evaluation in enumerate(evaluations):
        for ax, score in zip(axes[len(SCORES) * k :], SCORES, strict=False):
            _panel(ax, evaluation, score, styles)
        axes[len(SCORES) * k].set_ylabel("share of inputs per bin")
    return Page(
        "figure_1",
        title,
        "After the paper's Figure 1, whose models are GLOWs trained on CIFAR-10. Left: "
        f"log p(x) by member {MEMBER} alone; right: WAIC of all members. The axis spans the "
        f"central {100 * SHARE:.0f} % of each set's scores, but beyond those in-distribution at "
        f"most {WIDEN:.0f} times their width; what lies outside is counted in the legend and not "
        "drawn. AUROC in percent, out-of-distribution being the positive class. "
        + " ".join(_sentence(evaluation) for evaluation in evaluations),
        drawing,
    )


def shown_sets(evaluation: Evaluation) -> tuple[EvaluatedSet, ...]:
    """The OoD sets made of data (a ":" is in a SPEC); where there are none, whatever there is."""
    found = tuple(s for s in evaluation.ood if s.name in SHOWN_SETS or ":" in s.name)
    return (found or evaluation.ood)[: len(OOD_STYLES)]


def set_styles(evaluations: Sequence[Evaluation]) -> dict[str, tuple[str, Any]]:
    """Colour and line of each set that is shown, the same in every evaluation.

    The colours come round again, with another line, where there are more sets than styles.
    """
    again = [(color, DASH_DOT) for color, _ in OOD_STYLES]
    names = dict.fromkeys(s.name for e in evaluations for s in shown_sets(e))
    return dict(zip(names, itertools.cycle((*OOD_STYLES, *again)), strict=False))


def auroc(evaluation: Evaluation, ood: EvaluatedSet, score: str) -> float:
    """AUROC of an ensemble score, or of a member's score by the member that is shown; percent."""
    row = evaluation.row(ood.name, score)
    return row["auroc"] if row["auroc_members"] is None else row["auroc_members"][MEMBER]


def _panel(
    ax: Axes, evaluation: Evaluation, score: str, styles: Mapping[str, tuple[str, Any]]
) -> None:
    shown = shown_sets(evaluation)
    in_values = evaluation.in_distribution.values(score, MEMBER)
    ood_values = [s.values(score, MEMBER) for s in shown]
    overlaid_histograms(
        ax,
        (evaluation.in_distribution.label, in_values),
        [
            (f"{s.label}, AUROC {auroc(evaluation, s, score):.1f}", values)
            for s, values in zip(shown, ood_values, strict=True)
        ],
        score_figures.robust_range(in_values, ood_values, WIDEN, SHARE),
        ood_styles=[styles[s.name] for s in shown],
    )
    is_member_score = score in evaluation.in_distribution.scores.member_scores
    of = f", {member_name(evaluation, MEMBER)}" if is_member_score else ""
    label = evaluation.score_label(score)
    ax.set_title(f"{run_label(evaluation)}: {label}{of}")
    ax.set_xlabel(
        f"{label} [{evaluation.spec(score).unit}] ({score_figures.toward(evaluation, score)})"
    )


def _sentence(evaluation: Evaluation) -> str:
    """AUROCs of what is shown."""
    found = "; ".join(
        f"{s.label} {auroc(evaluation, s, SCORES[0]):.1f} and {auroc(evaluation, s, SCORES[1]):.1f}"
        for s in shown_sets(evaluation)
    )
    return f"{run_label(evaluation)}, AUROC of log p(x) and of WAIC: {found}."
