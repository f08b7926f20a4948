"""Which OoD set stands beside a training set where only one is shown."""

from __future__ import annotations

from collections.abc import Sequence

# The first is the paper's own (section 4.1, Figure 3); CIFAR-10 and SVHN are its Figure 1's.
COUNTERPARTS = {"fashion_mnist": "mnist", "mnist": "fashion_mnist", "cifar10": "svhn"}


def counterpart(train_dataset: str, ood_datasets: Sequence[str]) -> str:
    """The training set's counterpart, or the first OoD set where it is not among them."""
    wanted = COUNTERPARTS.get(train_dataset, ood_datasets[0])
    return wanted if wanted in ood_datasets else ood_datasets[0]
