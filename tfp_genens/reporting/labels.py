"""What figures and tables call an evaluation and its members, where several stand together."""

from __future__ import annotations

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


def member_name(evaluation: Evaluation, position: int) -> str:
    """E.g. "member 0", by the member's own number."""
    return f"member {evaluation.in_distribution.scores.members[position]}"
