"""The whole of evaluate on a fake ensemble: what is written, reused, missing and refused."""

import dataclasses
import json
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tfp_genens import evaluate as main_module
from tfp_genens.artifact.manifest import git_commit
from tfp_genens.data.ood import OOD_SETS, OodSet
from tfp_genens.data.specs import open_source
from tfp_genens.errors import UserError
from tfp_genens.evaluation import pipeline, store
from tfp_genens.reporting import extras
from tfp_genens.scoring.columns import read_scores

SETS = ("hflip", "uniform", "adversarial_clipped")


@pytest.fixture
def evaluate(monkeypatch, tmp_path, ensemble):
    """Runs evaluate into tmp_path/out on the fake ensemble, or the one given."""

    def run(use=ensemble, **settings):
        monkeypatch.setattr(pipeline.Ensemble, "load", lambda run_dir, members: use)
        defaults = {
            "run_dir": "runs/x",
            "output_dir": str(tmp_path / "out"),
            "ood": SETS,
            "num_examples": 60,
            "num_bootstrap": 20,
            "figures": False,
        }
        assert main_module.evaluate(defaults | settings) == 0

    return run


def results(tmp_path):
    return json.loads((tmp_path / "out" / "results.json").read_text())


def test_results_hold_the_contract(evaluate, tmp_path):
    evaluate()
    document = results(tmp_path)
    assert document["schema_version"] == 1
    assert (document["train_dataset"], document["members"]) == ("digits", 3)
    scores = [
        "log_prob",
        "rate",
        "distortion",
        "log_prob_mean",
        "log_prob_var",
        "rate_mean",
        "rate_var",
        "distortion_mean",
        "distortion_var",
        "waic",
    ]
    assert [(row["ood_dataset"], row["score"]) for row in document["rows"]] == [
        (name, score) for name in SETS for score in scores
    ]
    for row in document["rows"]:
        assert {
            "ood_dataset",
            "score",
            "auroc",
            "auroc_low",
            "auroc_high",
            "average_precision",
            "fpr_at_95_tpr",
            "num_in",
            "num_out",
            "paper_auroc",
        } <= row.keys()
        assert (row["num_in"], row["num_out"], row["paper_auroc"]) == (60, 60, None)
        for metric in ("auroc", "average_precision", "fpr_at_95_tpr"):
            assert 0 <= row[f"{metric}_low"] <= row[f"{metric}_high"] <= 100
    assert all(set(m) == set(document["manifests"][0]) for m in document["manifests"])
    assert "signatures" not in document["manifests"][0]
    assert document["labels"]["datasets"] == {
        "digits": "Digits",
        "hflip": "HFlip",
        "uniform": "Uniform noise in [0, 1]",
        "adversarial_clipped": "Adversarial, clipped",
    }
    assert set(document["labels"]["scores"]) == set(scores)
    assert document["git_commit"] == git_commit()


def test_numbers_follow_from_the_score_files(evaluate, tmp_path):
    evaluate()
    in_frame = read_scores(tmp_path / "out/scores/in_distribution.parquet").frame
    ood_frame = read_scores(tmp_path / "out/scores/uniform.parquet").frame
    anomaly = -np.concatenate([in_frame["waic"], ood_frame["waic"]])
    is_ood = np.repeat([0, 1], [len(in_frame), len(ood_frame)])
    (row,) = [
        r
        for r in results(tmp_path)["rows"]
        if (r["ood_dataset"], r["score"]) == ("uniform", "waic")
    ]
    assert row["auroc"] == pytest.approx(100 * roc_auc_score(is_ood, anomaly))
    assert row["average_precision"] == pytest.approx(100 * average_precision_score(is_ood, anomaly))


def test_tables_are_written_and_printed(evaluate, tmp_path, capsys):
    evaluate()
    captured = capsys.readouterr()
    assert "AUROC in percent" in captured.out.splitlines()[0]
    assert [line for line in captured.out.splitlines() if line.startswith("HFlip ")]
    assert max(map(len, captured.out.splitlines()[:-1])) <= 100
    assert [line.split(":")[0] for line in captured.err.splitlines() if "inputs" in line] == [
        "digits",
        *SETS,
    ]
    text = (tmp_path / "out/table.md").read_text()
    assert "| HFlip " in text
    frame = pd.read_csv(tmp_path / "out/results.csv")
    document = results(tmp_path)
    np.testing.assert_allclose(frame["auroc"], [row["auroc"] for row in document["rows"]])
    assert "made against member 0" in text
    assert not [p for p in (tmp_path / "out").rglob("*") if "partial" in p.name]


