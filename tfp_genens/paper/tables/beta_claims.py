"""What section 4.1 of the paper says of beta, each claim judged by a rule stated with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from tfp_genens.evaluation import tables
from tfp_genens.evaluation.results import IN_DISTRIBUTION
from tfp_genens.paper.counterparts import counterpart
from tfp_genens.paper.tables.beta_runs import Run, common_sets

YES, PARTLY, NO = "holds", "holds in part", "does not hold"
GOOD_AUROC = 75.0  # half way from chance to perfect
MAX_DISTANCE = 1.0  # standard deviations
BULK = 0.5


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A claim and what was measured.

    Attributes:
      claim: the paper's words, shortened.
      rule: when it is taken to hold.
      found: the numbers, as sentences.
      verdict: YES, PARTLY or NO.
    """

    claim: str
    rule: str
    found: str
    verdict: str


@dataclasses.dataclass(frozen=True)
class _Comparison:
    """The runs with the highest and the lowest beta, and the sets that both have."""

    high: Run
    low: Run
    ood_datasets: tuple[str, ...]
    pair: str  # the OoD set that section 4.1 speaks of, or what stands for it

    def label(self, name: str) -> str:
        return self.high.set_named(name).label

    def change(self, name: str, score: str) -> int:
        """1: AUROC rises from high to low beta by more than the intervals; -1: it falls; 0."""
        high, low = (run.evaluation.row(name, score) for run in (self.high, self.low))
        if low["auroc_low"] > high["auroc_high"]:
            return 1
        return -1 if low["auroc_high"] < high["auroc_low"] else 0


def judgements(runs: Sequence[Run]) -> tuple[Judgement, ...]:
    """Every claim, by the runs with the highest and with the lowest beta.

    Args:
      runs: from the highest beta to the lowest, see `beta_runs.by_beta`.
    """
    names = common_sets(runs)
    pair = counterpart(runs[0].evaluation.document["train_dataset"], names)
    compared = _Comparison(runs[0], runs[-1], names, pair)
    return tuple(judge(compared) for judge in CLAIMS)


def _poor_everywhere(c: _Comparison) -> Judgement:
    poor = {
        score: [
            c.label(name)
            for name in c.ood_datasets
            if c.high.evaluation.row(name, score)["auroc"] < GOOD_AUROC
        ]
        for score in ("log_prob", "waic")
    }
    parts = [
        f"{_score(c, score)} is below on {len(labels)} of {len(c.ood_datasets)} sets"
        + (f" ({'; '.join(labels)})" if labels else "")
        for score, labels in poor.items()
    ]
    return Judgement(
        f'Before the fix the VAE "performed poorly on all OoD datasets when using log p(x) and '
        f'WAIC" (beta {c.high.beta:g})',
        f"AUROC of both below {GOOD_AUROC:.0f} on every OoD set",
        f"At beta {c.high.beta:g}, {', '.join(parts)}.",
        _verdict(c.label(name) in labels for labels in poor.values() for name in c.ood_datasets),
    )


def _similar_distortion(c: _Comparison) -> Judgement:
    means = [c.high.moments(name, "distortion").mean for name in (IN_DISTRIBUTION, c.pair)]
    distances = [run.distortion_distance(c.pair) for run in (c.high, c.low)]
    row = c.high.evaluation.row(c.pair, "distortion")
    return Judgement(
        '"the distortion values between the FMNIST and MNIST test datasets are numerically quite '
        f'similar" (beta {c.high.beta:g})',
        f"the means lie less than {MAX_DISTANCE:g} in-distribution standard deviation apart",
        f"Mean distortion at beta {c.high.beta:g} is {means[0]:.1f} nats on "
        f"{c.label(IN_DISTRIBUTION)} and {means[1]:.1f} on {c.label(c.pair)}, "
        f"{distances[0]:.2f} standard deviations apart ({distances[1]:.2f} at beta "
        f"{c.low.beta:g}); its AUROC is {tables.auroc_text(row)}.",
        _verdict([distances[0] < MAX_DISTANCE]),
    )


def _bulk_is_distortion(c: _Comparison) -> Judgement:
    shares = {name: c.high.distortion_share(name) for name in (IN_DISTRIBUTION, c.pair)}
    found = ", ".join(
        f"{_percent(share)} on {c.label(name)} ({_percent(c.low.distortion_share(name))} at beta "
        f"{c.low.beta:g})"
        for name, share in shares.items()
    )
    return Judgement(
        '"Distortion terms make up the bulk of the IWAE predictions"',
        f"mean distortion is more than {_percent(BULK)} of mean distortion + rate on both sets",
        f"Its share at beta {c.high.beta:g} is {found}.",
        _verdict(share is not None and share > BULK for share in shares.values()),
    )


