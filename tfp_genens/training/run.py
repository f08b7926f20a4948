"""Training a run: every member, one after the other, from configuration to frozen artefact."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import math
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import tensorflow as tf
from threadpoolctl import threadpool_limits

from tfp_genens.artifact import manifest as artifacts
from tfp_genens.artifact.frozen import Frozen
from tfp_genens.artifact.member import Member, scoring_seed
from tfp_genens.config import FamilyConfig, ModelConfig, RunConfig, TrainOptions, config_sha256
from tfp_genens.data import TrainingData, load_training_data
from tfp_genens.errors import UserError
from tfp_genens.files import make_directory, read_json, remove_partial, require_keys, write_json
from tfp_genens.models.family import Family
from tfp_genens.models.learner import Examples, Learner
from tfp_genens.seeds import derive_int, derive_seed
from tfp_genens.training.batches import ShuffledBatches
from tfp_genens.training.loop import LoopResult, NonFiniteLossError, TrainingLoop
from tfp_genens.training.signals import Stopped, StopRequest, stop_on_signals

CONFIG = "config.json"
SITTINGS = "sittings.json"
SCHEMA_VERSION = 1
MAX_VALIDATION = 500  # held-out examples behind the validation metrics during training
MAX_CALIBRATION = 1000  # held-out examples scored for calibration
CALIBRATION_BATCH = 100
LONG_RUN_SECS = 1800.0


@dataclasses.dataclass(frozen=True)
class Run:
    """What is trained: the common configuration and the model family's own."""

    config: RunConfig
    model_config: FamilyConfig

    def to_json(self) -> dict[str, Any]:
        """One flat dictionary of everything that decides the members' weights."""
        return {**self.config.to_json(), **self.model_config.to_json()}


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
    """Trains the members that are not finished yet and freezes each.

    Returns:
      0, or 1 where a member's loss diverged.

    Raises:
      UserError: the run directory holds another configuration, is being written by another
        trainer, the data do not suit the model, or its members would all be alike.
      Stopped: a signal came; training continues when the same command is run again.
    """
    artifacts.git_commit()  # of the code as it starts, whatever is edited while it trains
    run_dir = make_directory(options.run_dir or default_run_dir(run), "--run_dir")
    num_members = _claim(run_dir, run, options, family)
    wanted = range(num_members) if options.member is None else [options.member]
    missing = [i for i in wanted if not artifacts.is_finished(artifacts.member_dir(run_dir, i))]
    if not missing:
        print(f"{run_dir}: finished, nothing to do", file=sys.stderr)
        return 0
    data = load_training_data(
        run.config.dataset,
        validation_fraction=run.config.validation_fraction,
        seed=run.config.seed,
        data_dir=options.data_dir,
    )
    if num_members > 1 and not family.members_differ(run.model_config, data):
        expected = f"1, because members of --model={run.config.model} would all be alike here"
        raise UserError("--num_members", expected, str(num_members))
    print(
        f"{run_dir}: {len(data.train):,} training and {len(data.validation):,} validation "
        f"inputs of shape {list(data.input_spec.shape)}; members to train: "
        f"{', '.join(map(str, missing))} of {num_members}",
        file=sys.stderr,
    )
    with stop_on_signals() as stop:
        for member in missing:
            if stop.signum is not None:  # while a member was fitted or frozen
                raise Stopped(stop.signum, 0)
            try:
                _train_member(run, options, family, data, run_dir, member, stop)
            except NonFiniteLossError as e:
                print(f"error: member {member}: {e}", file=sys.stderr)
                return 1
    return 0


def _claim(run_dir: Path, run: Run, options: TrainOptions, family: Family) -> int:
    """Writes config.json, or checks that the one there asks for the same; returns num_members."""
    path = run_dir / CONFIG
    config = run.to_json()
    num_members = options.num_members or family.num_members
    with filelock.FileLock(run_dir / ".config.lock", timeout=60):
        # Until something of a member is kept, a mistaken command may still be corrected.
        if path.exists() and any(
            any(run_dir.glob(f"member_*/{kept}")) for kept in ("checkpoints", artifacts.MANIFEST)
        ):
            there = read_json(path, "--run_dir")
            require_keys(there, ["config", "num_members"], path, "--run_dir")
            _check_same(run_dir, config, there["config"])
            num_members = options.num_members or there["num_members"]
        if options.member is not None and options.member >= num_members:
            raise UserError(
                "--member", f"an integer below --num_members={num_members}", str(options.member)
            )
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
    raise UserError(
        "--run_dir",
        f"{run_dir} to hold a run with " + ", ".join(f"--{n}={asked.get(n)}" for n in differing),
        "one with " + ", ".join(f"--{n}={there.get(n)}" for n in differing),
    )


