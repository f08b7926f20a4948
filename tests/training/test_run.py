"""A run's directory: what is written, what is refused, what is skipped."""

import json
import shutil

import filelock
import pandas as pd
import pytest
import tensorflow as tf

from tfp_genens.config import RunConfig, TrainOptions
from tfp_genens.errors import UserError
from tfp_genens.models import FAMILIES
from tfp_genens.models.family import Family
from tfp_genens.models.vae import VaeConfig
from tfp_genens.train import model_config
from tfp_genens.training.run import Run, default_run_dir, train_run


def test_layout(trained_run):
    for member in (0, 1):
        directory = trained_run / f"member_{member}"
        for name in ("checkpoints", "saved_model", "manifest.json", "metrics.csv", "tensorboard"):
            assert (directory / name).exists(), name
        assert list((directory / "tensorboard").glob("from_step_0/events.*"))
    assert not list(trained_run.rglob("*.partial"))


def test_manifest_says_what_the_member_is(trained_run):
    manifest = json.loads((trained_run / "member_1" / "manifest.json").read_text())
    config = json.loads((trained_run / "config.json").read_text())
    assert manifest["schema_version"] == 2
    assert manifest["model"] == "vae"
    assert manifest["train_dataset"] == "digits"
    assert manifest["member"] == 1
    assert manifest["steps"] == 30
    assert manifest["config"] == config["config"]
    assert manifest["config_sha256"] == config["config_sha256"]
    assert manifest["run_id"] == config["run_id"]
    assert manifest["input"]["shape"] == [8, 8, 1]
    assert manifest["input"]["value_range"] == [0.0, 255.0]
    outputs = manifest["signatures"]["serving_default"]["outputs"]
    assert outputs["log_prob"]["direction"] == "higher_is_normal"
    assert outputs["rate"] == {
        "shape": [None],
        "dtype": "float32",
        "unit": "nats",
        "direction": "lower_is_normal",
        "label": "Rate",
        "main": True,
        "statistic": False,
    }
    parts = manifest["held_out"]["num_examples"]
    assert manifest["calibration"]["num_examples"] == parts["calibrate"] > 0
    assert sum(parts.values()) == manifest["num_validation"]
    assert manifest["package_versions"]["tensorflow"]
    assert manifest["wall_clock_secs"] > 0
    weights = tf.saved_model.load(str(trained_run / "member_1" / "saved_model")).weights
    sizes = [weight.numpy().size for weight in weights if weight.trainable]
    assert manifest["num_parameters"] == sum(sizes) > 0


def test_metrics_end_at_the_last_step_with_validation(trained_run):
    metrics = pd.read_csv(trained_run / "member_0" / "metrics.csv")
    assert metrics["step"].iloc[-1] == 30
    assert metrics[["loss", "distortion", "rate", "validation_elbo"]].notna().all(axis=None)


def test_finished_members_are_left_alone(trained_run, train_tiny, capsys):
    before = (trained_run / "member_0" / "manifest.json").read_bytes()
    assert train_tiny(trained_run) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert (trained_run / "member_0" / "manifest.json").read_bytes() == before


def test_another_configuration_is_refused_by_name(trained_run, train_tiny):
    with pytest.raises(UserError, match=r"--run_dir: .*--beta=0.5.*--beta=1.0"):
        train_tiny(trained_run, beta=0.5)


def test_runs_of_before_a_flag_have_its_default(run_copy, train_tiny, capsys):
    path = run_copy / "config.json"
    document = json.loads(path.read_text())
    del document["config"]["bootstrap"], document["config"]["mutation_rate"]
    path.write_text(json.dumps(document))
    assert train_tiny(run_copy) == 0
    assert "nothing to do" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"--bootstrap=True.*--bootstrap=False"):
        train_tiny(run_copy, bootstrap=True)


def test_members_must_be_numbered_below_their_number(tmp_path, train_tiny):
    with pytest.raises(UserError, match="--member: expected an integer below"):
        train_tiny(tmp_path / "run", member=2)


def test_a_mistaken_command_may_be_corrected_until_something_is_trained(tmp_path, train_tiny):
    with pytest.raises(UserError, match="--dataset"):
        train_tiny(tmp_path / "run", dataset="digit")
    assert train_tiny(tmp_path / "run", num_members=1, train_steps=1) == 0


def test_num_members_is_what_was_last_asked_for(run_copy, train_tiny):
    def recorded():
        return json.loads((run_copy / "config.json").read_text())["num_members"]

    assert train_tiny(run_copy, num_members=1) == 0
    assert recorded() == 1
    assert train_tiny(run_copy, num_members=2, member=0) == 0
    assert recorded() == 2
    assert train_tiny(run_copy, num_members=None) == 0
    assert recorded() == 2


