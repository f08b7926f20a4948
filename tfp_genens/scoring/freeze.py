"""One frozen ensemble out of a run's members: everything that scores calls this one graph.

    RUN_DIR/ensemble/1/             members' and ensemble's scores, p-value and verdict, in
                                    TensorFlow Serving's layout
    RUN_DIR/ensemble/analysis/      what only evaluation needs: gradients, samples, reconstructions
    RUN_DIR/ensemble/manifest.json  written last

No model code is needed, see `artifact.linking`; `python -m tfp_genens.export` makes it anew.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import tensorflow as tf

from tfp_genens.artifact import held_out, linking
from tfp_genens.artifact.export import save
from tfp_genens.artifact.manifest import (
    CONFIG,
    MANIFEST,
    SAVED_MODEL,
    git_commit,
    is_finished,
    member_dir,
    read_manifest,
    write_manifest,
)
from tfp_genens.artifact.member import DEFAULT, scoring_seed
from tfp_genens.artifact.spec import InputSpec, OutputSpec
from tfp_genens.errors import UserError
from tfp_genens.files import make_directory, read_json, require_keys, sha256_of_tree
from tfp_genens.scoring import analysis, calibration
from tfp_genens.scoring.candidates import available_candidates
from tfp_genens.scoring.columns import IS_OUTLIER, P_VALUE
from tfp_genens.scoring.scores import EnsembleScore, available_scores, combine

ENSEMBLE, VERSION, ANALYSIS = "ensemble", "1", "analysis"
CANDIDATES = "candidates"
"""The signature of scores that others have proposed; nothing is held out for them."""

WITH_ALPHA = "with_alpha"
ASKED = "asked_decision_score"
"""Field of the manifest: the score that the user let decide, where they did."""

# What members of an ensemble have in common: fields of their manifests, and what they mean.
_SHARED_FIELDS = {
    "model": "the same model",
    "train_dataset": "the same training data set",
    "data_fingerprint": "the same training data",
    "input": "the same input and preprocessing",
    "signatures": "the same signatures",
    "seed": "the same run seed",
    "config_sha256": "the same configuration",
}
_SHARED_WITHOUT_MEANING = ("run_id", "config", "decides")
# Kept for all members together.
_NOT_KEPT = ("signatures", "input", "held_out", "schema_version")


def ensemble_dir(run_dir: str | os.PathLike, members: Sequence[int] | None = None) -> Path:
    """RUN_DIR/ensemble, or RUN_DIR/ensemble_0_2 for an ensemble of some members beside it."""
    return Path(run_dir) / "_".join([ENSEMBLE, *map(str, members or ())])


def unfinished_members(run_dir: str | os.PathLike) -> list[int]:
    """Numbers of the run's members that have no manifest yet; raises UserError for no run."""
    return [i for i in range(num_members(run_dir)) if not is_finished(member_dir(run_dir, i))]


def num_members(run_dir: str | os.PathLike) -> int:
    """How many members the run is to have; raises UserError where there is no run."""
    path = Path(run_dir) / CONFIG
    if not path.is_file():
        raise UserError("--run_dir", f"the directory of a run (with a {CONFIG})", str(run_dir))
    config = read_json(path, "--run_dir")
    require_keys(config, ["num_members"], path, "--run_dir")
    return config["num_members"]


