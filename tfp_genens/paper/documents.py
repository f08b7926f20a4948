"""Documents: a template with its numbers, written as Markdown, HTML and CSV.

The Markdown is the one text that is rendered; the HTML is made from it. The prose is in
`templates/NAME.md.j2`. There a line that goes on in the next one is one paragraph or bullet, and
`{{ frame | table }}` is a frame as a Markdown table.
"""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markdown_it import MarkdownIt

from tfp_genens import __version__
from tfp_genens.errors import UserError
from tfp_genens.evaluation import tables
from tfp_genens.files import atomic_path, make_directory
from tfp_genens.paper import judged, numbers, verdicts
from tfp_genens.reporting.evaluation_files import Evaluation
from tfp_genens.reporting.provenance import short_commit, training_commits

Records = pd.DataFrame | Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Document:
    """What a page is written from.

    Attributes:
      template: NAME of `templates/NAME.md.j2`.
      context: what the template shows: frames, numbers, names.
      records: one row a cell or line of the tables, numbers unrounded: the CSV. Empty for none.
    """

    template: str
    context: Mapping[str, Any]
    records: Records = ()


def provenance(evaluations: Sequence[Evaluation], command: str) -> Document:
    """How every document ends: the evaluations' notes and commits, and the command.

    Evaluations of one model of which the same is to be said, such as splits, share a section.
    """
    said = [
        {
            "name": f"{tables.heading(e.document)}: {e.directory}",
            "model": e.document["model"],
            "notes": [*e.document["notes"], *_departures(e.document)],
            "missing": e.document["missing"],
            "trained": ", ".join(training_commits(e.document["manifests"])),
            "evaluated": short_commit(e.document.get("git_commit")),
        }
        for e in evaluations
    ]
    together: dict[str, list[dict[str, Any]]] = {}
    for one in said:
        key = json.dumps({k: v for k, v in one.items() if k != "name"})
        together.setdefault(key, []).append(one)
    context = {"groups": list(together.values()), "command": command, "version": __version__}
    return Document("provenance", context)


def _departures(document: Mapping[str, Any]) -> list[str]:
    """From the paper's settings; evaluations of earlier versions say so in their notes."""
    sentences = (
        f"Departs from the paper: {departure}" for departure in numbers.departures(document)
    )
    return [text for text in sentences if text not in document["notes"]]


def table(frame: pd.DataFrame) -> str:
    """A frame as an aligned Markdown table; the columns' names, which may repeat, are its header.

    Floats are written with one decimal, integers with a comma at the thousands, what is missing as
    a dash, and all else as it is. The index is not shown.
    """
    lines = frame.itertuples(index=False, name=None)
    return tables.markdown(list(frame.columns), [list(map(_cell, line)) for line in lines])


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "-"
    if isinstance(value, Integral):
        return f"{value:,}"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def environment() -> jinja2.Environment:
    """Where templates are found, and what they can call."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("tfp_genens.paper"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",)),
    )
    found.filters |= {"table": table, "sentence": judged.sentence}
    found.globals["verdicts"] = verdicts
    return found


def to_markdown(*documents: Document) -> str:
    """The documents as one page, in the order given."""
    templates = environment()
    texts = [
        templates.get_template(f"{document.template}.md.j2").render(**document.context)
        for document in documents
    ]
    return unwrapped("\n\n".join(texts))


_STARTS = re.compile(r"#|\||- |!\[|\d+\. ")  # of a line that does not go on from the one before


def unwrapped(text: str) -> str:
    """Markdown with one line a paragraph or bullet, one empty line between, and code as it is."""
    lines: list[str] = []
    is_code, is_open = False, False  # is_open: the last line is text, and may go on
    for line in text.splitlines():
        is_fence = line.startswith("```")
        if is_code or is_fence:
            lines.append(line)
            is_code, is_open = is_code != is_fence, False
        elif not line.strip():
            if lines and lines[-1]:
                lines.append("")
            is_open = False
        elif is_open and not _STARTS.match(line):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line.rstrip())
            is_open = not line.startswith(("#", "|"))
    return "\n".join(lines).strip("\n") + "\n"


def to_html(markdown: str) -> str:
    """A page as one self-contained HTML file. Markdown of other kinds than ours stays text."""
    reader = MarkdownIt("zero").enable(["heading", "list", "table", "fence", "image", "escape"])
    reader.add_render_rule("table_open", lambda *_: '<div class="scroll">\n<table>\n')
    reader.add_render_rule("table_close", lambda *_: "</table>\n</div>\n")
    title = markdown.partition("\n")[0].removeprefix("# ")
    template = environment().get_template("document.html.j2")
    return template.render(title=title, body=reader.render(markdown))


def to_csv(records: Records) -> str:
    """The records; lists are written as JSON, what is None or missing as nothing."""
    frame = pd.DataFrame(records)
    for name in frame.select_dtypes(object):
        frame[name] = [
            json.dumps(value) if isinstance(value, (list, tuple)) else value
            for value in frame[name]
        ]
    buffer = io.StringIO()
    frame.to_csv(buffer, index=False)
    return buffer.getvalue()


SUFFIXES = (".md", ".csv", ".html")


def output_stem(output: str) -> Path:
    """`--output` without its suffix.

    Raises:
      UserError: another suffix than .md, .csv or .html, or a directory that cannot be written to.
    """
    path = Path(output)
    if path.suffix not in ("", *SUFFIXES) or path.is_dir():
        got = f"{output}, a directory" if path.is_dir() else repr(output)
        raise UserError("--output", f"a file name ending in {', '.join(SUFFIXES)} or nothing", got)
    make_directory(path.parent, "--output")
    return path.with_suffix("")


def write(output: str, document: Document, ending: Document) -> None:
    """Writes the Markdown, CSV and HTML files beside one another and says where they are.

    Args:
      output: the path of any one of the three, or without suffix.
      document: what is written; its records are the CSV.
      ending: what its page ends with, see `provenance`.

    Raises:
      UserError: see `output_stem`.
    """
    stem = output_stem(output)
    markdown = to_markdown(document, ending)
    texts = (markdown, to_csv(document.records), to_html(markdown))
    for suffix, text in zip(SUFFIXES, texts, strict=True):
        write_text(stem.with_name(stem.name + suffix), text)


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all, and says where it is."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(path)
