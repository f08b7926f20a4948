"""The released code's mistakes in evaluating, one at a time: what each does to the numbers.

Each preset judges the same members on the same score files as they would have been judged with one
departure from what the paper says, or with all of them. That answers why some of the paper's cells
are what they are, without a second training run. Nothing else in the package is evaluated this way.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from tfp_genens import seeds
from tfp_genens.evaluation import results, rows
from tfp_genens.scoring.columns import EXAMPLE_ID, ScoreFile, member_column
from tfp_genens.scoring.combine import ENSEMBLE_SCORES, combine

PAPER_ROUNDING = 0.05
"""The paper's AUROCs are rounded to 0.1 points, so each is known to half of that."""

RIGHT_ATTACK = "adversarial_clipped"

_KEPT_OUTPUTS = ("log_prob", "rate")
_KEPT_ENSEMBLE_SCORES = ("waic",)


@dataclasses.dataclass(frozen=True)
class Preset:
    """One way to evaluate.

    Attributes:
      name: identifies it.
      label: what tables call it.
      description: one plain sentence.
      aligned: row j of every member's scores is of the same input.
      log_prob: the member output that is taken for log p(x).
      attack: the OoD set that plays the paper's "Adversarial".
    """

    name: str
    label: str
    description: str
    aligned: bool = True
    log_prob: str = "log_prob"
    attack: str = RIGHT_ATTACK


CORRECT = "correct"

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            CORRECT,
            "As it should be",
            "All members score the same inputs in the same order, log p(x) is the 16-sample IWAE "
            "bound, and adversarial noise is made by a gradient at the noise itself and kept "
            "within [0, 1].",
        ),
        Preset(
            "misaligned_members",
            "Members misaligned",
            "Early versions let every member score a random draw of images of its own, so that "
            "mean, variance and WAIC of one row mix as many images as there are members; here each "
            "member's scores, in- and out-of-distribution, are put into a random order of its own.",
            aligned=False,
        ),
        Preset(
            "mean_of_elbos",
            "Mean of ELBOs",
            "What the code prints as the 16-sample IWAE is the mean of 16 single-sample ELBOs.",
            log_prob="elbo",
        ),
        Preset(
            "gradient_at_image",
            "Gradient at an image",
            "The adversarial step is taken along the gradient at a real test image and then added "
            "to the noise; noise and result are clipped, as they should be.",
            attack="adversarial_image_gradient_clipped",
        ),
        Preset(
            "unclipped_step",
            "Step not clipped",
            "The noise lies within [0, 1], but the adversarial step leaves it: outside, a "
            "Bernoulli log-probability can be positive.",
            attack="adversarial_unclipped_step",
        ),
        Preset(
            "unclipped_pixels",
            "Nothing clipped",
            "Neither the N(0, 1) noise nor the adversarial step is clipped: most pixels lie "
            "outside [0, 1].",
            attack="adversarial_unclipped",
        ),
        Preset(
            "as_released",
            "All as released",
            "All of it together: members misaligned, mean of ELBOs, gradient at a real image, and "
            "nothing clipped.",
            aligned=False,
            log_prob="elbo",
            attack="adversarial_as_released",
        ),
    )
}


@dataclasses.dataclass(frozen=True)
class AttackForm:
    """How adversarial noise was made.

    Attributes:
      name: the OoD set.
      noise_clipped: the N(0, 1) noise was clipped to [0, 1] before the step.
      gradient_at: where the gradient of log p(x) was taken; None: no step at all.
      result_clipped: the result was clipped to [0, 1].
    """

    name: str
    noise_clipped: bool
    gradient_at: str | None
    result_clipped: bool


AT_NOISE, AT_IMAGE = "the noise", "a test image"

ATTACK_FORMS: tuple[AttackForm, ...] = (
    AttackForm("gaussian", True, None, True),
    AttackForm("adversarial_clipped", True, AT_NOISE, True),
    AttackForm("adversarial_image_gradient_clipped", True, AT_IMAGE, True),
    AttackForm("adversarial_unclipped_step", True, AT_NOISE, False),
    AttackForm("gaussian_unclipped", False, None, False),
    AttackForm("adversarial_unclipped", False, AT_NOISE, False),
    AttackForm("adversarial_as_released", False, AT_IMAGE, False),
)
"""From no attack at all to the released one."""


