"""How scores and data sets are called in tables and figures; other names stand for themselves."""

from __future__ import annotations

_SCORES = {
    "log_prob": "log p(x)",
    "log_prob_mean": "Mean log p(x)",
    "log_prob_var": "Var log p(x)",
    "waic": "WAIC",
    "elbo": "ELBO",
    "rate": "Rate",
    "rate_mean": "Mean rate",
    "rate_var": "Var rate",
    "distortion": "Distortion",
    "critic": "D",
    "critic_var": "Var(D)",
    "odin": "ODIN",
    "max_softmax": "Max softmax",
    "bits_per_dim": "Bits/dim",
}

_DATASETS = {
    "digits": "Digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "omniglot": "Omniglot",
    "not_mnist": "notMNIST",
    "celeba": "CelebA",
    "svhn": "SVHN",
    "imagenet32": "ImageNet32",
    "uniform": "Uniform noise",
    "gaussian": "Gaussian noise",
    "hflip": "HFlip",
    "vflip": "VFlip",
    "photo_patches": "Photo patches",
    "adversarial_unclipped": "Adversarial, unclipped",
    "adversarial_clipped": "Adversarial, clipped",
    "adversarial_pgd_clipped": "Adversarial, PGD",
    "adversarial_waic_clipped": "Adversarial, WAIC",
}


def score(name: str) -> str:
    """E.g. "log p(x)" for "log_prob"."""
    return _SCORES.get(name, name)


def dataset(name: str) -> str:
    """E.g. "Fashion-MNIST" for "fashion_mnist"."""
    return _DATASETS.get(name, name)
