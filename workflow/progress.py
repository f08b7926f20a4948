"""What a person sees: which step, how far, about how long."""

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow.plan import Plan, Run, Step

NUM_LINES = 15  # of a failed step's log that are shown
LONG_SECS = 3600  # from here on, settings for CPUs are advised


def duration(seconds: float) -> str:
    """65.2 -> "1:05"."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def last_lines(path: Path, number: int) -> list[str]:
    """The end of a log, which may not be there yet."""
    text = path.read_text(errors="replace") if path.is_file() else ""
    return text.replace("\r", "\n").splitlines()[-number:]


def steps_taken(metrics: Path) -> int:
    """The last step in a member's metrics.csv."""
    step = "".join(last_lines(metrics, 1)).partition(",")[0]
    return int(step) if step.isdecimal() else 0


class Pace:
    """How long training a run still takes, from the steps seen so far.

    What comes before the first steps that are seen is not training, and does not count.
    """

    def __init__(self, first_total: int):
        self.first_total = first_total
        self.since: tuple[float, int] | None = None

    def left(self, now: float, total: int, goal: int) -> float | None:
        """Seconds; None before the pace is known.

        Args:
          now: time in seconds.
          total: steps taken so far, of all members.
          goal: steps that there are.
        """
        if self.since is None:
            if total > self.first_total:
                self.since = now, total
            return None
        began, total_then = self.since
        return (goal - total) * (now - began) / (total - total_then) if total > total_then else None


class Progress:
    """Says what happens, a line an event; on a terminal also how far it is, on a line rewritten.

    Args:
      plan: all there is.
      pending: the steps to take.
      shows_itself: whether training writes its own progress to the terminal.
    """

    def __init__(self, plan: Plan, pending: Sequence[Step], shows_itself: bool = False):
        self.plan = plan
        self.steps = {step.title: step for step in plan.steps}
        self.num_pending = len(pending)
        self.runs = {step.title: run for run in plan.runs.values() for step in run.steps}
        self.running: dict[str, float] = {}
        self.num_done = 0
        self.failed: Mapping[str, Any] | None = None
        self.shows_itself = shows_itself
        self.is_terminal = sys.stdout.isatty()
        self._paces: dict[str, Pace] = {}
        self._advised = False

    def say(self, line: str) -> None:
        """On a line of its own, above what is rewritten."""
        print(("\r\033[K" if self.is_terminal else "") + line, flush=True)

    def handle(self, event: Mapping[str, Any]) -> None:
        """Takes in what a step noted, see `workflow.step`."""
        title = event["title"]
        if event["event"] == "started":
            self.running[title] = time.monotonic()
            self.say(f"[{self.num_done}/{self.num_pending}] {title}: started (log: {event['log']})")
            return
        took = time.monotonic() - self.running.pop(title, time.monotonic())
        if event["code"] == 0:
            self.num_done += 1
            done = f"[{self.num_done}/{self.num_pending}] {title}: done after {duration(took)}"
            self.say(done)
        elif self.failed is None:
            self.failed = event

    def explain_failure(self) -> None:
        """The end of the failed step's log; its last words go to standard error."""
        assert self.failed is not None
        log = self.failed["log"]
        self.say(f"{self.failed['title']}: failed with exit code {self.failed['code']}; log: {log}")
        print("\n".join(last_lines(Path(log), NUM_LINES)), file=sys.stderr)
        if self.running:
            print("The others were stopped; the same command continues them.", file=sys.stderr)

    def tick(self) -> None:
        """Looks how far the running steps are."""
        if self.shows_itself and any(self.steps[title].members for title in self.running):
            return
        lines = list(dict.fromkeys(self._how_far(title) for title in self.running))
        if self.is_terminal and lines:
            width = shutil.get_terminal_size().columns - 1  # A line that wraps is not rewritten.
            print("\r\033[K" + "   ".join(lines)[:width], end="", flush=True)

    def _how_far(self, title: str) -> str:
        step, run = self.steps[title], self.runs.get(title)
        if run is not None and step.members and run.num_steps:
            return self._training(run)
        return f"{title}: {''.join(last_lines(step.log, 1)).strip()}"

    def _training(self, run: Run) -> str:
        taken = [
            run.num_steps if path.is_file() else steps_taken(path.with_name("metrics.csv"))
            for path in run.manifests
        ]
        pace = self._paces.setdefault(run.name, Pace(sum(taken)))
        now, goal = time.monotonic(), run.num_steps * run.num_members
        left = pace.left(now, sum(taken), goal)
        if left is not None:
            self._advise(run, left)
        shown = "  ".join(f"{i}: {n}" for i, n in enumerate(taken))
        about = "" if left is None else f"   about {duration(left)} left"
        return f"{run.name}: steps of {run.num_steps:,}, by member: {shown}{about}"

    def _advise(self, run: Run, left: float) -> None:
        overlay = f"{run.flags['model']}_cpu"
        known = Path(f"flags/{overlay}.cfg").is_file()
        if left > LONG_SECS and known and "+" not in run.name and not self._advised:
            self._advised = True
            self.say(
                f"This will take about {left / 60:.0f} minutes. --overlay={overlay} trains with "
                f"settings that CPUs can carry; flags/{overlay}.cfg says what they change."
            )


class Events:
    """Reads what steps note, line by line, as it comes."""

    def __init__(self, path: Path):
        self.path = path
        self._offset = 0

    def new(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        with open(self.path, encoding="utf-8") as f:
            f.seek(self._offset)
            text = f.read()
        whole, _, _ = text.rpartition("\n")
        self._offset += len(whole.encode()) + bool(whole)
        return [json.loads(line) for line in whole.splitlines()]
