"""Freezes nothing, but names the weights of the members that there are."""

import json
import sys
from pathlib import Path

run = Path(sys.argv[1].removeprefix("--run_dir="))
weights = [json.loads(path.read_text())["weights_sha256"] for path in run.glob("member_*/*.json")]
(run / "ensemble").mkdir(exist_ok=True)
(run / "ensemble/manifest.json").write_text(json.dumps({"weights": sorted(weights)}))
with open(run / "order", "a") as f:
    f.write("export\n")
