"""Freezes nothing, but names the weights of the members that there are."""

import json
import sys
from pathlib import Path

run = Path(sys.argv[1].removeprefix("--run_dir="))
members = [json.loads(path.read_text()) for path in sorted(run.glob("member_*/manifest.json"))]
(run / "ensemble").mkdir(exist_ok=True)
(run / "ensemble/manifest.json").write_text(json.dumps({"members": members}))
with open(run / "order", "a") as f:
    f.write("export\n")
