"""Command lines: absl flags out of configuration classes, and errors a user can act on.

Flags live in a FlagValues object of their own for each call, never in the global one, so library
code cannot read them and several mains can run in one process.
"""

import dataclasses
import difflib
import inspect
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags

from tfp_genens.config import Config, describe_limits, value_type
from tfp_genens.errors import UserError

_DEFINE: dict[type, Callable[..., Any]] = {
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_boolean,
    str: flags.DEFINE_string,
    tuple: flags.DEFINE_list,
}
_HELP_FLAGS = {"--help", "-h", "-help", "--helpshort", "--helpfull"}


def options_of(classes: Sequence[type[Config]]) -> dict[str, tuple[dataclasses.Field, type]]:
    """Flag name -> (field, value type); a flag that several classes have is listed once."""
    options: dict[str, tuple[dataclasses.Field, type]] = {}
    for cls in classes:
        hints = typing.get_type_hints(cls)
        for field in dataclasses.fields(cls):
            options.setdefault(field.name, (field, value_type(hints[field.name])))
    return options


def parse(argv: Sequence[str], classes: Sequence[type[Config]]) -> dict[str, Any]:
    """The values that a command line gives, `--flagfile`s included; flags not given are absent.

    Flags are the fields of `classes`. Raises UserError: an unknown flag, a value of the wrong type,
    a stray argument, an unreadable flagfile.
    """
    options = options_of(classes)
    values = flags.FlagValues()
    for name, (field, kind) in options.items():
        _DEFINE[kind](name, None, field.metadata["help"], flag_values=values)
    try:
        rest = values(list(argv))
    except flags.UnrecognizedFlagError as e:
        raise UserError(f"--{e.flagname}", _known(e.flagname, options), "an unknown flag") from e
    except flags.Error as e:
        match = re.match(r"flag --(\w+)=(.*?): ", str(e), re.DOTALL)
        if match is None:
            raise UserError("command line", "valid flags", str(e)) from e
        field, kind = options[match[1]]
        raise UserError(f"--{match[1]}", describe_limits(field, kind), repr(match[2])) from e
    if len(rest) > 1:
        raise UserError("command line", "only flags, --name=value", repr(rest[1]))
    given = {name: value for name in options if (value := values[name].value) is not None}
    return {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}


def _known(name: str, options: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, options)
    names = ", ".join(f"--{option}" for option in close or sorted(options))
    return f"a known flag (did you mean {names}?)" if close else f"one of {names}"


def usage(description: str, classes: Sequence[type[Config]]) -> str:
    """The text of `--help`: a section a class, as a flag may mean something else in each."""
    lines = [description.strip()]
    for cls in classes:
        summary = inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0]
        lines += ["", " ".join(summary.split())]
        for name, (field, kind) in options_of([cls]).items():
            text = field.metadata["help"]
            if field.default is dataclasses.MISSING:
                text += " (required)"
            elif field.default not in (None, ()):
                text += f" (default: {field.default})"
            if field.metadata["choices"]:
                text = f"{text} [{'|'.join(field.metadata['choices'])}]"
            lines.append(f"  --{name}=<{'a,b,...' if kind is tuple else kind.__name__}>")
            lines.append(textwrap.indent(textwrap.fill(text, 84), " " * 8))
    lines += ["", "  --flagfile=<path>", "        read flags from a file, one a line"]
    return "\n".join(lines)


def run(
    description: str,
    classes: Sequence[type[Config]],
    function: Callable[[dict[str, Any]], int | None],
) -> None:
    """Runs a main: parses sys.argv, calls `function(values)` and exits.

    A user's error becomes one line on stderr and exit code 2; an interrupt exits with 130.
    """
    if _HELP_FLAGS & set(sys.argv[1:]):
        print(usage(description, classes))
        sys.exit(0)
    try:
        sys.exit(function(parse(sys.argv, classes)) or 0)
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