def freeze_ensemble(
    run_dir: str | os.PathLike,
    members: Sequence[int] | None = None,
    decision_score: str | None = None,
) -> Path:
    """Freezes members into one SavedModel; one that is there is replaced when this is complete.

    Args:
      run_dir: the run's directory.
      members: their numbers; all of the run's where None.
      decision_score: the ensemble score that p-values are made of; where None, what the run's
        ensemble was asked to have before, or else the family's choice.

    Returns:
      The directory, see `ensemble_dir`.

    Raises:
      UserError: no such run, an unfinished member, changed files, members that do not belong
        together, or a score that they do not have.
    """
    directories, manifests = verified_members(run_dir, members)
    make_directory(run_dir, "--run_dir")
    decision_score = decision_score or _asked_before(run_dir)
    directory = ensemble_dir(run_dir, members)
    ensemble = _Members(directories, manifests, decision_score)
    analysing = analysis.Analysis(ensemble.linked, manifests[0], ensemble.scores, ensemble.states)
    with filelock.FileLock(directory.with_name(f".{directory.name}.lock")):
        partial = directory.with_name(f".{directory.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        save(ensemble, ensemble.signatures(), partial / VERSION)
        if analysing.functions:
            save(analysing, analysing.functions, partial / ANALYSIS)
        write_manifest(partial, _fields(partial, manifests, ensemble, analysing))
        shutil.rmtree(directory, ignore_errors=True)
        os.replace(partial, directory)
    return directory


def verified_members(
    run_dir: str | os.PathLike, members: Sequence[int] | None
) -> tuple[list[Path], list[dict[str, Any]]]:
    """Directories and manifests of a run's members; raises UserError as `freeze_ensemble` does."""
    total = num_members(run_dir)
    numbers = list(range(total) if members is None else members)
    if not numbers or len(set(numbers)) < len(numbers) or not set(numbers) <= set(range(total)):
        got = ",".join(map(str, numbers))
        raise UserError("--members", f"some of 0 to {total - 1}, each once", got)
    directories = [member_dir(run_dir, i) for i in numbers]
    manifests = [read_manifest(path) for path in directories]
    _check_together(numbers, directories, manifests)
    return directories, manifests


def frozen_decision_score(run_dir: str | os.PathLike) -> str | None:
    """What p-values of the run's frozen ensemble are made of; None where there are none."""
    manifest = _frozen_manifest(run_dir)
    return manifest["signatures"][DEFAULT]["decision_score"] if manifest else None


def _asked_before(run_dir: str | os.PathLike) -> str | None:
    """The score that the run's frozen ensemble was asked to decide by; None: it was not asked."""
    return _frozen_manifest(run_dir).get(ASKED)


def _frozen_manifest(run_dir: str | os.PathLike) -> dict[str, Any]:
    """The manifest of the run's frozen ensemble; empty where there is none."""
    path = ensemble_dir(run_dir) / MANIFEST
    if not path.is_file():
        return {}
    manifest = read_json(path, "--run_dir")
    require_keys(manifest, ["signatures"], path, "--run_dir")
    return manifest


def ensure_frozen(run_dir: str | os.PathLike, members: Sequence[int] | None = None) -> None:
    """Freezes the ensemble where it is missing and its members are trained; else does nothing."""
    directory = ensemble_dir(run_dir, members)
    if is_finished(directory) or not (Path(run_dir) / CONFIG).is_file():
        return
    unfinished = unfinished_members(run_dir)
    if not unfinished or (members and not set(members) & set(unfinished)):
        freeze_ensemble(run_dir, members)


class _Members(tf.Module):
    """Linked members and what is made of their scores, as functions of raw inputs alone."""

    def __init__(
        self,
        directories: Sequence[Path],
        manifests: Sequence[Mapping[str, Any]],
        decision_score: str | None,
    ):
        super().__init__()
        first = manifests[0]
        self._described: Mapping[str, Any] = first["signatures"]
        self._input_spec = InputSpec.from_json(first["input"])
        self._directories = directories
        self.linked = linking.link(
            [path / SAVED_MODEL for path in directories],
            list(self._described),
            [scoring_seed(first["seed"], manifest["member"]) for manifest in manifests],
        )
        self._has_held_out = all(manifest.get("held_out") for manifest in manifests)
        self.outputs = {
            name: {output: OutputSpec.from_json(spec) for output, spec in entry["outputs"].items()}
            for name, entry in self._described.items()
            if entry["outputs"]  # others give no scores
        }
        num_fit = first["held_out"]["num_examples"][held_out.FIT] if self._has_held_out else 0
        self.scores = {
            name: {n: s for n, s in _offered(name, outputs).items() if s.can_be_made(num_fit)}
            for name, outputs in self.outputs.items()
        }
        self._decides: list[str] = first["decides"]
        self.asked = decision_score
        if decision_score is not None:
            self._let_decide(decision_score, num_fit)
        self.states = {
            name: score.fit(*self._held_out(score, held_out.FIT).values())
            for name, score in self.scores[DEFAULT].items()
            if score.fit is not None
        }
        decisions = {name: self._decision(scores) for name, scores in self.scores.items()}
        self.decisions = {name: found for name, found in decisions.items() if found}

    def _let_decide(self, decision_score: str, num_fit: int) -> None:
        """Puts a score before the family's choice; a candidate is then computed, too."""
        for name, outputs in self.outputs.items():
            candidate = available_candidates(outputs).get(decision_score)
            if candidate is not None and candidate.can_be_made(num_fit):
                self.scores[name][decision_score] = candidate
        if decision_score not in self.scores[DEFAULT]:
            known = (*self.scores[DEFAULT], *available_candidates(self.outputs[DEFAULT]))
            raise UserError("--decision_score", f"one of {', '.join(known)}", repr(decision_score))
        self._decides = [decision_score, *self._decides]

    def _held_out(self, score: EnsembleScore, part: str) -> dict[str, np.ndarray]:
        return held_out.read(self._directories, score.inputs, part)

    def _decision(
        self, scores: Mapping[str, EnsembleScore]
    ) -> tuple[EnsembleScore, tf.Tensor] | None:
        """What p-values are made of, and it of the inputs held out to calibrate, sorted.

        It is the one asked for, or else the first of the family's choice that can be computed.
        """
        score = next((scores[name] for name in self._decides if name in scores), None)
        if score is None or not self._has_held_out:
            return None
        outputs = self._held_out(score, held_out.CALIBRATE)
        values = score(outputs, self.states.get(score.name))
        if not tf.size(values):
            return None
        return score, tf.sort(calibration.normality(values, score.direction))

    def signatures(self) -> dict[str, Any]:
        """Concrete functions by name: of `inputs` alone, and `with_alpha`."""
        shape = [None, *self._input_spec.shape]
        inputs = tf.TensorSpec(shape, tf.float32, "inputs")

        def function(signature: str) -> Any:
            return lambda inputs: self._score(signature, inputs, calibration.DEFAULT_ALPHA)

        def with_alpha(inputs: tf.Tensor, alpha: tf.Tensor) -> dict[str, tf.Tensor]:
            return self._score(DEFAULT, inputs, alpha)

        found = {
            name: tf.function(function(name), autograph=False).get_concrete_function(inputs)
            for name in self.scores
        }
        if DEFAULT in self.decisions:
            alpha = tf.TensorSpec([None], tf.float64, "alpha")
            found[WITH_ALPHA] = tf.function(with_alpha, autograph=False).get_concrete_function(
                inputs, alpha
            )
        return found

    def _score(
        self, signature: str, inputs: tf.Tensor, alpha: tf.Tensor | float
    ) -> dict[str, tf.Tensor]:
        """Members' scores [batch, num_members]; the ensemble's, p_value and is_outlier [batch]."""
        # A wrong shape must be an error here: further in it may abort the process.
        inputs = tf.ensure_shape(inputs, [None, *self._input_spec.shape])
        found = [member.call(signature, inputs=inputs) for member in self.linked]
        stacked = {
            name: tf.stack([outputs[name] for outputs in found]) for name in self.outputs[signature]
        }
        combined = combine(stacked, self.scores[signature], self.states)
        result = {name: tf.transpose(values) for name, values in stacked.items()} | combined
        if signature in self.decisions:
            score, normal = self.decisions[signature]
            turned = calibration.normality(combined[score.name], score.direction)
            p_value = calibration.p_value(turned, normal)
            result |= {P_VALUE: p_value, IS_OUTLIER: p_value <= alpha}
        return result


def _offered(signature: str, outputs: Mapping[str, OutputSpec]) -> dict[str, EnsembleScore]:
    """Every ensemble score of a signature; candidates stand in their own alone."""
    found = available_scores(outputs)
    if signature == CANDIDATES:
        rows = available_candidates(outputs).values()
        found |= {row.name: row for row in rows if row.fit is None}
    return found


def _fields(
    directory: Path,
    manifests: Sequence[Mapping[str, Any]],
    ensemble: _Members,
    analysing: analysis.Analysis,
) -> dict[str, Any]:
    """The manifest of the ensemble."""
    first = manifests[0]
    signatures = {}
    for name, outputs in ensemble.outputs.items():
        score, normal = ensemble.decisions.get(name, (None, ()))
        signatures[name] = {
            "arguments": {"inputs": first["signatures"][name]["arguments"]["inputs"]},
            "member_scores": {output: spec.to_json() for output, spec in outputs.items()},
            "ensemble_scores": {
                row.name: row.spec.to_json() | {"inputs": list(row.inputs)}
                for row in ensemble.scores[name].values()
            },
            "decision_score": score and score.name,
            "num_calibrate": len(normal),
        }
    shared = {name: first[name] for name in (*_SHARED_FIELDS, *_SHARED_WITHOUT_MEANING)}
    return {
        **shared,
        "members": [
            {key: value for key, value in manifest.items() if key not in _NOT_KEPT}
            for manifest in manifests
        ],
        "held_out": first.get("held_out", {}).get("num_examples"),
        "signatures": signatures,
        "analysis": analysing.described,
        **({ASKED: ensemble.asked} if ensemble.asked else {}),
        "weights_sha256": digests(directory),
        "git_commit": git_commit(),
    }


def digests(directory: Path) -> dict[str, str]:
    """SHA-256 over the files of each SavedModel in an ensemble's directory."""
    parts = (directory / name for name in (VERSION, ANALYSIS))
    return {path.name: sha256_of_tree(path) for path in parts if path.is_dir()}


def _check_together(
    numbers: Sequence[int], directories: Sequence[Path], manifests: Sequence[Mapping[str, Any]]
) -> None:
    first = manifests[0]
    for number, directory, manifest in zip(numbers, directories, manifests, strict=True):
        if manifest["member"] != number:
            got = f"member {manifest['member']}"
            raise UserError("--run_dir", f"member {number} in {directory}", got)
        for field, meaning in _SHARED_FIELDS.items():
            if manifest[field] != first[field]:
                of_first = f"{directories[0].name} ({_short(first[field])})"
                got = f"{directory.name} with {_short(manifest[field])}"
                raise UserError("--run_dir", f"members with {meaning} as {of_first}", got)
    owners: dict[str, Path] = {}
    for directory, manifest in zip(directories, manifests, strict=True):
        owner = owners.setdefault(manifest["weights_sha256"], directory)
        if owner is not directory:
            got = f"{directory.name} with the weights of {owner.name}"
            raise UserError("--run_dir", "members trained independently", got)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
