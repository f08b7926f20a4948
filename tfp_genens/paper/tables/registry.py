"""The tables that `report --table=NAME` writes: a new one is one row of TABLES."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tfp_genens.paper.documents import TableDocument
from tfp_genens.paper.tables import (
    beta_table,
    bits_table,
    compare_table,
    erratum,
    member_table,
    table2,
    table3,
    waic_table,
)
from tfp_genens.reporting.evaluation_files import Evaluation

TABLES: dict[str, Callable[[Sequence[Evaluation]], TableDocument]] = {
    "2": table2.table,
    "3": table3.table,
    "members": member_table.table,
    "erratum": erratum.table,
    "beta": beta_table.table,
    "compare": compare_table.table,
    "waic": waic_table.table,
    "bits_per_dim": bits_table.table,
}
