"""How tables of judged numbers write marks, counts, percentages and differences."""

from __future__ import annotations

import collections
from collections.abc import Iterable

from tfp_genens.paper import verdicts

NOT_EVALUATED = "not evaluated"
MARKS = {
    verdicts.REPRODUCED: "✓",
    verdicts.WITHIN_INTERVAL: "≈",
    verdicts.NOT_REPRODUCED: "✗",
    NOT_EVALUATED: "?",
    "": "-",
}


def legend() -> str:
    """What the marks stand for, one sentence."""
    marks = (f"{MARKS[name]} {name}" for name in (*verdicts.VERDICTS, NOT_EVALUATED))
    return sentence(f"{', '.join(marks)}, - no number.")


def count(found: Iterable[str]) -> str:
    """E.g. "reproduced: 15; within interval: 2; not reproduced: 7."; cells without one are none."""
    counts = collections.Counter(found)
    parts = [f"{verdict}: {counts[verdict]}" for verdict in verdicts.VERDICTS]
    if counts[NOT_EVALUATED]:
        parts.append(f"{NOT_EVALUATED}: {counts[NOT_EVALUATED]}")
    return "; ".join(parts) + "."


def sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def difference(ours: float | None, theirs: float | None) -> str:
    """Signed, in points; "-" where either is missing."""
    if ours is None or theirs is None:
        return "-"
    return f"{ours - theirs:+.1f}".replace("-0.0", "+0.0")
