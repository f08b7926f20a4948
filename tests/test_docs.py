"""The commands and programs that README and the pages show: each is known, and most are run.

A block that cannot be run here has a comment before it, `<!-- not run: why -->`. Its flags are
checked all the same. The others are run in the order of their page, in a directory with a little
data, where `python` makes what is trained small.
"""

import collections
import dataclasses
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from tfp_genens import cli, train
from tfp_genens.config import FamilyConfig
from tfp_genens.models import FAMILIES
from workflow import command_line
from workflow.plan import planner

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "results/README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
FENCED = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^>]+) -->\n)?^```(?P<language>bash|python)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# The last flag wins, so these make small what a page trains and evaluates. One page keeps the
# default prior, which takes most of the time.
PYTHON = """#!/usr/bin/env bash
small=()
case "$*" in
  *--help*) ;;
  "-m tfp_genens.train"*--model=knn* | "-m tfp_genens.train"*--model=pca*) ;;
  "-m tfp_genens.train"*--model=tabular_vae*)
    small=(--train_steps=20 --num_members=2 --prior=normal) ;;
  "-m tfp_genens.train"*)
    small=(--train_steps=20 --num_members=2 --base_depth=4 --latent_size=2 --train_samples=1)
    [[ "$*" == *--flagfile=flags/digits.cfg* ]] || small+=(--prior=normal)
    [[ "$*" == *--dataset=* || "$*" == *--flagfile=flags/digits.cfg* ]] ||
      small+=(--dataset=digits) ;;
  "-m tfp_genens.evaluate"*) small=(--num_examples=20 --num_bootstrap=10) ;;
esac
exec {python} "$@" "${{small[@]}}"
"""
RUN_ALL = """#!/usr/bin/env bash
if [ "${{1:-}}" = test ]; then exec {python} -m pytest --version; fi
cd {root} && RUNS_DIR={runs} exec {python} -m workflow --dry_run "$@"
"""
WIDTH = 84
"""Characters."""
WITH_PHOTOS = (
    *("README.md", "docs/images.md"),
    *("docs/how_it_works.md", "docs/serving.md", "docs/upgrading.md"),
)
"""Pages that train runs/photos as docs/images.md does first, or presuppose that it was."""
NOT_RUN = {
    "benchmarks, many minutes": 4,
    "cluster": 2,
    "data or evaluations": 8,
    "figure 2, trains for minutes": 1,
    "packages or a server": 6,
}


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page; `reason` is why it is not run."""

    page: str
    language: str
    text: str
    reason: str | None

    def commands(self) -> list[str]:
        """A bash block's commands, each in one line and without comments."""
        joined = self.text.replace("\\\n", "")
        parts = [re.sub(r"(^|\s)#.*", "", line) for line in joined.splitlines()]
        commands = [c.strip() for line in parts for c in re.split(r"\s&&?(?:\s|$)", line)]
        return [command for command in commands if command]


def blocks_of(page: Path) -> list[Block]:
    name = page.relative_to(ROOT).as_posix()
    text = page.read_text(encoding="utf-8")
    return [Block(name, m["language"], m["text"], m["reason"]) for m in FENCED.finditer(text)]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
COMMANDS = sorted({c for block in BLOCKS if block.language == "bash" for c in block.commands()})
PROGRAMS = [block for block in BLOCKS if block.language == "python"]
RUN = sorted({block.page for block in BLOCKS if block.reason is None})


def check_main(module: str, arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The main's own flags are parsed, and its configurations are made of them."""
    if list(arguments) == ["--help"]:
        return

    def parse(description, classes, function):
        values = cli.parse(sys.argv, classes)
        for cls in classes:
            if not issubclass(cls, FamilyConfig):
                cls.from_values(values)
        if module == "tfp_genens.train":
            train.model_config(values, FAMILIES)

    name = f"{module}.__main__" if module == "tfp_genens.paper" else module
    monkeypatch.setattr(cli, "run", parse)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    importlib.import_module(name).main()


def check_script(script: str, arguments: Sequence[str]) -> None:
    text = (ROOT / script).read_text()
    for argument in arguments:
        assert f'"{argument.partition("=")[0]}"' in text, f"{script} has no {argument}"


def check_python(arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if arguments[0] != "-m":
        check_script(arguments[0], arguments[1:])
    elif arguments[1] != "venv":
        check_main(arguments[1], arguments[2:], monkeypatch)


def check_run_all(arguments: Sequence[str]) -> None:
    if list(arguments[:1]) == ["test"]:
        return
    known = [a.replace("=DIRECTORY", "=slurm") for a in arguments]
    request = command_line.parse(known)
    assert planner("runs", request.overlay).plan(request.names).runs


def check_pip(arguments: Sequence[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for argument in arguments:
        if argument.startswith("."):
            assert argument[2:-1] in extras
    if "-c" in arguments:
        assert (ROOT / arguments[arguments.index("-c") + 1]).is_file()


OTHERS = {"docker", "curl", "mkdocs", "pre-commit", "saved_model_cli", "wait", "."}
"""Programs of others, whose flags are not checked where they are not run."""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shown_has_the_flags_and_files_that_it_names(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    program, arguments = words[0], words[1:]
    if program in ("python", "python3.11"):
        check_python(arguments, monkeypatch)
    elif program == "./run_all.sh":
        check_run_all(arguments)
    elif program == "pip":
        check_pip(arguments)
    else:
        assert program in OTHERS


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.page)
def test_every_program_shown_compiles(block):
    compile(block.text, block.page, "exec")


def test_what_is_not_run_says_why_and_is_listed_here():
    kinds = {
        r"many minutes": "benchmarks, many minutes",
        r"cluster": "cluster",
        r"trains for": "figure 2, trains for minutes",
        r"packages|server|mkdocs": "packages or a server",
        r"needs": "data or evaluations",
    }
    reasons = [block.reason for block in BLOCKS if block.reason is not None]
    found = [next(kind for word, kind in kinds.items() if re.search(word, r)) for r in reasons]
    assert dict(collections.Counter(found)) == NOT_RUN


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def furnished(tmp_path: Path) -> Path:
    """A directory with a little data, the flagfiles, and stand-ins for python and run_all.sh."""
    generator = np.random.default_rng(0)
    for folder, number in (("train", 100), ("new", 25), ("odd", 25)):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for k in range(number):
            pixels = generator.integers(0, 255, [8, 8], np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / folder / f"{k:03}.png")
    np.save(tmp_path / "images.npy", generator.uniform(0, 255, [3, 8, 8, 1]).astype(np.float32))
    payments = pd.DataFrame(generator.normal(size=[200, 3]), columns=["amount", "hour", "age"])
    payments.head(9).to_csv(tmp_path / "new.csv", index=False)
    payments.assign(fraud=[0, 0, 0, 1] * 50).to_csv(tmp_path / "payments.csv", index=False)
    (tmp_path / "flags").symlink_to(ROOT / "flags")
    (tmp_path / "bin").mkdir()
    places = {"python": sys.executable, "root": ROOT, "runs": tmp_path / "runs"}
    executable(tmp_path / "bin/python", PYTHON.format(**places))
    executable(tmp_path / "run_all.sh", RUN_ALL.format(**places))
    return tmp_path


@pytest.fixture
def sandbox(tmp_path):
    return furnished(tmp_path)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """runs/photos as it is trained first; whoever trains it again finds it finished."""
    directory = furnished(tmp_path_factory.mktemp("photos"))
    run_block(blocks_of(ROOT / "docs/images.md")[0], directory)
    return directory / "runs/photos"


def run_block(block: Block, sandbox: Path) -> None:
    here = [str(sandbox / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    # Without what measures coverage: it slows these most, and the mains are also run in process.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    environment |= {"PATH": os.pathsep.join(here), "PYTHONPATH": str(ROOT)}
    options = ["-euo", "pipefail", "-c"] if block.language == "bash" else ["-c"]
    program = {"bash": "bash", "python": str(sandbox / "bin/python")}[block.language]
    result = subprocess.run(
        [program, *options, block.text],
        cwd=sandbox,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert result.returncode == 0, f"{block.page}:\n{block.text}\n{result.stdout}{result.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_every_block_runs_in_the_order_of_its_page(page, sandbox, request):
    if page in WITH_PHOTOS:
        shutil.copytree(request.getfixturevalue("photos"), sandbox / "runs/photos")
    for block in blocks_of(ROOT / page):
        if block.reason is None:
            run_block(block, sandbox)


def test_results_pages_and_the_table_of_readme_are_current():
    command = [sys.executable, str(ROOT / "docs/generate.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_no_line_of_code_is_wider_than_the_column_of_the_site():
    lines = [(block.page, line) for block in BLOCKS for line in block.text.splitlines()]
    assert [at for at in lines if len(at[1]) > WIDTH and "results/table" not in at[0]] == []


def row_format(request, signature):
    """A request's instances as TensorFlow Serving hands them to a signature."""
    _, arguments = signature.structured_input_signature
    instances = [
        instance if isinstance(instance, dict) else dict.fromkeys(arguments, instance)
        for instance in request["instances"]
    ]
    return {
        name: tf.constant([instance[name] for instance in instances], spec.dtype)
        for name, spec in arguments.items()
    }


@pytest.mark.slow
def test_requests_shown_are_answered_as_tensorflow_serving_would(sandbox):
    train_knn = next(block for block in blocks_of(ROOT / "README.md") if "knn" in block.text)
    run_block(dataclasses.replace(train_knn, text=train_knn.commands()[0]), sandbox)
    model = tf.saved_model.load(str(sandbox / "runs/payments/ensemble/1"))
    text = (ROOT / "docs/serving.md").read_text()
    answers = []
    for found in re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        request = json.loads(found)
        signature = model.signatures[request.get("signature_name", "serving_default")]
        answers.append(signature(**row_format(request, signature)))
    assert len(answers) == 3
    for answer in answers:
        assert {len(values) for values in answer.values()} == {2}
        np.testing.assert_array_equal(answer["p_value"], answers[0]["p_value"])
    np.testing.assert_array_equal(answers[2]["is_outlier"], answers[2]["p_value"].numpy() <= 0.01)
