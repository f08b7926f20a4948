"""Which rows of the card-fraud table train and which test (paper, section 4.2), in five ways.

The set is laid out once, in a random but fixed order, so that every part of every split is a slice:
`normal` begins with five blocks of test rows, and `fraud` consists of five folds. Rows that are
equal in all features stand in the same block: 1,081 rows of the table are repetitions of others,
and none is to be in training and test alike.
"""

from collections.abc import Sequence

import numpy as np

NAME = "card_fraud"
NORMAL, FRAUD = "normal", "fraud"  # both the splits of the set and its classes, in this order
NUM_ROWS = 284_807
NUM_FRAUDS = 492
NUM_SPLITS = 5


def bounds(name: str) -> tuple[int, ...]:
    """Where the test blocks of `normal`, each of as many rows as there are frauds, or the folds of
    `fraud` end, from 0 on.
    """
    end = NUM_FRAUDS * NUM_SPLITS if name == NORMAL else NUM_FRAUDS
    return tuple(round(end * i / NUM_SPLITS) for i in range(NUM_SPLITS + 1))


def parts(name: str, split: int) -> tuple[str, str]:
    """Slices of `normal` or `fraud`: all rows but those that a split leaves out, and these."""
    num_rows = NUM_ROWS - NUM_FRAUDS if name == NORMAL else NUM_FRAUDS
    start, stop = bounds(name)[split : split + 2]
    kept = [f"{name}[:{start}]"] * (start > 0) + [f"{name}[{stop}:]"] * (stop < num_rows)
    return "+".join(kept), f"{name}[{start}:{stop}]"


def arrange(
    groups: np.ndarray, bounds: Sequence[int], generator: np.random.Generator
) -> np.ndarray:
    """A random order of rows, int [num_rows], in which no group reaches over a bound.

    Rows of one number in `groups` stay together; `bounds` ascend from 0, and what follows the last
    is a block too. Raises ValueError where some block cannot be filled.
    """
    by_group = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[by_group])) + 1
    waiting = np.split(by_group, starts)
    waiting = [waiting[i] for i in generator.permutation(len(waiting))]
    blocks = []
    for size in np.diff([*bounds, len(groups)]):
        free = int(size)
        taken: list[np.ndarray] = []
        left: list[np.ndarray] = []
        for group in waiting:
            fits = len(group) <= free
            (taken if fits else left).append(group)
            free -= len(group) if fits else 0
        if free:
            raise ValueError(f"`groups` must fill blocks of {size} rows; got {free} rows too few.")
        waiting = left
        if taken:
            blocks.append(generator.permutation(np.concatenate(taken)))
    return np.concatenate(blocks)
