"""The paper's numbers and settings, and where a run of ours departs from them.

The numbers are `evaluation.published`'s; the settings are in `settings.json`, others' numbers in
`published_bits_per_dim.json`. Our `adversarial_unclipped` is the paper's "Adversarial": its zeros
come from pixels outside [0, 1], so the clipped variants have no number there.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tfp_genens.evaluation.published import columns, name_of, results, value
from tfp_genens.files import packaged

__all__ = ["columns", "main_scores", "results", "train_datasets", "value"]

ADVERSARIAL = "adversarial_unclipped"
"""The OoD set that the paper's numbers for "Adversarial" are filed under."""

# Scores without a column of the paper's that are shown beside one that has it.
_BESIDE = {"odin": ("max_softmax",)}


def train_datasets() -> frozenset[str]:
    """The training sets that the paper has results for."""
    return frozenset(train_dataset for train_dataset, _, _ in results())


def main_scores(scores: Collection[str], model: str) -> tuple[str, ...]:
    """Those of `scores` the paper has a column for, in its columns' order, and what belongs beside
    them; if it has none, all.
    """
    order = list(dict.fromkeys(column for _, _, column in results()))
    known = [score for score in scores if columns(score, model)]
    ranked = sorted(known, key=lambda score: (order.index(columns(score, model)[0]), score))
    shown = [name for score in ranked for name in (score, *_BESIDE.get(score, ()))]
    return tuple(name for name in shown if name in scores) or tuple(scores)


COUNTERPARTS = {"fashion_mnist": "mnist", "mnist": "fashion_mnist", "cifar10": "svhn"}
"""Training set -> the OoD set shown where only one is: section 4.1 and Figure 3; Figure 1."""


def counterpart(train_dataset: str, ood_datasets: Sequence[str]) -> str:
    """The training set's counterpart, or the first OoD set where it is not among them."""
    wanted = COUNTERPARTS.get(train_dataset, ood_datasets[0])
    return wanted if wanted in ood_datasets else ood_datasets[0]


def published_bits_per_dim(train_dataset: str) -> Sequence[Mapping[str, Any]]:
    """What others' models trained on this set got on images kept from training.

    `published_bits_per_dim.json` has the source of every number, and null where a source does not
    say. Settings go by our flags: "num_steps" (K), "num_levels" (L), "width", "coupling".
    """
    document = packaged("tfp_genens.paper", "published_bits_per_dim.json")
    return document["train_datasets"].get(train_dataset, ())


def _settings() -> dict[str, Any]:
    return packaged("tfp_genens.paper", "settings.json")


def settings(model: str, train_dataset: str) -> list[Mapping[str, Any]]:
    """The paper's settings for a model and training set: {"name", "value", "source"} each."""
    return [
        setting
        for group in _settings()["settings"]
        if group["model"] == model and name_of(train_dataset) in group["train_datasets"]
        for setting in group["settings"]
    ]


def departures(document: Mapping[str, Any]) -> list[str]:
    """One sentence a setting in which results.json departs from the paper, where both are known."""
    model, num_examples = document["model"], document["settings"]["num_examples"]
    used = {**document["manifests"][0]["config"], "num_members": document["members"]}
    notes = []
    for setting in settings(model, document["train_dataset"]):
        name, theirs = setting["name"], setting["value"]
        if name in used and used[name] != theirs:
            notes.append(f"{name} is {used[name]}; the paper: {theirs} ({setting['source']}).")
    said = f"At most {num_examples:,} inputs of each set were scored"
    notes += [
        f"{said}; the paper: {theirs['value']:,} ({theirs['source']})."
        for theirs in _settings()["num_examples"]
        if theirs["model"] == model and num_examples < theirs["value"]
    ]
    return notes


def ood_sets(train_dataset: str) -> list[str]:
    """The OoD sets of the paper's rows, in its order."""
    return list(dict.fromkeys(ood for train, ood, _ in results() if train == train_dataset))


def column(score: str, model: str, train_dataset: str) -> tuple[int, str | None]:
    """Place and name of a score among the paper's columns for a training set; after all, and None,
    where it has none.
    """
    filed = name_of(train_dataset)
    order = list(dict.fromkeys(name for train, _, name in results() if train == filed))
    found = next((name for name in columns(score, model) if name in order), None)
    return (len(order) if found is None else order.index(found)), found
