"""The tables and figures of the paper: a new one is a module, a template and a row here."""

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
      module: of this package. Its `table` is from evaluations to a `Document`, its `figure` from
        evaluations to a `Page`.
      is_trained: it has `trained` instead, from a seed to a `Page` and the records of its CSV.
      takes_costs: its function takes the files of --costs, too.
    """

    kind: str
    flag: str
    module: str
    is_trained: bool = False
    takes_costs: bool = False

    def function(self) -> Callable[[Any], Any]:
        """Imports it: matplotlib and TensorFlow are slow, and bad flags are reported first."""
        module = importlib.import_module(f"tfp_genens.paper.{self.module}")
        return getattr(module, "trained" if self.is_trained else self.kind)


ROWS: dict[str, Row] = {
    "table2": Row(TABLE, "2", "tables.table2"),
    "table3": Row(TABLE, "3", "tables.table3"),
    "members": Row(TABLE, "members", "tables.member_table"),
    "erratum": Row(TABLE, "erratum", "tables.erratum"),
    "beta": Row(TABLE, "beta", "tables.beta_table"),
    "compare": Row(TABLE, "compare", "tables.compare_table"),
    "waic": Row(TABLE, "waic", "tables.waic_table"),
    "bits_per_dim": Row(TABLE, "bits_per_dim", "tables.bits_table"),
    "ablation": Row(TABLE, "ablation", "tables.ablation_table"),
    "variants": Row(TABLE, "variants", "tables.variants_table"),
    "default": Row(TABLE, "default", "tables.default_table"),
    "leaderboard": Row(TABLE, "leaderboard", "tables.leaderboard_table", takes_costs=True),
    "leaderboard_figure": Row(FIGURE, "leaderboard", "figures.leaderboard_figure"),
    "unequal": Row(TABLE, "unequal", "tables.unequal_table"),
    "flips": Row(TABLE, "flips", "tables.flip_table"),
    "attacks": Row(TABLE, "attacks", "tables.attack_table"),
    "false_alarms": Row(TABLE, "false_alarms", "tables.false_alarm_table"),
    "figure1": Row(FIGURE, "1", "figures.likelihood_figure"),
    "figure3": Row(FIGURE, "3", "figures.rate_distortion_figure"),
    "members_figure": Row(FIGURE, "members", "figures.member_figure"),
    "figure2": Row(FIGURE, "2", "figures.toy_figure", is_trained=True),
}
"""NAME of `python -m tfp_genens.paper NAME` -> what makes it."""


def of_kind(kind: str) -> dict[str, Row]:
    """Flag -> row, of the tables or of the figures."""
    return {row.flag: row for row in ROWS.values() if row.kind == kind}
