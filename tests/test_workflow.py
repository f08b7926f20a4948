"""What there is to do for a name, where each step stands, and what a person sees of it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tfp_genens.errors import UserError
from workflow import command_line, engine, plan, progress, step
from workflow.flagfiles import Flagfiles
from workflow.plan import Plan, Planner
from workflow.suites import SUITES, Document, Suite

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "tiny.cfg": "# ours\n--model=vae\n--dataset=blobs/1\n--num_members=3\n--train_steps=10\n",
    "other.cfg": "--model=glow\n--num_members=1\n--train_steps=10\n--finetune_steps=2\n",
    "bad.cfg": "--model=vae\n--num_members=many\n",
    "fast.cfg": "--train_steps=5\n",
    "vae_cpu.cfg": "--beta=2\n",
    "seed_N.cfg": "--seed=N\n--dataset=blobs/N\n",
}
EVALUATIONS = ("blobs", "vae", "tiny", "cpu", "fast", "tiny+seed_N", "tiny+fast")


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    flags = tmp_path / "flags"
    (flags / "evaluate").mkdir(parents=True)
    for name, text in FILES.items():
        (flags / name).write_text(text)
    for name in EVALUATIONS:
        (flags / f"evaluate/{name}.cfg").write_text("--num_examples=50\n")
    suites = {"both": Suite((Document("a.md", "table2", ("other", "tiny")),), quick=("tiny",))}
    return Planner(Flagfiles(flags), suites, tmp_path / "runs")


def make(path: Path, text: str = "{}", age: float = 0) -> None:
    """A file that was written so many seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1e9 - age, 1e9 - age))


def finish(run: plan.Run) -> None:
    """Leaves what a finished run has."""
    config = {"train_steps": 10, "dataset": "blobs/1", "model": "vae"}
    make(run.directory / "config.json", json.dumps({"config": config, "num_members": 3}))
    for i, path in enumerate((*run.manifests, run.ensemble)):
        make(path, age=100 - i)
    settings = {"num_examples": 50, "ood": None, "num_bootstrap": 1000, "seed": 0}
    make(run.results, json.dumps({"missing": [], "settings": settings}), age=10)
    make(run.report)


def titles(made: Plan) -> list[str]:
    return [step.title.partition(": ")[2] for step in made.pending()]


