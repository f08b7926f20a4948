"""How good an ensemble's scores are with fewer members: AUROC against ensemble size."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tfp_genens import seeds
from tfp_genens.artifact.spec import OutputSpec
from tfp_genens.errors import UserError
from tfp_genens.evaluation import metrics, results
from tfp_genens.evaluation.rows import member_values
from tfp_genens.paper import configurations, densities
from tfp_genens.paper.configurations import Configuration, require_scores
from tfp_genens.reporting.evaluation_files import ARGUMENT, EvaluatedSet, Evaluation
from tfp_genens.scoring.columns import EXAMPLE_ID
from tfp_genens.scoring.scores import EnsembleScore, available_scores

SCORES = (
    *("dose", "log_prob_mean", "log_prob_var", "waic", "rate_mean", "critic_mean", "critic_var"),
)
MAX_SUBSETS = 300

Outputs = Mapping[str, np.ndarray]
"""Member output -> float64 [num_members, num_inputs]."""


@dataclasses.dataclass(frozen=True)
class MemberScores:
    """All members of one configuration, scored on the same inputs.

    Attributes:
      configuration: where they are from.
      members: seed/number of each, in the order of the arrays.
      in_outputs: of in-distribution inputs.
      ood_outputs: by OoD set.
      left_out: what sets are called that were made against members: fewer would make others.
    """

    configuration: Configuration
    members: tuple[str, ...]
    in_outputs: Outputs
    ood_outputs: Mapping[str, Outputs]
    left_out: tuple[str, ...]

    @property
    def scores(self) -> dict[str, EnsembleScore]:
        """What can be made of the members' outputs."""
        specs = dict(self.configuration.first.in_distribution.scores.member_scores)
        found = combined_scores({name: specs[name] for name in self.in_outputs if name in specs})
        if densities.LOG_DENSITY in self.in_outputs:
            found[densities.DOSE] = densities.OF_DENSITIES
        return found


def member_scores(configuration: Configuration) -> MemberScores:
    """Joins the members of all evaluations of a configuration.

    Raises:
      UserError: the evaluations have other inputs; fewer than two members; no OoD set that they
        share, or ensemble score, that a curve can be drawn of.
    """
    evaluations = configuration.evaluations
    members = tuple(m for e in evaluations for m in configurations.member_names(e))
    if len(members) < 2:
        raise UserError(ARGUMENT, "two members or more", f"one in {evaluations[0].directory}")
    require_scores(evaluations[0], SCORES, only_one=True)
    sets = [{ood.name: ood for ood in evaluation.ood} for evaluation in evaluations]
    names = [name for name in sets[0] if all(name in others for others in sets)]
    entries = evaluations[0].document["sets"]
    attacks = [entry["name"] for entry in entries if configurations.is_attack(entry)]
    shown = [name for name in names if name not in attacks]
    if not shown:
        expected = "evaluations that share OoD sets which attack no members"
        raise UserError(ARGUMENT, expected, ", ".join(names) or "none")
    dense = [_densities(evaluation) for evaluation in evaluations]
    outputs = {
        name: joined(of_name, [of_one.get(name) for of_one in dense])
        for name, of_name in (
            (results.IN_DISTRIBUTION, [e.in_distribution for e in evaluations]),
            *((name, [of_one[name] for of_one in sets]) for name in shown),
        )
    }
    return MemberScores(
        configuration=configuration,
        members=members,
        in_outputs=outputs[results.IN_DISTRIBUTION],
        ood_outputs={name: outputs[name] for name in shown},
        left_out=tuple(sets[0][name].label for name in names if name in attacks),
    )


def _densities(evaluation: Evaluation) -> dict[str, np.ndarray]:
    """Log densities of all sets, see `densities`; none where none can be made."""
    specs = evaluation.in_distribution.scores.member_scores.values()
    if not any(spec.statistic for spec in specs) or not evaluation.has_held_out:
        return {}
    return densities.member_densities(evaluation)


