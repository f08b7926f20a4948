"""The rules that hold for the repository itself: flagfiles, flags, paths, scripts."""

import ast
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
FLAGFILES = sorted(ROOT.glob("flags/*.cfg"))
EXPERIMENTS = [path for path in FLAGFILES if "\n--model=" in path.read_text()]
OVERLAYS = [path for path in FLAGFILES if path not in EXPERIMENTS]
EVALUATIONS = sorted(ROOT.glob("flags/evaluate/*.cfg"))
SOURCES = re.compile(
    r"# (paper, (section|table|figure) \d|appendix [AB]\b|released code\b|ours: \w)"
)


def flag_lines(path: pathlib.Path) -> list[tuple[str, str, str]]:
    """(flag, value, the line above) of each flag in a flagfile; fails on lines of no kind."""
    found = []
    above = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            match = re.fullmatch(r"--(\w+)=(\S+)", line)
            assert match, f"{path.name}:{number}: not a --name=value: {line!r}"
            found.append((match[1], match[2], above))
        above = line
    return found


def name_of(path: pathlib.Path) -> str:
    return path.stem


def test_there_are_experiments_and_an_overlay():
    assert {"digits", "vae_mnist", "vae_fashion_mnist", "vae_fashion_mnist_beta1"} <= {
        path.stem for path in EXPERIMENTS
    }
    assert {"vae_cpu", "seed_N"} <= {path.stem for path in OVERLAYS}


@pytest.mark.parametrize("path", FLAGFILES + EVALUATIONS, ids=name_of)
def test_each_value_stands_under_where_it_comes_from(path: pathlib.Path):
    lines = flag_lines(path)
    assert lines
    for flag, _, above in lines:
        assert SOURCES.match(above), f"{path.name}: --{flag} stands under {above!r}"
    flags = [flag for flag, _, _ in lines]
    assert len(flags) == len(set(flags)), "a flag is given twice"


def arguments(path: pathlib.Path) -> list[str]:
    """What train is given for a flagfile; for one with an N, with a number in its place."""
    if not path.stem.endswith("_N"):
        return [f"--flagfile={path}"]
    return [f"--{flag}={value.replace('N', '1')}" for flag, value, _ in flag_lines(path)]


def parse_training(*files: pathlib.Path) -> dict:
    """What train is given by these flagfiles; fails where it would refuse them."""
    from tfp_genens import cli, config, models, train

    classes = [config.RunConfig, config.TrainOptions]
    classes += [family.config for family in models.FAMILIES.values()]
    values = cli.parse(["train", *(word for file in files for word in arguments(file))], classes)
    config.RunConfig.from_values(values)
    config.TrainOptions.from_values(values)
    train.model_config(values, models.FAMILIES)
    return values


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name_of)
def test_experiments_are_what_training_takes(path: pathlib.Path):
    from tfp_genens import config, models

    values = parse_training(path)
    assert values.keys() == {flag for flag, _, _ in flag_lines(path)}
    assert "num_members" in values, "workflow/ reads it"
    is_trained_in_steps = issubclass(models.FAMILIES[values["model"]].config, config.ModelConfig)
    assert ("train_steps" in values) == is_trained_in_steps, "workflow/ reads it"


@pytest.mark.parametrize("path", OVERLAYS, ids=name_of)
def test_an_overlay_suits_its_experiments(path: pathlib.Path):
    """Those of the family that it is named after, or all."""
    from tfp_genens import models

    families = [name for name in models.FAMILIES if path.stem.startswith(f"{name}_")]
    overlaid = 0
    for experiment in EXPERIMENTS:
        before = parse_training(experiment)
        if before["model"] in (families or models.FAMILIES):
            after = parse_training(experiment, path)
            assert after.keys() == before.keys() | {flag for flag, _, _ in flag_lines(path)}
            assert after != before
            overlaid += 1
    assert overlaid, "no experiment has the --model that this overlay is named after"


def test_there_are_evaluations():
    assert EVALUATIONS