def _not_discriminative(c: _Comparison) -> Judgement:
    row = c.high.evaluation.row(c.pair, "log_prob")
    return Judgement(
        f'"log p(x) was not very discriminative when classifying OoD MNIST" (beta {c.high.beta:g})',
        f"AUROC below {GOOD_AUROC:.0f}",
        f"AUROC of {_score(c, 'log_prob')} on {c.label(c.pair)} at beta {c.high.beta:g} is "
        f"{tables.auroc_text(row)}.",
        _verdict([row["auroc"] < GOOD_AUROC]),
    )


def _fidelity(c: _Comparison) -> Judgement:
    return _moved(
        c,
        '"higher-fidelity autoencoding" with beta below 1',
        "distortion",
        "lower",
        lambda high, low: low < high,
    )


def _higher_rates(c: _Comparison) -> Judgement:
    return _moved(
        c,
        '"at the expense of higher rates"',
        "rate",
        "higher",
        lambda high, low: low > high,
    )


def _moved(
    c: _Comparison, claim: str, score: str, where: str, holds: Callable[[float, float], bool]
) -> Judgement:
    high, low = (run.moments(IN_DISTRIBUTION, score).mean for run in (c.high, c.low))
    return Judgement(
        claim,
        f"mean {score} of in-distribution inputs is {where} at beta {c.low.beta:g}",
        f"On {c.label(IN_DISTRIBUTION)} it is {high:.1f} nats at beta {c.high.beta:g} and "
        f"{low:.1f} at beta {c.low.beta:g}.",
        _verdict([holds(high, low)]),
    )


def _rate_beats_distortion(c: _Comparison) -> Judgement:
    rows = {
        name: [c.low.evaluation.row(name, score) for score in ("rate", "distortion")]
        for name in c.ood_datasets
    }
    better = [name for name, (rate, other) in rows.items() if rate["auroc"] > other["auroc"]]
    rate, distortion = rows[c.pair]
    return Judgement(
        'Rates are "a more useful signal for identifying outliers than the total pixel '
        f'distortion" (beta {c.low.beta:g})',
        "AUROC of the rate is above that of the distortion on every OoD set",
        f"At beta {c.low.beta:g} it is on {len(better)} of {len(rows)} sets; on {c.label(c.pair)} "
        f"{tables.auroc_text(rate)} for the rate and {tables.auroc_text(distortion)} for the "
        "distortion.",
        _verdict(name in better for name in rows),
    )


def _fixed(c: _Comparison) -> Judgement:
    scores = ("rate", "log_prob", "waic")
    parts = []
    for score in scores:
        high, low = (run.evaluation.row(c.pair, score) for run in (c.high, c.low))
        changes = [c.change(name, score) for name in c.ood_datasets]
        parts.append(
            f"{_score(c, score)} goes from {tables.auroc_text(high)} to {tables.auroc_text(low)} "
            f"on {c.label(c.pair)}, and of {len(changes)} sets rises on {changes.count(1)} and "
            f"falls on {changes.count(-1)}"
        )
    return Judgement(
        f'Re-training with beta {c.low.beta:g} "fixes the OoD detection model"',
        f"on {c.label(c.pair)}, AUROC of {', '.join(_score(c, s) for s in scores)} each rises from "
        f"beta {c.high.beta:g} to {c.low.beta:g} by so much that the 95 % intervals over inputs "
        "do not overlap (other members might move it further)",
        f"{'; '.join(parts)} (beyond the intervals).",
        _verdict(c.change(c.pair, score) == 1 for score in scores),
    )


CLAIMS: tuple[Callable[[_Comparison], Judgement], ...] = (
    _poor_everywhere,
    _similar_distortion,
    _bulk_is_distortion,
    _not_discriminative,
    _fidelity,
    _higher_rates,
    _rate_beats_distortion,
    _fixed,
)


def _verdict(parts: Iterable[bool]) -> str:
    found = list(parts)
    if all(found):
        return YES
    return PARTLY if any(found) else NO


def _score(c: _Comparison, score: str) -> str:
    return c.high.evaluation.score_label(score)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"
