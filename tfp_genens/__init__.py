"""Generative Ensembles for out-of-distribution detection, on TensorFlow Probability."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfp_genens.errors import UserError
    from tfp_genens.scoring import Ensemble

__version__ = "0.1.0"
__all__ = ["Ensemble", "UserError"]

# Imported when they are first asked for: what scores loads TensorFlow, which takes seconds.
_MODULES = {"Ensemble": "tfp_genens.scoring", "UserError": "tfp_genens.errors"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