def test_attack_rows_use_the_attacked_member(evaluate, tmp_path):
    evaluate()
    for row in results(tmp_path)["rows"]:
        if row["score"] == "log_prob":
            assert row["members_used"] == (
                [0] if "adversarial" in row["ood_dataset"] else [0, 1, 2]
            )


def test_a_rerun_scores_nothing_and_writes_the_same(evaluate, tmp_path, ensemble):
    evaluate()
    first = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    scored = ensemble.num_scored
    evaluate()
    assert ensemble.num_scored == scored
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()} == first


def test_batch_size_changes_neither_key_nor_scores(evaluate, tmp_path, ensemble):
    evaluate(batch_size=7)
    first = results(tmp_path)["rows"]
    scored = ensemble.num_scored
    evaluate(batch_size=100)
    assert ensemble.num_scored == scored
    assert results(tmp_path)["rows"] == first


def test_other_members_or_settings_score_again(evaluate, tmp_path, ensemble, make_ensemble):
    evaluate()
    retrained = make_ensemble(weights="b")
    evaluate(retrained)
    assert retrained.num_scored == 60 * 4
    evaluate(retrained, num_examples=50)
    assert retrained.num_scored == 60 * 4 + 50 * 4
    # Another seed: other noise and attacks, the same in-distribution inputs and flips.
    evaluate(retrained, num_examples=50, seed=1)
    assert retrained.num_scored == 60 * 4 + 50 * 4 + 50 * 2


def test_a_damaged_file_is_scored_again(evaluate, tmp_path, ensemble):
    evaluate()
    good = results(tmp_path)
    scored = ensemble.num_scored
    (tmp_path / "out/scores/hflip.parquet").write_bytes(b"half")
    (tmp_path / "out/examples/uniform.npz").unlink()
    evaluate()
    assert ensemble.num_scored == scored + 2 * 60
    assert results(tmp_path) == good