CHANGES: dict[str, tuple[Callable[[plan.Run], object], list[str]]] = {
    "nothing": (lambda run: None, []),
    "report": (lambda run: run.report.unlink(), ["report"]),
    "results": (lambda run: run.results.unlink(), ["evaluation", "report"]),
    "ensemble": (lambda run: run.ensemble.unlink(), ["ensemble", "evaluation", "report"]),
    "member": (
        lambda run: run.manifests[1].unlink(),
        ["member 1", "ensemble", "evaluation", "report"],
    ),
    "another member": (
        lambda run: make(run.manifests[1], age=-5),
        ["ensemble", "evaluation", "report"],
    ),
    "missing sets": (
        lambda run: make(
            run.results, '{"missing": [{"ood_dataset": "celeba", "reason": "none"}]}', age=10
        ),
        ["evaluation", "report"],
    ),
    "evaluated otherwise": (
        lambda run: make(run.results, '{"settings": {"num_examples": 60}}', age=10),
        ["evaluation", "report"],
    ),
    "other flags": (
        lambda run: make(
            run.directory / "config.json", '{"config": {"train_steps": 9}, "num_members": 3}'
        ),
        ["member 0", "member 1", "member 2", "ensemble", "evaluation", "report"],
    ),
    "other number": (
        lambda run: make(run.directory / "config.json", '{"config": {}, "num_members": 2}'),
        ["member 0", "member 1", "member 2", "ensemble", "evaluation", "report"],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_missing_or_was_made_otherwise_is_to_be_done(planner: Planner, change: str):
    made = planner.plan(["tiny"])
    assert len(titles(made)) == 6
    finish(made.runs["tiny"])
    alter, to_do = CHANGES[change]
    alter(made.runs["tiny"])
    assert titles(made) == to_do


@pytest.mark.parametrize("change", ["nothing", "ensemble", "member", "missing sets", "results"])
def test_the_engine_sees_it_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
):
    """Snakemake's own account of each file, for a run of this repository."""
    monkeypatch.chdir(ROOT)
    made = plan.planner(str(tmp_path)).plan(["digits"])
    run = made.runs["digits"]
    for i, path in enumerate((*run.manifests, run.ensemble)):
        make(path, age=100 - i)
    make(run.results, '{"missing": []}', age=10)
    make(run.report)
    CHANGES[change][0](run)
    request = command_line.Request(names=("digits",))
    command = engine.command(request, made, str(tmp_path), 2, tmp_path / "events", "")
    environment = os.environ | {"PYTHONPATH": engine.with_plugins()}
    result = subprocess.run(
        [*command, "--summary"], env=environment, capture_output=True, text=True, check=True
    )
    rows = [line.split("\t") for line in result.stdout.splitlines() if "\t" in line][1:]
    pending = {row[0] for row in rows if row[-1] == "update pending"}
    assert len(rows) == len(made.steps)
    assert pending == {str(path) for step in made.pending() for path in step.outputs}


@pytest.mark.parametrize("profile", ["slurm", "kubernetes"])
def test_the_profiles_plan_all_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str):
    pytest.importorskip(f"snakemake_executor_plugin_{profile}")
    monkeypatch.chdir(ROOT)
    request = command_line.parse(["table2_baselines", f"--profile={profile}", "--jobs=7"])
    made = plan.planner(str(tmp_path)).plan(request.names)
    command = engine.command(request, made, str(tmp_path), 7, tmp_path / "events", "")
    result = subprocess.run(
        [*command, "--dry-run"], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    said = result.stdout + result.stderr
    counts = dict(line.split() for line in said.splitlines() if len(line.split()) == 2)
    assert int(counts["total"]) == len(made.steps) + 1  # and the rule that asks for all
    assert "threads: 4" in said


def test_a_run_has_its_flags_and_evaluation_in_order(planner: Planner):
    run = planner.run("tiny+vae_cpu+seed_7")
    flags = planner.flagfiles.directory
    assert list(run.arguments) == [
        f"--flagfile={flags}/tiny.cfg",
        f"--flagfile={flags}/vae_cpu.cfg",
        "--seed=7",
        "--dataset=blobs/7",
    ]
    assert run.flags["dataset"] == "blobs/7"
    read = [path.stem for path in run.evaluation_files]
    assert read == ["blobs", "vae", "tiny", "cpu", "tiny+seed_N"]
    assert planner.run("other").num_steps == 12


def test_the_overlay_for_all_comes_before_a_runs_own_and_once(planner: Planner):
    planner = Planner(planner.flagfiles, planner.suites, planner.runs_dir, "fast")
    assert planner.run("tiny+seed_1").name == "tiny+fast+seed_1"
    assert planner.run("tiny+seed_1+fast").name == "tiny+seed_1+fast"
    made = planner.plan(["both"])
    assert list(made.runs) == ["other+fast", "tiny+fast"]
    assert made.tables[0].outputs == (planner.runs_dir / "both+fast/a.md",)


def test_a_suite_asks_for_no_more_than_its_tables_need(planner: Planner):
    made = planner.plan(["both"])
    assert [path.name for path in made.targets][-3:] == ["manifest.json", "results.json", "a.md"]
    quick = made.runs["tiny"].steps
    assert [each.title for each in quick] == ["tiny: members", "tiny: ensemble", "tiny: evaluation"]
    assert quick[0].outputs == made.runs["tiny"].manifests
    assert "--figures=false" in quick[-1].command
    alone = planner.plan(["tiny", "both"]).runs["tiny"]
    assert not alone.is_quick, "what is asked for by name has figures and a report"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "nothing: expected one of bad other tiny both; got nothing"),
        ("fast", "fast: expected one of bad other tiny both; got fast"),
        ("+fast", "+fast: expected one of"),
        ("tiny+slow", "tiny+slow: expected +OVERLAY to be one of fast seed_N vae_cpu; got slow"),
        ("tiny+seed_N", "tiny+seed_N: expected +OVERLAY to be one of"),
        ("tiny+seed_01", "tiny+seed_01: expected +OVERLAY to be one of"),
        ("other+vae_cpu", "other+vae_cpu: expected no overlay of --model=vae for an experiment of"),
        ("bad", "bad: expected a flagfile with --num_members=N, N at least 1; got many"),
    ],
)
def test_a_name_that_is_none_is_told_with_the_known(planner: Planner, name: str, message: str):
    with pytest.raises(UserError) as e:
        planner.plan([name])
    assert str(e.value).startswith(message)


