"""A tiny trained run on the digits, made once for all test processes."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import collections
import shutil

import filelock
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


def pytest_configure(config):
    """--dist=loadfile hands out files in the order below, not by their number of tests alone."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    """Files with slow tests go first, then those with many: processes end at about one time."""
    num = collections.Counter(item.path for item in items)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, -num[item.path]))


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
    directory = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        directory = directory.parent  # of all processes
    run_dir = directory / "trained" / "run"
    with filelock.FileLock(directory / "trained.lock"):
        if not (run_dir / "ensemble/manifest.json").exists():
            assert train_tiny(run_dir) == 0
    return run_dir


@pytest.fixture(scope="session")
def trained_ensemble(trained_run):
    """The detector of that run, loaded once a test process; tests must not change it."""
    from tfp_genens.scoring import Ensemble

    return Ensemble.load(trained_run)


@pytest.fixture
def run_copy(trained_run, tmp_path):
    """A copy of the trained run, to be damaged at will."""
    return shutil.copytree(trained_run, tmp_path / "run")
