"""`python -m tfp_genens.report`: evaluations as one HTML file, a table or a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfp_genens import cli
from tfp_genens.config import ReportConfig
from tfp_genens.errors import UserError
from tfp_genens.reporting.extras import require_report_extra


def report(values: Mapping[str, Any]) -> int:
    """Reports on what the flags name; returns the exit code."""
    config = ReportConfig.from_values(values)
    if config.table is not None and config.figure is not None:
        raise UserError("--figure", "either --table or --figure", "both")
    require_report_extra("report")
    from tfp_genens.reporting import from_paper, html  # Slow: bad flags are reported first.

    if config.table is not None:
        from_paper.write_table(config, config.table)
    elif config.figure is not None:
        from_paper.write_figure(config, config.figure)
    else:
        html.report(config)
    return 0


def main() -> None:
    cli.run(__doc__ or "", [ReportConfig], report)


if __name__ == "__main__":
    main()
