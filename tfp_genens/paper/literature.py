"""Bits a dimension that others published, as data to stand beside ours.

`published_bits_per_dim.json` has the source of every number, and null where a source does not say.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any


@functools.cache
def _document() -> dict[str, Any]:
    return json.loads(
        resources.files("tfp_genens.paper")
        .joinpath("published_bits_per_dim.json")
        .read_text(encoding="utf-8")
    )


def bits_per_dim(train_dataset: str) -> Sequence[Mapping[str, Any]]:
    """Rows of the file: what models trained on this set got on images kept from training.

    Settings go by the names of our flags: "num_steps" (K), "num_levels" (L), "width", "coupling".
    """
    return _document()["train_datasets"].get(train_dataset, ())
