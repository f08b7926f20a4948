"""`python -m tfp_genens.paper NAME`: a table or figure of the paper, from what evaluate wrote.

NAME is table2, table3, figure1, figure2, figure3, or another of the tables and figures that stand
beside them: beta, erratum, members, compare, waic, bits_per_dim, members_figure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from tfp_genens import cli
from tfp_genens.config import ReportConfig
from tfp_genens.errors import UserError
from tfp_genens.reporting.extras import require_report_extra
from tfp_genens.runtime import load_tensorflow

if TYPE_CHECKING:
    from tfp_genens.paper.report import MeasuredFigure

# Names that say what they are: the flags have "--table=2" and "--figure=2".
NAMES = {
    "table2": "--table=2",
    "table3": "--table=3",
    "figure1": "--figure=1",
    "figure2": "--figure=2",
    "figure3": "--figure=3",
    "members_figure": "--figure=members",
}


def toy_figure(seed: int) -> MeasuredFigure:
    """Figure 2: trains the paper's toy example and draws it."""
    from tfp_genens.paper import report
    from tfp_genens.paper.figures import toy_figure
    from tfp_genens.paper.toy import experiment
    from tfp_genens.runtime import configure_tensorflow

    configure_tensorflow(num_threads=1)  # Networks as small as these lose time to more.
    toy = experiment.run(experiment.ToySettings(), seed)
    return report.MeasuredFigure(
        toy_figure.figure(toy), toy_figure.sections(toy), toy_figure.records(toy)
    )


TRAINED_FIGURES: dict[str, Callable[[int], MeasuredFigure]] = {"2": toy_figure}
"""name -> seed -> figure; they need no evaluations."""


def write(values: Mapping[str, Any]) -> int:
    """Writes the table or figure that the flags name; returns the exit code."""
    config = ReportConfig.from_values(values)
    _check(config)
    require_report_extra("report")
    load_tensorflow()
    from tfp_genens.paper import report  # Slow: bad flags are reported first.

    if config.table is not None:
        report.write_table(config, config.table)
    elif config.figure is not None:
        seed = config.seed or 0
        trained = {name: partial(train, seed) for name, train in TRAINED_FIGURES.items()}
        report.write_figure(config, config.figure, trained)
    return 0


def _check(config: ReportConfig) -> None:
    """Raises UserError where flags do not go together."""
    if config.table is None and config.figure is None:
        raise UserError("NAME", "a table or figure of the paper, e.g. table2", "none")
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
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        sys.argv[1] = NAMES.get(sys.argv[1], f"--table={sys.argv[1]}")
    cli.run(__doc__ or "", [ReportConfig], write)


if __name__ == "__main__":
    main()
