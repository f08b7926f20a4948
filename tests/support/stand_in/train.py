"""Trains nothing, but leaves what training leaves.

A member in --hang trains until it is stopped, or until the run has a file `enough`; one in --fail
fails.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

flags: dict[str, str] = {}
for argument in sys.argv[1:]:
    name, _, value = argument.removeprefix("--").partition("=")
    lines = Path(value).read_text().splitlines() if name == "flagfile" else [argument]
    flags |= dict(line[2:].split("=", 1) for line in lines if line.startswith("--"))
run = Path(flags.pop("run_dir"))
num_members, num_threads = int(flags.pop("num_members")), flags.pop("num_threads")
members = [flags.pop("member")] if "member" in flags else [str(i) for i in range(num_members)]
hang, fail = flags.pop("hang", ""), flags.pop("fail", "")

asked = run / "config.json"
if asked.exists() and json.loads(asked.read_text())["config"] != flags:
    print("error: --run_dir: expected a run with these flags; got another", file=sys.stderr)
    sys.exit(2)
run.mkdir(parents=True, exist_ok=True)
text = json.dumps({"config": flags, "num_members": num_members})
Path(f"{asked}.{os.getpid()}").write_text(text)  # whole or not at all: members start at once
Path(f"{asked}.{os.getpid()}").rename(asked)


def train(directory: Path, member: str) -> None:
    def stop(signum: int, frame: object) -> None:
        (directory / "stopped").touch()
        sys.exit(128 + signum)

    directory.mkdir(exist_ok=True)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    with open(run / "order", "a") as f:
        f.write(f"{member} on {num_threads}\n")
    (directory / "metrics.csv").write_text("step,loss\n3,1.0\n")
    while member in hang and not (run / "enough").exists():
        time.sleep(0.05)
    if member in fail:
        print("error: --beta: expected a number above 0; got -1", file=sys.stderr)
        sys.exit(2)
    (directory / "manifest.json").write_text(json.dumps({"weights_sha256": f"weights {member}"}))


for member in members:
    if not (run / f"member_{member}/manifest.json").exists():
        train(run / f"member_{member}", member)
