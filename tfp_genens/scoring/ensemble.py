"""The frozen ensemble as a Python object: a thin face of its SavedModels."""

from __future__ import annotations

import functools
import numbers
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfp_genens.artifact.manifest import (
    CONFIG,
    MANIFEST,
    RENEW,
    check_schema_version,
    is_finished,
    verify,
)
from tfp_genens.artifact.member import DEFAULT, call
from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, InputSpec, OutputSpec
from tfp_genens.errors import UserError
from tfp_genens.files import read_json, require_keys, sha256_of_tree
from tfp_genens.scoring.analysis import CLASSIFY, GRADIENT, RECONSTRUCT, SAMPLE
from tfp_genens.scoring.calibration import DEFAULT_ALPHA, smallest_p_value
from tfp_genens.scoring.columns import P_VALUE
from tfp_genens.scoring.freeze import (
    ANALYSIS,
    CANDIDATES,
    VERSION,
    ensemble_dir,
    verified_members,
)
from tfp_genens.seeds import derive_seed

REQUIRED = (
    *("model", "train_dataset", "seed", "input", "members", "signatures", "analysis"),
    "weights_sha256",
)


class Ensemble:
    """Frozen members of one run and what is made of their scores; `Ensemble.load` builds it.

    The Python interface keeps scikit-learn's names and signs: `score_samples` and
    `decision_function` are higher for normal inputs, `predict` is +1 for normal and -1 for
    outlying ones.

    Args:
      directory: RUN_DIR/ensemble, as `scoring.freeze` wrote it.
      manifest: its manifest.

    Attributes:
      manifests: of the members, without what the ensemble's own manifest says for all.
      outputs: the members' scores, name -> OutputSpec.
      ensemble_scores: likewise of the ensemble.
      signatures: names of those that score.
      functions: what can be done beside scoring: "sample", "reconstruct", "classify", gradients.
    """

    def __init__(self, directory: Path, manifest: Mapping[str, Any]):
        self.directory = directory
        self.manifest = manifest
        self.manifests: list[Mapping[str, Any]] = manifest["members"]
        self.members = tuple(int(member["member"]) for member in self.manifests)
        self.model: str = manifest["model"]
        self.train_dataset: str = manifest["train_dataset"]
        self.seed: int = manifest["seed"]
        self.input_spec = InputSpec.from_json(manifest["input"])
        self._signatures: Mapping[str, Any] = manifest["signatures"]
        self.outputs = self.specs(DEFAULT, "member_scores")
        self.ensemble_scores = self.specs(DEFAULT, "ensemble_scores")
        self.signatures = tuple(self._signatures)
        self.functions = tuple(manifest["analysis"])
        # The loaded object must be kept: its signatures hold its variables weakly.
        self._scoring = tf.saved_model.load(str(directory / VERSION))

    @classmethod
    def load(cls, run_dir: str | os.PathLike, members: Sequence[int] | None = None) -> Ensemble:
        """Loads and verifies a frozen ensemble.

        Args:
          run_dir: the run's directory, or a copy of its `ensemble` folder.
          members: of an ensemble of some members that was frozen beside the whole one.

        Raises:
          UserError: none is there, its files have changed, or the members have since.
        """
        directory = ensemble_dir(run_dir, members)
        if members is None and not is_finished(directory) and (Path(run_dir) / VERSION).is_dir():
            directory = Path(run_dir)
        if not is_finished(directory):
            got = f"none; once its members are trained, {_renew(run_dir, members)} makes it"
            raise UserError("--run_dir", f"a frozen ensemble at {directory}", got)
        manifest = read_json(directory / MANIFEST, "--run_dir")
        check_schema_version(manifest, directory / MANIFEST, "--run_dir", _renew(run_dir, members))
        require_keys(manifest, REQUIRED, directory / MANIFEST, "--run_dir")
        require_keys(manifest["weights_sha256"], [VERSION], directory / MANIFEST, "--run_dir")
        for name, digest in manifest["weights_sha256"].items():
            remedy = f"make it anew: {_renew(run_dir, members)}"
            verify("--run_dir", directory / name, sha256_of_tree, digest, remedy)
        _check_current(Path(run_dir), members, manifest)
        return cls(directory, manifest)

    @property
    def num_members(self) -> int:
        return len(self.manifests)

    @functools.cached_property
    def _analysis(self) -> Any:
        return tf.saved_model.load(str(self.directory / ANALYSIS))

    def specs(self, signature: str, kind: str) -> dict[str, OutputSpec]:
        """The "member_scores" or "ensemble_scores" of a signature."""
        described = self._signatures[signature][kind]
        return {name: OutputSpec.from_json(spec) for name, spec in described.items()}

    def inputs_of(self, signature: str) -> dict[str, tuple[str, ...]]:
        """Each ensemble score of a signature -> the member outputs that it is made of."""
        described = self._signatures[signature]["ensemble_scores"]
        return {name: tuple(spec["inputs"]) for name, spec in described.items()}

    def signature_for(self, outputs: Sequence[str] | None = None) -> str:
        """The signature that computes these and the fewest others.

        outputs: member outputs or ensemble scores; all where None.
        """
        names = set(self.outputs if outputs is None else outputs)
        covering = names and [
            name
            for name, described in self._signatures.items()
            if names <= {*described["member_scores"], *described["ensemble_scores"]}
        ]
        if not covering:
            known = [
                ", ".join((*described["member_scores"], *described["ensemble_scores"]))
                for name, described in self._signatures.items()
                if name in (DEFAULT, CANDIDATES)
            ]
            expected = f"some of {'; or some of '.join(known)}"
            raise UserError("--outputs", expected, ", ".join(outputs or ()))
        return min(covering, key=lambda name: len(self._signatures[name]["member_scores"]))

    def decision_score(self, outputs: Sequence[str] | None = None) -> str | None:
        """The ensemble score that p-values are made of; None where there are none."""
        return self._signatures[self.signature_for(outputs)]["decision_score"]

    def smallest_p_value(self, outputs: Sequence[str] | None = None) -> float:
        """No alpha below it flags anything."""
        return smallest_p_value(self._signatures[self.signature_for(outputs)]["num_calibrate"])

    def score(
        self, values: np.ndarray, outputs: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Every score of the same inputs, in one pass of the frozen graph.

        Args:
          values: raw inputs [batch, *event_shape].
          outputs: member outputs or ensemble scores that are wanted; all where None.

        Returns:
          float64: member outputs [batch, num_members], ensemble scores and, where calibrated,
          "p_value" [batch]; "is_outlier" bool [batch] at the default alpha.
        """
        found = call(self._scoring, self.signature_for(outputs), {"inputs": values})
        return {n: x if x.dtype == bool else x.astype(np.float64) for n, x in found.items()}

    @property
    def attacked_score(self) -> str | None:
        """The member output whose gradient is offered, higher for normal inputs; None: none."""
        described = self.manifest["analysis"].values()
        of = (entry["gradient_of"] for entry in described)
        return next((name for name in of if name in self.outputs), None)

    def score_and_gradient(self, values: np.ndarray, member: int) -> tuple[np.ndarray, np.ndarray]:
        """A member's `attacked_score` [batch], and its gradient with respect to the raw inputs.

        Args:
          values: raw inputs [batch, *event_shape].
          member: its position.
        """
        score = self.attacked_score or "score"
        found = self._analyse(self._gradient_signature(score), inputs=values, member=member)
        return found[score], found[GRADIENT]

    def score_gradient(self, score: str, values: np.ndarray) -> np.ndarray:
        """The gradient of an ensemble score, float32 [batch, *event_shape] per raw unit."""
        return self._analyse(self._gradient_signature(score), inputs=values)[GRADIENT]

    def _gradient_signature(self, score: str) -> str:
        described = self.manifest["analysis"].items()
        names = [name for name, entry in described if entry["gradient_of"] == score]
        return names[0] if names else f"{score}_{GRADIENT}"

    def classify(self, values: np.ndarray) -> np.ndarray:
        """Every member's class probabilities of raw inputs, [num_members, batch, num_classes]."""
        members = range(self.num_members)
        found = [self._analyse(CLASSIFY, inputs=values, member=k) for k in members]
        return np.stack([probabilities["probabilities"] for probabilities in found])

    def reconstruct(self, values: np.ndarray, member: int = 0) -> np.ndarray:
        """What a member makes of raw inputs [batch, *event_shape], on the same scale."""
        return self._analyse(RECONSTRUCT, inputs=values, member=member)["inputs"]

    def sample(self, num: int, member: int = 0, seed: int = 0) -> np.ndarray:
        """Draws from a member, [num, *event_shape] on the raw scale."""
        drawn_from = derive_seed(seed, "sample", member)
        return self._analyse(SAMPLE, num=num, seed=drawn_from, member=member)["inputs"]

    def _analyse(self, function: str, **arguments: Any) -> dict[str, np.ndarray]:
        if function not in self.functions:
            got = "only " + (", ".join(self.functions) or "scores")
            raise UserError(str(self.directory), f"an ensemble that can {function}", got)
        member = arguments.get("member", 0)
        if member not in range(self.num_members):  # TensorFlow would take another's branch
            expected = f"a position from 0 to {self.num_members - 1}"
            raise UserError("member", expected, repr(member))
        return call(self._analysis, function, arguments)

    def score_samples(self, values: np.ndarray) -> np.ndarray:
        """The deciding ensemble score, higher = more normal, float64 [batch]."""
        score = self._required_decision_score()
        found = self.score(self._checked(values))[score]
        return found if self.ensemble_scores[score].direction == HIGHER_IS_NORMAL else -found

    def p_value(self, values: np.ndarray) -> np.ndarray:
        """Conformal p-values, float64 [batch]; see `scoring.calibration`."""
        self._required_decision_score()
        return self.score(self._checked(values))[P_VALUE]

    def decision_function(self, values: np.ndarray, alpha: float = DEFAULT_ALPHA) -> np.ndarray:
        """p_value - alpha, float64 [batch]: positive for inputs that pass as normal."""
        return self.p_value(values) - _checked_alpha(alpha)

    def predict(self, values: np.ndarray, alpha: float = DEFAULT_ALPHA) -> np.ndarray:
        """+1 for normal and -1 for outlying inputs (p_value <= alpha), int [batch]."""
        return np.where(self.p_value(values) <= _checked_alpha(alpha), -1, 1)

    def _checked(self, values: np.ndarray) -> np.ndarray:
        values = np.asarray(values)
        if values.shape[1:] != self.input_spec.shape or not len(values):
            expected = ["batch", *self.input_spec.shape]
            raise UserError("values", f"shape {expected}", f"{list(values.shape)}")
        if not np.isfinite(values).all():
            raise UserError("values", "finite numbers", "NaN or infinity")
        return values

    def _required_decision_score(self) -> str:
        score = self.decision_score()
        if score is None:
            raise UserError("run_dir", "a calibrated ensemble", "no held-out scores")
        return score


def _checked_alpha(alpha: float) -> float:
    if not isinstance(alpha, numbers.Real) or not 0 < alpha <= 1:
        raise UserError("alpha", "a number above 0, at most 1", repr(alpha))
    return float(alpha)


def _renew(run_dir: str | os.PathLike, members: Sequence[int] | None) -> str:
    chosen = f" --members={','.join(map(str, members))}" if members else ""
    return RENEW.format(run_dir) + chosen


def _check_current(
    run_dir: Path, members: Sequence[int] | None, manifest: Mapping[str, Any]
) -> None:
    """In a run's directory: raises UserError unless members are as they were frozen."""
    if not (run_dir / CONFIG).is_file():
        return
    frozen = {member["member"]: member["weights_sha256"] for member in manifest["members"]}
    directories, manifests = verified_members(run_dir, list(frozen))
    for directory, member in zip(directories, manifests, strict=True):
        if member["weights_sha256"] != frozen[member["member"]]:
            expected = f"{directory} to be as it was frozen into the ensemble"
            got = f"another; {_renew(run_dir, members)} makes the ensemble anew"
            raise UserError("--run_dir", expected, got)
