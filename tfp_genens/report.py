"""`python -m tfp_genens.report`: evaluations as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfp_genens import cli
from tfp_genens.config import ReportConfig
from tfp_genens.reporting.extras import require_report_extra


def report(values: Mapping[str, Any]) -> int:
    """Reports on what the flags name; returns the exit code."""
    config = ReportConfig.from_values(values)
    require_report_extra("report")
    from tfp_genens.reporting import html  # Slow to import: bad flags are reported first.

    html.report(config)
    return 0


def main() -> None:
    cli.run(__doc__ or "", [ReportConfig], report)


if __name__ == "__main__":
    main()
