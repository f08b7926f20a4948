"""run_all.sh and the engine, with stand-ins for what trains and evaluates; then for real."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAND_IN = ROOT / "tests/support/stand_in"
SUITES = """
from workflow.suites import Document, Suite

SUITES = {
    "both": Suite((Document("both.md", "table2", ("tiny", "tiny+fast")),)),
    "many": Suite(
        (Document("many.md", "table3", ("tiny", "tiny+seed_1")),), ("tiny", "tiny+seed_1")
    ),
}
"""


@dataclasses.dataclass
class Tree:
    """A clone with one experiment, `tiny` (three members), and overlays."""

    root: Path
    environment: dict[str, str]

    @property
    def run_dir(self) -> Path:
        return self.root / "runs/tiny"

    def command(self, *args: str, **environment: str) -> dict:
        return {
            "args": ["bash", str(self.root / "run_all.sh"), *args],
            "env": self.environment | environment,
            "cwd": self.root.parent,
            "text": True,
        }

    def run(self, *args: str, **environment: str) -> subprocess.CompletedProcess:
        command = self.command(*args, **environment)
        return subprocess.run(**command, capture_output=True, timeout=300, check=False)

    def order(self, run: str = "tiny") -> list[str]:
        """What was done for a run since the last time this was asked, in order."""
        path = self.root / "runs" / run / "order"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


@pytest.fixture
def bare(tmp_path: Path) -> Tree:
    """The scripts and flags alone."""
    root = tmp_path / "a clone"
    (root / "flags/evaluate").mkdir(parents=True)
    for name in ("run_all.sh", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / "workflow", root / "workflow")
    flags = "--model=vae\n--num_members=3\n--train_steps=10\n"
    (root / "flags/tiny.cfg").write_text(f"# ours\n{flags}")
    (root / "flags/fast.cfg").write_text("# ours\n--train_steps=5\n")
    (root / "flags/seed_N.cfg").write_text("# ours\n--seed=N\n")
    # Without what measures coverage: it would look for this copy when it is gone.
    left_out = ("RUNS_DIR", "PYTHONPATH", "COV")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    environment["VIRTUAL_ENV"] = str(Path(sys.executable).parents[1])
    return Tree(root, environment)


@pytest.fixture
def tree(bare: Tree) -> Tree:
    """A clone whose package trains nothing."""
    package = bare.root / "tfp_genens"
    package.mkdir()
    for path in [*ROOT.glob("tfp_genens/*.py"), *STAND_IN.glob("*.py")]:
        shutil.copy(path, package / path.name)
    with open(bare.root / "workflow/suites.py", "a") as f:
        f.write(SUITES)
    return bare


def wait_until(condition: Callable[[], bool], secs: float = 60) -> None:
    end = time.monotonic() + secs
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def test_all_is_done_once_and_in_order(tree: Tree):
    result = tree.run("tiny", "--jobs=1")
    assert result.returncode == 0, result.stderr
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    trained = [f"{member} on {threads}" for member in range(3)]
    assert tree.order() == [*trained, "export", "evaluate"]
    assert "[6/6] tiny: report: done after" in result.stdout
    assert "| the table |" in result.stdout
    assert result.stdout.rstrip().endswith("Report: runs/tiny/report.html")

    started = time.monotonic()
    second = tree.run("tiny", "--jobs=1")
    assert time.monotonic() - started < 5
    assert second.returncode == 0
    assert tree.order() == []
    assert "| the table |" in second.stdout


def test_runs_may_be_elsewhere_and_in_a_directory_with_blanks(tree: Tree, tmp_path: Path):
    result = tree.run("both", "--overlay=fast", RUNS_DIR="my runs")
    assert result.returncode == 0, result.stderr
    runs = tmp_path / "my runs"
    assert {path.name for path in runs.iterdir()} == {".workflow", "tiny+fast", "both+fast"}
    made_of = (runs / "both+fast/both.md").read_text()
    evaluation = runs / "tiny+fast/evaluation"
    assert made_of == f"table2 --evaluation_dir={evaluation},{evaluation}"
    assert not (tree.root / "runs").exists()


def test_a_member_that_fails_stops_the_rest_and_its_words_and_code_are_passed_on(tree: Tree):
    (tree.root / "flags/fast.cfg").write_text("--fail=0\n--hang=1\n")
    result = tree.run("tiny+fast", "--jobs=2")
    assert result.returncode == 2
    assert "error: --beta: expected a number above 0; got -1" in result.stderr
    assert "runs/tiny+fast/logs/member_0.log" in result.stdout
    run = tree.root / "runs/tiny+fast"
    assert (run / "member_1/stopped").exists()
    assert not (run / "member_2").exists()


def test_changed_flags_are_refused_by_training_and_nothing_is_lost(tree: Tree):
    assert tree.run("tiny").returncode == 0
    (tree.root / "flags/tiny.cfg").write_text("--model=vae\n--num_members=3\n--train_steps=11\n")
    tree.order()
    result = tree.run("tiny")
    assert result.returncode == 2
    assert "error: --run_dir: expected a run with these flags; got another" in result.stderr
    assert tree.order() == []
    assert all((tree.run_dir / f"member_{i}/manifest.json").exists() for i in range(3))


def test_missing_sets_are_named_at_the_end_and_tried_again(tree: Tree):
    (tree.root / "flags/evaluate/fast.cfg").write_text("--ood=celeba\n")
    for _ in range(2):
        result = tree.run("both")
        assert result.returncode == 2
        assert result.stderr.splitlines() == [
            "",
            "runs/tiny+fast: celeba was not evaluated: not found",
            "error: the sets above could not be evaluated; the same command tries them again",
        ]
        assert (tree.root / "runs/both/both.md").exists()
        assert tree.order("tiny+fast")[-1] == "evaluate"
    assert tree.order("tiny").count("evaluate") == 1
    (tree.root / "celeba").touch()
    assert tree.run("both").returncode == 0


def test_a_broken_evaluation_is_a_failure_and_what_there_was_stays(tree: Tree):
    assert tree.run("tiny").returncode == 0
    results = (tree.run_dir / "evaluation/results.json").read_text()
    (tree.root / "flags/evaluate/tiny.cfg").write_text("--broken=1\n--num_examples=7\n")
    result = tree.run("tiny")
    assert result.returncode == 2
    assert "the table" not in result.stdout
    assert (tree.run_dir / "evaluation/results.json").read_text() == results


def test_quick_runs_go_at_once_each_in_one_process_and_without_reports(tree: Tree):
    (tree.root / "flags/tiny.cfg").write_text(
        "--model=vae\n--num_members=3\n--train_steps=10\n--hang=0\n"
    )
    runs = [tree.root / "runs" / name for name in ("tiny", "tiny+seed_1")]
    process = subprocess.Popen(
        **tree.command("many", "--jobs=2"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_until(lambda: all((run / "member_0/metrics.csv").exists() for run in runs))
    for run in runs:
        (run / "enough").touch()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    for run in runs:
        assert sorted(os.listdir(run / "logs")) == [
            "ensemble.log",
            "evaluate.log",
            "evaluation.log",
            "members.log",
        ]
        assert not (run / "report.html").exists()
    assert (tree.root / "runs/many/many.md").exists()


@pytest.mark.parametrize(
    ("signum", "to_group", "code"), [(signal.SIGINT, True, 130), (signal.SIGTERM, False, 143)]
)
def test_an_interrupt_lets_training_save_and_says_how_to_continue(tree, signum, to_group, code):
    flagfile = tree.root / "flags/tiny.cfg"
    flagfile.write_text(flagfile.read_text() + "--hang=01\n")
    process = subprocess.Popen(
        **tree.command("tiny", "--jobs=2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    running = [tree.run_dir / f"member_{i}" for i in range(2)]
    try:
        wait_until(lambda: all((member / "metrics.csv").exists() for member in running))
        # A terminal signals the whole group in the foreground, a batch system the one process.
        (os.killpg if to_group else os.kill)(process.pid, signum)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert stderr.endswith(f"To continue: {tree.root}/run_all.sh tiny --jobs=2\n")
    assert all((member / "stopped").exists() for member in running)
    assert not (tree.run_dir / "evaluation").exists()
    (tree.run_dir / "enough").touch()
    assert tree.run("tiny", "--jobs=2").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "nothing: expected one of tiny both many"),
        (["tiny+slow"], "tiny+slow: expected +OVERLAY to be one of fast seed_N"),
        (["--jobs=two"], "--jobs=two: expected a whole number of at least 1"),
        (["tiny", "test"], "test: expected it as the first argument"),
    ],
)
def test_a_mistake_is_told_in_one_line_before_anything_is_installed(tree, arguments, message):
    result = tree.run(*arguments, VIRTUAL_ENV="")
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {message}")
    assert len(result.stderr.splitlines()) == 1
    assert not (tree.root / ".venv").exists()


# Notes its arguments; makes .venv of itself, and leaves what is not installed to the real one.
PYTHON = """#!/bin/bash
case "$*" in
  -I*) exit "${{NOT_INSTALLED:-0}}" ;;
  -c* | --version | *--dry_run*) exec {python} "$@" ;;
  "-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
