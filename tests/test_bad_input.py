"""Every mistake a user can make: exit code 2, one line that names it, and no traceback."""

import json
import os
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import tfp_genens.evaluate
import tfp_genens.report
import tfp_genens.score
import tfp_genens.train

MAINS = {
    "train": tfp_genens.train.main,
    "score": tfp_genens.score.main,
    "evaluate": tfp_genens.evaluate.main,
    "report": tfp_genens.report.main,
}


@pytest.fixture
def fails(monkeypatch, capsys, tmp_path):
    """(main, flags, pattern): the main must end with code 2 and one line that matches."""
    monkeypatch.chdir(tmp_path)

    def check(main, flags, pattern):
        monkeypatch.setattr("sys.argv", [main, *flags])
        with pytest.raises(SystemExit) as e:
            MAINS[main]()
        assert e.value.code == 2
        err = capsys.readouterr().err
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert err.splitlines()[-1] == errors[0]
        assert "Traceback" not in err
        assert re.search(pattern, errors[0]), errors[0]

    return check


@pytest.mark.parametrize(
    ("flags", "pattern"),
    [
        (["--betta=1"], r"--betta: .*--beta"),
        (["--model=vea"], r"--model: expected one of vae.*'vea'"),
        (["--dataset=mnits"], r"--dataset: .*mnist.*mnits"),
        (["--beta=-1"], r"--beta: expected a number of at least 0.*-1"),
        (["--beta=nan"], r"--beta: .*nan"),
        (["--batch_size=0"], r"--batch_size: .*at least 1.*0"),
        (["--train_steps=ten"], r"--train_steps: expected an integer.*'ten'"),
        (["--prior=flow"], r"--prior: expected one of maf, mixture, normal.*'flow'"),
        (["--validation_fraction=0.9"], r"--validation_fraction: .*at most 0.5"),
        (["--member=5"], r"--member: .*--num_members=5"),
        (["--flagfile=missing.cfg"], r"missing.cfg"),
        (["--run_dir=/proc/nowhere"], r"--run_dir: .*written to"),
        (["--dataset=npz:missing.npz"], r"--dataset=npz:missing.npz: .*no such file"),
    ],
)
def test_train(fails, flags, pattern):
    fails("train", ["--dataset=digits", "--run_dir=run", *flags], pattern)
    assert not os.path.exists("run/member_0/saved_model")


def test_train_on_images_that_do_not_suit_the_model(fails):
    np.savez("odd.npz", image=np.zeros([20, 9, 9, 1], np.uint8))
    fails(
        "train",
        ["--dataset=npz:odd.npz", "--run_dir=run"],
        r"--dataset: expected images .* divide by 4; got .*\[9, 9, 1\]",
    )


def score_flags(run_dir, spec="digits:test", output="scores.parquet"):
    return [f"--run_dir={run_dir}", f"--input={spec}", f"--output={output}"]


class TestScoreRuns:
    def test_missing_flag(self, fails):
        fails("score", ["--input=digits:test", "--output=x.csv"], r"--run_dir: .*nothing")

    def test_missing_run(self, fails):
        fails("score", score_flags("nowhere"), r"--run_dir: .*nowhere")

    def test_unfinished_member(self, fails, run_copy):
        (run_copy / "member_1" / "manifest.json").unlink()
        fails("score", score_flags(run_copy), r"--run_dir: expected a finished member .*member_1")

    def test_tampered_weights(self, fails, run_copy):
        path = next((run_copy / "member_0/saved_model/variables").glob("*.data*"))
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
        fails("score", score_flags(run_copy), r"--run_dir: .*changed files")

    def test_members_trained_on_different_data(self, fails, run_copy):
        path = run_copy / "member_1" / "manifest.json"
        other = {"train_dataset": "npz:own.npz", "data_fingerprint": "0" * 64}
        path.write_text(json.dumps(json.loads(path.read_text()) | other))
        fails("score", score_flags(run_copy), r"--run_dir: .*same training data set.*member_1")

    def test_incomplete_config(self, fails, run_copy):
        (run_copy / "config.json").write_text("{}")
        fails("score", score_flags(run_copy), r"--run_dir: .*config.json.*no num_members")

    def test_broken_manifest(self, fails, run_copy):
        (run_copy / "member_0" / "manifest.json").write_text("{")
        fails("score", score_flags(run_copy), r"--run_dir: .*manifest.json")

    @pytest.mark.parametrize("members", ["0,7", "x", "-1"])
    def test_members(self, fails, trained_run, members):
        fails("score", [*score_flags(trained_run), f"--members={members}"], "--members: ")

    def test_outputs(self, fails, trained_run):
        fails("score", [*score_flags(trained_run), "--outputs=rat"], r"--outputs: .*rate.*rat")


