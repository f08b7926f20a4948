"""`python -m tfp_genens.report`: evaluations as one HTML file.

With --table or --figure it is `python -m tfp_genens.paper`.
"""

import runpy
from collections.abc import Mapping
from typing import Any

from tfp_genens import cli
from tfp_genens.config import ReportConfig
from tfp_genens.errors import UserError
from tfp_genens.reporting.extras import require_report_extra
from tfp_genens.runtime import load_tensorflow

PAPER = "tfp_genens.paper"  # run as a program of its own: nothing here knows what it does


def report(values: Mapping[str, Any]) -> int:
    """Reports on what the flags name; returns the exit code."""
    config = ReportConfig.from_values(values)
    if config.table is not None or config.figure is not None:
        runpy.run_module(PAPER, run_name="__main__")
    if not config.evaluation_dir:
        raise UserError("--evaluation_dir", "one or more directories that evaluate wrote", "none")
    if config.seed is not None:
        raise UserError("--seed", "none without --figure", str(config.seed))
    require_report_extra("report")
    load_tensorflow()
    from tfp_genens.reporting import html  # Slow: bad flags are reported first.

    html.report(config)
    return 0


def main() -> None:
    cli.run(__doc__ or "", [ReportConfig], report)


if __name__ == "__main__":
    main()
