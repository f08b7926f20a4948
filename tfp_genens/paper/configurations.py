"""Evaluations that belong together: disjoint members of one training configuration."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfp_genens.config import RunConfig, config_sha256
from tfp_genens.data.requests import listed
from tfp_genens.errors import UserError
from tfp_genens.evaluation import results
from tfp_genens.models import FAMILIES
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation


def input_settings(evaluation: Evaluation) -> dict[str, Any]:
    """Settings of evaluate that decide which inputs are judged."""
    settings = evaluation.document["settings"]
    return {name: settings.get(name) for name in ("in_distribution", "num_examples", "seed")}


@dataclasses.dataclass(frozen=True)
class Configuration:
    """Evaluations of one training configuration, each of members of its own.

    Attributes:
      evaluations: in the order given; the first is the one whose numbers are shown.
    """

    evaluations: tuple[Evaluation, ...]

    @property
    def first(self) -> Evaluation:
        return self.evaluations[0]

    @property
    def document(self) -> Mapping[str, Any]:
        """results.json of the first."""
        return self.first.document

    @property
    def train_dataset(self) -> str:
        return self.document["train_dataset"]

    @property
    def model(self) -> str:
        return self.document["model"]


def member_names(evaluation: Evaluation) -> tuple[str, ...]:
    """Seed of the run and number within it, e.g. "0/3": no other member has both."""
    return tuple(f"{m['seed']}/{m['member']}" for m in evaluation.document["manifests"])


def describe_members(evaluation: Evaluation) -> str:
    """E.g. "members 0 to 4 of seed 1", or "members 0, 2 of seed 0"."""
    manifests = evaluation.document["manifests"]
    numbers = [manifest["member"] for manifest in manifests]
    if len(numbers) == 1:
        text = f"member {numbers[0]}"
    elif len(numbers) > 2 and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
        text = f"members {numbers[0]} to {numbers[-1]}"
    else:
        text = "members " + ", ".join(map(str, numbers))
    return f"{text} of seed {manifests[0]['seed']}"


def is_attack(entry: Mapping[str, Any]) -> bool:
    """Whether a set of results.json was made against the evaluation's own members."""
    # Evaluations of before the attacks were recorded have the members only.
    return bool(entry.get("attack")) or entry["attacked_members"] is not None


def attacked_sets(evaluation: Evaluation) -> tuple[str, ...]:
    """Labels of the OoD sets that were made against the evaluation's own members."""
    document = evaluation.document
    names = [entry["name"] for entry in document["sets"] if is_attack(entry)]
    return tuple(results.dataset_label(document, name) for name in names)


def group(evaluations: Sequence[Evaluation]) -> tuple[Configuration, ...]:
    """Evaluations by training configuration, in the order in which each appears first.

    The seed is no part of it: runs that differ in nothing else are repetitions of one another.

    Raises:
      UserError: two evaluations of one configuration share a member.
    """
    groups: dict[tuple[str, str, str], list[Evaluation]] = {}
    for evaluation in evaluations:
        document = evaluation.document
        config = dict(settings_of_training(evaluation), seed=None)
        key = (document["train_dataset"], document["model"], config_sha256(config))
        groups.setdefault(key, []).append(evaluation)
    for together in groups.values():
        for one, other in itertools.combinations(together, 2):
            shared = sorted(set(member_names(one)) & set(member_names(other)))
            if shared:
                names = f"{', '.join(shared)} (seed/member)"
                expected = "evaluations of one configuration that share no members"
                got = f"{names} in {one.directory} and in {other.directory}"
                raise UserError(ARGUMENT, expected, got)
    return tuple(Configuration(tuple(together)) for together in groups.values())


def by_training_set(evaluations: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """Evaluations of one training set together, in the order in which these come first."""
    found: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        found.setdefault(evaluation.document["train_dataset"], []).append(evaluation)
    return list(found.values())


def settings_of_training(evaluation: Evaluation) -> dict[str, Any]:
    """By the names of their flags; flags that are newer than the run have their defaults."""
    config = evaluation.document["manifests"][0]["config"]
    own = FAMILIES[config["model"]].config
    return RunConfig.from_values(config).to_json() | own.from_values(config).to_json() | config


def different_settings(evaluation: Evaluation, base: Evaluation) -> tuple[str, ...]:
    """Names of the settings of training in which one differs from another.

    The seed is none, nor is the training set: tables show configurations of one set, or of splits.
    Of another model, "model" and those that both models have: the others follow from the model.
    """
    ours, theirs = settings_of_training(evaluation), settings_of_training(base)
    names = [name for name in dict.fromkeys((*ours, *theirs)) if name not in ("seed", "dataset")]
    if ours["model"] != theirs["model"]:
        names = [name for name in names if name in ours and name in theirs]
    return tuple(name for name in names if ours.get(name) != theirs.get(name))


def differences(evaluation: Evaluation, base: Evaluation) -> str:
    """`different_settings` with their values, e.g. "beta 1.0 (not 0.1)"."""
    ours, theirs = settings_of_training(evaluation), settings_of_training(base)
    return ", ".join(
        ("" if name == "model" else f"{name} ") + f"{ours.get(name)} (not {theirs.get(name)})"
        for name in different_settings(evaluation, base)
    )


def require_scores(evaluation: Evaluation, scores: Iterable[str], only_one: bool = False) -> None:
    """Raises UserError unless the evaluation has OoD sets and these scores, or one of them."""
    if not evaluation.ood:
        got = f"{evaluation.directory}, which has none"
        raise UserError(ARGUMENT, "evaluations of OoD sets", got)
    found = evaluation.in_distribution.scores
    known, wanted = [*found.member_scores, *found.ensemble_scores], list(scores)
    missing = [score for score in wanted if score not in known]
    if len(missing) == len(wanted) if only_one else missing:
        expected = f"one of {listed(wanted)}" if only_one else listed(missing)
        got = f"{evaluation.directory}, which has {listed(known)}"
        raise UserError(ARGUMENT, f"evaluations that have {expected}", got)
