"""How tables of judged numbers write marks, intervals and differences."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from tfp_genens.evaluation import tables
from tfp_genens.paper import verdicts

NOT_EVALUATED = "not evaluated"
MARKS = {
    verdicts.REPRODUCED: "✓",
    verdicts.WITHIN_INTERVAL: "≈",
    verdicts.NOT_REPRODUCED: "✗",
    NOT_EVALUATED: "?",
}


def sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def intervals(low: Iterable[float], high: Iterable[float]) -> list[str | None]:
    """E.g. "[97.6, 98.3]"; None where there is none."""
    return [
        None if pd.isna(ends[0]) else tables.interval(*ends) for ends in zip(low, high, strict=True)
    ]


def differences(values: Iterable[float]) -> list[str | None]:
    """Signed, in points; None for NaN."""
    return [None if pd.isna(v) else f"{v:+.1f}".replace("-0.0", "+0.0") for v in values]