@pytest.mark.parametrize("path", EVALUATIONS, ids=name_of)
def test_flagfiles_for_evaluation_are_what_evaluate_takes(path: pathlib.Path):
    from tfp_genens import cli, config

    known = {file.stem for file in FLAGFILES}
    for file in EXPERIMENTS:
        known |= {value for flag, value, _ in flag_lines(file) if flag in ("model", "dataset")}
    for family in {name.removesuffix("_cpu") for name in known if name.endswith("_cpu")}:
        known |= {name.removeprefix(f"{family}_") for name in known}
    assert set(path.stem.split("+")) <= known, "named after nothing that is evaluated"
    values = cli.parse(["evaluate", f"--flagfile={path}"], [config.EvaluateConfig])
    assert values.keys() == {flag for flag, _, _ in flag_lines(path)}
    assert not values.keys() & {"run_dir", "output_dir"}, "workflow/ gives these"
    config.EvaluateConfig.from_values(values | {"run_dir": "run", "output_dir": "out"})


MAINS = {"train.py", "score.py", "evaluate.py", "report.py"}


def absl_flags_imports(source: str) -> list[int]:
    """The lines on which absl.flags is imported, or reached through absl."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found = any(n.name in ("absl", "absl.flags") for n in names)
            case ast.ImportFrom(module="absl", names=names):
                found = any(n.name in ("flags", "*") for n in names)
            case ast.ImportFrom(module=str(module)):
                found = module.split(".")[:2] == ["absl", "flags"]
            case _:
                found = False
        if found:
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from absl import app, flags as f", True),
        ("from absl.flags import DEFINE_string", True),
        ("def f():\n  import absl.flags", True),
        ("from absl import *", True),
        ("from absl import logging", False),
        ("from tfp_genens import flags", False),
    ],
)
def test_the_search_for_absl_flags_finds_it(source: str, found: bool):
    assert bool(absl_flags_imports(source)) == found


def test_only_the_mains_and_cli_touch_absl_flags():
    paths = sorted((ROOT / "tfp_genens").rglob("*.py"))
    allowed = {ROOT / "tfp_genens" / name for name in MAINS | {"cli.py"}}
    users = {path for path in paths if absl_flags_imports(path.read_text())}
    assert ROOT / "tfp_genens/cli.py" in users
    assert users <= allowed, sorted(str(p.relative_to(ROOT)) for p in users - allowed)


def tracked_files() -> list[pathlib.Path]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    command = ["git", "-C", str(ROOT), "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


# Written so that this file does not match itself.
MACHINE_PATHS = re.compile(r"(?<![\w.~}-])/(home|root|Users|work)/[\w.]+")


def test_the_search_for_paths_of_one_machine_finds_them():
    assert MACHINE_PATHS.search('open("' + "/ho" + 'me/me/data.npz")')
    assert not MACHINE_PATHS.search('open("runs/' + "ho" + 'me/data.npz")')


def test_no_file_names_a_path_of_one_machine():
    found = []
    for path in tracked_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATHS.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


def test_the_product_needs_nothing_beside_the_repository():
    outside = ".." + "/shared"
    files = ("run_all.sh", "setup.py", "pyproject.toml", "README.md")
    product = ("tfp_genens", "workflow", "flags", *files)
    for path in tracked_files():
        if path.relative_to(ROOT).parts[0] in product and path.suffix not in (".png", ".npz"):
            assert outside not in path.read_text(), path


def test_constraints_pin_each_package_once_and_cover_what_is_required():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in pins)
    versions = {canonicalize_name(p.name): next(iter(p.specifier)).version for p in pins}
    assert len(versions) == len(pins)

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = project["dependencies"] + [
        requirement for extra in project["optional-dependencies"].values() for requirement in extra
    ]
    for requirement in map(Requirement, required):
        name = canonicalize_name(requirement.name)
        if name != canonicalize_name(project["name"]):
            assert name in versions, f"{name} is not pinned"
            assert requirement.specifier.contains(versions[name]), requirement


def test_the_entry_points_are_the_mains():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert {f"{value.split(':')[0].split('.')[-1]}.py" for value in scripts.values()} == MAINS


SCRIPTS = [ROOT / "run_all.sh", ROOT / ".ci/run"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_sound(path: pathlib.Path):
    assert os.access(path, os.X_OK)
    assert "\nset -euo pipefail\n" in path.read_text()
    subprocess.run(["bash", "-n", path], check=True)
    shellcheck = shutil.which("shellcheck", path=str(pathlib.Path(sys.executable).parent))
    if shellcheck is None:
        pytest.skip("shellcheck (of the test extra) is not installed")
    result = subprocess.run([shellcheck, path], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
