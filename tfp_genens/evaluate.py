"""`python -m tfp_genens.evaluate`: what a trained ensemble is worth as a detector, in numbers."""

from __future__ import annotations

from typing import Any

from tfp_genens import cli
from tfp_genens.config import EvaluateConfig


def _run(values: dict[str, Any]) -> None:
    config = EvaluateConfig.from_values(values)
    from tfp_genens.evaluation import pipeline  # Slow to import: bad flags are reported first.

    pipeline.evaluate(config)


def main() -> None:
    cli.run(__doc__ or "", [EvaluateConfig], _run)


if __name__ == "__main__":
    main()
