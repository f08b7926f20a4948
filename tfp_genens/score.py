"""Scores inputs with a frozen ensemble: one row an input."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tfp_genens import cli
from tfp_genens.config import ScoreConfig, member_numbers
from tfp_genens.runtime import configure_tensorflow

if TYPE_CHECKING:
    from tfp_genens.scoring import Ensemble


def score(values: Mapping[str, Any]) -> int:
    """Scores what the flags describe; returns the exit code."""
    config = ScoreConfig.from_values(values)
    members = member_numbers(config.members)
    # Slow to import: bad flags are reported first.
    configure_tensorflow()
    from tfp_genens.data import open_source
    from tfp_genens.scoring import Ensemble, score_to_file
    from tfp_genens.scoring.writers import check_writable

    check_writable(config.output, "--output")
    ensemble = Ensemble.load(config.run_dir, members, config.seed)
    _warn_of_verdict(ensemble, config)
    source = open_source(config.input, ensemble.input_spec, data_dir=config.data_dir)
    num_rows = score_to_file(
        ensemble,
        source,
        config.output,
        batch_size=config.batch_size,
        outputs=config.outputs,
        alpha=config.alpha,
    )
    print(f"{config.output}: {num_rows:,} rows", file=sys.stderr)
    return 0


def _warn_of_verdict(ensemble: Ensemble, config: ScoreConfig) -> None:
    from tfp_genens.scoring.stream import chosen_outputs

    calibration = ensemble.calibration(chosen_outputs(ensemble, config.outputs))
    if calibration is None:
        print("no p_value: the run has no calibration for these outputs and seed", file=sys.stderr)
    elif calibration.smallest_p_value > config.alpha:
        print(
            f"no input can be an outlier at --alpha={config.alpha:g}: with "
            f"{len(calibration.normality)} held-out inputs no p_value is below "
            f"{calibration.smallest_p_value:.2g}; train with more --validation_fraction",
            file=sys.stderr,
        )


def main() -> None:
    cli.run(__doc__ or "", [ScoreConfig], score)


if __name__ == "__main__":
    main()