esac
echo "$*" >>"$CALLS"
[ "$3" != install ] || exit "${{EXIT_PIP:-0}}"
"""


@pytest.fixture
def unmade(tree: Tree, tmp_path: Path) -> Tree:
    """A fresh clone: no virtual environment is active, and Python only notes what it is asked."""
    python = tmp_path / "bin/python3.11"
    python.parent.mkdir()
    python.write_text(PYTHON.format(python=os.path.realpath(sys.executable)))
    python.chmod(0o755)
    del tree.environment["VIRTUAL_ENV"]
    tree.environment |= {
        "PATH": f"{python.parent}:{tree.environment['PATH']}",
        "CALLS": str(tmp_path / "calls"),
    }
    return tree


def calls(tree: Tree) -> list[str]:
    """What Python was asked since the last time this was asked."""
    path = Path(tree.environment["CALLS"])
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def test_the_environment_is_made_once_and_again_when_requirements_change(unmade: Tree):
    install = "-m pip install -c constraints.txt -e .[workflow]"
    assert unmade.run("tiny").returncode == 0
    assert calls(unmade) == ["-m venv --clear .venv", install, "-m workflow tiny"]
    assert unmade.run("tiny").returncode == 0
    assert calls(unmade) == ["-m workflow tiny"]
    with open(unmade.root / "constraints.txt", "a") as f:
        f.write("another==1\n")
    assert unmade.run("tiny").returncode == 0
    assert calls(unmade) == ["-m pip --version", install, "-m workflow tiny"]


def test_the_tests_have_an_environment_that_suits_runs_too(unmade: Tree):
    assert unmade.run("test", "-k", "one or two").returncode == 0
    install = "-m pip install -c constraints.txt -e .[test]"
    assert calls(unmade) == ["-m venv --clear .venv", install, "-m pytest -k one or two"]
    assert unmade.run("tiny").returncode == 0
    assert calls(unmade) == ["-m workflow tiny"]


def test_an_installation_that_fails_says_so_and_is_tried_again(unmade: Tree):
    for _ in range(2):
        result = unmade.run("tiny", EXIT_PIP="9")
        assert result.returncode == 1
        assert "error: the installation failed; the log is .venv/install.log" in result.stderr
    assert "-m pip install -c constraints.txt -e .[workflow]" in calls(unmade)[-1]


def test_an_active_environment_without_the_package_is_left_alone(unmade: Tree, tmp_path: Path):
    active = tmp_path / "active/bin/python"
    active.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "bin/python3.11", active)
    result = unmade.run("tiny", VIRTUAL_ENV=str(tmp_path / "active"), NOT_INSTALLED="1")
    assert result.returncode == 0, result.stderr
    assert (unmade.root / ".venv/installed-workflow").exists()


def test_a_python_too_old_is_said_plainly(unmade: Tree, tmp_path: Path):
    for name in ("python3.11", "python3.12", "python3.13", "python3"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    result = unmade.run("tiny")
    assert result.returncode == 2
    assert "Python 3.11 or newer is needed" in result.stderr


@pytest.mark.slow
def test_a_real_experiment_is_interrupted_continued_and_reported(bare: Tree):
    (bare.root / "tfp_genens").symlink_to(ROOT / "tfp_genens")
    flags = (ROOT / "flags/digits.cfg").read_text()
    flags = flags.replace("train_steps=1200", "train_steps=400")
    (bare.root / "flags/tiny.cfg").write_text(
        flags.replace("--num_members=5", "--num_members=2")
        + "--precision=float32\n--prior=normal\n--base_depth=4\n--latent_size=2\n"
    )
    (bare.root / "flags/evaluate/tiny.cfg").write_text(
        "--num_examples=50\n--ood=hflip,uniform\n--num_bootstrap=20\n"
    )
    process = subprocess.Popen(
        **bare.command("tiny"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    first = bare.run_dir / "member_0"
    wait_until((first / "metrics.csv").exists, secs=300)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 130, stderr
    assert (first / "checkpoints/checkpoint").exists()
    assert not (first / "manifest.json").exists()

    result = bare.run("tiny")
    assert result.returncode == 0, result.stderr
    assert len(json.loads((first / "sittings.json").read_text())["sittings"]) == 2
    assert "Report: runs/tiny/report.html" in result.stdout
    assert (bare.run_dir / "report.html").exists()
