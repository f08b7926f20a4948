"""A frozen ensemble with known scores, so that evaluations need no training."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, InputSpec, OutputSpec


@dataclasses.dataclass
class FakeMember:
    manifest: dict


class FakeEnsemble:
    """log_prob of member i is -|x/255 - center_i|^2, rate its negative; quacks like Ensemble."""

    model = "vae"
    train_dataset = "digits"
    input_spec = InputSpec((8, 8, 1), "uint8", (0.0, 255.0), "x / 255")
    functions = ("serving_default", "log_prob_gradient", "reconstruct", "sample")

    def __init__(self, num_members=3, weights="a"):
        self.outputs = {
            "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL),
            "rate": OutputSpec("nats", LOWER_IS_NORMAL),
            "distortion": OutputSpec("nats", LOWER_IS_NORMAL),
        }
        self.num_members = num_members
        self.manifests = [
            {
                "member": i,
                "weights_sha256": f"{weights}{i}",
                "config": {
                    "model": "vae",
                    "dataset": "digits",
                    "train_steps": 300,
                    "train_samples": 1,
                },
                "signatures": {"long": "x"},
                "calibration": None,
                "wall_clock_secs": 1.5,
                "steps": 300,
                "package_versions": {"numpy": np.__version__},
                "git_commit": None,
            }
            for i in range(num_members)
        ]
        self.members = [FakeMember(manifest) for manifest in self.manifests]
        mean = (load_digits().images.mean(axis=0) / 16)[..., None]
        noise = np.random.default_rng(0).normal(size=(num_members, 8, 8, 1))
        self._centers = mean + 0.05 * noise
        self.num_scored = 0

    def calibration(self, outputs):
        return None

    def score(self, values, outputs=None):
        self.num_scored += len(values)
        offsets = np.asarray(values, np.float64)[None] / 255 - self._centers[:, None]
        log_prob = -(offsets**2).sum(axis=(2, 3, 4))
        everything = {
            "log_prob": log_prob,
            "rate": -log_prob,
            "distortion": np.abs(offsets).sum((2, 3, 4)),
        }
        return {name: everything[name] for name in outputs or self.outputs}

    attacked_score = "log_prob"

    def score_and_gradient(self, values, member):
        offsets = np.asarray(values, np.float64) / 255 - self._centers[member]
        return -(offsets**2).sum(axis=(1, 2, 3)), -2 * offsets / 255

    def reconstruct(self, values, member=0):
        return 0.5 * values + 0.5 * 255 * self._centers[member]

    def sample(self, num, member=0, seed=0):
        noise = np.random.default_rng([seed, member]).normal(size=(num, 8, 8, 1))
        return np.clip(255 * (self._centers[member] + 0.1 * noise), 0, 255)


@pytest.fixture
def ensemble():
    return FakeEnsemble()


@pytest.fixture
def make_ensemble():
    return FakeEnsemble
