"""What `report --table=NAME` and `report --figure=NAME` do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import matplotlib

from tfp_genens.config import ReportConfig
from tfp_genens.errors import UserError
from tfp_genens.files import atomic_path, make_directory
from tfp_genens.paper import documents
from tfp_genens.paper.documents import Section, TableDocument
from tfp_genens.paper.figures.registry import FIGURES_OF_PAPER
from tfp_genens.paper.tables.registry import TABLES
from tfp_genens.reporting import evaluation_files, provenance
from tfp_genens.reporting.evaluation_files import Evaluation
from tfp_genens.reporting.layout import STYLE, Page

RowT = TypeVar("RowT")


@dataclasses.dataclass(frozen=True)
class MeasuredFigure:
    """A figure that is not made of evaluations, with what was measured for it.

    Attributes:
      page: the drawing.
      sections: its numbers.
      records: likewise, unrounded: the CSV.
    """

    page: Page
    sections: tuple[Section, ...]
    records: tuple[Mapping[str, Any], ...]


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


def write_figure(
    config: ReportConfig, name: str, measured: Mapping[str, Callable[[], MeasuredFigure]]
) -> None:
    """Draws a figure of the paper as a PNG, its caption beside it as Markdown, and says where.

    Args:
      config: the flags.
      name: of the figure.
      measured: figures that take no evaluations; they have a CSV, too.

    Raises:
      UserError: there is no such figure, it cannot be made of these evaluations, or the output
        cannot be written.
    """
    _registered({**FIGURES_OF_PAPER, **measured}, name, "--figure")
    output = Path(config.output)
    if output.suffix != ".png" or output.is_dir():
        raise UserError("--output", "a .png file", repr(config.output))
    make_directory(output.parent, "--output")
    evaluations = _load(config)
    with matplotlib.rc_context(STYLE):
        if name in measured:
            figure = measured[name]()
        else:
            figure = MeasuredFigure(FIGURES_OF_PAPER[name](evaluations), (), ())
        content = figure.page.png()
    flags = {
        "figure": name,
        "seed": config.seed,
        "evaluation_dir": config.evaluation_dir or None,
        "output": config.output,
    }
    ending = documents.provenance(evaluations, provenance.command("report", flags))
    page = figure.page
    caption = TableDocument(
        title=page.title,
        text=(f"![{page.title}]({output.name})", page.caption),
        # Without evaluations there is nothing to read before comparing, only how to reproduce.
        sections=(*figure.sections, *(ending if evaluations else ending[-1:])),
        records=figure.records,
    )
    with atomic_path(output) as temporary:
        temporary.write_bytes(content)
    print(output)
    suffixes = (".md", ".csv") if caption.records else (".md",)
    for suffix in suffixes:
        path = output.with_suffix(suffix)
        with atomic_path(path) as temporary:
            temporary.write_text(documents.FORMATS[suffix](caption), encoding="utf-8")
        print(path)


def _registered(registry: Mapping[str, RowT], name: str, argument: str) -> RowT:
    if name not in registry:
        raise UserError(argument, f"one of {', '.join(registry)}", repr(name))
    return registry[name]


def _load(config: ReportConfig) -> Sequence[Evaluation]:
    return [evaluation_files.load(directory) for directory in config.evaluation_dir]