def test_an_interrupted_run_continues(evaluate, tmp_path, ensemble, monkeypatch):
    score = ensemble.score

    def interrupted(values, outputs=None):
        if ensemble.num_scored >= 90:
            raise KeyboardInterrupt
        return score(values, outputs)

    monkeypatch.setattr(ensemble, "score", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(batch_size=30)
    assert ensemble.num_scored == 90  # The first set and half of the second.
    assert not (tmp_path / "out/results.json").exists()
    assert not (tmp_path / "out/scores/hflip.parquet").exists()
    monkeypatch.setattr(ensemble, "score", score)
    evaluate(batch_size=30)
    assert ensemble.num_scored == 90 + 3 * 60
    assert len(results(tmp_path)["sets"]) == 3


def test_a_set_that_is_missing_does_not_stop_the_others(evaluate, tmp_path, capsys):
    absent = f"npz:{tmp_path}/absent.npz"
    nan = np.zeros((5, 8, 8, 1), np.float32)
    nan[3, 0, 0, 0] = np.nan
    np.savez(tmp_path / "nan.npz", x=nan)
    with pytest.raises(UserError, match=r"--ood.*2 that could not.*absent.*nan") as caught:
        evaluate(ood=(absent, "hflip", f"npz:{tmp_path}/nan.npz"))
    assert "\n" not in str(caught.value)
    document = results(tmp_path)
    assert {row["ood_dataset"] for row in document["rows"]} == {"hflip"}
    assert [entry["ood_dataset"] for entry in document["missing"]] == [
        absent,
        f"npz:{tmp_path}/nan.npz",
    ]
    assert "absent.npz" in document["missing"][0]["reason"]
    assert "Not evaluated" in capsys.readouterr().out


def test_all_sets_missing_still_writes_results(evaluate, tmp_path):
    with pytest.raises(UserError, match="--ood"):
        evaluate(ood=(f"npz:{tmp_path}/absent.npz",))
    assert results(tmp_path)["rows"] == []


def test_changed_contents_of_a_file_are_scored_again(evaluate, tmp_path, ensemble):
    path = tmp_path / "mine.npz"
    np.savez(path, x=np.full((4, 8, 8, 1), 200, np.uint8))
    evaluate(ood=(f"npz:{path}",))
    first = results(tmp_path)["rows"]
    np.savez(path, x=np.full((4, 8, 8, 1), 20, np.uint8))
    scored = ensemble.num_scored
    evaluate(ood=(f"npz:{path}",))
    assert ensemble.num_scored == scored + 4
    assert results(tmp_path)["rows"] != first


def test_changed_contents_of_a_registered_set_are_scored_again(
    evaluate, tmp_path, ensemble, monkeypatch
):
    path = tmp_path / "mine.npz"
    np.savez(path, x=np.full((4, 8, 8, 1), 200, np.uint8))
    row = OodSet("mine", "My set", lambda c: open_source(f"npz:{path}", c.input_spec), "Mine.")
    monkeypatch.setitem(OOD_SETS, "mine", row)
    evaluate(ood=("mine",))
    assert results(tmp_path)["labels"]["datasets"] == {"digits": "Digits", "mine": "My set"}
    first, scored = results(tmp_path)["rows"], ensemble.num_scored
    evaluate(ood=("mine",))
    assert ensemble.num_scored == scored
    np.savez(path, x=np.full((4, 8, 8, 1), 20, np.uint8))
    evaluate(ood=("mine",))
    assert ensemble.num_scored == scored + 4
    assert results(tmp_path)["rows"] != first


def test_a_changed_attack_is_scored_again_and_an_unchanged_one_not_even_made(
    evaluate, ensemble, monkeypatch
):
    evaluate(ood=("adversarial_clipped",))
    scored = ensemble.num_scored
    row = OOD_SETS["adversarial_clipped"]
    with monkeypatch.context() as context:
        context.setattr(ensemble, "score_and_gradient", None)
        evaluate(ood=("adversarial_clipped",))
    assert ensemble.num_scored == scored
    other = dataclasses.replace(row, attack={**row.attack, "eps": 0.1})
    monkeypatch.setitem(OOD_SETS, "adversarial_clipped", other)
    evaluate(ood=("adversarial_clipped",))
    assert ensemble.num_scored == scored + 60


def test_in_distribution_can_be_any_spec(evaluate, tmp_path):
    np.savez(tmp_path / "mine.npz", x=np.full((9, 8, 8, 1), 100, np.uint8))
    evaluate(in_distribution=f"npz:{tmp_path}/mine.npz", ood=("uniform",))
    document = results(tmp_path)
    assert document["in_distribution"] == f"npz:{tmp_path}/mine.npz"
    assert {row["num_in"] for row in document["rows"]} == {9}


def test_a_stand_in_is_filed_under_the_set_and_said(evaluate, tmp_path):
    np.savez(tmp_path / "mine.npz", x=np.full((9, 8, 8, 1), 100, np.uint8))
    spec = f"npz:{tmp_path}/mine.npz"
    evaluate(ood=(f"svhn={spec}", "uniform"))
    document = results(tmp_path)
    assert {row["ood_dataset"] for row in document["rows"]} == {"svhn", "uniform"}
    assert document["labels"]["datasets"]["svhn"] == "SVHN"
    svhn, uniform = document["sets"]
    assert (svhn["name"], svhn["source"], svhn["is_stand_in"]) == ("svhn", spec, True)
    assert (uniform["source"], uniform["is_stand_in"]) == ("made from the seed", False)
    assert f"SVHN: the registered set was not used; {spec} stands in." in document["notes"]


def test_a_set_in_two_forms_is_refused(evaluate, ensemble):
    with pytest.raises(UserError, match="each set once; got svhn in two forms"):
        evaluate(ood=("svhn", "svhn=npz:mine.npz"))
    assert ensemble.num_scored == 0


def test_a_subset_of_outputs(evaluate, tmp_path):
    evaluate(outputs=("rate",), ood=("hflip",))
    assert [r["score"] for r in results(tmp_path)["rows"]] == ["rate", "rate_mean", "rate_var"]


def test_default_sets_are_the_registered_ones(evaluate, tmp_path):
    evaluate(ood=None, num_examples=20)
    registered = pipeline.DATASETS["digits"].ood
    assert [entry["name"] for entry in results(tmp_path)["sets"]] == list(registered)


@pytest.mark.parametrize("name", ["hflap", "nosuch:thing"])
def test_an_unknown_set_is_refused_before_anything_is_scored(evaluate, ensemble, name):
    with pytest.raises(UserError, match=r"--ood.*hflip.*npz:PATH"):
        evaluate(ood=("uniform", name))
    assert ensemble.num_scored == 0


def test_unregistered_training_sets_need_both_specs(evaluate, ensemble, monkeypatch):
    monkeypatch.setattr(ensemble, "train_dataset", "npz:mine.npz", raising=False)
    with pytest.raises(UserError, match="--in_distribution"):
        evaluate(ood=("uniform",))
    with pytest.raises(UserError, match="--ood"):
        evaluate(ood=None, in_distribution="digits:test")
    evaluate(ood=("uniform",), in_distribution="digits:test")


def test_output_dir_that_is_a_file(evaluate, tmp_path, ensemble):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="--output_dir"):
        evaluate(output_dir=str(tmp_path / "file"))
    assert ensemble.num_scored == 0


