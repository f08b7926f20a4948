"""The frozen ensemble: members that belong together, scored side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfp_genens.artifact.manifest import member_dir, read_manifest
from tfp_genens.artifact.member import Member, scoring_seed
from tfp_genens.artifact.spec import InputSpec, OutputSpec
from tfp_genens.errors import UserError
from tfp_genens.files import read_json, require_keys
from tfp_genens.scoring.calibration import Calibration, calibrate, orient
from tfp_genens.scoring.combine import combine
from tfp_genens.seeds import derive_seed

DEFAULT_ALPHA = 0.05
GRADIENT = "_gradient"  # the signature NAME_gradient has the gradient of the output NAME
_SHARED_FIELDS = {
    "model": "the same model",
    "train_dataset": "the same training data set",
    "data_fingerprint": "the same training data",
    "input": "the same input and preprocessing",
    "signatures": "the same signatures",
    "seed": "the same run seed",
    "config_sha256": "the same configuration",
}


class Ensemble:
    """Frozen members of one run; build it with `Ensemble.load`.

    The Python interface keeps scikit-learn's names and signs: `score_samples` and
    `decision_function` are higher for normal inputs, `predict` is +1 for normal and -1 for
    outlying ones.

    Args:
      members: the loaded members.
      seed: of the scoring noise; each member's own derives from it.
    """

    def __init__(self, members: Sequence[Member], seed: int):
        self.members = tuple(members)
        self.seed = seed
        self.manifests = [member.manifest for member in self.members]
        first = self.manifests[0]
        self.model: str = first["model"]
        self.train_dataset: str = first["train_dataset"]
        self.input_spec = InputSpec.from_json(first["input"])
        self.outputs: dict[str, OutputSpec] = self.members[0].outputs
        self.functions = self.members[0].functions
        self._calibrations: dict[tuple[str, ...], Calibration | None] = {}

    @classmethod
    def load(
        cls,
        run_dir: str | os.PathLike,
        members: Sequence[int] | None = None,
        seed: int | None = None,
    ) -> Ensemble:
        """Loads and verifies a run's members.

        Args:
          run_dir: the run's directory.
          members: which; all of the run's where None.
          seed: of the scoring noise; the run's own where None, which calibration was made with.

        Raises:
          UserError: no such run, an unfinished member, changed files, or members that do not
            belong together.
        """
        run_dir = Path(run_dir)
        if not (run_dir / "config.json").is_file():
            raise UserError(
                "--run_dir", "the directory of a run (with a config.json)", str(run_dir)
            )
        config = read_json(run_dir / "config.json", "--run_dir")
        require_keys(config, ["num_members"], run_dir / "config.json", "--run_dir")
        num_members = config["num_members"]
        wanted = range(num_members) if members is None else members
        unknown = [i for i in wanted if i not in range(num_members)]
        if unknown or not len(wanted):
            raise UserError("--members", f"some of 0 to {num_members - 1}", str(list(wanted)))
        directories = [member_dir(run_dir, i) for i in wanted]
        manifests = [read_manifest(directory) for directory in directories]
        for number, directory, manifest in zip(wanted, directories, manifests, strict=True):
            if manifest["member"] != number:
                raise UserError(
                    "--run_dir", f"member {number} in {directory}", f"member {manifest['member']}"
                )
        _check_together(directories, manifests)
        loaded = [Member(d, m) for d, m in zip(directories, manifests, strict=True)]
        return cls(loaded, manifests[0]["seed"] if seed is None else seed)

    @property
    def num_members(self) -> int:
        return len(self.members)

    @property
    def attacked_score(self) -> str | None:
        """The output whose gradient the members offer, higher for normal inputs; None: none."""
        return next((name for name in self.outputs if f"{name}{GRADIENT}" in self.functions), None)

    def _seed(self, member: Member) -> np.ndarray:
        return scoring_seed(self.seed, member.manifest["member"])

    def score(
        self, values: np.ndarray, outputs: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Every member's scores of the same inputs.

        Args:
          values: raw inputs [batch, *event_shape].
          outputs: which member outputs; all where None.

        Returns:
          output name -> float64 [num_members, batch].
        """
        parts = [member.score(values, self._seed(member), outputs) for member in self.members]
        return {name: np.stack([part[name] for part in parts]) for name in parts[0]}

    def calibration(self, outputs: Sequence[str]) -> Calibration | None:
        """The calibration for these member outputs.

        None where the run has none, or where the scoring noise has another seed than the run's: it
        is shared by all inputs, so another seed shifts all scores together, the held-out ones too.
        """
        if self.seed != self.manifests[0]["seed"]:
            return None
        key = tuple(outputs)
        if key not in self._calibrations:
            self._calibrations[key] = calibrate(self.members, key)
        return self._calibrations[key]

    def score_and_gradient(self, values: np.ndarray, member: int) -> tuple[np.ndarray, np.ndarray]:
        """A member's `attacked_score` [batch], and its gradient with respect to the raw inputs.

        Raises:
          UserError: the members have no gradient.
        """
        chosen = self.members[member]
        score = self.attacked_score or "score"
        signature = f"{score}{GRADIENT}"
        result = chosen.call(signature, inputs=values, seed=self._seed(chosen))
        return result[score], result["gradient"]

    def classify(self, values: np.ndarray) -> np.ndarray:
        """Every member's class probabilities of raw inputs, [num_members, batch, num_classes].

        Raises:
          UserError: the members do not classify.
        """
        return np.stack(
            [
                member.call("classify", inputs=values, seed=self._seed(member))["probabilities"]
                for member in self.members
            ]
        )

    def reconstruct(self, values: np.ndarray, member: int = 0) -> np.ndarray:
        """What a member makes of raw inputs [batch, *event_shape], on the same scale."""
        chosen = self.members[member]
        return chosen.call("reconstruct", inputs=values, seed=self._seed(chosen))["inputs"]

    def sample(self, num: int, member: int = 0, seed: int = 0) -> np.ndarray:
        """Draws from a member, [num, *event_shape] on the raw scale."""
        sample_seed = derive_seed(seed, "sample", member)
        return self.members[member].call("sample", num=num, seed=sample_seed)["inputs"]

    def score_samples(self, values: np.ndarray) -> np.ndarray:
        """The deciding ensemble score, higher = more normal, float64 [batch]."""
        calibration = self._required_calibration()
        combined = combine(self.score(self._checked(values)))
        return orient(calibration.score, combined[calibration.score])

    def p_value(self, values: np.ndarray) -> np.ndarray:
        """Conformal p-values, float64 [batch]; see `Calibration`."""
        calibration = self._required_calibration()
        combined = combine(self.score(self._checked(values)))
        return calibration.p_value(combined[calibration.score])

    def decision_function(self, values: np.ndarray, alpha: float = DEFAULT_ALPHA) -> np.ndarray:
        """p_value - alpha, float64 [batch]: positive for inputs that pass as normal."""
        return self.p_value(values) - alpha

    def predict(self, values: np.ndarray, alpha: float = DEFAULT_ALPHA) -> np.ndarray:
        """+1 for normal and -1 for outlying inputs (p_value <= alpha), int [batch]."""
        return np.where(self.p_value(values) <= alpha, -1, 1)

    def _checked(self, values: np.ndarray) -> np.ndarray:
        values = np.asarray(values)
        if values.shape[1:] != self.input_spec.shape or not len(values):
            expected = ["batch", *self.input_spec.shape]
            raise UserError("values", f"shape {expected}", f"{list(values.shape)}")
        if not np.isfinite(values).all():
            raise UserError("values", "finite numbers", "NaN or infinity")
        return values

    def _required_calibration(self) -> Calibration:
        calibration = self.calibration(tuple(self.outputs))
        if calibration is None:
            raise UserError("--run_dir", "a run with calibrated members", "no validation scores")
        return calibration


def _check_together(directories: Sequence[Path], manifests: Sequence[Mapping[str, Any]]) -> None:
    first = manifests[0]
    for directory, manifest in zip(directories, manifests, strict=True):
        for field, meaning in _SHARED_FIELDS.items():
            if manifest[field] != first[field]:
                raise UserError(
                    "--run_dir",
                    f"members with {meaning} as {directories[0].name} ({_short(first[field])})",
                    f"{directory.name} with {_short(manifest[field])}",
                )
    digests = [manifest["weights_sha256"] for manifest in manifests]
    for i, digest in enumerate(digests):
        if digest in digests[:i]:
            raise UserError(
                "--run_dir",
                "members trained independently",
                f"{directories[i].name} with the weights of "
                f"{directories[digests.index(digest)].name}",
            )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
