"""Documents: a template with its numbers, written as Markdown, HTML and CSV.

The Markdown is the one text that is rendered; the HTML is made from it. The prose is in
`templates/NAME.md.j2`. There a line that goes on in the next one is one paragraph or bullet, and
`{{ frame | table }}` is a frame as a Markdown table.
"""

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import jinja2
import pandas as pd
from markdown_it import MarkdownIt

from tfp_genens import __version__
from tfp_genens.evaluation import accuracy, tables
from tfp_genens.paper import configurations, numbers, shared, verdicts
from tfp_genens.reporting.evaluation_files import Evaluation
from tfp_genens.reporting.provenance import short_commit, training_commits

NOT_FINITE = "not finite"
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
    together: dict[str, list[dict[str, Any]]] = {}
    for evaluation in evaluations:
        document = evaluation.document
        departures = (f"Departs from the paper: {text}" for text in numbers.departures(document))
        said = {
            "model": document["model"],
            # Evaluations of earlier versions say in their notes how they depart.
            "notes": list(dict.fromkeys([*document["notes"], *departures])),
            "missing": document["missing"],
            "trained": ", ".join(training_commits(document["manifests"])),
            "evaluated": short_commit(document.get("git_commit")),
        }
        name = f"{tables.heading(document)}: {evaluation.directory}"
        together.setdefault(json.dumps(said), []).append({"name": name, **said})
    context = {"groups": list(together.values()), "command": command, "version": __version__}
    return Document("provenance", context)


def table(
    frame: pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    forms: Mapping[str, str] | None = None,
) -> str:
    """A frame as an aligned Markdown table; the columns' names, which may repeat, are its header.

    Floats are written with one decimal, and in the column "difference" with their sign; integers
    with a comma at the thousands, pairs as intervals, what is missing as a dash, and all else as it
    is. The index is not shown. `columns`: name -> heading, of those that are shown. `forms`: name
    -> how its numbers are written, see `number`.
    """
    forms = forms or {}
    frame = frame.assign(**{k: [number(v, form) for v in frame[k]] for k, form in forms.items()})
    frame = frame if columns is None else shared.shown(frame, columns)
    names = list(frame.columns)
    lines = frame.itertuples(index=False, name=None)
    return tables.markdown(names, [list(map(_cell, line, names)) for line in lines])


def number(value: float | None, form: str) -> str:
    """E.g. "1.234" of the form "{:.3f}"; what is not finite by name, a dash for None."""
    if value is None:
        return "-"
    return form.format(value) if math.isfinite(value) else NOT_FINITE


def _cell(value: Any, column: str) -> str:
    if isinstance(value, tuple):
        return "-" if pd.isna(value[0]) else tables.interval(*value)
    if value is None or value != value:
        return "-"
    if column == "difference":
        return f"{value:+.1f}".replace("-0.0", "+0.0")
    if isinstance(value, Integral):
        return f"{value:,}"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def sentence(text: str) -> str:
    """With a capital; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def environment() -> jinja2.Environment:
    """Where templates are found, and what they can call."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("tfp_genens.paper"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",)),
    )
    found.filters |= {
        "table": table,
        "sentence": sentence,
        "heading": tables.heading,
        "accuracy": accuracy.note,
        "members": configurations.describe_members,
        "differences": configurations.differences,
        "departures": numbers.departures,
        "attacked_sets": configurations.attacked_sets,
        "train_label": shared.train_label,
    }
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


def caption(template: str, **context: Any) -> str:
    """What stands below a figure, as Markdown."""
    return to_markdown(Document(template, context)).strip()


_FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_GOES_ON = re.compile(r"^([^#|\n].*)\n(?!$|#|\||- |!\[|\d+\. )", re.MULTILINE)
"""A line of text, and the end of it where the next one belongs to the same paragraph or bullet."""


def unwrapped(text: str) -> str:
    """Markdown with one line a paragraph or bullet, one empty line between, and code as it is."""
    parts = _FENCED.split(text)
    for k, part in enumerate(parts):
        if not _FENCED.match(part):
            part = re.sub(r"^[ \t]+|[ \t]+$", "", part, flags=re.MULTILINE)
            parts[k] = re.sub(r"\n{3,}", "\n\n", _GOES_ON.sub(r"\1 ", part))
    return "".join(parts).strip("\n") + "\n"


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
    return frame.map(lambda v: json.dumps(v) if isinstance(v, (list, tuple)) else v).to_csv(
        index=False
    )
