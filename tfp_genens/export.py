"""Freezes trained members into one ensemble, anew and without training.

`python -m tfp_genens.export --run_dir=RUN` is what training does when its last member is finished.
Members of an earlier version of the package are frozen anew first, from their checkpoints; with
--renew all are.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tfp_genens import cli
from tfp_genens.config import ExportConfig, member_numbers
from tfp_genens.runtime import configure_tensorflow


def export(values: Mapping[str, Any]) -> int:
    """Exports what the flags describe; returns the exit code."""
    config = ExportConfig.from_values(values)
    members = member_numbers(config.members)
    # Slow to import: bad flags are reported first.
    configure_tensorflow()
    from tfp_genens.scoring import freeze

    numbers = range(freeze.num_members(config.run_dir)) if members is None else members
    _renew(config, numbers)
    directory = freeze.freeze_ensemble(config.run_dir, members, config.decision_score)
    print(f"{directory}: {len(numbers)} members frozen as one", file=sys.stderr)
    return 0


def _renew(config: ExportConfig, members: Sequence[int]) -> None:
    """Freezes members of an earlier version, or all, anew."""
    from tfp_genens.artifact.manifest import SCHEMA_VERSION, is_finished, member_dir, schema_version

    directories = {i: member_dir(config.run_dir, i) for i in members}
    finished = [i for i, directory in directories.items() if is_finished(directory)]
    versions = {i: schema_version(directories[i]) or 0 for i in finished}
    old = [i for i, version in versions.items() if config.renew or version < SCHEMA_VERSION]
    if not old:
        return
    from tfp_genens.models import FAMILIES
    from tfp_genens.training.freeze import refreeze_member
    from tfp_genens.training.run import load_data, read_run

    run, family = read_run(config.run_dir, FAMILIES)
    data = load_data(run, config.data_dir)
    for member in old:
        refreeze_member(run, family, data, directories[member], member)
        print(f"member {member}: frozen anew", file=sys.stderr)


def main() -> None:
    cli.run(__doc__ or "", [ExportConfig], export)


if __name__ == "__main__":
    main()