def as_judged(preset: Preset, scores: ScoreFile, *, set_name: str, seed: int) -> ScoreFile:
    """A set's scores as the preset has them: `log_prob`, `rate` and the ensemble's `waic` only.

    Misaligned, every member's rows are in an order of their own (all of its outputs in the same
    one), drawn from the seed, the set's name and the member's number; `waic` is then made of what
    has come to stand side by side.

    Args:
      preset: the way to evaluate.
      scores: one set, scored by all members.
      set_name: of the set.
      seed: of the orders.

    Raises:
      ValueError: the members' scores lack the output that the preset takes for log p(x).
    """
    if preset.log_prob not in scores.member_scores:
        known = ", ".join(scores.member_scores)
        raise ValueError(f"`scores` must hold {preset.log_prob!r}; got {known}.")
    taken = {
        name: preset.log_prob if name == "log_prob" else name
        for name in _KEPT_OUTPUTS
        if name in scores.member_scores
    }
    values = {name: rows.member_values(scores, output) for name, output in taken.items()}
    columns: dict[str, Any] = {}
    if preset.aligned:
        columns[EXAMPLE_ID] = scores.frame[EXAMPLE_ID]
    else:
        orders = np.stack(
            [
                seeds.numpy_generator(seed, "misaligned", set_name, member).permutation(
                    len(scores.frame)
                )
                for member in scores.members
            ]
        )
        values = {name: np.take_along_axis(v, orders, axis=1) for name, v in values.items()}
    for name, members in values.items():
        columns |= {
            member_column(name, member): v
            for member, v in zip(scores.members, members, strict=True)
        }
    combined = combine(values)
    columns |= {name: combined[name] for name in _KEPT_ENSEMBLE_SCORES}
    return dataclasses.replace(
        scores,
        frame=pd.DataFrame(columns),
        member_scores={name: scores.member_scores[name] for name in values},
        ensemble_scores={name: ENSEMBLE_SCORES[name].spec for name in _KEPT_ENSEMBLE_SCORES},
    )


@dataclasses.dataclass(frozen=True)
class Auroc:
    """An AUROC and its 95 % bootstrap interval, percent."""

    value: float
    low: float
    high: float


def judge(
    preset: Preset,
    in_scores: ScoreFile,
    ood_scores: ScoreFile,
    *,
    ood_dataset: str,
    attacked_members: tuple[int, ...] | None,
    num_bootstrap: int,
    seed: int,
) -> dict[str, Auroc]:
    """The AUROCs of `log_prob`, `rate` and `waic` as the preset has them.

    A single model's AUROC does not depend on the order of its inputs, so misalignment leaves it as
    it is and changes WAIC alone. Its interval does change. The bootstrap resamples rows after
    they were put out of order, since a row is all that the mistaken evaluation has: each is a
    combination of different images, none of which occurs in another row. Members are then resampled
    on different images, as if each had drawn its own (which is the mistake), so their errors
    average out and the interval of their mean is narrower than where they share the images. It is
    of one misalignment; how far another one would move the numbers is not in it.

    Args:
      preset: the way to evaluate.
      in_scores: scores of in-distribution inputs.
      ood_scores: scores of the OoD set by the same members.
      ood_dataset: name of the OoD set; for an attack the preset's own.
      attacked_members: positions of the members whose own scores an adversarial set was made to
        fool: single-model numbers are of these only. None: the mean over all members.
      num_bootstrap: resamples behind the intervals.
      seed: the run's seed.

    Raises:
      ValueError: see `as_judged`.
    """
    found = rows.make_rows(
        as_judged(preset, in_scores, set_name=results.IN_DISTRIBUTION, seed=seed),
        as_judged(preset, ood_scores, set_name=ood_dataset, seed=seed),
        ood_dataset=ood_dataset,
        description="",
        attacked_members=attacked_members,
        train_dataset=in_scores.train_dataset,
        model="",
        num_bootstrap=num_bootstrap,
        seed=seed,
    )
    return {row["score"]: Auroc(row["auroc"], row["auroc_low"], row["auroc_high"]) for row in found}


def is_nearer(papers: float, to: Auroc, than: Auroc) -> bool:
    """Whether the paper's AUROC is nearer to one evaluation's than to another's.

    Nearer by more than the wider of the two intervals, and by more than the paper's rounding can
    account for; where it is nearer to neither in this sense, nothing can be said. That is about
    these members and inputs: the paper's members were others, and how far numbers move between
    ensembles is not in the intervals.
    """
    gain = abs(papers - than.value) - abs(papers - to.value)
    widest = max(auroc.high - auroc.low for auroc in (to, than))
    return gain > widest + 2 * PAPER_ROUNDING