def _begin_sitting(directory: Path) -> list[dict[str, Any]]:
    """Notes in sittings.json which code trains this member now, and on how many threads.

    A member that was interrupted has several sittings; its manifest lists them all.
    """
    path = directory / SITTINGS
    sittings = read_json(path, "--run_dir")["sittings"] if path.exists() else []
    num_threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count()
    if sittings and sittings[-1]["num_threads"] != num_threads:
        print(
            f"{directory}: continuing on {num_threads} threads what began on "
            f"{sittings[-1]['num_threads']}; weights may differ from an uninterrupted run's in "
            "their last bits",
            file=sys.stderr,
        )
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    sittings.append(
        {"started": started, "git_commit": artifacts.git_commit(), "num_threads": num_threads}
    )
    write_json(path, {"sittings": sittings})
    return sittings


def _train_member(
    run: Run,
    options: TrainOptions,
    family: Family,
    data: TrainingData,
    run_dir: Path,
    member: int,
    stop: StopRequest,
) -> None:
    directory = make_directory(artifacts.member_dir(run_dir, member), "--run_dir")
    lock = filelock.FileLock(directory / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as e:
        raise UserError("--run_dir", f"{directory} to be free", "another trainer writing it") from e
    try:
        if artifacts.is_finished(directory):  # by another trainer, since we looked
            return
        remove_partial(directory)
        _clear_session()
        seed = derive_int(run.config.seed, "member", member)
        began = time.monotonic()
        with threadpool_limits(options.num_threads or None):  # of what is fitted outside TensorFlow
            learner = family.build(run.model_config, data, seed)
        sittings = _begin_sitting(directory)
        if isinstance(run.model_config, ModelConfig):
            loop = TrainingLoop(
                learner,
                ShuffledBatches(
                    Examples(data.train, data.labels),
                    run.model_config.batch_size,
                    derive_seed(seed, "batches"),
                ),
                Examples(data.validation, data.validation_labels).map(lambda x: x[:MAX_VALIDATION]),
                derive_seed(seed, "noise"),
                directory,
                checkpoint_secs=options.checkpoint_secs,
                label=f"member {member}",
            )
            result = loop.run(stop, functools.partial(_warn_of_long_run, run))
        else:
            result = LoopResult(steps=0, wall_secs=time.monotonic() - began)
        _freeze(run, data, directory, member, learner, result, sittings)
    finally:
        lock.release()
    done = f"{result.steps:,} steps" if result.steps else "fitting"
    print(
        f"member {member}: finished {done} in {result.wall_secs:,.0f} s",
        file=sys.stderr,
    )


def _freeze(
    run: Run,
    data: TrainingData,
    directory: Path,
    member: int,
    learner: Learner,
    result: LoopResult,
    sittings: list[dict[str, Any]],
) -> None:
    frozen = learner.freeze()
    artifacts.export_saved_model(frozen, data.input_spec, directory / artifacts.SAVED_MODEL)
    signatures = artifacts.describe_signatures(frozen, data.input_spec)
    config = run.to_json()
    exported = Member(directory, {"signatures": signatures, "member": member})
    seed = scoring_seed(run.config.seed, member)
    normal = np.flatnonzero(learner.is_normal(data))[:MAX_CALIBRATION]
    calibration = artifacts.write_validation_scores(
        directory,
        tuple(data.validation_ids[i] for i in normal),
        _scores(exported, data.validation[normal], seed),
    )
    checks = learner.checks(exported, data, seed)
    for warning in checks.get("warnings", []):
        print(f"member {member}: warning: {warning}", file=sys.stderr)
    artifacts.write_manifest(
        directory,
        {
            "run_id": config_sha256(config)[:12],
            "model": run.config.model,
            "train_dataset": run.config.dataset,
            "data_fingerprint": data.fingerprint,
            "num_train": len(data.train),
            "num_validation": len(data.validation),
            "member": member,
            "seed": run.config.seed,
            "config": config,
            "config_sha256": config_sha256(config),
            "input": data.input_spec.to_json(),
            "signatures": signatures,
            "calibration": calibration,
            "checks": checks,
            "num_parameters": _num_trainable(frozen),
            "steps": result.steps,
            "wall_clock_secs": round(result.wall_secs, 2),
            "git_commit": sittings[-1]["git_commit"],
            "sittings": sittings,
        },
    )


def _num_trainable(frozen: Frozen) -> int:
    """Numbers that training in steps can change, as they are stored: masked weights count, too."""
    return sum(math.prod(variable.shape) for variable in frozen.module.trainable_variables)


def _scores(member: Member, values: np.ndarray, seed: np.ndarray) -> dict[str, np.ndarray]:
    parts = [
        member.score(values[i : i + CALIBRATION_BATCH], seed)
        for i in range(0, len(values), CALIBRATION_BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _clear_session() -> None:
    """Lets go of the graphs of the member before."""
    import tf_keras

    tf_keras.backend.clear_session()


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
