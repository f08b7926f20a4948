"""The tables and figures of the paper: a new one is a module, a template and a row here."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

TABLE, FIGURE = "table", "figure"


@dataclasses.dataclass(frozen=True)
class Row:
    """One table or figure.

    Attributes:
      kind: TABLE or FIGURE: the flag of `report` that asks for it.
      flag: the value of that flag.
      where: "module:function" of this package. Of a table, from evaluations to a `Document`; of a
        figure, from evaluations to a `Page`.
      is_trained: of a figure, from a seed to a `Page` and the records of its CSV.
    """

    kind: str
    flag: str
    where: str
    is_trained: bool = False

    def function(self) -> Callable[[Any], Any]:
        """Imports it: matplotlib and TensorFlow are slow, and bad flags are reported first."""
        module, _, name = self.where.partition(":")
        return getattr(importlib.import_module(f"tfp_genens.paper.{module}"), name)


ROWS: dict[str, Row] = {
    "table2": Row(TABLE, "2", "tables.table2:table"),
    "table3": Row(TABLE, "3", "tables.table3:table"),
    "members": Row(TABLE, "members", "tables.member_table:table"),
    "erratum": Row(TABLE, "erratum", "tables.erratum:table"),
    "beta": Row(TABLE, "beta", "tables.beta_table:table"),
    "compare": Row(TABLE, "compare", "tables.compare_table:table"),
    "waic": Row(TABLE, "waic", "tables.waic_table:table"),
    "bits_per_dim": Row(TABLE, "bits_per_dim", "tables.bits_table:table"),
    "figure1": Row(FIGURE, "1", "figures.likelihood_figure:figure"),
    "figure3": Row(FIGURE, "3", "figures.rate_distortion_figure:figure"),
    "members_figure": Row(FIGURE, "members", "figures.member_figure:figure"),
    "figure2": Row(FIGURE, "2", "figures.toy_figure:trained", is_trained=True),
}
"""NAME of `python -m tfp_genens.paper NAME` -> what makes it."""


def of_kind(kind: str) -> dict[str, Row]:
    """Flag -> row, of the tables or of the figures."""
    return {row.flag: row for row in ROWS.values() if row.kind == kind}
