"""`python -m tfp_genens.report`: evaluations as one self-contained HTML file."""

from __future__ import annotations

from typing import Any

from tfp_genens import cli
from tfp_genens.config import ReportConfig
from tfp_genens.reporting.extras import require_report_extra


def _run(values: dict[str, Any]) -> None:
    config = ReportConfig.from_values(values)
    require_report_extra("report")
    from tfp_genens.reporting import html

    html.report(config)


def main() -> None:
    cli.run(__doc__ or "", [ReportConfig], _run)


if __name__ == "__main__":
    main()
