"""Writes a page that says what it is made of."""

import sys
from pathlib import Path

output = Path(sys.argv[-1].removeprefix("--output="))
output.parent.mkdir(exist_ok=True)
output.write_text(" ".join(sys.argv[1:-1]))
