"""Training a run: every member, one after the other, then the ensemble."""

import dataclasses
import functools
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import filelock
import tensorflow as tf

from tfp_genens.artifact.manifest import CONFIG, MANIFEST, git_commit, is_finished, member_dir
from tfp_genens.config import RunConfig, TrainOptions, config_sha256
from tfp_genens.data import TrainingData, load_training_data
from tfp_genens.errors import UserError
from tfp_genens.files import make_directory, read_json, require_keys, write_json
from tfp_genens.models.family import Family
from tfp_genens.scoring.freeze import (
    ensemble_dir,
    freeze_ensemble,
    frozen_decision_score,
    unfinished_members,
)
from tfp_genens.training.config import Run
from tfp_genens.training.loop import NonFiniteLossError
from tfp_genens.training.member import train_member
from tfp_genens.training.signals import Stopped, stop_on_signals

SCHEMA_VERSION = 1
LONG_RUN_SECS = 1800.0


def default_run_dir(run: Run) -> str:
    """`runs/` and a name made of the model, the data set and every value that is not a default."""
    parts = [run.config.model, run.config.dataset]
    for config in (run.config, run.model_config):
        for field in dataclasses.fields(config):
            value = getattr(config, field.name)
            if field.name not in ("model", "dataset") and value != field.default:
                parts.append(f"{field.name}{value}")
    name = re.sub(r"[^A-Za-z0-9.=+-]+", "_", "_".join(parts))
    return f"runs/{name[:80]}_{config_sha256(run.to_json())[:8]}"


def train_run(run: Run, options: TrainOptions, family: Family) -> int:
    """Trains the members that are not finished yet; with the last one, freezes the ensemble.

    Returns:
      0, or 1 where a member's loss diverged.

    Raises:
      UserError: the run directory holds another configuration, is being written by another
        trainer, the data do not suit the model, its members would all be alike, or they lack the
        score that is to decide.
      Stopped: a signal came; training continues when the same command is run again.
    """
    git_commit()  # of the code as it starts, whatever is edited while it trains
    run_dir = make_directory(options.run_dir or default_run_dir(run), "--run_dir")
    options = dataclasses.replace(options, run_dir=str(run_dir))
    num_members = _claim(run_dir, run, options, family)
    wanted = range(num_members) if options.member is None else [options.member]
    missing = [i for i in wanted if not is_finished(member_dir(run_dir, i))]
    if missing:
        data = load_data(run, options.data_dir)
        differ = run.config.bootstrap or family.members_differ(run.model_config, data)
        if num_members > 1 and not differ:
            expected = f"1, because members of --model={run.config.model} would all be alike here"
            raise UserError("--num_members", expected, str(num_members))
        print(
            f"{run_dir}: {len(data.train):,} training and {len(data.validation):,} validation "
            f"inputs of shape {list(data.input_spec.shape)}; members to train: "
            f"{', '.join(map(str, missing))} of {num_members}",
            file=sys.stderr,
        )
        if not _train(run, options, family, data, missing):
            return 1
    is_frozen = is_finished(ensemble_dir(run_dir)) and (
        options.decision_score in (None, frozen_decision_score(run_dir))
    )
    if not unfinished_members(run_dir) and (missing or not is_frozen):
        directory = freeze_ensemble(run_dir, decision_score=options.decision_score)
        print(f"{directory}: {num_members} members frozen as one", file=sys.stderr)
    elif not missing:
        print(f"{run_dir}: finished, nothing to do", file=sys.stderr)
    return 0


def load_data(run: Run, data_dir: str | None) -> TrainingData:
    """What a run trains on."""
    config = run.config
    how: dict[str, Any] = {"validation_fraction": config.validation_fraction, "seed": config.seed}
    return load_training_data(config.dataset, **how, data_dir=data_dir)


def _train(
    run: Run, options: TrainOptions, family: Family, data: TrainingData, members: list[int]
) -> bool:
    """Trains members; False where a loss diverged."""
    on_pace = functools.partial(_warn_of_long_run, run)
    with stop_on_signals() as stop:
        for member in members:
            if stop.signum is not None:  # while a member was fitted or frozen
                raise Stopped(stop.signum, 0)
            try:
                train_member(run, options, family, data, member, stop, on_pace)
            except NonFiniteLossError as e:
                print(f"error: member {member}: {e}", file=sys.stderr)
                return False
    return True


def read_run(run_dir: str | os.PathLike, families: Mapping[str, Family]) -> tuple[Run, Family]:
    """What a run's config.json asked for, and the family that it is of."""
    path = Path(run_dir) / CONFIG
    config = read_json(path, "--run_dir")
    require_keys(config, ["config"], path, "--run_dir")
    values = config["config"]
    family = families[values["model"]]
    return Run(RunConfig.from_values(values), family.config.from_values(values)), family


def _claim(run_dir: Path, run: Run, options: TrainOptions, family: Family) -> int:
    """Writes config.json, or checks that the one there asks for the same; returns num_members."""
    path = run_dir / CONFIG
    config = run.to_json()
    num_members = options.num_members or family.num_members
    with filelock.FileLock(run_dir / ".config.lock", timeout=60):
        # Until something of a member is kept, a mistaken command may still be corrected.
        if path.exists() and any(
            any(run_dir.glob(f"member_*/{kept}")) for kept in ("checkpoints", MANIFEST)
        ):
            there = read_json(path, "--run_dir")
            require_keys(there, ["config", "num_members"], path, "--run_dir")
            values = there["config"]
            filled = Run(RunConfig.from_values(values), family.config.from_values(values))
            # A run that is older than a flag has the flag's default.
            _check_same(run_dir, config, filled.to_json() | values)
            num_members = options.num_members or there["num_members"]
        if options.member is not None and options.member >= num_members:
            expected = f"an integer below --num_members={num_members}"
            raise UserError("--member", expected, str(options.member))
        write_json(
            path,
            {
                "schema_version": SCHEMA_VERSION,
                "run_id": config_sha256(config)[:12],
                "config": config,
                "config_sha256": config_sha256(config),
                "num_members": num_members,
            },
        )
    return num_members


def _check_same(run_dir: Path, asked: dict[str, Any], there: dict[str, Any]) -> None:
    if asked == there:
        return
    differing = [n for n in sorted(asked.keys() | there.keys()) if asked.get(n) != there.get(n)]
    ours, theirs = (
        ", ".join(f"--{n}={config.get(n)}" for n in differing) for config in (asked, there)
    )
    raise UserError("--run_dir", f"{run_dir} to hold a run with {ours}", f"one with {theirs}")


def _warn_of_long_run(run: Run, remaining_secs: float) -> None:
    """Names the settings that CPUs can carry, where training would take long without them."""
    flagfile = f"flags/{run.config.model}_cpu.cfg"
    path = Path(__file__).parents[2] / flagfile
    lines = path.read_text().splitlines() if path.exists() else []
    flags = [line for line in lines if line.startswith("--")]
    own = {f"--{name}={value}" for name, value in run.model_config.to_json().items()}
    others = [flag for flag in flags if flag not in own]
    if remaining_secs > LONG_RUN_SECS and others and not tf.config.list_physical_devices("GPU"):
        print(
            f"about {remaining_secs / 60:,.0f} minutes a member at this pace on CPUs; "
            f"{' '.join(others)} ({flagfile}) and another --run_dir would take less",
            file=sys.stderr,
        )
