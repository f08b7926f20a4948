"""`python -m tfp_genens.evaluate`: what a trained ensemble is worth as a detector, in numbers."""

from collections.abc import Mapping
from typing import Any

from tfp_genens import cli
from tfp_genens.config import EvaluateConfig, member_numbers
from tfp_genens.reporting.extras import require_report_extra
from tfp_genens.runtime import configure_tensorflow


def evaluate(values: Mapping[str, Any]) -> int:
    """Evaluates what the flags describe; returns the exit code.

    Raises UserError: something cannot be used; or, after everything else was written, some
    out-of-distribution set could not be evaluated.
    """
    config = EvaluateConfig.from_values(values)
    if config.figures:
        require_report_extra("--figures")
    member_numbers(config.members)
    # Slow to import: bad flags are reported first.
    configure_tensorflow()
    from tfp_genens.evaluation import pipeline, tables

    document = pipeline.evaluate(config)
    if config.figures:
        from tfp_genens.reporting import figures

        figures.write_figures(config.output_dir)
    print(tables.summary(document, config.output_dir))
    pipeline.check_complete(document, config.output_dir)
    return 0


def main() -> None:
    cli.run(__doc__ or "", [EvaluateConfig], evaluate)


if __name__ == "__main__":
    main()
