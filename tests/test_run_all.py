"""run_all.sh against a stand-in for Python that trains nothing but writes what training writes."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

# What is asked of `python` is appended to $CALLS, one command a line. Members named in $FAIL fail,
# those in $HANG train until they are told to stop. The run directories in $MISSING lack an OoD set.
FAKE_PYTHON = """#!{python} -IS
import json, os, pathlib, signal, sys, time

args = sys.argv[1:]
if args[0] == "-c":
    sys.argv = args[:1] + args[2:]
    exec(args[1])
    sys.exit(0)
if args[0] == "-I":
    sys.exit(int(os.environ.get("NOT_INSTALLED", 0)))
if args == ["--version"]:
    print("Python 3.11.0")
    sys.exit(0)
with open(os.environ["CALLS"], "a") as f:
    f.write(" ".join(args) + "\\n")
module = args[1]
if module == "venv":
    os.makedirs(args[-1] + "/bin")
    os.link(sys.argv[0], args[-1] + "/bin/python")
if module in ("venv", "pip", "pytest"):
    print("output of", module)
    sys.exit(int(os.environ.get("EXIT_" + module, 0)))

lines = []
for arg in args[2:]:
    is_file = arg.startswith("--flagfile=")
    lines += pathlib.Path(arg[11:]).read_text().splitlines() if is_file else [arg]
options = dict(line.lstrip("-").split("=", 1) for line in lines if line.startswith("--"))


def stop(signum, frame):
    (directory / "stopped").touch()
    sys.exit(143)


def train(member):
    global directory
    directory = pathlib.Path(options["run_dir"], "member_" + member)
    directory.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, stop)
    (directory / "metrics.csv").write_text("step,loss\\n3,1.0\\n")
    if member in os.environ.get("FAIL", ""):
        print("error: --beta: expected a number above 0; got -1", file=sys.stderr)
        sys.exit(2)
    while member in os.environ.get("HANG", ""):
        time.sleep(0.05)
    manifest = directory / "manifest.json"
    if not manifest.exists():
        manifest.write_text(json.dumps({{"member": member}}))


if module.endswith("train"):
    os.makedirs(options["run_dir"], exist_ok=True)
    config = json.dumps({{"config": {{}}, "num_members": int(options["num_members"])}}, indent=2)
    pathlib.Path(options["run_dir"], "config.json").write_text(config)
    members = map(str, range(int(options["num_members"])))
    for member in [options["member"]] if "member" in options else members:
        train(member)
elif module.endswith("evaluate"):
    if "evaluate" in os.environ.get("FAIL", ""):
        sys.exit(2)
    directory = pathlib.Path(options["output_dir"])
    directory.mkdir(exist_ok=True)
    is_missing = options["run_dir"] in os.environ.get("MISSING", "").split()
    missing = [{{"ood_dataset": "celeba", "reason": "not found"}}] if is_missing else []
    (directory / "results.json").write_text(json.dumps({{"missing": missing}}))
    (directory / "table.md").write_text("| the table |\\n")
    sys.exit(int(os.environ.get("EXIT_evaluate", 2 if is_missing else 0)))
elif module.endswith("report"):
    pathlib.Path(options["output"]).write_text("<html>")
