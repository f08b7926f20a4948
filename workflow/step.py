"""Runs one step's command and says how it went: what the rules of the Snakefile call.

python -m workflow.step --title=TITLE --log=LOG --events=FILE [...] -- COMMAND...
"""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, and behind `--` the command."""
    parser = argparse.ArgumentParser(prog="workflow.step", description=__doc__)
    parser.add_argument("--title", required=True, help="what the step is called")
    parser.add_argument("--log", type=Path, required=True, help="where the command's words go")
    parser.add_argument("--events", type=Path, required=True, help="where start and end are noted")
    parser.add_argument("--summary", type=Path, help="where standard output goes instead")
    parser.add_argument("--terminal", type=Path, help="where standard error goes instead")
    parser.add_argument("--partial", type=Path, help="exit code 2 is none if this was written")
    parser.add_argument("--holds", type=Path, help="nothing is done if this has just --weights")
    parser.add_argument("--weights", type=Path, action="append", help="a member's manifest")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def holds(ensemble: Path, manifests: Sequence[Path]) -> bool:
    """Whether an ensemble was made of the weights of just these members."""
    if not ensemble.is_file():
        return False
    frozen = json.loads(ensemble.read_text(encoding="utf-8"))["members"]
    members = [json.loads(path.read_text(encoding="utf-8")) for path in manifests]
    return [m["weights_sha256"] for m in frozen] == [m["weights_sha256"] for m in members]


def note(options: argparse.Namespace, event: str, **more: Any) -> None:
    """Adds a line to the events; short enough to be written at once."""
    line = {"title": options.title, "event": event, "log": str(options.log), **more}
    with open(options.events, "a", encoding="utf-8") as f:
        f.write(json.dumps(line) + "\n")


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns its exit code, 128 + N after signal N."""
    options.log.parent.mkdir(parents=True, exist_ok=True)
    # Ctrl-C reaches the command by itself, which then has something to save.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with contextlib.ExitStack() as files:
        log = files.enter_context(open(options.log, "w"))
        out = files.enter_context(open(options.summary, "w")) if options.summary else log
        errors = files.enter_context(open(options.terminal, "w")) if options.terminal else log
        process = subprocess.Popen(options.command, stdout=out, stderr=errors)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    code = process.wait()
    return code if code >= 0 else 128 - code


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    note(options, "started")
    started = time.time()
    is_done = options.holds is not None and holds(options.holds, options.weights)
    code = 0 if is_done else run(options)
    if code == 2 and options.partial and options.partial.is_file():
        code = 0 if options.partial.stat().st_mtime >= started else 2
    note(options, "ended", code=code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
