"""`report --table` and `report --figure`, as the main runs them."""

import sys

import pytest
from matplotlib.figure import Figure

from tfp_genens import report as main_module
from tfp_genens.errors import UserError
from tfp_genens.paper import documents, registry
from tfp_genens.paper.documents import Document
from tfp_genens.paper.registry import Row
from tfp_genens.paper.report import output_path
from tfp_genens.reporting.layout import Page


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the main; returns its exit code, output and errors."""

    def run(*flags):
        monkeypatch.setattr(sys, "argv", ["report", *flags])
        with pytest.raises(SystemExit) as caught:
            main_module.main()
        return caught.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def register(monkeypatch):
    """Adds a table or figure that `make` makes."""

    def register(kind, make):
        row = Row(kind, "mine", "")
        monkeypatch.setattr(Row, "function", lambda self: make)
        monkeypatch.setitem(registry.ROWS, "mine", row)

    return register


@pytest.mark.parametrize("name", registry.ROWS)
def test_every_row_is_there(name):
    assert callable(registry.ROWS[name].function())


@pytest.mark.parametrize("name", ["mine", "mine.md", "mine.csv", "mine.html"])
def test_a_table_ends_with_where_it_is_from(make_evaluation, tmp_path, run, register, name):
    def table(evaluations):
        page = Page("x", "Mine", "C.", Figure())
        context = {"page": page, "image": evaluations[0].directory.name}
        return Document("figure", context, ({"a": 1},))

    register("table", table)
    directory = make_evaluation()
    flags = ("--table=mine", f"--evaluation_dir={directory}", f"--output={tmp_path / 'new' / name}")
    code, out, _ = run(*flags)
    assert code == 0
    paths = [tmp_path / "new" / f"mine{suffix}" for suffix in (".md", ".csv", ".html")]
    assert out.split() == list(map(str, paths))
    text, csv, html = (path.read_text() for path in paths)
    assert (csv, html) == ("a\n1\n", documents.to_html(text))
    assert text.startswith("# Mine\n\n![Mine](evaluation)\n\nC.\n\n## Read before comparing\n")
    assert "- A note on <members> & more." in text
    assert text.endswith(
        "```\npython -m tfp_genens.report \\\n    " + " \\\n    ".join(flags) + "\n```\n"
    )


def test_a_figure_is_a_png_and_its_caption(make_evaluation, tmp_path, run, register):
    register("figure", lambda evaluations: Page("x", "t", "c", Figure()))
    output = tmp_path / "new" / "mine.png"
    flags = ("--figure=mine", f"--evaluation_dir={make_evaluation()}", f"--output={output}")
    code, out, _ = run(*flags)
    caption = output.with_suffix(".md")
    assert (code, out.split()) == (0, [str(output), str(caption)])
    assert output.read_bytes().startswith(b"\x89PNG")
    text = caption.read_text()
    assert text.startswith("# t\n\n![t](mine.png)\n\nc\n")
    assert "- A note on <members> & more." in text
    assert " \\\n    ".join(flags) in text
    assert sorted(output.parent.iterdir()) == [caption, output]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--table=7", "--output=t.md"), "--table: expected one of 2, "),
        (("--figure=7", "--output=t.png"), "--figure: expected one of "),
        (("--table=2", "--figure=3", "--output=t"), "--figure: expected either --table or"),
        (("--table=2", "--output=t.png"), "--output: expected a file name ending in .md,"),
        (("--figure=3", "--output=t.md"), "--output: expected a .png file"),
        (("--table=2", "--costs=c.json", "--output=t"), "--costs: expected none without --table=l"),
    ],
)
def test_bad_flags_are_one_line(tmp_path, run, flags, expected):
    # The directory holds no evaluation: flags are looked at before it is.
    code, _, err = run(f"--evaluation_dir={tmp_path}", *flags)
    (line,) = err.splitlines()
    assert code == 2
    assert expected in line


def test_what_a_table_cannot_be_made_of_is_one_line(make_evaluation, tmp_path, run):
    flags = (f"--evaluation_dir={make_evaluation()}", f"--output={tmp_path / 't'}")
    code, _, err = run("--table=bits_per_dim", *flags)
    (line,) = err.splitlines()
    assert code == 2
    assert "--evaluation_dir: expected evaluations of density models, with bits_per_dim" in line


def test_unknown_names_list_what_there_is(tmp_path, run):
    _, _, err = run("--table=x", "--output=t", f"--evaluation_dir={tmp_path}")
    assert ", ".join(registry.of_kind("table")) in err


def test_outputs_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    for output in ("table.txt", ".", "results/table.v2", "file/table"):
        with pytest.raises(UserError, match="--output"):
            output_path(str(tmp_path / output), "table")
