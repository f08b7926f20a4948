"""Figure 1 of the paper, with our sets: what one likelihood and what WAIC tells apart."""

import itertools
from collections.abc import Sequence
from typing import Any

from tfp_genens.paper import documents
from tfp_genens.paper.configurations import require_scores
from tfp_genens.paper.figures.scores import MEMBER, auroc, ends, histograms
from tfp_genens.paper.shared import member_name, run_label
from tfp_genens.reporting import layout
from tfp_genens.reporting.evaluation_files import EvaluatedSet, Evaluation

SCORES = ("log_prob", "waic")
# Not noise and attacks: their histograms lie orders of magnitude away, or in a single bin.
SHOWN_SETS = (
    *("omniglot", "not_mnist", "mnist", "fashion_mnist", "cifar10", "svhn", "celeba"),
    *("imagenet32", "photo_patches", "hflip", "vflip"),
)
SHARE = 0.95  # of the scores of a set that the axis is for; WAIC has heavy tails
WIDEN = 5.0  # how far the axis follows OoD scores, in widths of the in-distribution range
DASH_DOT = (0, (6, 1.5, 1, 1.5))


def figure(evaluations: Sequence[Evaluation]) -> layout.Page:
    """Histograms of log p(x) by one member and of WAIC, one line of panels an evaluation.

    Raises:
      UserError: an evaluation lacks OoD sets or one of the scores.
    """
    for evaluation in evaluations:
        require_scores(evaluation, SCORES)
    title = "log p(x) of one model and WAIC of the ensemble: test inputs and OoD sets"
    panels = list(itertools.product(evaluations, SCORES))
    drawing, axes = layout.panels(len(panels), title, max_columns=len(SCORES), height=3.7)
    styles = set_styles(evaluations)
    for ax, (evaluation, score) in zip(axes, panels, strict=True):
        shown = shown_sets(evaluation)
        limits = ends(evaluation, shown, score, WIDEN, SHARE)
        histograms(ax, evaluation, shown, score, limits, [styles[s.name] for s in shown])
        is_member_score = score in evaluation.in_distribution.scores.member_scores
        of = f", {member_name(evaluation, MEMBER)}" if is_member_score else ""
        ax.set_title(f"{run_label(evaluation)}: {evaluation.score_label(score)}{of}")
        if score == SCORES[0]:
            ax.set_ylabel("share of inputs per bin")
    axis = {"member": MEMBER, "share": SHARE, "widen": WIDEN}
    functions = {"run_label": run_label, "shown_sets": shown_sets, "auroc": auroc}
    caption = documents.caption("figure_1", evaluations=evaluations, **axis, **functions)
    return layout.Page("figure_1", title, caption, drawing)


def shown_sets(evaluation: Evaluation) -> tuple[EvaluatedSet, ...]:
    """The OoD sets made of data (a ":" is in a SPEC); where there are none, whatever there is."""
    found = tuple(s for s in evaluation.ood if s.name in SHOWN_SETS or ":" in s.name)
    return (found or evaluation.ood)[: len(layout.OOD_STYLES)]


def set_styles(evaluations: Sequence[Evaluation]) -> dict[str, tuple[str, Any]]:
    """Colour and line of each set that is shown, the same in every evaluation.

    The colours come round again, with another line, where there are more sets than styles.
    """
    again = [(color, DASH_DOT) for color, _ in layout.OOD_STYLES]
    names = dict.fromkeys(s.name for e in evaluations for s in shown_sets(e))
    return dict(zip(names, itertools.cycle((*layout.OOD_STYLES, *again)), strict=False))
