"""The paper's numbers and settings, and where a run of ours departs from them.

The numbers are `evaluation.published`'s; the settings are in `settings.json`. Our
`adversarial_unclipped` is the paper's "Adversarial": its zeros come from pixels outside [0, 1], so
the clipped variants have no number there.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from tfp_genens.evaluation.published import (
    columns,
    main_scores,
    name_of,
    results,
    train_datasets,
    value,
)

__all__ = [
    "columns",
    "departures",
    "deviations",
    "main_scores",
    "results",
    "settings",
    "train_datasets",
    "value",
]

ADVERSARIAL = "adversarial_unclipped"
"""The OoD set that the paper's numbers for "Adversarial" are filed under."""


@functools.cache
def _document() -> dict[str, Any]:
    path = resources.files("tfp_genens.paper").joinpath("settings.json")
    return json.loads(path.read_text(encoding="utf-8"))


def settings(model: str, train_dataset: str) -> list[Mapping[str, Any]]:
    """The paper's settings for a model and training set: {"name", "value", "source"} each."""
    return [
        setting
        for group in _document()["settings"]
        if group["model"] == model and name_of(train_dataset) in group["train_datasets"]
        for setting in group["settings"]
    ]


def deviations(
    model: str,
    train_dataset: str,
    config: Mapping[str, Any],
    num_members: int,
    num_examples: int,
) -> list[str]:
    """One sentence a setting in which a run departs from the paper's, as far as both are known.

    Args:
      model: e.g. "vae".
      train_dataset: e.g. "mnist"; the paper's settings are not the same for all.
      config: the training configuration out of a member's manifest.
      num_members: members of the ensemble.
      num_examples: inputs scored of each set, at most.
    """
    used = {**config, "num_members": num_members}
    notes = []
    for setting in settings(model, train_dataset):
        name, theirs = setting["name"], setting["value"]
        if name in used and used[name] != theirs:
            notes.append(f"{name} is {used[name]}; the paper: {theirs} ({setting['source']}).")
    for theirs in _document()["num_examples"]:
        if theirs["model"] == model and num_examples < theirs["value"]:
            notes.append(
                f"At most {num_examples:,} inputs of each set were scored; the paper: "
                f"{theirs['value']:,} ({theirs['source']})."
            )
    return notes


def departures(document: Mapping[str, Any]) -> list[str]:
    """The deviations of an evaluation, see `deviations`; `document` is results.json."""
    return deviations(
        document["model"],
        document["train_dataset"],
        document["manifests"][0]["config"],
        document["members"],
        document["settings"]["num_examples"],
    )
