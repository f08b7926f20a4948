"""The packages that only figures and reports need."""

import importlib.util

from tfp_genens.errors import UserError

PACKAGES = ("matplotlib", "jinja2", "markdown_it")


def require_report_extra(argument: str) -> None:
    """Raises UserError, naming the pip command, unless figures and reports can be made."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        expected = "the packages of `pip install tfp_genens[report]`"
        raise UserError(argument, expected, "none of " + " and ".join(missing))
