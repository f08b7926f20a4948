"""Training one member, from its last checkpoint to its frozen artefact."""

import datetime
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import tensorflow as tf
from threadpoolctl import threadpool_limits

from tfp_genens.artifact.manifest import git_commit, is_finished, member_dir
from tfp_genens.config import ModelConfig, TrainOptions
from tfp_genens.data import TrainingData
from tfp_genens.errors import UserError
from tfp_genens.files import make_directory, read_json, remove_partial, write_json
from tfp_genens.models.family import Family
from tfp_genens.models.learner import Examples, Learner
from tfp_genens.seeds import derive_int, derive_seed
from tfp_genens.training.batches import ShuffledBatches
from tfp_genens.training.config import Run
from tfp_genens.training.freeze import freeze_member
from tfp_genens.training.loop import TrainingLoop
from tfp_genens.training.signals import StopRequest

SITTINGS = "sittings.json"


def train_member(
    run: Run,
    options: TrainOptions,
    family: Family,
    data: TrainingData,
    member: int,
    stop: StopRequest,
    on_pace: Callable[[float], None],
) -> None:
    """Trains a member that is not finished yet, and freezes it.

    Args:
      run: what is trained.
      options: how; `run_dir` says where.
      family: the model family.
      data: on what.
      member: its number.
      stop: a request to stop, see `TrainingLoop.run`.
      on_pace: see `TrainingLoop.run`.

    Raises:
      UserError: another process trains this member.
    """
    directory = make_directory(member_dir(options.run_dir or "", member), "--run_dir")
    lock = filelock.FileLock(directory / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as e:
        raise UserError("--run_dir", f"{directory} to be free", "another trainer writing it") from e
    try:
        if is_finished(directory):  # by another trainer, since we looked
            return
        remove_partial(directory)
        seed = derive_int(run.config.seed, "member", member)
        data = run.data_of_member(data, seed)
        began = time.monotonic()
        with threadpool_limits(options.num_threads or None):  # of what is fitted outside TensorFlow
            learner = family.build(run.model_config, data, seed)
        sittings = _begin_sitting(directory)
        steps, secs = 0, time.monotonic() - began
        if isinstance(run.model_config, ModelConfig):
            loop = _loop(run.model_config, options, data, learner, directory, member, seed)
            steps, secs = loop.num_steps, loop.run(stop, on_pace)
        history = {
            "steps": steps,
            "wall_clock_secs": round(secs, 2),
            "git_commit": sittings[-1]["git_commit"],
            "sittings": sittings,
        }
        freeze_member(run, data, directory, member, learner, history)
    finally:
        lock.release()
    done = f"{steps:,} steps" if steps else "fitting"
    print(f"member {member}: finished {done} in {secs:,.0f} s", file=sys.stderr)


def _loop(
    config: ModelConfig,
    options: TrainOptions,
    data: TrainingData,
    learner: Learner,
    directory: Path,
    member: int,
    seed: int,
) -> TrainingLoop:
    examples = Examples(data.train, data.labels)
    return TrainingLoop(
        learner,
        ShuffledBatches(examples, config.batch_size, derive_seed(seed, "batches")),
        Examples(data.validation, data.validation_labels).map(lambda x: x[data.held_out["tune"]]),
        derive_seed(seed, "noise"),
        directory,
        checkpoint_secs=options.checkpoint_secs,
        label=f"member {member}",
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
    sittings.append({"started": started, "git_commit": git_commit(), "num_threads": num_threads})
    write_json(path, {"sittings": sittings})
    return sittings
