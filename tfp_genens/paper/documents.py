"""Documents of tables: one content as Markdown, CSV and HTML."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from tfp_genens import __version__
from tfp_genens.errors import UserError
from tfp_genens.evaluation import tables
from tfp_genens.files import atomic_path, make_directory
from tfp_genens.paper import numbers
from tfp_genens.reporting.evaluation_files import Evaluation
from tfp_genens.reporting.provenance import short_commit, training_commits


@dataclasses.dataclass(frozen=True)
class Section:
    """One heading and at most one table.

    Attributes:
      heading: plain text.
      text: paragraphs before the table.
      header: the columns; empty for no table.
      body: the lines, each as long as the header.
      notes: bullets after the table.
      code: commands after the notes, each a block of its own.
      level: 2 for a section, 3 for a part of the one before it.
    """

    heading: str
    text: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    body: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    level: int = 2

    def __post_init__(self) -> None:
        for line in self.body:
            if len(line) != len(self.header):
                raise ValueError(
                    f"Each line of `body` must have {len(self.header)} cells; got {line}."
                )


@dataclasses.dataclass(frozen=True)
class TableDocument:
    """What a table of the paper is written from.

    Attributes:
      title: plain text.
      text: paragraphs before the first section.
      sections: in order.
      records: one flat mapping a cell or row of the tables, numbers unrounded: the CSV.
    """

    title: str
    text: tuple[str, ...]
    sections: tuple[Section, ...]
    records: tuple[Mapping[str, Any], ...]


def provenance(evaluations: Sequence[Evaluation], command: str) -> tuple[Section, ...]:
    """How every document ends: the evaluations' notes and commits, and the command.

    Evaluations of one model of which the same is to be said, such as splits, share a section.
    """
    together: dict[tuple[str, tuple[str, ...]], list[Evaluation]] = {}
    for evaluation in evaluations:
        key = (evaluation.document["model"], _notes(evaluation))
        together.setdefault(key, []).append(evaluation)
    sections = [Section("Read before comparing")]
    for (_, notes), alike in together.items():
        first, *others = [f"{tables.heading(e.document)}: {e.directory}" for e in alike]
        also = (f"Likewise {'; '.join(others)}.",) if others else ()
        sections.append(Section(first, also, notes=notes, level=3))
    written = Section(
        "How to reproduce", (f"Written by tfp_genens {__version__} with",), code=(command,)
    )
    return (*sections, written)


def _notes(evaluation: Evaluation) -> tuple[str, ...]:
    """What to read before comparing, and the commits."""
    document = evaluation.document
    commits = ", ".join(training_commits(document["manifests"]))
    return (
        *document["notes"],
        *_departures(document),
        *(
            f"Not evaluated: {entry['ood_dataset']}: {entry['reason']}"
            for entry in document["missing"]
        ),
        f"Trained by commit {commits}; evaluated by commit "
        f"{short_commit(document.get('git_commit'))}.",
    )


def _departures(document: Mapping[str, Any]) -> tuple[str, ...]:
    """From the paper's settings; evaluations of earlier versions say so in their notes."""
    departures = numbers.deviations(
        document["model"],
        document["train_dataset"],
        document["manifests"][0]["config"],
        document["members"],
        document["settings"]["num_examples"],
    )
    sentences = (f"Departs from the paper: {departure}" for departure in departures)
    return tuple(text for text in sentences if text not in document["notes"])


def to_markdown(document: TableDocument) -> str:
    parts = [f"# {document.title}", *document.text]
    for section in document.sections:
        parts += [f"{'#' * section.level} {section.heading}", *section.text]
        if section.header:
            parts.append(tables.markdown(section.header, section.body))
        if section.notes:
            parts.append("\n".join(f"- {note}" for note in section.notes))
        parts += [f"```\n{code}\n```" for code in section.code]
    return "\n\n".join(parts) + "\n"


def to_csv(document: TableDocument) -> str:
    """The records; lists are written as JSON, what is None or missing as nothing."""
    records = [
        {
            name: json.dumps(value) if isinstance(value, (list, tuple)) else value
            for name, value in record.items()
        }
        for record in document.records
    ]
    buffer = io.StringIO()
    pd.DataFrame(records).to_csv(buffer, index=False)
    return buffer.getvalue()


def to_html(document: TableDocument) -> str:
    """One self-contained file."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("tfp_genens.paper").joinpath("document.html.j2")
    template = environment.from_string(source.read_text(encoding="utf-8"))
    return template.render(document=document)


FORMATS = {".md": to_markdown, ".csv": to_csv, ".html": to_html}


def output_stem(output: str) -> Path:
    """`--output` without its suffix.

    Raises:
      UserError: another suffix than .md, .csv or .html, or a directory that cannot be written to.
    """
    path = Path(output)
    if path.suffix not in ("", *FORMATS) or path.is_dir():
        got = f"{output}, a directory" if path.is_dir() else repr(output)
        raise UserError("--output", f"a file name ending in {', '.join(FORMATS)} or nothing", got)
    make_directory(path.parent, "--output")
    return path.with_suffix("")


def write(document: TableDocument, output: str) -> None:
    """Writes the Markdown, CSV and HTML files beside one another and says where they are.

    Args:
      document: what is written.
      output: the path of any one of the three, or without suffix.

    Raises:
      UserError: see `output_stem`.
    """
    stem = output_stem(output)
    texts = {suffix: to_text(document) for suffix, to_text in FORMATS.items()}
    for suffix, text in texts.items():
        path = stem.with_name(stem.name + suffix)
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(path)
