"""A rendered document read back: what tests of tables look at is what people see."""

import dataclasses
import math
import re

import pandas as pd

from tfp_genens.paper import documents


@dataclasses.dataclass
class Section:
    heading: str
    level: int
    text: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    body: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()


@dataclasses.dataclass
class Page:
    """`records` are dicts, None where there is nothing; `document` is what was rendered."""

    document: documents.Document
    title: str
    text: tuple[str, ...]
    sections: tuple[Section, ...]
    records: tuple[dict, ...]


def read(make, evaluations):
    """The document that a table's function makes of evaluations, rendered and read back."""
    document = make(evaluations)
    first, *others = sections(documents.to_markdown(document))
    records = pd.DataFrame(document.records).to_dict("records")
    return Page(
        document,
        first.heading,
        first.text,
        tuple(others),
        tuple({k: None if _is_nan(v) else v for k, v in record.items()} for record in records),
    )


def _is_nan(value):
    return isinstance(value, float) and math.isnan(value)


def sections(markdown):
    """What stands under each heading, the first of which begins the page."""
    found = []
    for block in re.split(r"\n\n", markdown.rstrip("\n")):
        lines = block.split("\n")
        if block.startswith("#"):
            (line,) = lines
            marks, _, heading = line.partition(" ")
            found.append(Section(heading, len(marks)))
        elif block.startswith("|"):
            cells = [tuple(c.strip() for c in line[1:-1].split(" | ")) for line in lines]
            found[-1].header, _, *body = cells
            found[-1].body = tuple(body)
        elif block.startswith("- "):
            assert all(line.startswith("- ") for line in lines)
            found[-1].notes += tuple(line[2:] for line in lines)
        else:
            (line,) = lines
            found[-1].text += (line,)
    return found
