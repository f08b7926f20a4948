"""Trains an ensemble: `python -m tfp_genens.train --model=vae --beta=0.1`.

Running the same command again continues where it stopped, and does nothing when all members are
finished.
"""

import sys
from collections.abc import Mapping
from typing import Any

from tfp_genens import cli
from tfp_genens.config import FamilyConfig, RunConfig, TrainOptions
from tfp_genens.errors import UserError
from tfp_genens.models import FAMILIES
from tfp_genens.models.family import Family
from tfp_genens.runtime import configure_tensorflow


def model_config(values: Mapping[str, Any], families: Mapping[str, Family]) -> FamilyConfig:
    """The chosen family's configuration out of the flags given.

    Raises UserError: an unknown family, or a flag that this family does not have.
    """
    name = values.get("model", RunConfig.model)
    if name not in families:
        raise UserError("--model", "one of " + ", ".join(families), repr(name))
    config_class = families[name].config
    own = cli.options_of([config_class])
    of_any = cli.options_of([family.config for family in families.values()])
    for flag in values:
        if flag in of_any and flag not in own:
            expected = f"a flag that --model={name} has ({', '.join(sorted(own))})"
            raise UserError(f"--{flag}", expected, f"--{flag}={values[flag]}")
    return config_class.from_values(values)


def train(values: Mapping[str, Any]) -> int:
    """Trains the run that the flags describe; returns the exit code."""
    config = RunConfig.from_values(values)
    options = TrainOptions.from_values(values)
    family_config = model_config(values, FAMILIES)
    # Slow to import: bad flags are reported first.
    configure_tensorflow(options.num_threads)
    from tfp_genens.training.config import Run
    from tfp_genens.training.run import train_run
    from tfp_genens.training.signals import Stopped

    try:
        return train_run(Run(config, family_config), options, FAMILIES[config.model])
    except Stopped as e:
        print(f"{e}; run the same command to continue", file=sys.stderr)
        return 128 + e.signum


def main() -> None:
    classes = [RunConfig, TrainOptions, *(family.config for family in FAMILIES.values())]
    cli.run(__doc__ or "", classes, train)


if __name__ == "__main__":
    main()
