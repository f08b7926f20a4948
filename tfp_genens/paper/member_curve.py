"""How good an ensemble's scores are with fewer members: AUROC against ensemble size."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tfp_genens import seeds
from tfp_genens.artifact.spec import HIGHER_IS_NORMAL
from tfp_genens.errors import UserError
from tfp_genens.paper.ensemble_scores import EnsembleScore, combine_members
from tfp_genens.scoring.columns import EXAMPLE_ID, ScoreFile, member_column

SCORES = ("log_prob_mean", "log_prob_var", "waic", "rate_mean", "critic_mean", "critic_var")
MAX_SUBSETS = 300
_MAX_VALUES = 1 << 21  # member scores held at once: 16 MB

Outputs = Mapping[str, np.ndarray]
"""Member output -> float64 [num_members, num_inputs]."""


@dataclasses.dataclass(frozen=True)
class Point:
    """AUROC in percent of one score on one OoD set, over the subsets of members of one size.

    Mean, lowest and highest are over the `num_subsets` that were judged. `is_all`: there are no
    others; otherwise they were drawn.
    """

    ood_dataset: str
    score: str
    size: int
    mean: float
    lowest: float
    highest: float
    num_subsets: int
    is_all: bool


def curve(
    in_outputs: Outputs,
    ood_outputs: Mapping[str, Outputs],
    scores: Mapping[str, EnsembleScore],
    *,
    max_subsets: int = MAX_SUBSETS,
    seed: int = 0,
) -> tuple[Point, ...]:
    """The curve of every OoD set, score of SCORES that can be made, and size 1 to M.

    Subsets of the same members overlap, so lowest and highest are the range of what these members
    give, not an interval for members yet to be trained.

    Args:
      in_outputs: of in-distribution inputs.
      ood_outputs: by OoD set, of the same members.
      scores: those that can be made, and maybe more, by name.
      max_subsets: sizes with more subsets than this are judged on this many, drawn without
        replacement.
      seed: of that draw.

    Returns:
      Points in the order of the sets, then of SCORES, then of size.
    """
    num_members = len(next(iter(in_outputs.values())))
    for outputs in (in_outputs, *ood_outputs.values()):
        if outputs.keys() != in_outputs.keys() or {*map(len, outputs.values())} != {num_members}:
            raise ValueError(
                f"All sets must have the same outputs by the same {num_members} members."
            )
    points = []
    for size in range(1, num_members + 1):
        subsets, is_all = subsets_of_size(num_members, size, max_subsets, seed)
        for score in (name for name in SCORES if name in scores):
            aurocs = subset_aurocs(in_outputs, ood_outputs, scores[score], subsets)
            for ood, found in aurocs.items():
                ends = float(found.mean()), float(found.min()), float(found.max())
                points.append(Point(ood, score, size, *ends, len(subsets), is_all))
    sets = list(ood_outputs)
    return tuple(sorted(points, key=lambda p: (sets.index(p.ood_dataset), SCORES.index(p.score))))


def joined(files: Sequence[ScoreFile], what: str) -> dict[str, np.ndarray]:
    """Scores of the same inputs by members of several score files.

    Args:
      files: score files of one set, each by other members.
      what: names the set in errors.

    Returns:
      member output that all files have -> float64 [num_members, num_inputs]; members in the
      order of the files, inputs in that of the first.

    Raises:
      UserError: the files are not of the same inputs.
    """
    example_ids = files[0].frame[EXAMPLE_ID]
    for file in files:
        theirs = file.frame[EXAMPLE_ID]
        if theirs.duplicated().any() or set(theirs) != set(example_ids):
            raise UserError(
                "--evaluation_dir",
                f"the same inputs of {what} in each evaluation, by {EXAMPLE_ID}",
                f"{len(set(theirs) ^ set(example_ids)):,} that only one of two has, or a repeated "
                "one",
            )
    frames = [file.frame.set_index(EXAMPLE_ID).loc[example_ids] for file in files]
    return {
        output: np.concatenate(
            [
                frame[[member_column(output, m) for m in file.members]].to_numpy(np.float64).T
                for file, frame in zip(files, frames, strict=True)
            ]
        )
        for output in files[0].member_scores
        if all(output in file.member_scores for file in files)
    }


def subsets_of_size(
    num_members: int, size: int, max_subsets: int, seed: int
) -> tuple[np.ndarray, bool]:
    """Subsets of members, int [num_subsets, size], each ascending, and whether they are all."""
    if max_subsets < 1:
        raise ValueError(f"`max_subsets` must be positive; got {max_subsets}.")
    if math.comb(num_members, size) <= max_subsets:
        return np.array(list(itertools.combinations(range(num_members), size))), True
    generator = seeds.numpy_generator(seed, "member_curve", num_members, size)
    drawn: set[tuple[int, ...]] = set()
    while len(drawn) < max_subsets:
        drawn.add(tuple(sorted(map(int, generator.choice(num_members, size, replace=False)))))
    return np.array(sorted(drawn)), False


def subset_aurocs(
    in_outputs: Outputs,
    ood_outputs: Mapping[str, Outputs],
    score: EnsembleScore,
    subsets: np.ndarray,
) -> dict[str, np.ndarray]:
    """AUROC of an ensemble score for each subset of the members.

    Args:
      in_outputs: of in-distribution inputs.
      ood_outputs: by OoD set.
      score: the ensemble score.
      subsets: int [num_subsets, size], positions of members.

    Returns:
      OoD set -> float64 [num_subsets], percent; ties and NaN count as in `metrics`.
    """
    # In-distribution scores are sorted once and serve all sets: this is most of the time saved.
    inside = [(len(row), np.sort(row[~np.isnan(row)])) for row in _of(in_outputs, score, subsets)]
    return {
        name: np.array(
            [
                _auroc(sorted_in, row, num_in, score.direction)
                for (num_in, sorted_in), row in zip(
                    inside, _of(outputs, score, subsets), strict=True
                )
            ]
        )
        for name, outputs in ood_outputs.items()
    }


def _of(outputs: Outputs, score: EnsembleScore, subsets: np.ndarray) -> Iterator[np.ndarray]:
    """The ensemble score of each subset, [num_inputs] each."""
    needed = {name: outputs[name] for name in score.inputs}
    num_inputs = next(iter(needed.values())).shape[1]
    step = max(1, _MAX_VALUES // (subsets.shape[1] * num_inputs))
    for start in range(0, len(subsets), step):
        chosen = subsets[start : start + step].T  # [size, num_chosen]
        yield from combine_members(score, {name: values[chosen] for name, values in needed.items()})


def _auroc(sorted_in: np.ndarray, ood: np.ndarray, num_in: int, direction: str) -> float:
    """`metrics.auroc` in percent, where the ID scores are sorted and without their NaN."""
    known = np.sort(ood[~np.isnan(ood)])  # in order, they are looked up faster
    below = np.searchsorted(sorted_in, known, side="left").sum()
    at_or_below = np.searchsorted(sorted_in, known, side="right").sum()
    above = len(sorted_in) * len(known) - at_or_below
    wins = above if direction == HIGHER_IS_NORMAL else below
    # Twice the wins, a tie being half a win: integers until the division.
    return 100.0 * float(2 * wins + at_or_below - below) / (2.0 * num_in * len(ood))
