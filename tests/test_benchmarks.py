"""The benchmarks: what they time, and that they run."""

import importlib
import json
import pathlib

import numpy as np
import pytest

BENCHMARKS = pathlib.Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def load():
    """(name) -> the module benchmarks/NAME.py, imported as its main would be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module


@pytest.fixture(scope="module")
def benchmark(load):
    return load("scoring")


def test_tasks_take_turns_and_the_order_alternates(load, monkeypatch):
    timing = load("timing")
    calls = []
    clock = iter(range(100))
    monkeypatch.setattr(timing, "CLOCKS", {"wall": lambda: next(clock)})
    secs = timing.timed_rounds({n: lambda n=n: calls.append(n) for n in "abc"}, 3)
    assert "".join(calls) == "abc" + "cba" + "abc"
    assert {n: list(s) for n, s in secs["wall"].items()} == {n: [1, 1, 1] for n in "abc"}


def test_ratios_are_taken_round_by_round(benchmark):
    secs = {
        "bare": np.array([1.0, 2.0, 4.0]),
        "scorer": np.array([1.5, 2.2, 4.0]),
        "rate": np.array([0.1, 0.2, 0.5]),
    }
    found = benchmark.ratios(secs)
    assert found["overhead"] == pytest.approx({"median": 0.1, "lowest": 0.0, "highest": 0.5})
    assert found["rate_speedup"] == pytest.approx({"median": 11.0, "lowest": 8.0, "highest": 15.0})


def test_the_bare_passes_are_what_the_scorer_runs(benchmark, trained_run, trained_ensemble):
    """The same signature on the same inputs with the same seed: the same scores."""
    from tfp_genens.data import open_source, take

    source = take(open_source("digits:test", trained_ensemble.input_spec), 15)
    passes = list(benchmark.bare_scores(trained_run, trained_ensemble, source, 10)())
    assert len(passes) == trained_ensemble.num_members * 2  # batches of 10 and 5
    by_member = np.transpose([np.concatenate(passes[:2]), np.concatenate(passes[2:])])
    values = np.concatenate([batch.values for batch in source.batches(10)])
    np.testing.assert_allclose(by_member, trained_ensemble.score(values)["log_prob"], rtol=1e-5)


def test_it_runs_and_writes_what_it_found(benchmark, trained_run, tmp_path, capsys):
    output = tmp_path / "scoring.json"
    benchmark.main(
        [
            f"--run_dir={trained_run}",
            "--spec=digits:test",
            "--num_examples=20",
            "--batch_size=10",
            "--rounds=2",
            f"--output={output}",
        ]
    )
    found = json.loads(output.read_text())
    assert (found["num_examples"], found["members"]) == (20, 2)
    secs = found["seconds"]["wall"]
    assert {name: len(s) for name, s in secs.items()} == {"bare": 2, "scorer": 2, "rate": 2}
    overheads = np.divide(secs["scorer"], secs["bare"]) - 1
    assert found["wall"]["overhead"]["median"] == pytest.approx(np.median(overheads))
    assert "2 members, 20 inputs, 2 rounds" in capsys.readouterr().out


def test_the_density_is_timed_beside_the_bound(load, trained_run, tmp_path, capsys):
    output = tmp_path / "dose.json"
    argv = [f"--run_dir={trained_run}", "--spec=digits:test", "--num_examples=20", "--rounds=2"]
    load("dose").main([*argv, f"--output={output}"])
    found = json.loads(output.read_text())
    secs = found["seconds"]["wall"]
    ratios = np.divide(secs["serving_default"], secs["statistics"])
    assert found["ratio"]["wall"]["median"] == pytest.approx(np.median(ratios))
    assert found["signatures"].keys() >= {"serving_default", "statistics", "candidates"}
    for name, signature in found["signatures"].items():
        assert signature["peak_mib"] > 100
        expected = 1000 * np.median(secs[name]) / 20
        assert signature["ms_per_input"]["median"] == pytest.approx(expected)
    assert "likelihood_regret" in found["signatures"]["candidates"]["outputs"]
    assert "serving_default / statistics, CPU time" in capsys.readouterr().out


def test_both_sides_of_the_wgan_benchmark_compute_the_same_loss(load, capsys):
    load("wgan").main(["--batch_size=4", "--critic_steps=1", "--rounds=2"])
    assert "overhead, package / plain - 1, CPU time" in capsys.readouterr().out


def test_work_of_glow_s_convolutions(load):
    settings = {"side": 4, "channels": 1, "num_levels": 2, "width": 5, "batch_size": 3}
    # 2x2 pixels of 4 channels, then 1x1 of 8; 3x3, 1x1 and 3x3 to a shift and a scale each.
    first = 4 * (9 * 2 * 5 + 5 * 5 + 9 * 5 * 4)
    second = 1 * (9 * 4 * 5 + 5 * 5 + 9 * 5 * 8)
    expected = 3 * 3 * 2 * 7 * (first + second) / 1e9  # 3 images; forward and twice that; 2; K = 7
    assert load("glow").convolution_gflop(settings, 7) == pytest.approx(expected)


@pytest.mark.slow
def test_the_sides_of_the_glow_benchmark_run_and_are_compared(load, tmp_path, capsys):
    output = tmp_path / "glow.json"
    sizes = ["--side=4", "--channels=1", "--num_levels=1", "--num_steps=1", "--width=4"]
    times = ["--batch_size=2", "--rounds=2", "--num_threads=1", "--first_steps", "1"]
    load("glow").main([*sizes, *times, f"--output={output}"])
    found = json.loads(output.read_text())
    sides = {"package", "package_bfloat16", "tfb"}
    for task in ("train", "log_prob", "sample"):
        assert found["seconds"][task].keys() == sides
        assert found["times_package"][task]["package"]["median"] == 1.0
    assert found["first_step_secs"]["1"].keys() == {"package", "tfb"}
    assert all(mib > 50 for mib in found["peak_mib"].values())
    assert found["share_of_convolution_rate"]["median"] > 0
    assert "first step, K=1, tfb:" in capsys.readouterr().out
