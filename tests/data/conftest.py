"""Shared by the tests of the data room."""

import logging
import pathlib

import numpy as np
import pytest

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, InputSpec, OutputSpec
from tfp_genens.data.ood import OodContext
from tfp_genens.data.sources import take
from tfp_genens.data.specs import open_source
from tfp_genens.data.tfds_source import data_directory


class QuadraticEnsemble:
    """Members with log_prob_i(x) = -|x - c_i|^2 / (2 width^2), whose gradients are known."""

    def __init__(self, centres, width=50.0):
        self.centres = np.asarray(centres, np.float64)
        self.width = width
        self.outputs = {"log_prob": OutputSpec("nats", HIGHER_IS_NORMAL)}
        self.ensemble_scores = {
            "waic": OutputSpec("nats", HIGHER_IS_NORMAL),
            "distance": OutputSpec("nats", LOWER_IS_NORMAL),
        }
        self.num_calls = 0

    @property
    def num_members(self):
        return len(self.centres)

    attacked_score = "log_prob"

    def log_prob(self, values, member):
        difference = np.asarray(values, np.float64) - self.centres[member]
        return -(difference.reshape(len(values), -1) ** 2).sum(axis=1) / (2 * self.width**2)

    def waic(self, values):
        log_probs = np.stack([self.log_prob(values, i) for i in range(self.num_members)])
        return log_probs.mean(axis=0) - log_probs.var(axis=0, ddof=0)

    def score_and_gradient(self, values, member):
        self.num_calls += 1
        gradient = -(np.asarray(values, np.float64) - self.centres[member]) / self.width**2
        return self.log_prob(values, member), gradient

    def score_gradient(self, score, values):
        """Of WAIC: with l_i of gradient g_i, mean g_i - (2 / M) sum_i (l_i - mean l) g_i.

        "distance" is its negative.
        """
        if score == "distance":
            return -self.score_gradient("waic", values)
        assert score == "waic"
        found = [self.score_and_gradient(values, m) for m in range(self.num_members)]
        log_prob, slopes = (np.stack(x) for x in zip(*found, strict=True))
        weights = (1 - 2 * (log_prob - log_prob.mean(axis=0))) / self.num_members
        return np.einsum("mb,mb...->b...", weights, slopes)


@pytest.fixture
def image_spec():
    return InputSpec((8, 8, 1), "uint8", (0.0, 255.0), "x / 255")


@pytest.fixture
def table_spec():
    return InputSpec((2,), "float32", None, "none", ("a", "b"))


@pytest.fixture
def ensemble():
    generator = np.random.default_rng(3)
    return QuadraticEnsemble(generator.uniform(0, 255, (3, 8, 8, 1)))


@pytest.fixture
def make_context(image_spec, ensemble):
    """(number of digits) -> what OoD sets are built from."""

    def make(num):
        test = take(open_source("digits:test", image_spec), num)
        return OodContext(test, image_spec, num, seed=7, ensemble=ensemble)

    return make


class _Messages(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


@pytest.fixture
def warned():
    """A function that lists the warnings logged through absl so far."""
    handler = _Messages()
    absl_logger = logging.getLogger("absl")
    absl_logger.addHandler(handler)
    yield lambda: list(handler.messages)
    absl_logger.removeHandler(handler)


@pytest.fixture
def needs_tfds():
    """A function that skips the test where a tfds set is not laid out."""

    def check(name):
        directory = data_directory(None)
        # Not only its folder, which an attempt without the files leaves behind.
        if not any(pathlib.Path(directory, name).rglob("dataset_info.json")):
            pytest.skip(f"the tfds set {name!r} is not laid out in {directory}")

    return check