def test_figures_without_the_report_extra(evaluate, ensemble, monkeypatch):
    monkeypatch.setattr(extras, "PACKAGES", ("no_such_package",))
    with pytest.raises(UserError, match=r"pip install tfp_genens\[report\].*no_such_package"):
        evaluate(figures=True)
    assert ensemble.num_scored == 0
    evaluate(figures=False)


def test_tensorflow_is_configured_before_anything_is_loaded(evaluate, monkeypatch):
    done = []
    monkeypatch.setattr(main_module, "configure_tensorflow", lambda: done.append("configured"))
    load = pipeline.evaluate
    monkeypatch.setattr(pipeline, "evaluate", lambda c: done.append("evaluated") or load(c))
    evaluate(ood=("hflip",))
    assert done == ["configured", "evaluated"]


def test_training_metrics_are_kept_beside_the_results(evaluate, tmp_path):
    rows = "step,phase,loss\n50,train,3.5\n"
    for member in (0, 2):
        (tmp_path / f"run/member_{member}").mkdir(parents=True)
        (tmp_path / f"run/member_{member}/metrics.csv").write_text(f"{rows}{member},train,1\n")
    run_dir = str(tmp_path / "run")
    evaluate(run_dir=run_dir, ood=("hflip",))
    found = {path.name: path.read_text() for path in (tmp_path / "out/training").iterdir()}
    assert found == {f"member_{m}.csv": f"{rows}{m},train,1\n" for m in (0, 2)}
    # Another run into the same directory: nothing of the first one's members stays.
    (tmp_path / "run/member_0/metrics.csv").unlink()
    evaluate(run_dir=run_dir, ood=("hflip",))
    assert [path.name for path in (tmp_path / "out/training").iterdir()] == ["member_2.csv"]


def test_figures_are_drawn_although_a_set_is_missing(evaluate, tmp_path):
    with pytest.raises(UserError, match="--ood"):
        evaluate(figures=True, ood=("uniform", f"npz:{tmp_path}/absent.npz"))
    assert (tmp_path / "out/figures/index.json").exists()


def test_figures_are_drawn(evaluate, tmp_path):
    evaluate(figures=True)
    index = json.loads((tmp_path / "out/figures/index.json").read_text())["figures"]
    names = {entry["file"].removesuffix(".png") for entry in index}
    assert {
        "histograms_waic",
        "roc",
        "rate_distortion",
        "extremes",
        "sets",
        "reconstructions",
        "model_samples",
    } <= names


def test_main_reports_an_error_in_one_line(monkeypatch, tmp_path, capsys):
    argv = ["evaluate", f"--run_dir={tmp_path}", f"--output_dir={tmp_path}/out"]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as caught:
        main_module.main()
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--run_dir" in line


@pytest.mark.parametrize("name", ["tfds:mnist:test", "in_distribution", "a/b", "csv:" + "x" * 300])
def test_safe_names(name):
    safe = store.safe_name(name)
    assert safe.replace("-", "_").isidentifier()
    assert len(safe) < 80
    assert safe not in ("in_distribution", name)
    assert store.safe_name("hflip") == "hflip"
    assert store.safe_name(name + "?") != safe


def test_fingerprint_tells_values_ids_and_types_apart():
    class Inputs:
        shape = (2,)

        def __init__(self, values, ids=("a", "b", "c")):
            self.values, self.ids = values, ids

        def batches(self, batch_size):
            for start in range(0, len(self.ids), batch_size):
                part = slice(start, start + batch_size)
                yield store.Batch(tuple(self.ids[part]), self.values[part])

    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    same = {store.fingerprint(Inputs(values), size) for size in (1, 2, 3)}
    assert len(same) == 1
    others = [
        Inputs(values + 1),
        Inputs(values, ("a", "b", "d")),
        Inputs(values[::-1]),
        Inputs(values.view(np.int32)),
    ]
    assert len({store.fingerprint(other, 3) for other in others} | same) == 5
