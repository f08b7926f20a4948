"""The benchmarks: what they time, and that they run."""

from __future__ import annotations

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


def test_the_bare_passes_are_what_the_scorer_runs(benchmark, trained_run):
    """The same signature on the same inputs with the same seed: the same scores."""
    from tfp_genens.data import open_source, take
    from tfp_genens.scoring import Ensemble

    ensemble = Ensemble.load(trained_run)
    source = take(open_source("digits:test", ensemble.input_spec), 15)
    passes = list(benchmark.bare_scores(ensemble, source, 10)())
    assert len(passes) == ensemble.num_members * 2  # batches of 10 and 5
    by_member = [np.concatenate(passes[:2]), np.concatenate(passes[2:])]
    values = np.concatenate([batch.values for batch in source.batches(10)])
    np.testing.assert_allclose(by_member, ensemble.score(values)["log_prob"], rtol=1e-5)


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


def test_both_sides_of_the_wgan_benchmark_compute_the_same_loss(load, capsys):
    load("wgan").main(["--batch_size=4", "--critic_steps=1", "--rounds=2"])
    assert "overhead, package / plain - 1, CPU time" in capsys.readouterr().out
