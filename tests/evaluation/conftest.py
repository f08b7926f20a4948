"""A frozen ensemble with known scores, so that evaluations need no training."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, InputSpec, OutputSpec
from tfp_genens.scoring.scores import available_scores, combine


class FakeEnsemble:
    """log_prob of member i is -|x/255 - center_i|^2, rate its negative; quacks like Ensemble."""

    model = "vae"
    train_dataset = "digits"
    input_spec = InputSpec((8, 8, 1), "uint8", (0.0, 255.0), "x / 255")
    functions = ("serving_default", "log_prob_gradient", "reconstruct", "sample")

    def __init__(self, num_members=3, weights="a"):
        self.outputs = {
            "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL, "log p(x)", main=True),
            "rate": OutputSpec("nats", LOWER_IS_NORMAL, "Rate", main=True),
            "distortion": OutputSpec("nats", LOWER_IS_NORMAL, "Distortion"),
        }
        self._scores = available_scores(self.outputs)
        self.ensemble_scores = {name: score.spec for name, score in self._scores.items()}
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
                "wall_clock_secs": 1.5,
                "steps": 300,
                "package_versions": {"numpy": np.__version__},
                "git_commit": None,
            }
            for i in range(num_members)
        ]
        self.members = tuple(range(num_members))
        self.manifest = {"weights_sha256": {"1": weights}}
        mean = (load_digits().images.mean(axis=0) / 16)[..., None]
        noise = np.random.default_rng(0).normal(size=(num_members, 8, 8, 1))
        self._centers = mean + 0.05 * noise
        self.num_scored = 0

    def decision_score(self, outputs=None):
        return None

    def signature_for(self, outputs=None):
        return "serving_default"

    def specs(self, signature, kind):
        return {"member_scores": self.outputs, "ensemble_scores": self.ensemble_scores}[kind]

    def inputs_of(self, signature):
        return {name: score.inputs for name, score in self._scores.items()}

    def score(self, values, outputs=None):
        self.num_scored += len(values)
        offsets = np.asarray(values, np.float64)[None] / 255 - self._centers[:, None]
        log_prob = -(offsets**2).sum(axis=(2, 3, 4))
        everything = {
            "log_prob": log_prob,
            "rate": -log_prob,
            "distortion": np.abs(offsets).sum((2, 3, 4)),
        }
        combined = combine(everything, self._scores)
        return {name: x.T for name, x in everything.items()} | {
            name: x.numpy() for name, x in combined.items()
        }

    attacked_score = "log_prob"

    def score_and_gradient(self, values, member):
        offsets = np.asarray(values, np.float64) / 255 - self._centers[member]
        return -(offsets**2).sum(axis=(1, 2, 3)), -2 * offsets / 255

    def score_gradient(self, score, values):
        assert score == "waic"
        found = [self.score_and_gradient(values, m) for m in range(self.num_members)]
        log_prob, slopes = (np.stack(x) for x in zip(*found, strict=True))
        weights = (1 - 2 * (log_prob - log_prob.mean(axis=0))) / self.num_members
        return np.einsum("mb,mb...->b...", weights, slopes)

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
