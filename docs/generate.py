"""Makes README's table and the site's results pages of what lies in results/.

`python docs/generate.py` writes them, and `python docs/generate.py --check` fails where one is not
current. mkdocs also reads this file, as a hook that gives the site the figures in results/.
"""

import argparse
import collections
import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
PAGES = ROOT / "docs/results"
README = ROOT / "README.md"
JUDGED = {
    "table2_vae": "Table 2, VAEs",
    "table2_wgan": "Table 2, WGANs",
    "table2_glow": "Table 2, GLOW",
    "table2_baselines": "Table 2, ODIN and VIB",
    "table3": "Table 3",
}
"""File of results/ -> the table of the paper that it is judged by."""
START, END = "<!-- results: start -->\n", "<!-- results: end -->"
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(ROOT / "docs/templates"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def first_table(text: str) -> str:
    """The first table of a Markdown text."""
    match = re.search(r"(^\|.*\n)+", text, re.MULTILINE)
    if match is None:
        raise ValueError("no table in the text")
    return match[0]


def digits() -> str:
    """The first table of the digits, and under it the lowest number of each column."""
    table = first_table((RESULTS / "digits/table.md").read_text(encoding="utf-8"))
    head, _, *rows = [line.split("|")[1:-1] for line in table.splitlines()]
    columns = list(zip(*rows, strict=True))[1:]
    lowest = [min(float(cell.split()[0]) for cell in column) for column in columns]
    cells = [f"{value:.1f} ".rjust(len(h)) for value, h in zip(lowest, head[1:], strict=True)]
    return f"{table}|{' Lowest'.ljust(len(head[0]))}|{'|'.join(cells)}|\n"


def judged() -> list[dict[str, Any]]:
    """Of each table of the paper: its label and page, its verdicts, what is not reproduced."""
    found = []
    for name, label in JUDGED.items():
        with (RESULTS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("positive", "fraud") == "fraud"]
        verdicts = collections.Counter(row["verdict"] for row in rows if row["verdict"])
        failed = [row for row in rows if row["verdict"] == "not reproduced"]
        found.append({"label": label, "name": name, "verdicts": verdicts, "failed": failed})
    return found


def readme() -> str:
    """README.md with the table of the digits between its markers."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{digits()}\n{END}{after}"


def figures_without_page() -> dict[Path, list[Path]]:
    """Page -> the figures of its folder that no Markdown file there shows."""
    found: dict[Path, list[Path]] = {}
    for figure in sorted(RESULTS.glob("*/*.png")):
        folder = figure.parent
        shown = "".join(page.read_text(encoding="utf-8") for page in folder.glob("*.md"))
        if f"]({figure.name})" in shown:
            continue
        table = folder / "table.md"
        page = table if table.exists() else folder.with_suffix(".md")
        found.setdefault(page, []).append(figure)
    return found


def benchmarks() -> dict[str, Any]:
    """Name -> what results/benchmarks/NAME.json holds."""
    paths = sorted(RESULTS.glob("benchmarks/*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def pages() -> Iterator[tuple[Path, str]]:
    """Each generated file and its text."""
    yield README, readme()
    figures = figures_without_page()
    template = TEMPLATES.get_template("page.md.j2")
    for source in sorted(RESULTS.rglob("*.md")):
        if source.name == "README.md":
            continue
        lone = [
            (figure.stem.replace("_", " ").capitalize(), figure.relative_to(source.parent))
            for figure in figures.get(source, [])
        ]
        text = template.render(
            text=source.read_text(encoding="utf-8").rstrip(),
            source=source.relative_to(ROOT),
            figures=lone,
        )
        yield PAGES / source.relative_to(RESULTS), text
    template = TEMPLATES.get_template("benchmarks.md.j2")
    yield PAGES / "benchmarks.md", template.render(benchmarks())
    template = TEMPLATES.get_template("results.md.j2")
    yield PAGES / "index.md", template.render(digits=digits(), judged=judged())


def out_of_date() -> list[Path]:
    """Generated files that are not what results/ gives, and pages that nothing makes any more."""
    made = dict(pages())
    stale = [
        path
        for path, text in made.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    return stale + [path for path in sorted(PAGES.rglob("*.md")) if path not in made]


def write() -> None:
    """Writes what is not current and removes what nothing makes any more."""
    made = dict(pages())
    for path in out_of_date():
        if path in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path], encoding="utf-8")
        else:
            path.unlink()
        print(path.relative_to(ROOT))


def on_files(files: Any, config: Any) -> Any:
    """The hook of mkdocs: figures are shown from results/, without a copy in docs/."""
    from mkdocs.structure.files import File

    for figure in sorted(RESULTS.glob("*/*.png")):
        uri = f"results/{figure.relative_to(RESULTS).as_posix()}"
        files.append(File.generated(config, uri, abs_src_path=str(figure)))
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if not current")
    if not parser.parse_args().check:
        write()
        return
    stale = out_of_date()
    for path in stale:
        print(f"{path.relative_to(ROOT)}: not current; run python docs/generate.py")
    sys.exit(bool(stale))


if __name__ == "__main__":
    main()
