"""`python -m tfp_genens.report`: evaluations as one HTML file, a table or a figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from tfp_genens import cli
from tfp_genens.config import ReportConfig
from tfp_genens.errors import UserError
from tfp_genens.reporting.extras import require_report_extra

if TYPE_CHECKING:
    from tfp_genens.reporting.from_paper import MeasuredFigure


def toy_figure(seed: int) -> MeasuredFigure:
    """Figure 2: trains the paper's toy example and draws it."""
    from tfp_genens.reporting import from_paper, toy_figure
    from tfp_genens.runtime import configure_tensorflow
    from tfp_genens.toy import experiment

    configure_tensorflow(num_threads=1)  # Networks as small as these lose time to more.
    toy = experiment.run(experiment.ToySettings(), seed)
    return from_paper.MeasuredFigure(
        toy_figure.figure(toy), toy_figure.sections(toy), toy_figure.records(toy)
    )


# Reporting may not train: what a figure needs trained is trained here, and handed over as arrays.
TRAINED_FIGURES: dict[str, Callable[[int], MeasuredFigure]] = {"2": toy_figure}
"""name -> seed -> figure; they need no evaluations."""


def report(values: Mapping[str, Any]) -> int:
    """Reports on what the flags name; returns the exit code."""
    config = ReportConfig.from_values(values)
    _check(config)
    require_report_extra("report")
    from tfp_genens.reporting import from_paper, html  # Slow: bad flags are reported first.

    if config.table is not None:
        from_paper.write_table(config, config.table)
    elif config.figure is not None:
        seed = config.seed or 0
        trained = {name: partial(train, seed) for name, train in TRAINED_FIGURES.items()}
        from_paper.write_figure(config, config.figure, trained)
    else:
        html.report(config)
    return 0


def _check(config: ReportConfig) -> None:
    """Raises UserError where flags do not go together."""
    if config.table is not None and config.figure is not None:
        raise UserError("--figure", "either --table or --figure", "both")
    if config.table is None and config.figure in TRAINED_FIGURES:
        if config.evaluation_dir:
            given = ",".join(config.evaluation_dir)
            raise UserError("--evaluation_dir", f"none with --figure={config.figure}", given)
        return
    if not config.evaluation_dir:
        raise UserError("--evaluation_dir", "one or more directories that evaluate wrote", "none")
    if config.seed is not None:
        figures = " or ".join(f"--figure={name}" for name in TRAINED_FIGURES)
        raise UserError("--seed", f"none without {figures}", str(config.seed))


def main() -> None:
    cli.run(__doc__ or "", [ReportConfig], report)


if __name__ == "__main__":
    main()
