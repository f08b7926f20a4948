"""Interrupted anywhere, kill -9 included, and continued: the same bits as uninterrupted."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

NUM_STEPS = 150


@pytest.fixture(scope="module")
def command(tiny_flags):
    """(run directory) -> the command that trains one member there."""
    flags = {**tiny_flags, "train_steps": NUM_STEPS, "prior": "mixture", "num_members": 1}
    arguments = [f"--{name}={value}" for name, value in {**flags, "num_threads": 1}.items()]
    start = [sys.executable, "-m", "tfp_genens.train"]
    return lambda run_dir: [*start, *arguments, f"--run_dir={run_dir}"]


# Without what measures coverage: it slows these most, and the mains are also run in process.
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("COV")}


def run(command):
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)


def last_step(run_dir):
    latest = tf.train.latest_checkpoint(str(run_dir / "member_0" / "checkpoints"))
    return -1 if latest is None else int(latest.rsplit("-", 1)[1])


def variables(run_dir):
    latest = tf.train.latest_checkpoint(str(run_dir / "member_0" / "checkpoints"))
    reader = tf.train.load_checkpoint(latest)
    bookkeeping = ("wall_secs", "save_counter", "OBJECT_GRAPH")  # of the sittings, not the model
    names = reader.get_variable_to_shape_map()
    return {n: reader.get_tensor(n) for n in names if not any(b in n for b in bookkeeping)}


def interrupt(command, run_dir, signum, at_step):
    """Starts training and sends the signal once a checkpoint at or after `at_step` is there."""
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while last_step(run_dir) < at_step and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signum)
    process.communicate(timeout=120)
    return process.returncode


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, command):
    run_dir = tmp_path_factory.mktemp("uninterrupted")
    run(command(run_dir))
    return run_dir


@pytest.fixture(scope="module")
def uninterrupted(whole_run):
    return variables(whole_run)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_interrupted_and_continued_ends_with_the_same_bits(
    uninterrupted, command, tmp_path, signum
):
    at_step = random.randrange(1, NUM_STEPS // 3)
    print("interrupting at the first checkpoint from step", at_step)  # pytest shows it on failure
    code = interrupt(command(tmp_path), tmp_path, signum, at_step)
    reached = last_step(tmp_path)
    if signum == signal.SIGKILL:
        assert code == -signal.SIGKILL
    else:
        assert code == 128 + signum
    assert 0 < reached < NUM_STEPS
    continued = run(command(tmp_path))
    assert f"continuing from step {reached}" in continued.stderr
    assert os.path.exists(tmp_path / "member_0" / "manifest.json")
    resumed = variables(tmp_path)
    assert resumed.keys() == uninterrupted.keys()
    for name, value in uninterrupted.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)
    assert any("optimizer" in name for name in resumed)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_while_freezing_and_continued(whole_run, uninterrupted, command, tmp_path):
    """All its steps are taken; what is written after the last is not there."""
    member = tmp_path / "member_0"
    later = ("ensemble*", "saved_model", "held_out.npz", "manifest.json")
    shutil.copytree(whole_run, tmp_path, ignore=shutil.ignore_patterns(*later), dirs_exist_ok=True)
    process = subprocess.Popen(command(tmp_path), env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    while not list(member.glob(".saved_model.*.partial")) and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (member / "manifest.json").exists()
    assert not (member / "saved_model").exists()
    run(command(tmp_path))
    assert (member / "manifest.json").exists()
    assert not list(member.glob(".*.partial"))
    for name, value in variables(tmp_path).items():
        np.testing.assert_array_equal(uninterrupted[name], value, err_msg=name)