class TestScoreInputs:
    @pytest.mark.parametrize(
        ("array", "pattern"),
        [
            (np.zeros([3, 9, 9, 1], np.uint8), r"--input=\S+: .*\(8, 8, 1\).*\(9, 9, 1\)"),
            (np.zeros([3, 8, 8, 3], np.uint8), r"--input=\S+: .*\(8, 8, 1\).*\(8, 8, 3\)"),
            (np.zeros([0, 8, 8, 1], np.uint8), r"--input=\S+: .*at least one input"),
            (np.full([3, 8, 8, 1], np.nan), r"--input=\S+: .*finite.*nan"),
            (np.full([3, 8, 8, 1], np.inf), r"--input=\S+: .*finite.*inf"),
        ],
    )
    def test_arrays(self, fails, trained_run, array, pattern):
        np.savez("inputs.npz", image=array)
        fails("score", score_flags(trained_run, "npz:inputs.npz"), pattern)
        assert not os.path.exists("scores.parquet")

    @pytest.mark.parametrize(
        ("spec", "pattern"),
        [
            ("npz:missing.npz", r"--input=npz:missing.npz: .*no such file"),
            ("nonsense", r"--input: .*nonsense"),
            ("ftp:x", r"--input: .*ftp"),
            ("digits:nope", r"--input=\S+: .*nope"),
            ("images:empty", r"--input=\S+: "),
            ("csv:missing.csv", r"--input=csv:missing.csv: .*no such file"),
        ],
    )
    def test_specs(self, fails, trained_run, spec, pattern):
        os.mkdir("empty")
        fails("score", score_flags(trained_run, spec), pattern)

    def test_unreadable_image(self, fails, trained_run):
        os.mkdir("pictures")
        Image.fromarray(np.zeros([8, 8], np.uint8)).save("pictures/a.png")
        with open("pictures/b.png", "w") as file:
            file.write("not a picture")
        fails("score", score_flags(trained_run, "images:pictures"), r"--input=\S+: .*b\.png")
        assert not os.path.exists("scores.parquet")

    def test_csv_with_a_missing_column(self, fails, trained_run):
        columns = [f"pixel_{i}_{j}" for i in range(8) for j in range(8)]
        frame = pd.DataFrame(np.zeros([2, 64]), columns=columns)
        frame.drop(columns="pixel_3_5").to_csv("x.csv", index=False)
        fails("score", score_flags(trained_run, "csv:x.csv"), r"--input=\S+: .*pixel_3_5")

    @pytest.mark.parametrize(
        "output", ["/proc/nowhere/scores.csv", "scores.txt", "taken/scores.csv"]
    )
    def test_output(self, fails, trained_run, output):
        with open("taken", "w") as file:
            file.write("a file where a directory should be")
        fails("score", score_flags(trained_run, output=output), "--output: ")


class TestEvaluateAndReport:
    def test_missing_run(self, fails):
        fails("evaluate", ["--run_dir=nowhere", "--output_dir=o"], r"--run_dir: .*nowhere")

    def test_output_dir(self, fails, trained_run):
        flags = [f"--run_dir={trained_run}", "--output_dir=/proc/nowhere"]
        fails("evaluate", flags, r"--output_dir: ")

    def test_unknown_ood_set(self, fails, trained_run):
        flags = [f"--run_dir={trained_run}", "--output_dir=o", "--ood=hflop"]
        fails("evaluate", flags, r"--ood: .*hflop")

    def test_report_without_evaluation(self, fails):
        fails("report", ["--evaluation_dir=nowhere", "--output=r.html"], r"--evaluation_dir: ")

    def test_report_of_a_broken_evaluation(self, fails):
        os.mkdir("e")
        with open("e/results.json", "w") as file:
            json.dump([], file)
        fails("report", ["--evaluation_dir=e", "--output=r.html"], r"--evaluation_dir: ")