def joined(
    sets: Sequence[EvaluatedSet], log_densities: Sequence[np.ndarray | None] | None = None
) -> dict[str, np.ndarray]:
    """Scores of one set by members of several evaluations; inputs in the order of the first.

    Args:
      sets: the set of each evaluation.
      log_densities: of each evaluation's members, float64 [num_members, num_inputs], see
        `densities`; they come with the scores.

    Raises:
      UserError: the evaluations have other inputs.
    """
    first = sets[0]
    example_ids = first.scores.frame[EXAMPLE_ID]
    for other in sets:
        theirs = other.scores.frame[EXAMPLE_ID]
        lone = set(theirs) ^ set(example_ids)
        expected = f"the same inputs of {first.label} in each evaluation"
        if lone or theirs.duplicated().any():
            got = f"{len(lone):,} that only one of two has, or a repeated one"
            raise UserError(ARGUMENT, f"{expected}, by {EXAMPLE_ID}", got)
        # Ids name noise by its number, whatever it was drawn with; the first inputs are at hand.
        if not np.array_equal(first.examples["first"], other.examples["first"]):
            got = "inputs that differ under one name (another --seed of evaluate?)"
            raise UserError(ARGUMENT, expected, got)
    orders = [pd.Index(s.scores.frame[EXAMPLE_ID]).get_indexer(example_ids) for s in sets]

    def outputs_of(one: EvaluatedSet, densities_of_one: np.ndarray | None) -> Outputs:
        found = {name: member_values(one.scores, name) for name in one.scores.member_scores}
        if densities_of_one is not None:
            found[densities.LOG_DENSITY] = densities_of_one
        return found

    found = [
        outputs_of(*one) for one in zip(sets, log_densities or [None] * len(sets), strict=True)
    ]
    return {
        name: np.concatenate(
            [of_one[name][:, order] for of_one, order in zip(found, orders, strict=True)]
        )
        for name in found[0]
        if all(name in of_one for of_one in found)
    }


def combined_scores(outputs: Mapping[str, OutputSpec]) -> dict[str, EnsembleScore]:
    """Every ensemble score that can be made of these member outputs alone, without fitted state."""
    return {name: score for name, score in available_scores(outputs).items() if score.fit is None}


def curve(
    in_outputs: Outputs, ood_outputs: Mapping[str, Outputs], scores: Mapping[str, EnsembleScore]
) -> pd.DataFrame:
    """The curve of every OoD set, score of SCORES that can be made, and size 1 to M.

    Subsets of the same members overlap, so lowest and highest are the range of what these members
    give, not an interval for members yet to be trained. Sizes with more than MAX_SUBSETS subsets
    are judged on so many, drawn without replacement.

    Returns:
      By "ood_dataset", "score" and "size", in the order of the sets, of SCORES and of size: AUROC
      in percent over the subsets, "mean", "lowest" and "highest"; "num_subsets" that were judged,
      and "is_all", whether there are no others.
    """
    num_members = len(next(iter(in_outputs.values())))
    points = []
    for size in range(1, num_members + 1):
        subsets, is_all = subsets_of_size(num_members, size)
        for score in (name for name in SCORES if name in scores):
            aurocs = subset_aurocs(in_outputs, ood_outputs, scores[score], subsets)
            for ood, found in aurocs.items():
                ends = (found.mean(), found.min(), found.max())
                points.append((ood, score, size, *ends, len(subsets), is_all))
    places = [*ood_outputs, *SCORES]
    points.sort(key=lambda point: (places.index(point[0]), places.index(point[1])))
    names = ["ood_dataset", "score", "size", "mean", "lowest", "highest", "num_subsets", "is_all"]
    return pd.DataFrame(points, columns=names)


def subsets_of_size(
    num_members: int, size: int, max_subsets: int = MAX_SUBSETS, seed: int = 0
) -> tuple[np.ndarray, bool]:
    """Subsets of members, int [num_subsets, size], each ascending, and whether they are all."""
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
    """AUROC of an ensemble score for each subset of the members, of every OoD set.

    `subsets` are positions of members, int [num_subsets, size]. Returns OoD set -> float64
    [num_subsets], percent; ties and NaN count as in `metrics`.
    """
    found = {name: np.empty(len(subsets)) for name in ood_outputs}
    for k, subset in enumerate(subsets):
        inside = _combined(in_outputs, score, subset)
        for name, outputs in ood_outputs.items():
            outside = _combined(outputs, score, subset)
            ranking = metrics.rank(inside, outside, score.direction)
            # Twice the wins, a tie being half a win: integers until the division.
            wins = 2 * len(inside) - ranking.num_in_to_tie - ranking.num_in_above
            found[name][k] = 100.0 * float(wins.sum()) / (2.0 * len(inside) * len(outside))
    return found


def _combined(outputs: Outputs, score: EnsembleScore, subset: np.ndarray) -> np.ndarray:
    return score({name: outputs[name][subset] for name in score.inputs}).numpy()