@pytest.mark.parametrize(
    "argument", ["--dryrun", "--overlay=", "--jobs=0", "--jobs=two", "--jobs", "--profile=none"]
)
def test_an_option_that_is_none_is_refused(argument: str):
    with pytest.raises(UserError) as e:
        command_line.parse(["digits", argument])
    assert e.value.argument == argument


def test_the_words_of_a_command_line():
    assert command_line.parse([]).names == ("digits",)
    request = command_line.parse(["a", "--jobs=3", "--overlay=x", "b+c", "--dry_run"])
    assert request == command_line.Request(("a", "b+c"), "x", 3, None, True, False)


def workflow(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """With nothing but Python itself: -S leaves out all that is installed."""
    return subprocess.run(
        [sys.executable, "-S", "-m", "workflow", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_all_there_is_and_needs_nothing_installed():
    result = workflow("--help")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    listed = {line.split(":")[0]: line.split()[1:] for line in lines[-3:]}
    files = {path.stem: path.read_text() for path in ROOT.glob("flags/*.cfg")}
    experiments = sorted(name for name, text in files.items() if "\n--model=" in text)
    assert listed["experiments"] == experiments
    assert listed["overlays"] == sorted(files.keys() - set(experiments))
    assert listed["suites"] == list(SUITES)


def test_a_dry_run_lists_commands_and_needs_nothing_installed(tmp_path: Path):
    result = workflow("vae_mnist", "--overlay=vae_cpu", "--dry_run", RUNS_DIR=str(tmp_path))
    run = tmp_path / "vae_mnist+vae_cpu"
    lines = result.stdout.splitlines()
    assert lines[0] == str(run)
    assert lines[1] == (
        "  to do        python -m tfp_genens.train --flagfile=flags/vae_mnist.cfg "
        f"--flagfile=flags/vae_cpu.cfg --run_dir={run} --member=0"
    )
    assert (
        "  to do        python -m tfp_genens.evaluate --flagfile=flags/evaluate/mnist.cfg "
        "--flagfile=flags/evaluate/vae_mnist.cfg --flagfile=flags/evaluate/cpu.cfg "
        f"--run_dir={run} --output_dir={run}/evaluation"
    ) in lines
    assert not run.exists()


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_of_this_repository_can_be_planned(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    made = plan.planner("runs").plan([name])
    assert list(made.runs) == list(SUITES[name].runs)
    assert set(SUITES[name].quick) == {run.name for run in made.runs.values() if run.is_quick}
    assert [path.outputs[0].name for path in made.tables] == [
        document.file for document in SUITES[name].documents
    ]


def test_the_suites_hold_what_the_tables_are_made_of():
    assert SUITES["table2_cpu"].documents[0].runs == (
        "vae_mnist+vae_cpu",
        "wgan_mnist+wgan_cpu",
        "vae_fashion_mnist+vae_cpu",
        "wgan_fashion_mnist+wgan_cpu",
        "glow_cifar10+glow_cpu",
        "wgan_cifar10+wgan_cpu",
    )
    runs = SUITES["table3"].documents[0].runs
    assert len(runs) == len(set(runs)) == 8 * 5
    assert runs[1] == "fraud_classifier_credit_fraud+credit_fraud_labelled_1"
    assert runs[-1] == "one_class_svm_credit_fraud+credit_fraud_4"


def run_step(tmp_path: Path, code: str, *options: str) -> tuple[int, list[dict]]:
    """Runs Python code as a step; its exit code and what was noted."""
    log, events = tmp_path / "logs/a.log", tmp_path / "events"
    words = ["--title=a", f"--log={log}", f"--events={events}", *options]
    status = step.main([*words, "--", sys.executable, "-c", code])
    return status, progress.Events(events).new()


def test_a_step_keeps_what_is_said_and_notes_how_it_went(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(step.signal, "signal", lambda *_: None)
    summary = tmp_path / "summary"
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    status, events = run_step(tmp_path, code, f"--summary={summary}")
    assert status == 3
    assert [(event["event"], event.get("code")) for event in events] == [
        ("started", None),
        ("ended", 3),
    ]
    assert summary.read_text() == "out\n"
    assert (tmp_path / "logs/a.log").read_text() == "err\n"


@pytest.mark.parametrize(
    ("code", "writes", "expected"), [(2, True, 0), (2, False, 2), (1, True, 1)]
)
def test_exit_code_2_is_none_where_results_were_written(
    tmp_path: Path, monkeypatch, code: int, writes: bool, expected: int
):
    monkeypatch.setattr(step.signal, "signal", lambda *_: None)
    results = tmp_path / "results.json"
    make(results)
    write = f"open({str(results)!r}, 'w').close();" if writes else ""
    status, _ = run_step(tmp_path, f"{write}raise SystemExit({code})", f"--partial={results}")
    assert status == expected


def test_an_ensemble_that_has_these_members_is_not_made_again(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(step.signal, "signal", lambda *_: None)
    members = ["abc", "def"]
    for name in (*members, "ghi"):
        make(tmp_path / name, json.dumps({"weights_sha256": name}))
    frozen = {"members": [{"weights_sha256": name} for name in members]}
    make(tmp_path / "ensemble.json", json.dumps(frozen))
    for names, expected in ((members, 0), (["abc"], 1), (["abc", "ghi"], 1)):
        options = [f"--weights={tmp_path}/{name}" for name in names]
        options.append(f"--holds={tmp_path}/ensemble.json")
        assert run_step(tmp_path, "raise SystemExit(1)", *options)[0] == expected


def test_the_pace_counts_from_the_first_steps_that_are_seen():
    pace = progress.Pace(first_total=100)
    assert pace.left(10.0, total=100, goal=400) is None
    assert pace.left(20.0, total=150, goal=400) is None
    assert pace.left(30.0, total=200, goal=400) == 40.0  # 50 steps in 10 s, 200 to go


def test_what_happens_is_said_in_a_line_each(planner: Planner, capsys, tmp_path: Path):
    made = planner.plan(["tiny"])
    shown = progress.Progress(made, made.pending())
    log = tmp_path / "a.log"
    make(log, "50%\rlast words\n")
    for event in (
        {"title": "tiny: member 0", "event": "started"},
        {"title": "tiny: member 1", "event": "started"},
        {"title": "tiny: member 0", "event": "ended", "code": 0},
        {"title": "tiny: member 1", "event": "ended", "code": 2},
    ):
        shown.handle({**event, "log": str(log)})
    shown.explain_failure()
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"[0/6] tiny: member 0: started (log: {log})",
        f"[0/6] tiny: member 1: started (log: {log})",
        "[1/6] tiny: member 0: done after 0:00",
        f"tiny: member 1: failed with exit code 2; log: {log}",
    ]
    assert err == "50%\nlast words\n"


def test_on_a_terminal_it_says_how_far_training_is(planner: Planner, capsys, monkeypatch):
    made = planner.plan(["tiny"])
    run = made.runs["tiny"]
    shown = progress.Progress(made, made.pending())
    shown.is_terminal = True
    monkeypatch.setenv("COLUMNS", "100")
    clock = iter([0.0, 10.0, 20.0, 30.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    make(run.manifests[0])
    metrics = run.manifests[1].with_name("metrics.csv")
    shown.handle({"title": "tiny: member 1", "event": "started", "log": "a.log"})
    for taken in (0, 2, 4):
        make(metrics, f"step,loss\n{taken},1.0\n")
        shown.tick()
    last = capsys.readouterr().out.rpartition("\r\033[K")[2]
    assert last == "tiny: steps of 10, by member: 0: 10  1: 4  2: 0   about 1:20 left"


def test_an_event_is_read_once_and_when_its_line_is_whole(tmp_path: Path):
    events = progress.Events(tmp_path / "events")
    assert events.new() == []
    with open(events.path, "w") as f:
        for text, new in (('{"a"', []), (": 1}\n{", [{"a": 1}]), ('"b": 2}\n', [{"b": 2}])):
            f.write(text)
            f.flush()
            assert events.new() == new
