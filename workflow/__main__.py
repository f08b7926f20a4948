"""`python -m workflow NAME...`: what ./run_all.sh does in its environment.

With --dry_run or --help it needs nothing but Python.
"""

import os
import shlex
import sys
from pathlib import Path

from tfp_genens.errors import UserError
from workflow import command_line, engine
from workflow.plan import Plan, Planner, Step, planner


def state(step: Step, is_pending: bool) -> str:
    if not is_pending:
        return "done"
    begun = step.is_resumable and any(path.parent.is_dir() for path in step.outputs)
    return "to continue" if begun else "to do"


def show(plan: Plan) -> None:
    """Lists every step's command and where it stands."""
    pending = plan.pending()
    for run in plan.runs.values():
        print(run.directory)
        for step in run.steps:
            show_step(step, step in pending)
    for step in plan.tables:
        if step.outputs[0].parent != previous_directory(plan, step):
            print(step.outputs[0].parent)
        show_step(step, step in pending)


def previous_directory(plan: Plan, step: Step) -> Path | None:
    """Where the table before this one goes."""
    i = plan.tables.index(step)
    return plan.tables[i - 1].outputs[0].parent if i else None


def show_step(step: Step, is_pending: bool) -> None:
    print(f"  {state(step, is_pending):11}  python {shlex.join(step.command[1:])}")


def close(maker: Planner, plan: Plan, names: tuple[str, ...]) -> int:
    """Prints what was made of each name; returns the exit code, 2 where sets are missing."""
    for name in names:
        full_name = maker.with_overlay(name)
        if full_name in plan.runs:
            run = plan.runs[full_name]
            summary = run.summary if run.summary.is_file() else run.results.with_name("table.md")
            print(f"\n== {run.directory} ==\n{summary.read_text()}\nReport: {run.report}")
        directory = maker.runs_dir / full_name
        for step in plan.tables:
            if step.outputs[0].parent == directory:
                print(step.outputs[0])
    missing = [line for run in plan.runs.values() for line in run.missing_sets()]
    if missing:
        print("", *missing, sep="\n", file=sys.stderr)
        print(
            "error: the sets above could not be evaluated; the same command tries them again",
            file=sys.stderr,
        )
    return 2 if missing else 0


def main(arguments: list[str]) -> int:
    request = command_line.parse(arguments)
    runs = os.environ.get("RUNS_DIR") or "runs"
    maker = planner(runs, request.overlay)
    if request.help:
        print(command_line.usage(maker), end="")
        return 0
    plan = maker.plan(request.names)
    if request.dry_run:
        show(plan)
        return 0
    try:
        code = engine.run(request, plan, runs) if plan.pending() else 0
    except engine.Interrupted as e:
        again = os.environ.get("RUN_ALL", "./run_all.sh")
        print(f"Interrupted. To continue: {again}", file=sys.stderr)
        return 128 + e.signum
    return code or close(maker, plan, request.names)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
