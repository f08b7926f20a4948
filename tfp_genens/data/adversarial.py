"""Noise changed so that a detector takes it for normal (paper, section 4: "Gaussian noise
adversarially perturbed by FGSM on a single model").

The fast gradient sign method is due to Goodfellow et al. (2015), its iterated and projected form
(PGD) to Madry et al. (2018). Gradients are taken at the noise itself, but for the variants that
measure what the authors' released code did: it took them at real test images.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol

import numpy as np

from tfp_genens.data.noise import Blocks
from tfp_genens.data.sources import BLOCK_SIZE, Source, read_all, take

PAPER_EPS = 0.3  # of the value range

# values float32 [batch, *shape] -> d score / d values [batch, *shape]
Gradient = Callable[[np.ndarray], np.ndarray]


class Differentiable(Protocol):
    """The part of a frozen ensemble that an attack needs."""

    @property
    def num_members(self) -> int: ...

    @property
    def attacked_score(self) -> str | None:
        """The score whose gradient the members offer, higher for normal inputs; None: none."""
        ...

    def score_and_gradient(self, values: np.ndarray, member: int) -> tuple[np.ndarray, np.ndarray]:
        """That score [batch] of one member, and its gradient [batch, *shape] per raw unit."""
        ...

    def score_gradient(self, score: str, values: np.ndarray) -> np.ndarray:
        """The gradient of a score of the whole ensemble, [batch, *shape] per raw unit."""
        ...


def member_gradient(ensemble: Differentiable, member: int = 0) -> Gradient:
    """The gradient of one member's own score.

    Raises:
      ValueError: there is no such member.
    """
    if not 0 <= member < ensemble.num_members:
        raise ValueError(f"`member` must be below {ensemble.num_members}; got {member}.")
    return lambda values: ensemble.score_and_gradient(values, member)[1]


def member_descent(ensemble: Differentiable) -> Gradient:
    """Down the gradient of member 0's own score, as the authors' code "attacks" a WGAN's critic.

    It makes noise look less normal still, so that even a poor detector finds it.
    """
    gradient = member_gradient(ensemble)
    return lambda values: -gradient(values)


def waic_gradient(ensemble: Differentiable) -> Gradient:
    """The gradient of the whole ensemble's WAIC."""
    return lambda values: ensemble.score_gradient("waic", values)


def fgsm(
    values: np.ndarray,
    gradient: Gradient,
    eps: float,
    clip_to: tuple[float, float] | None = None,
) -> np.ndarray:
    """One step up a score: values + eps * sign(gradient(values)).

    Args:
      values: float32 [batch, *shape], raw scale.
      gradient: of the score to raise.
      eps: step size on the raw scale (the paper's 0.3 is 0.3 * 255 for images 0 to 255).
      clip_to: the valid range that the result is clipped to; None leaves it where it lands.

    Returns:
      float32 [batch, *shape].

    Raises:
      FloatingPointError: the gradient is not finite, or is zero throughout at `values`, so that
        nothing would be attacked.
    """
    return pgd(values, gradient, eps, steps=1, step_size=eps, clip_to=clip_to)


def pgd(
    values: np.ndarray,
    gradient: Gradient,
    eps: float,
    *,
    steps: int,
    step_size: float,
    clip_to: tuple[float, float] | None = None,
) -> np.ndarray:
    """`steps` sign steps, each projected back to within `eps` of `values`; else as `fgsm`."""
    if steps < 1 or eps <= 0 or step_size <= 0:
        raise ValueError(
            f"`steps`, `eps` and `step_size` must be positive; got {steps}, {eps} and {step_size}."
        )
    start = np.asarray(values, np.float32)
    lowest, highest = start - np.float32(eps), start + np.float32(eps)
    if clip_to is not None:
        lowest, highest = lowest.clip(*clip_to), highest.clip(*clip_to)
    attacked = start
    for _ in range(steps):
        slope = gradient(attacked)
        if not np.isfinite(slope).all():
            raise FloatingPointError("`gradient` must be finite; got NaN or infinite values.")
        if attacked is start and not slope.any():
            raise FloatingPointError("`gradient` must not be zero everywhere; got only zeros.")
        moved = attacked + np.float32(step_size) * np.sign(slope).astype(np.float32)
        attacked = np.clip(moved, lowest, highest)
    return attacked


# Block number -> the gradient that the attack on that block of noise follows.
GradientBlocks = Callable[[int], Gradient]


def at_noise(gradient: Gradient, test: Source, num_examples: int) -> GradientBlocks:
    """Gradients at the noise as it moves, which makes it an attack; needs no test inputs."""
    del test, num_examples
    return lambda block: gradient


def at_test_inputs(gradient: Gradient, test: Source, num_examples: int) -> GradientBlocks:
    """The gradient at the i-th test input for the i-th noise input, wherever that moves.

    Args:
      gradient: of the score to raise.
      test: in-distribution test inputs, at least `num_examples`; they are kept in memory.
      num_examples: noise inputs to be attacked. A last block that is cut short takes the first
        inputs over again for what is left of it.
    """

    @functools.cache
    def inputs() -> np.ndarray:
        values = read_all(take(test, num_examples))[1].astype(np.float32)
        if len(values) < num_examples:
            raise ValueError(f"`test` must have {num_examples} examples; got {len(values)}.")
        return values

    def in_block(block: int) -> Gradient:
        rows = np.arange(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE) % num_examples
        slope = gradient(inputs()[rows])
        return lambda values: slope

    return in_block


def attacked_blocks(
    noise: Blocks, gradients: GradientBlocks, attack: Callable[[np.ndarray, Gradient], np.ndarray]
) -> Blocks:
    """Blocks of noise, each attacked as a whole."""
    return lambda block: attack(noise(block), gradients(block))
