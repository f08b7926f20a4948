"""What figures and tables call an evaluation and its members, where several stand together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfp_genens.evaluation import results
from tfp_genens.reporting.evaluation_files import Evaluation


def beta(evaluation: Evaluation) -> float | None:
    """The weight of the rate in training; None where the model has none."""
    value = evaluation.document["manifests"][0]["config"].get("beta")
    return None if value is None else float(value)


def run_label(evaluation: Evaluation) -> str:
    """E.g. "MNIST, beta 0.1"."""
    document = evaluation.document
    label = results.dataset_label(document, document["train_dataset"])
    value = beta(evaluation)
    return label if value is None else f"{label}, beta {value:g}"


def train_label(document: Mapping[str, Any]) -> str:
    """E.g. "MNIST"."""
    return results.dataset_label(document, document["train_dataset"])


def dataset_label(documents: Sequence[Mapping[str, Any]], name: str) -> str:
    """What any of the evaluations calls a set: not every one knows of every set."""
    return _first_label(results.dataset_label, documents, name)


def score_label(documents: Sequence[Mapping[str, Any]], score: str) -> str:
    """What any of the evaluations calls a score."""
    return _first_label(results.score_label, documents, score)


def _first_label(
    label: Callable[[Mapping[str, Any], str], str],
    documents: Sequence[Mapping[str, Any]],
    name: str,
) -> str:
    found = (label(document, name) for document in documents)
    return next((text for text in found if text != name), name)


def member_name(evaluation: Evaluation, position: int) -> str:
    """E.g. "member 0", by the member's own number."""
    return f"member {evaluation.in_distribution.scores.members[position]}"
