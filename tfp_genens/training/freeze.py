"""Freezing a member: the line between training and everything after it."""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tfp_genens.artifact import held_out
from tfp_genens.artifact.export import describe_signatures, export_saved_model
from tfp_genens.artifact.manifest import MANIFEST, SAVED_MODEL, write_manifest
from tfp_genens.artifact.member import Member, scoring_seed
from tfp_genens.config import ModelConfig, config_sha256
from tfp_genens.data import TrainingData
from tfp_genens.errors import UserError
from tfp_genens.files import read_json, sha256_of_tree
from tfp_genens.models.family import Family
from tfp_genens.models.learner import Learner
from tfp_genens.seeds import derive_int
from tfp_genens.training.config import Run
from tfp_genens.training.loop import restore_learner

BATCH_SIZE = 100


def freeze_member(
    run: Run,
    data: TrainingData,
    directory: Path,
    member: int,
    learner: Learner,
    history: dict[str, Any],
) -> None:
    """Exports a trained learner, scores held-out inputs with it, and writes its manifest.

    Args:
      run: what was trained.
      data: on what.
      directory: the member's.
      member: its number.
      learner: the trained model.
      history: the manifest's fields that say how it came about: steps, time, commits.
    """
    frozen = learner.freeze()
    export_saved_model(frozen, data.input_spec, directory / SAVED_MODEL)
    signatures = describe_signatures(frozen, data.input_spec)
    exported = Member(directory, {"signatures": signatures, "member": member})
    seed = scoring_seed(run.config.seed, member)
    kept = _write_held_out(directory, data, learner.is_normal(data), exported, seed)
    checks = learner.checks(exported, data, seed)
    for warning in checks.get("warnings", []):
        print(f"member {member}: warning: {warning}", file=sys.stderr)
    config = run.to_json()
    write_manifest(
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
            "weights_sha256": sha256_of_tree(directory / SAVED_MODEL),
            "input": data.input_spec.to_json(),
            "signatures": signatures,
            "decides": list(frozen.decides),
            "calibration": {
                "num_examples": kept["num_examples"][held_out.CALIBRATE],
                "quantiles": kept.pop("quantiles"),
            },
            "held_out": kept,
            "checks": checks,
            # As they are stored: masked weights count, too.
            "num_parameters": sum(math.prod(v.shape) for v in frozen.module.trainable_variables),
            **history,
        },
    )


def _write_held_out(
    directory: Path, data: TrainingData, is_normal: np.ndarray, member: Member, seed: np.ndarray
) -> dict[str, Any]:
    """Scores the held-out inputs of the parts that have a use after training."""
    uses = data.held_out
    rows, parts = [], []
    for part in (held_out.FIT, held_out.CALIBRATE):
        chosen = np.arange(len(data.validation))[uses[part]]
        chosen = chosen[is_normal[chosen]]
        rows += list(chosen)
        parts += [part] * len(chosen)
    values = data.validation[rows]
    batches = [
        member.score(values[i : i + BATCH_SIZE], seed) for i in range(0, len(rows), BATCH_SIZE)
    ]
    scores = {
        name: np.concatenate([np.zeros(0), *(batch[name] for batch in batches)])
        for name in member.outputs
    }
    kept = held_out.write(directory, [data.validation_ids[i] for i in rows], parts, scores)
    num_tune = len(data.tuning)
    return kept | {"num_examples": {held_out.TUNE: num_tune, **kept["num_examples"]}}


def refreeze_member(
    run: Run, family: Family, data: TrainingData, directory: Path, member: int
) -> None:
    """Freezes a finished member anew, from its last checkpoint, without training.

    Raises:
      UserError: it was trained on other data, or its checkpoint is gone.
    """
    manifest = read_json(directory / MANIFEST, "--run_dir")
    if manifest.get("data_fingerprint") != data.fingerprint:
        got = "data that have changed since"
        raise UserError("--run_dir", f"{directory} to be of what its data set holds", got)
    seed = derive_int(run.config.seed, "member", member)
    data = run.data_of_member(data, seed)
    learner = family.build(run.model_config, data, seed)
    if isinstance(run.model_config, ModelConfig):
        restore_learner(learner, directory)
    history: dict[str, Any] = {
        name: manifest[name]
        for name in ("steps", "wall_clock_secs", "git_commit", "sittings")
        if name in manifest
    }
    freeze_member(run, data, directory, member, learner, history)
