"""What `python -m tfp_genens.paper NAME` writes: a table, or a figure with its caption."""

from pathlib import Path
from typing import Any

import matplotlib

from tfp_genens.config import ReportConfig
from tfp_genens.errors import UserError
from tfp_genens.files import atomic_path, make_directory
from tfp_genens.paper import documents
from tfp_genens.paper.registry import FIGURE, TABLE, Row
from tfp_genens.reporting import evaluation_files, provenance
from tfp_genens.reporting.layout import STYLE

SUFFIXES = {TABLE: ("", ".md", ".csv", ".html"), FIGURE: (".png",)}
EXPECTED = {TABLE: "a file name ending in .md, .csv, .html or nothing", FIGURE: "a .png file"}


def write(config: ReportConfig, row: Row) -> None:
    """Writes a table as Markdown, CSV and HTML, a figure as PNG and Markdown, and says where.

    What a figure has measured is a CSV, too.

    Raises:
      UserError: it cannot be made of these evaluations, or the output cannot be written.
    """
    output = output_path(config.output, row.kind)
    evaluations = [evaluation_files.load(directory) for directory in config.evaluation_dir]
    files: dict[str, bytes | str] = {}
    with matplotlib.rc_context(STYLE):
        made: Any = row.function()(
            (config.seed or 0) if row.is_trained else evaluations,
            **({"costs": config.costs} if row.takes_costs else {}),
        )
        if row.kind == FIGURE:
            page, records = made if row.is_trained else (made, ())
            files[".png"] = page.png()
            made = documents.Document("figure", {"page": page, "image": output.name}, records)
    ending = documents.provenance(evaluations, _command(config, row))
    files[".md"] = markdown = documents.to_markdown(made, ending)
    if row.kind == TABLE or row.is_trained:
        files[".csv"] = documents.to_csv(made.records)
    if row.kind == TABLE:
        files[".html"] = documents.to_html(markdown)
    for suffix, content in files.items():
        path = output.with_suffix(suffix)
        with atomic_path(path) as temporary:
            temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
        print(path)


def output_path(output: str, kind: str) -> Path:
    """`--output`, whose suffix every file replaces by its own.

    Raises:
      UserError: a suffix that is no such document's, or a directory that cannot be written to.
    """
    path = Path(output)
    if path.suffix not in SUFFIXES[kind] or path.is_dir():
        got = f"{output}, a directory" if path.is_dir() else repr(output)
        raise UserError("--output", EXPECTED[kind], got)
    make_directory(path.parent, "--output")
    return path


def _command(config: ReportConfig, row: Row) -> str:
    flags = {
        row.kind: row.flag,
        "seed": config.seed,
        "evaluation_dir": config.evaluation_dir or None,
        "costs": config.costs or None,
        "output": config.output,
    }
    return provenance.command("report", flags)
