"""Noise changed so that a detector takes it for normal (paper, section 4: "Gaussian noise
adversarially perturbed by FGSM on a single model").

The fast gradient sign method is due to Goodfellow et al. (2015), its iterated and projected form
(PGD) to Madry et al. (2018). Gradients are taken at the noise itself, but for the variants that
measure what the authors' released code did: it took them at real test images.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from tfp_genens.artifact.spec import LOWER_IS_NORMAL, OutputSpec
from tfp_genens.data.noise import Blocks, Range
from tfp_genens.data.sources import BLOCK_SIZE, Source, read_all, take

PAPER_EPS = 0.3  # of the value range


class Differentiable(Protocol):
    """The part of a frozen ensemble that an attack needs."""

    @property
    def attacked_score(self) -> str | None:
        """The score whose gradient the members offer, higher for normal inputs; None: none."""

    def score_and_gradient(self, values: np.ndarray, member: int) -> tuple[np.ndarray, np.ndarray]:
        """That score [batch] of one member, and its gradient [batch, *shape] per raw unit."""

    @property
    def ensemble_scores(self) -> Mapping[str, OutputSpec]:
        """Scores of the whole ensemble."""

    def score_gradient(self, score: str, values: np.ndarray) -> np.ndarray:
        """The gradient of a score of the whole ensemble, [batch, *shape] per raw unit."""


def member_gradient(ensemble: Differentiable, values: np.ndarray) -> np.ndarray:
    """The gradient of member 0's own score."""
    return ensemble.score_and_gradient(values, 0)[1]


def member_descent(ensemble: Differentiable, values: np.ndarray) -> np.ndarray:
    """Down the gradient of member 0's own score, as the authors' code "attacks" a WGAN's critic.

    It makes noise look less normal still, so that even a poor detector finds it.
    """
    return -member_gradient(ensemble, values)


def waic_gradient(ensemble: Differentiable, values: np.ndarray) -> np.ndarray:
    """The gradient of the whole ensemble's WAIC."""
    return ensemble.score_gradient("waic", values)


def scores_gradient(
    ensemble: Differentiable, values: np.ndarray, scores: Sequence[str]
) -> np.ndarray:
    """Towards normal by all of these scores of the ensemble, each brought to one scale an input."""
    total = np.zeros(values.shape, np.float64)
    axes = tuple(range(1, values.ndim))
    for score in scores:
        slope = ensemble.score_gradient(score, values).astype(np.float64)
        if ensemble.ensemble_scores[score].direction == LOWER_IS_NORMAL:
            slope = -slope
        size = np.abs(slope).mean(axis=axes, keepdims=True)
        total += slope / np.where(size > 0, size, 1.0)
    return total


def pgd(
    values: np.ndarray,
    gradient: Callable[[np.ndarray], np.ndarray],
    eps: float,
    *,
    steps: int,
    step_size: float,
    last_step_size: float | None = None,
    clip_to: Range | None = None,
) -> np.ndarray:
    """`steps` sign steps up a score, each projected back to within `eps` of `values`.

    One step of size `eps` is FGSM: values + eps * sign(gradient(values)).

    Args:
      values: float32 [batch, *shape], raw scale.
      gradient: of the score to raise, [batch, *shape] -> [batch, *shape].
      eps, step_size: on the raw scale (the paper's 0.3 is 0.3 * 255 for images 0 to 255).
      last_step_size: where steps shrink, by the same factor each, what the last one is. Steps of
        one size end in jumping to and fro across the optimum.
      clip_to: the valid range that the result is clipped to; None leaves it where it lands.

    Returns:
      float32 [batch, *shape].

    Raises:
      FloatingPointError: the gradient is not finite, or zero throughout at `values`.
    """
    if steps < 1 or eps <= 0 or step_size <= 0:
        raise ValueError(
            f"`steps`, `eps` and `step_size` must be positive; got {steps}, {eps} and {step_size}."
        )
    start = np.asarray(values, np.float32)
    lowest, highest = start - np.float32(eps), start + np.float32(eps)
    if clip_to is not None:
        lowest, highest = lowest.clip(*clip_to), highest.clip(*clip_to)
    attacked = start
    for size in np.geomspace(step_size, last_step_size or step_size, steps, dtype=np.float32):
        slope = gradient(attacked)
        if not np.isfinite(slope).all():
            raise FloatingPointError("`gradient` must be finite; got NaN or infinite values.")
        if attacked is start and not slope.any():
            raise FloatingPointError("`gradient` must not be zero everywhere; got only zeros.")
        moved = attacked + size * np.sign(slope).astype(np.float32)
        attacked = np.clip(moved, lowest, highest)
    return attacked


AT_NOISE, AT_TEST_INPUTS = "at_noise", "at_test_inputs"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attack:
    """Inputs, most often Gaussian noise, after some sign steps up a gradient.

    Attributes:
      gradient: of what, see `member_gradient`.
      gradient_at: AT_NOISE takes it at the noise as it moves, which makes it an attack;
        AT_TEST_INPUTS at the i-th test input for the i-th noise input, wherever that moves.
      noise_clipped: whether the noise begins clipped to the valid range.
      result_clipped: whether it ends so.
      steps, eps, step_size, last_step_size: see `pgd`; all but the first as fractions of the range.
    """

    gradient: Callable[[Differentiable, np.ndarray], np.ndarray] = member_gradient
    gradient_at: str = AT_NOISE
    noise_clipped: bool = True
    result_clipped: bool = True
    steps: int = 1
    eps: float = PAPER_EPS
    step_size: float = PAPER_EPS
    last_step_size: float | None = None

    def blocks(
        self, start: Blocks, value_range: Range, ensemble: Differentiable, test_inputs: Blocks
    ) -> Blocks:
        """Blocks of what it starts from, each attacked as a whole; raises what `pgd` raises."""
        width = value_range[1] - value_range[0]

        def make_block(block: int) -> np.ndarray:
            def gradient(values: np.ndarray) -> np.ndarray:
                is_at_noise = self.gradient_at == AT_NOISE
                return self.gradient(ensemble, values if is_at_noise else test_inputs(block))

            return pgd(
                start(block),
                gradient,
                self.eps * width,
                steps=self.steps,
                step_size=self.step_size * width,
                last_step_size=self.last_step_size and self.last_step_size * width,
                clip_to=value_range if self.result_clipped else None,
            )

        return make_block


def blocks_of(test: Source, num_examples: int) -> Blocks:
    """The first `num_examples` test inputs in blocks, read when first asked for and kept in memory.

    A last block that is cut short takes the first inputs over again for what is left of it.
    """

    @functools.cache
    def inputs() -> Blocks:
        values = read_all(take(test, num_examples))[1]
        if len(values) < num_examples:
            raise ValueError(f"`test` must have {num_examples} examples; got {len(values)}.")
        return blocks_of_values(values)

    return lambda block: inputs()(block)


def blocks_of_values(values: np.ndarray) -> Blocks:
    """Inputs [num, *shape] in blocks of float32; the first fill the last block up."""
    values = values.astype(np.float32)

    def make_block(block: int) -> np.ndarray:
        return values[np.arange(block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE) % len(values)]

    return make_block
