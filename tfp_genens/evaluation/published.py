"""Published numbers of registered data sets, as data to stand beside ours.

`published_results.json` holds the tables in "Generative Ensembles for Robust Anomaly Detection":
AUROC on MNIST, Fashion-MNIST and CIFAR-10, and card fraud; null where they have N/A. "columns" are
those that a score of ours belongs to, by model; Table 3 calls the single likelihood model "Single
IWAE". What "likelihood_columns" are of hangs on the training set, see "likelihood_models".
"variants" of a set share a name of the paper's; splits ("credit_fraud/3") need no row.
"""

import functools
import re
from typing import Any

from tfp_genens.files import packaged


def name_of(train_dataset: str) -> str:
    """What a training set of ours is filed under here: "credit_fraud" for "credit_fraud/3"."""
    without_split = re.sub(r"/\d+$", "", train_dataset)
    return _document()["variants"].get(without_split, without_split)


def _document() -> dict[str, Any]:
    return packaged("tfp_genens.evaluation", "published_results.json")


@functools.cache
def results() -> dict[tuple[str, str, str], dict[str, float | None]]:
    """The paper's metrics, percent, by (train_dataset, ood_dataset, column); None is its N/A."""
    document = _document()
    found: dict[tuple[str, str, str], dict[str, float | None]] = {}
    table = document["table_2"]
    for row in table["rows"]:
        for column, value in zip(table["columns"], row["auroc"], strict=True):
            found[row["train_dataset"], row["ood_dataset"], column] = {"auroc": value}
    table = document["table_3"]
    for row in table["rows"]:
        key = (table["train_dataset"], table["ood_dataset"], row["column"])
        found[key] = {name: value for name, value in row.items() if name != "column"}
    return found


def columns(score: str, model: str) -> tuple[str, ...]:
    """The paper's columns for one of our scores, e.g. ("Rate",) for a VAE's rate; may be empty."""
    of_any, of_model = (_document()["columns"].get(name, {}) for name in ("of any model", model))
    return tuple(of_model.get(score, of_any.get(score, ())))


def value(
    train_dataset: str, ood_dataset: str, score: str, model: str, metric: str = "auroc"
) -> float | None:
    """The paper's number in percent for one of our rows, or None where it has none.

    None, too, for likelihoods of another model than the paper's on that training set: its log p(x)
    of MNIST is a VAE's, of CIFAR-10 a GLOW's.
    """
    likelihood_model = _document()["likelihood_models"].get(name_of(train_dataset))
    for column in columns(score, model):
        if column in _document()["likelihood_columns"] and model != likelihood_model:
            continue
        found = results().get((name_of(train_dataset), ood_dataset, column), {}).get(metric)
        if found is not None:
            return found
    return None
