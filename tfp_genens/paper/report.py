"""What `python -m tfp_genens.paper NAME` writes: a table, or a figure with its caption."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import matplotlib

from tfp_genens.config import ReportConfig
from tfp_genens.errors import UserError
from tfp_genens.files import atomic_path, make_directory
from tfp_genens.paper import documents
from tfp_genens.paper.documents import Document
from tfp_genens.paper.registry import Row
from tfp_genens.reporting import evaluation_files, provenance
from tfp_genens.reporting.layout import STYLE, Page


@dataclasses.dataclass(frozen=True)
class MeasuredFigure:
    """A figure that is not made of evaluations, with what was measured for it.

    Attributes:
      page: the drawing.
      records: what was measured, unrounded: the CSV.
    """

    page: Page
    records: documents.Records


def write_table(config: ReportConfig, row: Row) -> None:
    """Writes a table as Markdown, CSV and HTML, and says where they are.

    Raises:
      UserError: it cannot be made of these evaluations, or the output cannot be written.
    """
    documents.output_stem(config.output)
    evaluations = [evaluation_files.load(directory) for directory in config.evaluation_dir]
    document = row.function()(evaluations)
    ending = documents.provenance(evaluations, _command(config, row))
    documents.write(config.output, document, ending)


def write_figure(config: ReportConfig, row: Row) -> None:
    """Draws a figure as a PNG, its caption beside it as Markdown, and says where.

    Raises:
      UserError: it cannot be made of these evaluations, or the output cannot be written.
    """
    output = Path(config.output)
    if output.suffix != ".png" or output.is_dir():
        raise UserError("--output", "a .png file", repr(config.output))
    make_directory(output.parent, "--output")
    evaluations = [evaluation_files.load(directory) for directory in config.evaluation_dir]
    with matplotlib.rc_context(STYLE):
        made: Any = row.function()((config.seed or 0) if row.is_trained else evaluations)
        page = made.page if row.is_trained else made
        content = page.png()
    context = {"title": page.title, "image": output.name, "caption": page.caption}
    parts = [
        Document("figure", context),
        documents.provenance(evaluations, _command(config, row)),
    ]
    with atomic_path(output) as temporary:
        temporary.write_bytes(content)
    print(output)
    documents.write_text(output.with_suffix(".md"), documents.to_markdown(*parts))
    if row.is_trained:
        documents.write_text(output.with_suffix(".csv"), documents.to_csv(made.records))


def _command(config: ReportConfig, row: Row) -> str:
    flags = {
        row.kind: row.flag,
        "seed": config.seed,
        "evaluation_dir": config.evaluation_dir or None,
        "output": config.output,
    }
    return provenance.command("report", flags)
