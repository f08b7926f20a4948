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
    from tfp_genens.scoring.freeze import ensure_frozen
    from tfp_genens.scoring.writers import check_writable

    check_writable(config.output, "--output")
    ensure_frozen(config.run_dir, members)
    ensemble = Ensemble.load(config.run_dir, members)
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

    outputs = chosen_outputs(ensemble, config.outputs)
    smallest = ensemble.smallest_p_value(outputs)
    if ensemble.decision_score(outputs) is None:
        print("no p_value: the run has no held-out scores for these outputs", file=sys.stderr)
    elif smallest > config.alpha:
        print(
            f"no input can be an outlier at --alpha={config.alpha:g}: with "
            f"{round(1 / smallest) - 1} held-out inputs no p_value is below {smallest:.2g}; train "
            "with more --validation_fraction",
            file=sys.stderr,
        )


def main() -> None:
    cli.run(__doc__ or "", [ScoreConfig], score)


if __name__ == "__main__":
    main()
