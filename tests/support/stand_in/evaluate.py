"""Evaluates nothing, but leaves what evaluation leaves.

The set `celeba` needs a file of that name.
"""

import json
import sys
from pathlib import Path

flags: dict[str, str] = {}
for argument in sys.argv[1:]:
    name, _, value = argument.removeprefix("--").partition("=")
    lines = Path(value).read_text().splitlines() if name == "flagfile" else [argument]
    flags |= dict(line[2:].split("=", 1) for line in lines if line.startswith("--"))
if "broken" in flags:
    sys.exit(2)
output = Path(flags["output_dir"])
is_missing = flags.get("ood") == "celeba" and not Path("celeba").exists()
missing = [{"ood_dataset": "celeba", "reason": "not found"}] if is_missing else []
settings = {"num_examples": int(flags.get("num_examples", 2000))}
output.mkdir(exist_ok=True)
(output / "results.json").write_text(json.dumps({"missing": missing, "settings": settings}))
with open(output.parent / "order", "a") as f:
    f.write("evaluate\n")
print("| the table |")
sys.exit(2 if missing else 0)
