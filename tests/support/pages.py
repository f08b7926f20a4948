"""Tables out of the repository's Markdown pages."""

import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def page_rows(page: str, first_column: str) -> list[list[str]]:
    """The cells of each line of the one table whose first column has this heading."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    (header,) = [k for k, line in enumerate(cells) if line[0] == first_column and len(line) > 1]
    rows = []
    for line in cells[header + 2 :]:
        if len(line) != len(cells[header]):
            break
        rows.append(line)
    return rows
