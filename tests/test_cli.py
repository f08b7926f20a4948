"""Command lines: what is given, what is refused, and with which words."""

import dataclasses
import subprocess
import sys

import pytest

from tfp_genens import cli
from tfp_genens.config import Config, option
from tfp_genens.errors import UserError


@dataclasses.dataclass(frozen=True)
class First(Config):
    """What the first
    is about.

    And more.
    """

    beta: float = option(1.0, "a weight", minimum=0)
    steps: int = option(10, "a number")
    names: tuple[str, ...] | None = option(None, "names")


@dataclasses.dataclass(frozen=True)
class Second(Config):
    steps: int = option(20, "a number")
    fast: bool = option(False, "a switch")


def parse(*args):
    return cli.parse(["prog", *args], [First, Second])


def test_only_what_is_given_is_returned():
    assert parse() == {}
    assert parse("--beta=0.5", "--names=a,b", "--fast") == {
        "beta": 0.5,
        "names": ("a", "b"),
        "fast": True,
    }
    assert parse("--nofast") == {"fast": False}


def test_a_flag_of_two_classes_is_one_flag():
    assert parse("--steps=3") == {"steps": 3}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--bta=1"], r"^--bta: expected a known flag \(did you mean --beta\?\)"),
        (["--zzz"], r"^--zzz: expected one of --beta, --fast"),
        (["--beta=x"], r"^--beta: expected a number of at least 0; got 'x'"),
        (["--steps=1.5"], r"^--steps: expected an integer; got '1.5'"),
        (["stray"], r"got 'stray'"),
        (["--flagfile=/does/not/exist.cfg"], "exist.cfg"),
        (["--beta"], "beta"),
    ],
)
def test_mistakes_are_named(args, message):
    with pytest.raises(UserError, match=message):
        parse(*args)


def test_flagfiles_are_read_and_later_flags_win(tmp_path):
    flagfile = tmp_path / "x.cfg"
    flagfile.write_text("# a comment\n--beta=0.25\n\n--steps=7\n")
    assert parse(f"--flagfile={flagfile}", "--steps=8") == {"beta": 0.25, "steps": 8}


def test_parsing_leaves_no_global_flags():
    from absl import flags

    parse("--beta=1")
    assert "beta" not in flags.FLAGS


@pytest.mark.parametrize(
    ("function", "code"), [(lambda _: None, 0), (lambda _: 3, 3), (lambda v: v["missing"], None)]
)
def test_exit_codes(monkeypatch, function, code):
    monkeypatch.setattr("sys.argv", ["prog"])
    if code is None:  # a programming error keeps its traceback
        with pytest.raises(KeyError):
            cli.run("about", [First], function)
        return
    with pytest.raises(SystemExit) as e:
        cli.run("about", [First], function)
    assert e.value.code == code


def test_user_errors_are_one_line_and_exit_code_two(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["prog", "--steps=x"])
    with pytest.raises(SystemExit) as e:
        cli.run("about", [First], lambda _: 0)
    assert e.value.code == 2
    assert capsys.readouterr().err == "error: --steps: expected an integer; got 'x'\n"


def test_interrupts_exit_with_130(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.argv", ["prog"])
    with pytest.raises(SystemExit) as e:
        cli.run("about", [First], interrupted)
    assert e.value.code == 130


def test_help_lists_every_flag(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["prog", "--help"])
    with pytest.raises(SystemExit) as e:
        cli.run("What it is for.", [First, Second], lambda _: 0)
    assert e.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("What it is for.")
    for name in ("beta", "steps", "names", "fast", "flagfile"):
        assert f"--{name}=" in out


def test_help_has_a_section_a_class_with_its_own_defaults():
    first, second = cli.usage("What it is for.", [First, Second]).split("\n\n")[1:3]
    assert first.startswith("What the first is about.\n")
    assert "(default: 10)" in first
    assert "(default: 20)" in second
    assert "--names=<a,b,...>" in first


LIGHT = """
import os, sys
os.dup = os.dup2 = None  # a call of either would raise TypeError
sys.argv = sys.argv[1:]
try:
    __import__(sys.argv[0], fromlist=["main"]).main()
except SystemExit as e:
    print("exit code", e.code)
assert not {"tensorflow", "pandas", "scipy"} & set(sys.modules)
"""


@pytest.mark.parametrize(
    ("main", "flag", "code"),
    [
        *((main, "--help", 0) for main in ("train", "score", "evaluate", "report")),
        *((main, "--nosuch=1", 2) for main in ("train", "score", "evaluate", "report")),
        ("train", "--beta=x", 2),
        ("train", "--model=nosuch", 2),
        ("score", "--batch_size=0", 2),
        ("evaluate", "--num_examples=1", 2),
    ],
)
def test_bad_flags_are_told_before_anything_slow_is_imported(main, flag, code):
    command = [sys.executable, "-c", LIGHT, f"tfp_genens.{main}", flag]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"exit code {code}\n")


def test_public_names_are_there_when_asked_for_and_not_before():
    code = """
import sys
import tfp_genens
assert not {"tensorflow", "absl"} & set(sys.modules)
assert issubclass(tfp_genens.UserError, ValueError)
assert "tensorflow" not in sys.modules
try:
    tfp_genens.nosuch
except AttributeError as e:
    print(e)
from tfp_genens import Ensemble
print(Ensemble.__module__, "Ensemble" in dir(tfp_genens))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "module 'tfp_genens' has no attribute 'nosuch'",
        "tfp_genens.scoring.ensemble True",
    ]
