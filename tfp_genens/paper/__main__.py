"""`python -m tfp_genens.paper NAME`: a table or figure of the paper, from what evaluate wrote.

NAME is table2, table3, figure1, figure2, figure3, or another of the tables and figures that stand
beside them: beta, erratum, members, compare, waic, bits_per_dim, members_figure; of the default
score, default, ablation, variants, leaderboard, leaderboard_figure, unequal, attacks, false_alarms,
flips.
"""

import sys
from collections.abc import Mapping
from typing import Any

from tfp_genens import cli
from tfp_genens.config import ReportConfig
from tfp_genens.errors import UserError
from tfp_genens.paper import registry
from tfp_genens.paper.registry import FIGURE, TABLE, Row
from tfp_genens.reporting.extras import require_report_extra
from tfp_genens.runtime import load_tensorflow


def write(values: Mapping[str, Any]) -> int:
    """Writes the table or figure that the flags name; returns the exit code."""
    config = ReportConfig.from_values(values)
    row = _row(config)
    _check(config, row)
    require_report_extra("report")
    load_tensorflow()
    from tfp_genens.paper import report  # Slow: bad flags are reported first.

    report.write(config, row)
    return 0


def _row(config: ReportConfig) -> Row:
    """The table or figure that the flags name."""
    given = {TABLE: config.table, FIGURE: config.figure}
    named = [(kind, flag) for kind, flag in given.items() if flag is not None]
    if not named:
        raise UserError("NAME", f"one of {', '.join(registry.ROWS)}", "none")
    if len(named) > 1:
        raise UserError("--figure", "either --table or --figure", "both")
    (kind, flag), *_ = named
    rows = registry.of_kind(kind)
    if flag not in rows:
        raise UserError(f"--{kind}", f"one of {', '.join(rows)}", repr(flag))
    return rows[flag]


def _check(config: ReportConfig, row: Row) -> None:
    """Raises UserError where the other flags do not go with it."""
    if row.is_trained and config.evaluation_dir:
        given = ",".join(config.evaluation_dir)
        raise UserError("--evaluation_dir", f"none with --{row.kind}={row.flag}", given)
    if not row.is_trained and not config.evaluation_dir:
        raise UserError("--evaluation_dir", "one or more directories that evaluate wrote", "none")
    if config.costs and not row.takes_costs:
        takers = [f"--{r.kind}={r.flag}" for r in registry.ROWS.values() if r.takes_costs]
        raise UserError("--costs", f"none without {' or '.join(takers)}", ",".join(config.costs))
    if not row.is_trained and config.seed is not None:
        trained = [f"--{r.kind}={r.flag}" for r in registry.ROWS.values() if r.is_trained]
        raise UserError("--seed", f"none without {' or '.join(trained)}", str(config.seed))


def main() -> None:
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        row = registry.ROWS.get(sys.argv[1])
        # A name that is not known is refused with the list of names.
        sys.argv[1] = f"--table={sys.argv[1]}" if row is None else f"--{row.kind}={row.flag}"
    cli.run(__doc__ or "", [ReportConfig], write)


if __name__ == "__main__":
    main()
