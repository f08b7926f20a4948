"""Configurations: limits, types, and where defaults come from."""

import dataclasses

import pytest

from tfp_genens.config import Config, EvaluateConfig, ScoreConfig, config_sha256, option
from tfp_genens.errors import UserError


@dataclasses.dataclass(frozen=True)
class Example(Config):
    count: int = option(3, "a count", minimum=1, maximum=9)
    weight: float = option(1.0, "a weight", above=0)
    kind: str = option("a", "a kind", choices=("a", "b"))
    names: tuple[str, ...] | None = option(None, "names")
    switch: bool = option(False, "a switch")


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        ({"count": 0}, "--count"),
        ({"count": 10}, "--count"),
        ({"count": 2.0}, "--count"),
        ({"count": True}, "--count"),
        ({"weight": 0.0}, "--weight"),
        ({"weight": float("nan")}, "--weight"),
        ({"weight": float("inf")}, "--weight"),
        ({"weight": "1"}, "--weight"),
        ({"kind": "c"}, "--kind"),
        ({"names": "x"}, "--names"),
        ({"switch": 1}, "--switch"),
    ],
)
def test_bad_values_name_their_flag(values, flag):
    with pytest.raises(UserError, match=flag):
        Example(**values)


def test_good_values_are_kept_and_integers_serve_as_floats():
    example = Example(count=9, weight=2, kind="b", names=("x",))
    assert (example.count, example.weight, example.kind, example.names) == (9, 2.0, "b", ("x",))
    assert isinstance(example.weight, float)


def test_from_values_takes_its_own_and_leaves_the_rest():
    assert Example.from_values({"count": 4, "other": 1, "kind": None}).count == 4


def test_required_values_are_missed_by_name():
    with pytest.raises(UserError, match=r"--input: .*got nothing"):
        ScoreConfig.from_values({"run_dir": "r", "output": "o"})


def test_sha_depends_on_content_not_order():
    assert config_sha256({"a": 1, "b": 2.5}) == config_sha256({"b": 2.5, "a": 1})
    assert config_sha256({"a": 1}) != config_sha256({"a": 2})


def test_user_errors_are_one_line():
    error = UserError("--x", "a\nb", "c\n\n d")
    assert str(error) == "--x: expected a b; got c d"


def test_evaluate_has_defaults_for_all_but_its_directories():
    config = EvaluateConfig(run_dir="r", output_dir="o")
    assert config.num_examples == 2000