@pytest.fixture(scope="module")
def continued(trained_run, tmp_path_factory, train_tiny):
    """Member 1, killed while its manifest was written and then continued."""
    run_dir = shutil.copytree(trained_run, tmp_path_factory.mktemp("continued") / "run")
    directory = run_dir / "member_1"
    (directory / "manifest.json").unlink()
    (directory / ".saved_model.123.partial").mkdir()
    (directory / ".manifest.json.123.partial").touch()
    assert train_tiny(run_dir, member=1) == 0
    return directory


def test_what_a_killed_process_left_is_removed(continued):
    assert not list(continued.glob(".*.partial"))


def test_sittings_say_which_code_trained(continued):
    manifest = json.loads((continued / "manifest.json").read_text())
    assert len(manifest["sittings"]) == 2
    assert all(s["num_threads"] >= 1 and s["started"] for s in manifest["sittings"])
    assert manifest["git_commit"] == manifest["sittings"][-1]["git_commit"]


def test_a_locked_member_is_refused(run_copy, train_tiny):
    (run_copy / "member_1" / "manifest.json").unlink()
    with (
        filelock.FileLock(run_copy / "member_1" / ".lock"),
        pytest.raises(UserError, match="another trainer"),
    ):
        train_tiny(run_copy)


def test_a_member_without_manifest_is_frozen_anew_from_its_checkpoint(trained_run, continued):
    before, after = (
        json.loads((directory / "manifest.json").read_text())
        for directory in (trained_run / "member_1", continued)
    )
    assert after["calibration"]["quantiles"] == before["calibration"]["quantiles"]


def test_default_directory_is_named_after_what_is_asked():
    plain = default_run_dir(Run(RunConfig(), VaeConfig()))
    other = default_run_dir(Run(RunConfig(), VaeConfig(beta=0.1)))
    assert plain.startswith("runs/vae_mnist_")
    assert other.startswith("runs/vae_mnist_beta0.1_")
    spec = default_run_dir(Run(RunConfig(dataset="npz:/data/x y.npz"), VaeConfig()))
    assert "/" not in spec.removeprefix("runs/")
    assert " " not in spec


@pytest.mark.parametrize(
    ("values", "secs", "expected"),
    [
        ({}, 7200, "--train_samples=1 --precision=mixed_bfloat16 (flags/vae_cpu.cfg)"),
        ({"train_samples": 1}, 7200, "CPUs; --precision=mixed_bfloat16 (flags"),
        ({"train_samples": 1, "precision": "mixed_bfloat16"}, 7200, ""),
        ({}, 60, ""),
    ],
)
def test_long_runs_name_what_would_shorten_them(capsys, monkeypatch, values, secs, expected):
    from tfp_genens.training import run as module

    monkeypatch.setattr(module.tf.config, "list_physical_devices", lambda _: [])
    module._warn_of_long_run(Run(RunConfig(), VaeConfig(**values)), secs)
    err = capsys.readouterr().err
    assert expected in err
    assert bool(err) == bool(expected)


def test_divergence_ends_with_code_one(tmp_path, train_tiny, capsys):
    assert train_tiny(tmp_path / "run", learning_rate=1e30, num_members=1) == 1
    assert "NaN or infinite" in capsys.readouterr().err


class TestModelFlags:
    def test_flags_of_another_family_are_refused_by_name(self):
        import dataclasses

        from tfp_genens.config import ModelConfig, option

        @dataclasses.dataclass(frozen=True)
        class FlowConfig(ModelConfig):
            num_levels: int = option(3, "levels")

        families = {**FAMILIES, "flow": Family(FlowConfig, FAMILIES["vae"].build)}
        values = {"model": "vae", "num_levels": 2}
        with pytest.raises(UserError, match=r"--num_levels: expected a flag that --model=vae has"):
            model_config(values, families)
        assert model_config({"model": "flow", "num_levels": 2}, families).num_levels == 2

    def test_unknown_family(self):
        with pytest.raises(UserError, match="--model: expected one of vae"):
            model_config({"model": "va"}, FAMILIES)

    def test_defaults_are_the_papers(self):
        config = model_config({"beta": 0.1}, FAMILIES)
        assert config == VaeConfig(
            beta=0.1,
            prior="maf",
            train_steps=5000,
            batch_size=32,
            learning_rate=1e-3,
            train_samples=16,
            latent_size=16,
        )


def test_own_data_from_npz(tmp_path):
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (40, 8, 12, 3)).astype(np.uint8)
    np.savez(tmp_path / "own.npz", image=images)
    config = VaeConfig(train_steps=2, base_depth=4, latent_size=2, prior="normal", train_samples=1)
    run = Run(RunConfig(dataset=f"npz:{tmp_path / 'own.npz'}"), config)
    options = TrainOptions(run_dir=str(tmp_path / "run"), num_members=1)
    assert train_run(run, options, FAMILIES["vae"]) == 0
    manifest = json.loads((tmp_path / "run" / "member_0" / "manifest.json").read_text())
    assert manifest["input"]["shape"] == [8, 12, 3]
