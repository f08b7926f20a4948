"""What `report --table=NAME` and `report --figure=NAME` do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import matplotlib

from tfp_genens.config import ReportConfig
from tfp_genens.errors import UserError
from tfp_genens.files import atomic_path, make_directory
from tfp_genens.reporting import documents, evaluation_files, provenance
from tfp_genens.reporting.documents import TableDocument
from tfp_genens.reporting.evaluation_files import Evaluation
from tfp_genens.reporting.layout import STYLE
from tfp_genens.reporting.paper_figures import FIGURES_OF_PAPER
from tfp_genens.reporting.paper_tables import TABLES

RowT = TypeVar("RowT")


def write_table(config: ReportConfig, name: str) -> None:
    """Writes a table of the paper as Markdown, CSV and HTML, and says where they are.

    Raises:
      UserError: there is no such table, it cannot be made of these evaluations, or the output
        cannot be written.
    """
    make = _registered(TABLES, name, "--table")
    documents.output_stem(config.output)
    evaluations = _load(config)
    document = make(evaluations)
    command = provenance.command(
        "report",
        {"table": name, "evaluation_dir": config.evaluation_dir, "output": config.output},
    )
    ending = documents.provenance(evaluations, command)
    documents.write(
        dataclasses.replace(document, sections=(*document.sections, *ending)), config.output
    )


def write_figure(config: ReportConfig, name: str) -> None:
    """Draws a figure of the paper as a PNG, its caption beside it as Markdown, and says where.

    Raises:
      UserError: there is no such figure, it cannot be made of these evaluations, or the output
        cannot be written.
    """
    draw = _registered(FIGURES_OF_PAPER, name, "--figure")
    output = Path(config.output)
    if output.suffix != ".png" or output.is_dir():
        raise UserError("--output", "a .png file", repr(config.output))
    make_directory(output.parent, "--output")
    evaluations = _load(config)
    with matplotlib.rc_context(STYLE):
        page = draw(evaluations)
        content = page.png()
    command = provenance.command(
        "report",
        {"figure": name, "evaluation_dir": config.evaluation_dir, "output": config.output},
    )
    caption = TableDocument(
        title=page.title,
        text=(f"![{page.title}]({output.name})", page.caption),
        sections=documents.provenance(evaluations, command),
        records=(),
    )
    text_path = output.with_suffix(".md")
    with atomic_path(output) as temporary:
        temporary.write_bytes(content)
    with atomic_path(text_path) as temporary:
        temporary.write_text(documents.to_markdown(caption), encoding="utf-8")
    print(output)
    print(text_path)


def _registered(registry: Mapping[str, RowT], name: str, argument: str) -> RowT:
    if name not in registry:
        raise UserError(argument, f"one of {', '.join(registry)}", repr(name))
    return registry[name]


def _load(config: ReportConfig) -> Sequence[Evaluation]:
    return [evaluation_files.load(directory) for directory in config.evaluation_dir]
