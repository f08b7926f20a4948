"""One document in three forms."""

import html.parser
import io

import jinja2
import pandas as pd
import pytest

from tfp_genens.paper import documents
from tfp_genens.paper.documents import Document
from tfp_genens.reporting import evaluation_files
from tfp_genens.reporting.provenance import command as command_of

TEMPLATE = """# A title {{ more }}

First <b>paragraph</b>,
which goes on.


## Numbers

{{ frame | table }}
1. A rule of *one*
   line.

2. Another.
{% for note in notes %}
- {{ note }}
{% endfor %}
```
do this \\
    --x=1


# not a heading
```
"""
PAGE = r"""# A title & more

First <b>paragraph</b>, which goes on.

## Numbers

| set   | AUROC |     n |       |
| ----- | ----: | ----: | ----: |
| a\|b  |  99.9 | 2,000 | [0,1] |
| noise |     - |     1 |     - |
1. A rule of *one* line.

2. Another.
- A note.
- A second one.
```
do this \
    --x=1


# not a heading
```
"""
RECORDS = (
    {"set": "a|b", "auroc": 99.94999999999999, "members": (0, 1)},
    {"set": "noise", "auroc": None},
)


@pytest.fixture
def document(monkeypatch):
    """A document whose template is not one of the package's."""
    environment = documents.environment()
    environment.loader = jinja2.ChoiceLoader(
        [jinja2.DictLoader({"mine.md.j2": TEMPLATE}), environment.loader]
    )
    monkeypatch.setattr(documents, "environment", lambda: environment)
    frame = pd.DataFrame(
        [["a|b", 99.94, 2000, "[0,1]"], ["noise", None, 1, None]], columns=["set", "AUROC", "n", ""]
    )
    context = {"more": "& more", "frame": frame, "notes": ["A note.", "A second one."]}
    return Document("mine", context, RECORDS)


def test_markdown(document):
    assert documents.to_markdown(document) == PAGE


def test_csv_has_the_numbers_unrounded():
    frame = pd.read_csv(io.StringIO(documents.to_csv(RECORDS)), float_precision="round_trip")
    assert frame["auroc"][0] == 99.94999999999999
    assert pd.isna(frame["auroc"][1])
    assert frame["members"][0] == "[0, 1]"


def test_html_is_self_contained_escaped_and_whole():
    found = documents.to_html(PAGE)
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
    assert not {"b", "em"} & set(tags)
    joined = "\n".join(text)
    for expected in ("A title & more", "First <b>paragraph</b>,", "a|b", "99.9", "*one*", "--x"):
        assert expected in joined
    counts = {tag: tags.count(tag) for tag in ("title", "h1", "h2", "table", "ol", "ul", "pre")}
    assert counts == {"title": 1, "h1": 1, "h2": 1, "table": 1, "ol": 1, "ul": 1, "pre": 1}


def test_provenance_names_notes_commits_and_the_command(make_evaluation):
    evaluation = evaluation_files.load(make_evaluation())
    evaluation.document["manifests"][1]["sittings"] = [{"git_commit": "def456-dirty"}]
    evaluation.document["missing"].append({"ood_dataset": "omniglot", "reason": "none here"})
    command = command_of("report", {"table": "2", "evaluation_dir": ("a b", "c")})
    assert (
        command == "python -m tfp_genens.report \\\n    --table=2 \\\n    --evaluation_dir='a b,c'"
    )
    text = documents.to_markdown(documents.provenance([evaluation], command))
    departures = [
        "- Departs from the paper: num_members is 2; the paper: 5 (section 4).\n",
        "- Departs from the paper: beta is 0.1; the paper: 1.0 (section 4.1: the plain "
        "objective).\n",
        "- Departs from the paper: At most 50 inputs of each set were scored; the paper: "
        "10,000 (released code).\n",
    ]
    before = "- A note on <members> & more.\n"
    after = (
        "- Not evaluated: omniglot: none here\n"
        "- Trained by commit abc123, def456-dirty; evaluated by commit 0123456789ab-dirty.\n"
    )
    assert before + "".join(departures) + after in text
    assert text.endswith(f"```\n{command}\n```\n")
    # Evaluations of earlier versions say it themselves.
    evaluation.document["notes"] += [line.strip()[2:] for line in departures]
    again = documents.to_markdown(documents.provenance([evaluation], command))
    assert again == text


def test_alike_evaluations_share_a_section(make_evaluation):
    first, second, third = (evaluation_files.load(make_evaluation(name)) for name in "abc")
    third.document["notes"].append("Another note.")
    text = documents.to_markdown(documents.provenance([first, second, third], "x"))
    assert text.count("\n### ") == text.count("A note on") == 2
    assert text.count("Another note.") == 1
    assert f"Likewise MNIST, 2 x vae: {second.directory}.\n" in text
