"""Snakemake, run on the Snakefile as a process of its own whose words go to a file."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workflow.command_line import Request
from workflow.plan import Plan
from workflow.progress import Events, Progress, last_lines

POLL_SECS = 0.3
SNAKEFILE = Path("workflow/Snakefile")


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_gpu() -> bool:
    """Whether there is an NVIDIA GPU."""
    if shutil.which("nvidia-smi") is None:
        return False
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False)
    return listed.returncode == 0 and bool(listed.stdout.strip())


def num_jobs(asked: int) -> int:
    """Processes that train at once: as many as asked for, or one a core.

    Two processes on one GPU fight over its memory, so there it is one.
    """
    return asked or (1 if has_gpu() else num_cores())


def command(
    request: Request, plan: Plan, runs: str, jobs: int, events: Path, terminal: str
) -> list[str]:
    """Snakemake's command line."""
    cores = num_cores()
    config = {
        "root": os.getcwd(),
        "names": ",".join(request.names),
        "overlay": request.overlay,
        "runs": runs,
        "jobs": jobs,
        "cores": cores,
        "events": events,
        "terminal": terminal,
    }
    if request.profile is None:
        # Threads are counted in cores: so many that `jobs` steps of equal shares fit.
        where = [f"--cores={jobs * max(1, cores // jobs)}", "--scheduler=in-order"]
    else:
        where = [f"--profile={request.profile}", "--scheduler=greedy"]
        where += [f"--jobs={request.jobs}"] if request.jobs else []
    # Files that were made are not made again because code changed, and training has no input
    # that could be newer. What is there was written whole: the commands see to that.
    rules = ["--rerun-triggers=mtime", "--ignore-incomplete", "--nolock", "--drop-metadata"]
    stale = [f"--forcerun={path}" for path in plan.stale[:1]] + [str(p) for p in plan.stale[1:]]
    settings = ["--config", *(f"{name}={value}" for name, value in config.items())]
    engine = [sys.executable, "-m", "snakemake", f"--snakefile={SNAKEFILE}"]
    return [*engine, *where, *rules, *settings, *stale]


def with_plugins() -> str:
    """PYTHONPATH, with the place of our scheduler in it."""
    plugins = str(Path("workflow/plugins").resolve())
    return os.pathsep.join(filter(None, [plugins, os.environ.get("PYTHONPATH")]))


@dataclasses.dataclass
class Interrupted(Exception):  # noqa: N818  (not an error: the user asked)
    """The user, or a batch system, wants an end to it.

    Attributes:
      signum: the signal that said so.
    """

    signum: int


@contextmanager
def interrupts() -> Iterator[None]:
    """Turns signals into Interrupted, once: what follows is the saving of what there is."""

    def interrupt(signum: int, frame: object) -> None:
        del frame
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        print("\nStopping; training saves a checkpoint first.", file=sys.stderr, flush=True)
        raise Interrupted(signum)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, interrupt)
    yield


def stop(process: subprocess.Popen) -> None:
    """Ctrl-C for the engine and all that it started; waits until they are gone."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        process.wait()


def run(request: Request, plan: Plan, runs: str) -> int:
    """Takes the steps that are pending; returns the exit code.

    Raises:
      Interrupted: a signal came; training has saved checkpoints.
    """
    directory = Path(runs) / ".workflow"
    directory.mkdir(parents=True, exist_ok=True)
    events = Events(directory / f"events.{os.getpid()}")
    log = directory / "snakemake.log"
    jobs = num_jobs(request.jobs)
    # With one step at a time, training may show its own progress.
    alone = jobs == 1 and request.profile is None and sys.stderr.isatty()
    terminal = os.ttyname(sys.stderr.fileno()) if alone else ""
    pending = plan.pending()
    progress = Progress(plan, pending, shows_itself=alone)
    words = command(request, plan, runs, jobs, events.path, terminal)
    with interrupts(), open(log, "w") as f:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=f,
            stderr=f,
            process_group=0,  # Ctrl-C reaches it through stop() alone
            env=os.environ | {"PYTHONPATH": with_plugins()},
        )
        try:
            watch(process, events, progress)
        finally:
            stop(process)
            events.path.unlink(missing_ok=True)
    if progress.failed is not None:
        return int(progress.failed["code"])
    if process.returncode:
        progress.say(f"Snakemake failed; the end of {log}:")
        print("\n".join(last_lines(log, 15)), file=sys.stderr)
    return 1 if process.returncode else 0


def watch(process: subprocess.Popen, events: Events, progress: Progress) -> None:
    """Shows what happens until all is done or something failed."""
    while True:
        is_over = process.poll() is not None
        for event in events.new():
            progress.handle(event)
        if progress.failed is not None:
            progress.explain_failure()
            return
        if is_over:
            return
        progress.tick()
        time.sleep(POLL_SECS)
