"""A tiny trained run on the digits, made once a test process."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import shutil

import pytest

TINY_FLAGS = {
    "dataset": "digits",
    "train_steps": 30,
    "base_depth": 4,
    "latent_size": 2,
    "prior": "normal",
    "train_samples": 1,
    "num_members": 2,
    "checkpoint_secs": 0.0,
    "validation_fraction": 0.1,
}


@pytest.fixture(scope="session")
def tiny_flags():
    """Flags of a run of seconds."""
    return dict(TINY_FLAGS)


@pytest.fixture(scope="session")
def stop_after():
    """(looks) -> a stop request that asks to stop when it has been looked at so many times."""
    from tfp_genens.training.signals import StopRequest

    class StopAfter(StopRequest):
        def __init__(self, looks):
            self._looks = looks

        @property
        def signum(self):
            self._looks -= 1
            return 15 if self._looks < 0 else None

    return StopAfter


@pytest.fixture(scope="session")
def train_tiny():
    """(run directory, other flags) -> exit code; trains in this process."""
    from tfp_genens.train import train

    return lambda run_dir, **flags: train({**TINY_FLAGS, **flags, "run_dir": str(run_dir)})


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory, train_tiny):
    """A finished two-member run; tests must not change it (see `run_copy`)."""
    run_dir = tmp_path_factory.mktemp("trained") / "run"
    assert train_tiny(run_dir) == 0
    return run_dir


@pytest.fixture
def run_copy(trained_run, tmp_path):
    """A copy of the trained run, to be damaged at will."""
    return shutil.copytree(trained_run, tmp_path / "run")
