"""Stateless seeds: every random number is a function of the run's seed and a path of labels."""

import hashlib

import numpy as np


def derive_seed(seed: int, *path: str | int) -> np.ndarray:
    """A stateless seed int32 [2] for one purpose, e.g. `derive_seed(0, "member", 3, "init")`.

    The path tells this purpose from all others; the seed is the same on every machine and in every
    version.
    """
    text = "/".join(map(str, (int(seed), *path)))
    digest = hashlib.sha256(text.encode()).digest()
    return np.frombuffer(digest[:8], dtype="<i4").astype(np.int32)


def derive_int(seed: int, *path: str | int) -> int:
    """A non-negative int below 2**31, for APIs that take a plain seed."""
    return int(derive_seed(seed, *path)[0]) & 0x7FFFFFFF


def numpy_generator(seed: int, *path: str | int) -> np.random.Generator:
    """An independent NumPy generator for one purpose."""
    return np.random.Generator(np.random.Philox(derive_seed(seed, *path).view(np.uint32)))