"""


@dataclasses.dataclass
class Tree:
    """A copy of the script beside an experiment, `tiny` (three members), and an overlay, `fast`."""

    root: pathlib.Path
    python: pathlib.Path
    environment: dict[str, str]

    @property
    def run_dir(self) -> pathlib.Path:
        return self.root / "runs/tiny"

    def command(self, *args: str, **environment: str) -> dict:
        return {
            "args": ["bash", str(self.root / "run_all.sh"), *args],
            "env": self.environment | environment,
            "cwd": self.root.parent,
            "text": True,
        }

    def run(self, *args: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            **self.command(*args, **environment), capture_output=True, timeout=60, check=False
        )

    def calls(self) -> list[str]:
        """The commands run since the last time this was asked, sorted: members run side by side."""
        path = pathlib.Path(self.environment["CALLS"])
        calls = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return sorted(calls)


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Tree:
    root = tmp_path / "a clone"
    (root / "flags").mkdir(parents=True)
    for name in ("run_all.sh", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, root / name)
    (root / "flags/tiny.cfg").write_text("# ours\n--model=vae\n--num_members=3\n--train_steps=10\n")
    (root / "flags/fast.cfg").write_text("# ours\n--train_steps=5\n")
    python = tmp_path / "active/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(FAKE_PYTHON.format(python=os.path.realpath(sys.executable)))
    python.chmod(0o755)
    environment = dict(os.environ)
    for name in ("RUNS_DIR", "FAIL", "HANG", "MISSING"):
        environment.pop(name, None)
    environment |= {"VIRTUAL_ENV": str(tmp_path / "active"), "CALLS": str(tmp_path / "calls")}
    return Tree(root, python, environment)


def wait_until(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


def train(member: int, threads: int = 1, run: str = "runs/tiny") -> str:
    return (
        f"-m tfp_genens.train --flagfile=flags/tiny.cfg --run_dir={run} "
        f"--member={member} --num_threads={threads}"
    )


EVALUATE = "-m tfp_genens.evaluate --run_dir=runs/tiny --output_dir=runs/tiny/evaluation"
REPORT = "-m tfp_genens.report --evaluation_dir=runs/tiny/evaluation --output=runs/tiny/report.html"


@pytest.fixture
def two_cores(tree: Tree) -> Tree:
    """The tree on a machine with two cores and no GPU, whatever this one has."""
    for name, body in {"nproc": "echo 2", "nvidia-smi": "exit 1"}.items():
        path = tree.python.parent / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    tree.environment["PATH"] = f"{tree.python.parent}:{tree.environment['PATH']}"
    return tree


def test_an_experiment_runs_and_the_second_time_nothing_is_done(two_cores: Tree):
    first = two_cores.run("tiny")
    assert first.returncode == 0, first.stderr
    assert two_cores.calls() == sorted([EVALUATE, REPORT, train(0), train(1), train(2)])
    assert "| the table |" in first.stdout
    assert first.stdout.rstrip().endswith("Report: runs/tiny/report.html")

    started = time.monotonic()
    second = two_cores.run("tiny")
    assert time.monotonic() - started < 5
    assert second.returncode == 0
    assert two_cores.calls() == []
    assert "| the table |" in second.stdout


def test_only_what_is_missing_is_done(two_cores: Tree):
    assert two_cores.run("tiny").returncode == 0
    two_cores.calls()

    (two_cores.run_dir / "report.html").unlink()
    two_cores.run("tiny")
    assert two_cores.calls() == [REPORT]

    shutil.rmtree(two_cores.run_dir / "evaluation")
    two_cores.run("tiny")
    assert two_cores.calls() == sorted([EVALUATE, REPORT])

    (two_cores.run_dir / "member_1/manifest.json").unlink()
    two_cores.run("tiny")
    assert two_cores.calls() == [train(1)]


def test_another_set_of_members_is_evaluated_anew(two_cores: Tree):
    assert two_cores.run("tiny").returncode == 0
    two_cores.calls()
    (two_cores.run_dir / "member_1/manifest.json").write_text("trained anew, elsewhere")
    two_cores.run("tiny")
    assert two_cores.calls() == sorted([EVALUATE, REPORT, train(1)])

    path = two_cores.root / "flags/tiny.cfg"
    path.write_text(path.read_text().replace("--num_members=3", "--num_members=2"))
    two_cores.run("tiny")
    assert two_cores.calls() == sorted([EVALUATE, REPORT, train(0), train(1)])
    assert asked_members(two_cores) == 2
    path.write_text(path.read_text().replace("--num_members=2", "--num_members=4"))
    two_cores.run("tiny")
    assert two_cores.calls() == sorted([EVALUATE, REPORT, *map(train, range(4))])
    assert asked_members(two_cores) == 4


def asked_members(tree: Tree) -> int:
    return json.loads((tree.run_dir / "config.json").read_text())["num_members"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_another_number_of_members_asked_for_elsewhere_is_set_right(two_cores: Tree, jobs: int):
    arguments = ("tiny", f"--jobs={jobs}")
    assert two_cores.run(*arguments).returncode == 0
    path = two_cores.run_dir / "config.json"
    path.write_text(path.read_text().replace('"num_members": 3', '"num_members": 1'))
    two_cores.calls()
    two_cores.run(*arguments)
    assert asked_members(two_cores) == 3
    calls = two_cores.calls()
    assert calls
    assert all("genens.train" in call for call in calls), "the evaluation was of these members"
    two_cores.run(*arguments)
    assert two_cores.calls() == []


@pytest.mark.parametrize("number", ["", "--num_members=0\n", "--num_members=many\n"])
def test_a_flagfile_without_a_number_of_members_is_refused(tree: Tree, number: str):
    (tree.root / "flags/tiny.cfg").write_text(f"--model=vae\n--train_steps=10\n{number}")
    result = tree.run("tiny")
    assert result.returncode == 2
    assert result.stderr == (
        "error: flags/tiny.cfg: expected --num_members=N, a whole number of at least 1\n"
    )
    assert tree.calls() == []


def test_changed_flags_are_put_to_training_and_changed_comments_are_not(two_cores: Tree):
    assert two_cores.run("tiny").returncode == 0
    two_cores.calls()
    path = two_cores.root / "flags/tiny.cfg"
    path.write_text(path.read_text() + "\n# a comment\n")
    two_cores.run("tiny")
    assert two_cores.calls() == []
    path.write_text(path.read_text() + "--beta=2\n")
    two_cores.run("tiny")
    assert two_cores.calls() == [train(0), train(1), train(2)]


def test_an_overlay_is_read_after_and_has_a_run_of_its_own(two_cores: Tree):
    result = two_cores.run("tiny", "--overlay=fast", "--jobs=1")
    assert result.returncode == 0, result.stderr
    calls = two_cores.calls()
    assert (
        "-m tfp_genens.train --flagfile=flags/tiny.cfg --flagfile=flags/fast.cfg "
        "--run_dir=runs/tiny+fast"
    ) in calls
    assert len(calls) == 3
    assert (two_cores.root / "runs/tiny+fast/report.html").exists()
    assert not two_cores.run_dir.exists()


def test_runs_dir_may_be_elsewhere(two_cores: Tree, tmp_path: pathlib.Path):
    assert two_cores.run("tiny", RUNS_DIR="my runs").returncode == 0
    assert (tmp_path / "my runs/tiny/report.html").exists()
    assert not (two_cores.root / "runs").exists()


def test_a_member_that_fails_stops_the_rest_and_its_words_and_code_are_passed_on(two_cores: Tree):
    result = two_cores.run("tiny", FAIL="0", HANG="1")
    assert result.returncode == 2
    assert "error: --beta: expected a number above 0; got -1" in result.stderr
    assert "runs/tiny/logs/member_0.log" in result.stdout
    assert (two_cores.run_dir / "member_1/stopped").exists()
    assert two_cores.calls() == [train(0), train(1)]

    assert two_cores.run("tiny").returncode == 0
    assert two_cores.calls() == sorted([EVALUATE, REPORT, train(0), train(1), train(2)])


def test_a_failing_evaluation_fails_and_is_not_taken_for_done(two_cores: Tree):
    result = two_cores.run("tiny", FAIL="evaluate")
    assert result.returncode == 2
    assert "the table" not in result.stdout
    two_cores.calls()
    assert two_cores.run("tiny").returncode == 0
    assert two_cores.calls() == sorted([EVALUATE, REPORT])


def test_a_missing_set_ends_the_script_only_when_the_rest_is_done(two_cores: Tree):
    shutil.copy(two_cores.root / "flags/tiny.cfg", two_cores.root / "flags/small.cfg")
    result = two_cores.run("tiny", "small", MISSING="runs/tiny")
    assert result.returncode == 2
    assert result.stdout.count("| the table |") == 2
    assert (two_cores.root / "runs/small/report.html").exists()
    assert REPORT in two_cores.calls()
    assert result.stderr.splitlines() == [
        "",
        "runs/tiny: celeba was not evaluated: not found",
        "error: the sets above could not be evaluated; the same command tries them again",
    ]
    assert two_cores.run("tiny", "small").returncode == 0
    assert two_cores.calls() == sorted([EVALUATE, REPORT])
    assert two_cores.run("tiny", "small").returncode == 0
    assert two_cores.calls() == []


def test_a_set_that_got_lost_is_not_covered_by_an_earlier_success(two_cores: Tree):
    assert two_cores.run("tiny").returncode == 0
    (two_cores.run_dir / "evaluation/results.json").unlink()
    for _ in range(2):
        assert two_cores.run("tiny", MISSING="runs/tiny").returncode == 2
    assert "to continue  python " + EVALUATE in two_cores.run("tiny", "--dry_run").stdout


@pytest.mark.parametrize(
    ("failure", "code"),
    [({"FAIL": "evaluate"}, 2), ({"MISSING": "runs/tiny", "EXIT_evaluate": "1"}, 1)],
    ids=["before it wrote", "after it wrote"],
)
def test_another_failure_than_a_missing_set_is_a_failure(two_cores: Tree, failure, code):
    assert two_cores.run("tiny", MISSING="runs/tiny").returncode == 2
    two_cores.calls()
    result = two_cores.run("tiny", **failure)
    assert result.returncode == code
    assert "the table" not in result.stdout
    assert two_cores.calls() == [EVALUATE]


def test_an_experiment_and_an_overlay_may_say_how_to_evaluate(two_cores: Tree):
    directory = two_cores.root / "flags/evaluate"
    directory.mkdir()
    (directory / "tiny.cfg").write_text("# ours\n--num_examples=50\n")
    (directory / "fast.cfg").write_text("# ours\n--num_examples=5\n")
    two_cores.run("tiny", "--overlay=fast")
    assert (
        "-m tfp_genens.evaluate --flagfile=flags/evaluate/tiny.cfg "
        "--flagfile=flags/evaluate/fast.cfg --run_dir=runs/tiny+fast "
        "--output_dir=runs/tiny+fast/evaluation"
    ) in two_cores.calls()
    help_text = two_cores.run("--help").stdout
    assert "experiments: tiny\noverlays:    fast\nsuites:      \n" in help_text


def test_an_experiment_with_its_overlay_may_say_how_to_evaluate(two_cores: Tree):
    (two_cores.root / "flags/evaluate").mkdir()
    (two_cores.root / "flags/other_seed.cfg").write_text("# ours\n--seed=1\n")
    (two_cores.root / "flags/evaluate/tiny+other_seed.cfg").write_text("# ours\n--ood=hflip\n")
    two_cores.run("tiny+other_seed", "--overlay=fast", "--jobs=1")
    assert (
        "-m tfp_genens.evaluate --flagfile=flags/evaluate/tiny+other_seed.cfg "
        "--run_dir=runs/tiny+fast+other_seed "
        "--output_dir=runs/tiny+fast+other_seed/evaluation"
    ) in two_cores.calls()


def test_overlays_add_up_and_the_one_for_all_comes_first(two_cores: Tree):
    (two_cores.root / "flags/other_seed.cfg").write_text("# ours\n--seed=1\n")
    result = two_cores.run("tiny+other_seed", "--overlay=fast", "--jobs=1")
    assert result.returncode == 0
    assert two_cores.calls()[2] == (
        "-m tfp_genens.train --flagfile=flags/tiny.cfg --flagfile=flags/fast.cfg "
        "--flagfile=flags/other_seed.cfg --run_dir=runs/tiny+fast+other_seed"
    )


SUITE = """# ours
run tiny
run tiny+fast
report both.md --table=2 --evaluation_dir=@tiny,@tiny+fast
report figure.png --figure=1 --evaluation_dir=@tiny+fast
"""


@pytest.fixture
def suite(two_cores: Tree) -> Tree:
    (two_cores.root / "flags/suites").mkdir()
    (two_cores.root / "flags/suites/everything.txt").write_text(SUITE)
    return two_cores


def suite_reports(runs: str) -> list[str]:
    first, second = f"{runs}/tiny/evaluation", f"{runs}/tiny+fast/evaluation"
    return [
        f"-m tfp_genens.report --figure=1 --evaluation_dir={second} "
        f"--output={runs}/everything/figure.png",
        f"-m tfp_genens.report --table=2 --evaluation_dir={first},{second} "
        f"--output={runs}/everything/both.md",
    ]


def test_a_suite_runs_its_experiments_and_makes_its_reports_once(suite: Tree):
    result = suite.run("everything", "--jobs=1")
    assert result.returncode == 0, result.stderr
    calls = suite.calls()
    assert [call for call in calls if "everything" in call] == suite_reports("runs")
    assert len(calls) == 8  # and train, evaluate, report of two experiments
    assert suite.run("everything", "--jobs=1").returncode == 0
    assert suite.calls() == []


def test_a_suites_reports_are_made_anew_when_an_evaluation_changed(suite: Tree):
    suite.run("everything", "--jobs=1")
    (suite.root / "runs/tiny/evaluation/results.json").write_text('{"missing": [], "new": 1}')
    suite.calls()
    suite.run("everything", "--jobs=1")
    assert suite_reports("runs")[1] in suite.calls()


def test_a_suite_keeps_to_directories_with_blanks(suite: Tree, tmp_path: pathlib.Path):
    runs = tmp_path / "all my runs"
    result = suite.run("everything", "--jobs=1", RUNS_DIR=str(runs))
    assert result.returncode == 0, result.stderr
    assert (runs / "everything/both.md").exists()
    assert set(suite_reports(str(runs))) <= set(suite.calls())


def test_an_overlay_for_a_suite_is_for_all_its_experiments(suite: Tree):
    (suite.root / "flags/suites/everything.txt").write_text(
        "run tiny\nreport both.md --table=2 --evaluation_dir=@tiny\n"
    )
    lines = suite.run("everything", "--overlay=fast", "--dry_run").stdout.splitlines()
    assert lines[0] == "runs/tiny+fast"
    assert lines[-2:] == [
        "runs/everything+fast",
        "  to do        python -m tfp_genens.report --table=2 "
        "--evaluation_dir=runs/tiny+fast/evaluation --output=runs/everything+fast/both.md",
    ]
    assert suite.calls() == []


QUICK = """run tiny
quick tiny+fast
quick tiny+faster
quick tiny+fastest
report all.md --table=3 --evaluation_dir=@tiny,@tiny+fast,@tiny+faster,@tiny+fastest
"""


@pytest.fixture
def quick_suite(two_cores: Tree) -> Tree:
    (two_cores.root / "flags/suites").mkdir()
    (two_cores.root / "flags/suites/many.txt").write_text(QUICK)
    for name in ("faster", "fastest"):
        shutil.copy(two_cores.root / "flags/fast.cfg", two_cores.root / f"flags/{name}.cfg")
    return two_cores


def quick_calls(overlay: str) -> list[str]:
    """All members in one process, on one of the two cores, and neither figures nor a report."""
    run = f"runs/tiny+{overlay}"
    return [
        f"-m tfp_genens.train --flagfile=flags/tiny.cfg --flagfile=flags/{overlay}.cfg "
        f"--run_dir={run} --num_threads=1",
        f"-m tfp_genens.evaluate --run_dir={run} --output_dir={run}/evaluation --figures=false",
    ]


def test_quick_experiments_are_trained_and_evaluated_without_reports(quick_suite: Tree):
    result = quick_suite.run("many")
    assert result.returncode == 0, result.stderr
    calls = quick_suite.calls()
    for overlay in ("fast", "faster", "fastest"):
        assert set(quick_calls(overlay)) <= set(calls)
        assert f"runs/tiny+{overlay}: done after" in result.stdout
    reports = [call for call in calls if "genens.report" in call]
    assert len(reports) == 2
    assert REPORT in reports
    assert any("--table=3" in call for call in reports)

    again = quick_suite.run("many")
    assert again.returncode == 0
    assert quick_suite.calls() == []
    assert "runs/tiny+fast: done\n" in again.stdout
    dry = quick_suite.run("many", "--dry_run").stdout
    assert "to do" not in dry
    assert dry.count("tfp_genens.evaluate") == 4


def test_only_what_is_missing_of_quick_experiments_is_done(quick_suite: Tree):
    assert quick_suite.run("many").returncode == 0
    quick_suite.calls()
    shutil.rmtree(quick_suite.root / "runs/tiny+fast/evaluation")
    dry = quick_suite.run("many", "--dry_run").stdout.splitlines()
    to_do = [line.split("python ", 1)[1] for line in dry if line.startswith("  to do")]
    assert to_do[:-1] == quick_calls("fast")[1:]
    assert "--table=3" in to_do[-1]
    assert quick_suite.run("many").returncode == 0
    assert quick_calls("fast")[1] in quick_suite.calls()


def test_as_many_quick_experiments_run_at_once_as_there_are_jobs(quick_suite: Tree):
    (quick_suite.root / "flags/suites/many.txt").write_text(
        "quick tiny\nquick tiny+fast\nreport all.md --table=3 --evaluation_dir=@tiny,@tiny+fast\n"
    )
    process = subprocess.Popen(
        **quick_suite.command("many", HANG="0"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    members = [quick_suite.root / f"runs/{run}/member_0" for run in ("tiny", "tiny+fast")]
    try:
        wait_until(lambda: all((member / "metrics.csv").exists() for member in members))
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 143
    assert all((member / "stopped").exists() for member in members)
    assert "To continue: " in stderr
    assert quick_suite.run("many").returncode == 0


def test_a_quick_experiment_that_fails_passes_its_words_and_code_on(quick_suite: Tree):
    (quick_suite.root / "flags/suites/many.txt").write_text(
        "quick tiny\nreport all.md --table=3 --evaluation_dir=@tiny\n"
    )
    result = quick_suite.run("many", FAIL="1")
    assert result.returncode == 2
    assert "error: --beta: expected a number above 0; got -1" in result.stderr
    assert not (quick_suite.root / "runs/many/all.md").exists()


def test_a_set_that_a_quick_experiment_lacks_is_named_at_the_end(quick_suite: Tree):
    result = quick_suite.run("many", MISSING="runs/tiny+faster")
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "",
        "runs/tiny+faster: celeba was not evaluated: not found",
        "error: the sets above could not be evaluated; the same command tries them again",
    ]
    assert (quick_suite.root / "runs/tiny+fastest/evaluation/results.json").exists()


def test_changed_evaluation_flags_are_put_to_evaluation_alone(two_cores: Tree):
    assert two_cores.run("tiny").returncode == 0
    two_cores.calls()
    path = two_cores.root / "flags/evaluate/tiny.cfg"
    path.parent.mkdir()
    path.write_text("# a comment\n")
    two_cores.run("tiny")
    assert two_cores.calls() == []
    evaluate = EVALUATE.replace("evaluate ", "evaluate --flagfile=flags/evaluate/tiny.cfg ", 1)
    for flags in ("--num_examples=50\n", "--num_examples=60\n"):
        path.write_text(flags)
        two_cores.run("tiny")
        assert two_cores.calls() == sorted([evaluate, REPORT])


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_stops_training_and_says_how_to_continue(two_cores, jobs, signum, code):
    # As a terminal does it: the signal goes to the whole foreground process group.
    arguments = ("tiny", f"--jobs={jobs}")
    process = subprocess.Popen(
        **two_cores.command(*arguments, HANG="01"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # A shell that started the tests in the background has made them ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    running = [two_cores.run_dir / f"member_{i}" for i in range(jobs)]
    try:
        wait_until(lambda: all((member / "metrics.csv").exists() for member in running))
        os.killpg(process.pid, signum)
        _, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == code
    assert f"To continue: {two_cores.root}/run_all.sh tiny --jobs={jobs}" in stderr
    assert all((member / "stopped").exists() for member in running)
    assert not (two_cores.run_dir / "evaluation").exists()
    assert two_cores.run(*arguments).returncode == 0


def test_dry_run_says_where_each_step_stands_and_runs_nothing(two_cores: Tree):
    def states() -> list[str]:
        result = two_cores.run("tiny", "--dry_run")
        assert result.returncode == 0, result.stderr
        title, *lines = result.stdout.splitlines()
        assert title == "runs/tiny"
        commands = [train(0), train(1), train(2), EVALUATE, REPORT]
        assert [line[13:].strip() for line in lines] == [f"python {c}" for c in commands]
        assert two_cores.calls() == []
        return [line[:13].strip() for line in lines]

    assert states() == ["to do"] * 5
    assert not two_cores.run_dir.exists()
    two_cores.run("tiny", FAIL="1")
    two_cores.calls()
    assert states() == ["done", "to continue", "to do", "to do", "to do"]
    two_cores.run("tiny")
    two_cores.calls()
    assert states() == ["done"] * 5
    (two_cores.run_dir / "evaluation/results.json").unlink()
    assert states() == ["done", "done", "done", "to continue", "to do"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "nothing: expected one of tiny"),
        (["fast"], "fast: expected one of tiny"),
        (["tiny+slow"], "tiny+slow: expected +OVERLAY to be one of fast"),
        (["+fast"], "+fast: expected one of tiny"),
        (["tiny", "--overlay=slow"], "--overlay=slow: expected one of fast"),
        (["--jobs=0"], "--jobs=0: expected a whole number of at least 1"),
        (["--jobs=two"], "--jobs=two: expected a whole number of at least 1"),
        (["--dryrun"], "--dryrun: expected --overlay=NAME, --jobs=N, --dry_run or --help"),
        (["tiny", "test"], "test: expected as the first argument"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(tree: Tree, arguments: list[str], message: str):
    result = tree.run(*arguments)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {message}")
    assert len(result.stderr.splitlines()) == 1
    assert tree.calls() == []


def test_the_tests_run_with_their_arguments_and_exit_code(tree: Tree):
    result = tree.run("test", "-k", "one or two", EXIT_pytest="5")
    assert result.returncode == 5
    assert tree.calls() == ["-m pytest -k one or two"]


class TestVenv:
    """No virtual environment is active: the script makes one of its own."""

    @pytest.fixture
    def bare(self, two_cores: Tree) -> Tree:
        os.link(two_cores.python, two_cores.python.parent / "python3.11")
        del two_cores.environment["VIRTUAL_ENV"]
        return two_cores

    def test_it_is_made_and_filled_once(self, bare: Tree):
        pip = "-m pip install -c constraints.txt -e .[report]"
        result = bare.run("tiny")
        assert result.returncode == 0, result.stderr
        calls = bare.calls()
        assert "-m venv --clear .venv" in calls
        assert pip in calls
        assert "output of pip" in (bare.root / ".venv/install.log").read_text()
        bare.run("tiny")
        assert bare.calls() == []
        with open(bare.root / "constraints.txt", "a") as f:
            f.write("another==1\n")
        bare.run("tiny")
        assert bare.calls() == ["-m pip --version", pip]

    def test_the_test_extra_includes_what_runs_need(self, bare: Tree):
        assert bare.run("test").returncode == 0
        assert "-m pip install -c constraints.txt -e .[test]" in bare.calls()
        bare.run("tiny")
        assert not any("pip" in call or "venv" in call for call in bare.calls())

    def test_an_installation_that_fails_is_tried_again(self, bare: Tree):
        assert bare.run("test").returncode == 0
        with open(bare.root / "constraints.txt", "a") as f:
            f.write("another==1\n")
        # pip itself works, the installation does not
        (bare.root / ".venv/bin/python").unlink()
        broken = bare.root / ".venv/bin/python"
        broken.write_text(
            "#!/bin/sh\n"
            '[ "$3" = --version ] && exit 0\n'
            '[ "$3" = install ] && echo no space && exit 9\n'
            f'exec "{bare.python}" "$@"\n'
        )
        broken.chmod(0o755)
        for _ in range(2):
            result = bare.run("test")
            assert result.returncode == 1
            assert "no space" in result.stderr
            assert "the installation failed" in result.stderr

    def test_an_active_environment_without_the_package_is_left_alone(self, bare: Tree):
        active = str(bare.python.parent.parent)
        assert bare.run("tiny", VIRTUAL_ENV=active, NOT_INSTALLED="1").returncode == 0
        assert (bare.root / ".venv/installed-report").exists()

    def test_python_too_old_is_said_plainly(self, bare: Tree):
        for name in ("python3.11", "python3.12", "python3.13", "python3"):
            path = bare.python.parent / name
            path.unlink(missing_ok=True)
            path.write_text("#!/bin/sh\nexit 1\n")
            path.chmod(0o755)
        result = bare.run("tiny")
        assert result.returncode == 2
        assert "Python 3.11 or newer is needed" in result.stderr
