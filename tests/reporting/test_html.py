"""The report: self-contained, escaped, and with the same numbers as results.json."""

import base64
import html.parser
import json
import re
import sys

import numpy as np
import pytest

from tfp_genens import report as main_module
from tfp_genens.config import ReportConfig
from tfp_genens.errors import UserError
from tfp_genens.evaluation.tables import metric_table
from tfp_genens.reporting import evaluation_files, extras
from tfp_genens.reporting.figures import write_figures
from tfp_genens.reporting.html import calibration, report
from tfp_genens.reporting.provenance import short_commit

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Checker(html.parser.HTMLParser):
    """Collects text, and the tags that are open, which must close in order."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.images, self.links = [], [], [], []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.links += [found[k] for k in ("href", "src") if k in found]
        if tag == "img":
            self.images.append(found)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def write_report(tmp_path, *directories, draw=False):
    """Writes a report; without figures, which take seconds, unless they are there or asked for."""
    for directory in directories:
        index = directory / "figures" / "index.json"
        if not draw and not index.exists():
            index.parent.mkdir()
            index.write_text('{"figures": []}')
    output = tmp_path / "out" / "report.html"
    report(ReportConfig(evaluation_dir=tuple(map(str, directories)), output=str(output)))
    checker = Checker()
    checker.feed(output.read_text(encoding="utf-8"))
    assert checker.open == []
    return checker, " ".join(" ".join(checker.text).split())


def test_the_report_is_self_contained(make_evaluation, tmp_path, capsys):
    directory = make_evaluation()
    write_figures(directory)
    checker, _ = write_report(tmp_path, directory)
    assert capsys.readouterr().out.strip().endswith("report.html")
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in checker.links)
    images = [base64.b64decode(image["src"].split(",")[1]) for image in checker.images]
    assert len(images) == 10
    assert images[0] == (directory / "figures/histograms_rate.png").read_bytes()
    assert all(image["alt"] for image in checker.images)
    assert not list((tmp_path / "out").glob(".*partial"))


def test_numbers_are_those_of_results_json(make_evaluation, tmp_path):
    directory = make_evaluation()
    _, text = write_report(tmp_path, directory)
    for row in json.loads((directory / "results.json").read_text())["rows"]:
        if row["score"] in ("rate", "waic"):
            assert f"{row['auroc']:.1f}" in text
            assert f"[{row['fpr_at_95_tpr_low']:.1f}, {row['fpr_at_95_tpr_high']:.1f}]" in text


def test_the_papers_numbers_and_differences(make_evaluation):
    document = json.loads((make_evaluation() / "results.json").read_text())
    table = metric_table(document, "auroc")
    assert table.scores == ("Rate", "log p(x)", "WAIC")
    assert table.has_paper == (True, True, True)
    row = next(r for r in document["rows"] if r["score"] == "rate")
    cell = table.lines[0].cells[0]
    assert cell.paper == "94.7"
    assert float(cell.difference) == pytest.approx(row["auroc"] - 94.7, abs=0.051)
    assert re.fullmatch(r"\d+\.\d to \d+\.\d", cell.members)
    clipped = table.lines[2].cells[0]
    assert (clipped.paper, clipped.difference) == ("", "")
    assert not any(metric_table(document, "fpr_at_95_tpr").has_paper)


def test_facts_notes_and_commands(make_evaluation, tmp_path):
    _, text = write_report(tmp_path, make_evaluation())
    for expected in (
        "57,000, and 3,000 held out",
        "5,000",
        "5.0 min in all",
        "abc123",
        "0123456789ab-dirty",
        "beta 0.1",
        "A note on <members> & more.",
        "python -m tfp_genens.train \\ --model=vae \\ --dataset=mnist \\ --beta=0.1 \\ "
        "--binarize=false \\ --seed=3 \\ --prior=maf \\ --odd='a b' \\ --num_members=2 \\ "
        "--run_dir=runs/x",
        "--num_examples=50 \\ --num_bootstrap=20",
        "tf_keras not installed",
    ):
        assert expected in text


def test_it_says_which_score_to_use(make_evaluation, tmp_path):
    """With the lowest and the highest AUROC that the deciding score has here."""
    directory = make_evaluation()
    document = json.loads((directory / "results.json").read_text())
    aurocs = [row["auroc"] for row in document["rows"] if row["score"] == "waic"]
    _, text = write_report(tmp_path, directory)
    ends = re.search(r"Use WAIC \( ?waic ?\): ?verdicts .* between ([\d.]+) .* and ([\d.]+) ", text)
    assert ends, text[:2000]
    assert list(ends.groups()) == [f"{min(aurocs):.1f}", f"{max(aurocs):.1f}"]


def test_without_a_verdict_it_recommends_nothing(make_evaluation, tmp_path):
    _, text = write_report(tmp_path, make_evaluation(with_p_values=False))
    assert "What to use" not in text


@pytest.mark.parametrize(
    ("commit", "expected"),
    [
        (40 * "a", 12 * "a"),
        (40 * "a" + "-dirty", 12 * "a" + "-dirty"),
        ("abc123", "abc123"),
        (None, "unknown"),
    ],
)
def test_short_commits_keep_what_they_say_of_the_tree(commit, expected):
    assert short_commit(commit) == expected


def test_every_commit_that_trained_is_named(make_evaluation, tmp_path):
    directory = make_evaluation()
    document = json.loads((directory / "results.json").read_text())
    document["manifests"][0]["sittings"] = [
        {"git_commit": "111aaa"},
        {"git_commit": "222bbb-dirty"},
    ]
    (directory / "results.json").write_text(json.dumps(document))
    _, text = write_report(tmp_path, directory)
    assert "111aaa, 222bbb-dirty, abc123" in text


def test_everything_is_escaped(make_evaluation, tmp_path):
    directory = make_evaluation(sets=("<script>alert(1)</script>",))
    _, text = write_report(tmp_path, directory)
    assert "<script>alert(1)</script>" in text  # As text, not as a tag.
    assert "<script" not in (tmp_path / "out/report.html").read_text()


def test_a_report_shows_the_papers_columns_only_where_it_has_numbers(make_evaluation, tmp_path):
    directory = make_evaluation()
    document = json.loads((directory / "results.json").read_text())
    document["main_scores"] = ["distortion", "waic"]
    (directory / "results.json").write_text(json.dumps(document))
    _, text = write_report(tmp_path, directory)
    head = "OoD set distortion [95 % interval] WAIC [95 % interval]"
    assert f"{head} paper difference" in text  # AUROC
    assert text.count(f"{head} paper") == 1
    assert text.count(head) == 3


def test_calibration_by_hand(make_evaluation):
    evaluation = evaluation_files.load(make_evaluation())
    # The fixture's p-values are 1/51, 2/51, ... 50/51.
    (row,) = calibration(evaluation.in_distribution, (0.1,))
    assert row["flagged"] == pytest.approx(100 * 5 / 50)
    assert row["low"] == pytest.approx(3.33, abs=0.01)  # Clopper-Pearson for 5 of 50.
    assert row["high"] == pytest.approx(21.81, abs=0.01)


def test_nan_p_values_flag_nothing(make_evaluation):
    evaluation = evaluation_files.load(make_evaluation())
    evaluation.in_distribution.scores.frame.loc[:, "p_value"] = np.nan
    (row,) = calibration(evaluation.in_distribution, (1.0,))
    assert (row["flagged"], row["num"]) == (0, 50)


def test_without_p_values_there_is_no_calibration(make_evaluation, tmp_path):
    _, text = write_report(tmp_path, make_evaluation(with_p_values=False))
    assert "Calibration" not in text


def test_figures_are_drawn_where_evaluate_drew_none(make_evaluation, tmp_path):
    directory = make_evaluation()
    checker, _ = write_report(tmp_path, directory, draw=True)
    assert len(checker.images) == 10
    assert not (directory / "figures").exists()


def test_several_evaluations_and_missing_sets(make_evaluation, tmp_path):
    one, other = make_evaluation("one"), make_evaluation("other", sets=())
    document = json.loads((other / "results.json").read_text())
    document["missing"] = [{"ood_dataset": "omniglot", "reason": "not on this machine"}]
    (other / "results.json").write_text(json.dumps(document))
    checker, text = write_report(tmp_path, one, other)
    assert "Omniglot: not on this machine" in text
    assert [link for link in checker.links if link.startswith("#")] == [
        "#evaluation-1",
        "#evaluation-2",
    ]


def test_bad_input(make_evaluation, tmp_path):
    directory = make_evaluation()
    with pytest.raises(UserError, match="--evaluation_dir"):
        report(ReportConfig(evaluation_dir=(str(tmp_path),), output=str(tmp_path / "r.html")))
    with pytest.raises(UserError, match=r"--output.*a directory"):
        report(ReportConfig(evaluation_dir=(str(directory),), output=str(tmp_path)))
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="--output"):
        report(ReportConfig(evaluation_dir=(str(directory),), output=str(tmp_path / "file/r.html")))
    (directory / "scores/file_1.parquet").unlink()
    with pytest.raises(UserError, match=r"--evaluation_dir.*file_1\.parquet"):
        evaluation_files.load(directory)
    (directory / "results.json").write_text('{"schema_version": 99}')
    with pytest.raises(UserError, match=r"schema_version 1.*99"):
        evaluation_files.load(directory)


def test_main(make_evaluation, tmp_path, monkeypatch, capsys):
    output = tmp_path / "report.html"
    argv = ["report", f"--evaluation_dir={make_evaluation()}", f"--output={output}"]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as caught:
        main_module.main()
    assert caught.value.code == 0
    assert output.exists()
    monkeypatch.setattr(extras, "PACKAGES", ("no_such_package",))
    with pytest.raises(SystemExit) as caught:
        main_module.main()
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install tfp_genens[report]" in line
