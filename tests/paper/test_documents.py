"""One document in three forms."""

from __future__ import annotations

import html.parser
import io

import pandas as pd
import pytest

from tfp_genens.errors import UserError
from tfp_genens.paper import documents
from tfp_genens.paper.documents import Section, TableDocument
from tfp_genens.reporting import evaluation_files
from tfp_genens.reporting.provenance import command as command_of

DOCUMENT = TableDocument(
    title="A title & more",
    text=("First <b>paragraph</b>.",),
    sections=(
        Section(
            "Numbers",
            ("About them.",),
            ("set", "AUROC"),
            (("a|b", "99.9"), ("noise", "-")),
            ("A note.",),
        ),
        Section("Commands", code=("do this \\\n    --x=1",), level=3),
    ),
    records=(
        {"set": "a|b", "auroc": 99.94999999999999, "members": (0, 1)},
        {"set": "noise", "auroc": None},
    ),
)


def test_markdown():
    assert documents.to_markdown(DOCUMENT) == (
        "# A title & more\n\nFirst <b>paragraph</b>.\n\n## Numbers\n\nAbout them.\n\n"
        "| set   | AUROC |\n| ----- | ----: |\n| a\\|b  |  99.9 |\n| noise |     - |\n\n"
        "- A note.\n\n### Commands\n\n```\ndo this \\\n    --x=1\n```\n"
    )


def test_csv_has_the_numbers_unrounded():
    frame = pd.read_csv(io.StringIO(documents.to_csv(DOCUMENT)), float_precision="round_trip")
    assert frame["auroc"][0] == 99.94999999999999
    assert pd.isna(frame["auroc"][1])
    assert frame["members"][0] == "[0, 1]"


def test_html_is_self_contained_escaped_and_whole():
    found = documents.to_html(DOCUMENT)
    tags, text, open_tags = [], [], []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append(tag)
            assert not {"href", "src"} & {name for name, _ in attrs}
            if tag != "meta":
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

        def handle_data(self, data):
            text.append(data)

    Reader().feed(found)
    assert open_tags == []
    assert "b" not in tags
    joined = "\n".join(text)
    for expected in ("A title & more", "First <b>paragraph</b>.", "a|b", "99.9", "A note.", "--x"):
        assert expected in joined
    assert (tags.count("h2"), tags.count("h3"), tags.count("table")) == (1, 1, 1)


@pytest.mark.parametrize("name", ["table", "table.md", "table.csv", "table.html"])
def test_all_three_files_are_written(tmp_path, capsys, name):
    documents.write(DOCUMENT, str(tmp_path / "new" / name))
    paths = [tmp_path / "new" / f"table{suffix}" for suffix in (".md", ".csv", ".html")]
    assert capsys.readouterr().out.split() == [str(path) for path in paths]
    assert [path.read_text(encoding="utf-8") for path in paths] == [
        documents.to_markdown(DOCUMENT),
        documents.to_csv(DOCUMENT),
        documents.to_html(DOCUMENT),
    ]
    assert sorted((tmp_path / "new").iterdir()) == sorted(paths)


def test_outputs_that_cannot_be_written(tmp_path):
    for output in ("table.txt", ".", "results/table.v2"):
        with pytest.raises(UserError, match="--output"):
            documents.output_stem(str(tmp_path / output))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--output"):
        documents.output_stem(str(tmp_path / "file" / "table"))


def test_lines_as_long_as_the_header():
    with pytest.raises(ValueError, match="`body`"):
        Section("x", header=("a", "b"), body=(("1",),))


def test_provenance_names_notes_commits_and_the_command(make_evaluation):
    evaluation = evaluation_files.load(make_evaluation())
    evaluation.document["manifests"][1]["sittings"] = [{"git_commit": "def456-dirty"}]
    evaluation.document["missing"].append({"ood_dataset": "omniglot", "reason": "none here"})
    command = command_of("report", {"table": "2", "evaluation_dir": ("a b", "c")})
    assert (
        command == "python -m tfp_genens.report \\\n    --table=2 \\\n    --evaluation_dir='a b,c'"
    )
    sections = documents.provenance([evaluation], command)
    assert sections[1].notes == (
        "A note on <members> & more.",
        "Not evaluated: omniglot: none here",
        "Trained by commit abc123, def456-dirty; evaluated by commit 0123456789ab-dirty.",
    )
    assert sections[-1].code == (command,)
