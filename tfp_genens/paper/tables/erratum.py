"""`--table=erratum`: what each mistake of the released code does to the numbers of Table 2."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfp_genens import seeds
from tfp_genens.errors import UserError
from tfp_genens.evaluation import results, tables
from tfp_genens.files import packaged
from tfp_genens.paper import numbers as paper
from tfp_genens.paper import shared, waic_parts
from tfp_genens.paper.documents import Document
from tfp_genens.reporting.evaluation_files import ARGUMENT, Evaluation

PAPER_ROUNDING = 0.05
"""The paper's AUROCs are rounded to 0.1 points, so each is known to half of that."""

_DOCUMENT = packaged("tfp_genens.paper", "errata.toml")
PRESETS: dict[str, dict[str, Any]] = _DOCUMENT["presets"]
"""The ways to evaluate, the right one first; `errata.toml` says what they have."""
ATTACKS: dict[str, dict[str, Any]] = _DOCUMENT["attacks"]
"""OoD set -> how adversarial noise was made; see there, too."""

CORRECT = "correct"
RIGHT_ATTACK = PRESETS[CORRECT]["attack"]


def misaligned(
    of_members: np.ndarray, members: Sequence[int], *, set_name: str, seed: int
) -> np.ndarray:
    """Puts every member's inputs into an order of their own.

    The order is drawn from the member's number, the seed and the set's name, so that it is the same
    for all outputs of a member.

    Args:
      of_members: a set's scores, [num_members, num_inputs].
      members: their numbers.
    """
    orders = [
        seeds.numpy_generator(seed, "misaligned", set_name, m).permutation(of_members.shape[1])
        for m in members
    ]
    return np.take_along_axis(of_members, np.stack(orders), axis=1)


def judge_preset(
    evaluation: Evaluation,
    aligned: bool,
    log_prob: str,
    ood_dataset: str,
    attacked_members: tuple[int, ...] | None,
) -> dict[str, dict[str, float]]:
    """The AUROCs of `log_prob`, `rate` and `waic`, where not aligned of misaligned members.

    A single model's AUROC does not depend on the order of its inputs, so misalignment leaves it as
    it is and changes WAIC alone, which is made of what has come to stand side by side. Its interval
    does change. The bootstrap resamples rows after they were put out of order, since a row is all
    that the mistaken evaluation has: each is a combination of different images, none of which
    occurs in another row. Members are then resampled on different images, as if each had drawn its
    own (which is the mistake), so their errors average out and the interval of their mean is
    narrower than where they share the images. It is of one misalignment; how far another one would
    move the numbers is not in it.

    Args:
      aligned, log_prob: of a preset.
      ood_dataset: for an attack the preset's own.
      attacked_members: positions of the members whose own scores an adversarial set was made to
        fool: single-model numbers are of these only. None: the mean over all members.

    Returns:
      Score -> what `shared.judge` returns.
    """
    seed = evaluation.document["settings"]["seed"]
    members = evaluation.in_distribution.scores.members
    chosen = slice(None) if attacked_members is None else list(attacked_members)
    judged: dict[str, list[np.ndarray]] = {"log_prob": [], "rate": [], "waic": []}
    for score, output in {"log_prob": log_prob, "rate": "rate"}.items():
        for name in (results.IN_DISTRIBUTION, ood_dataset):
            of_set = shared.values(evaluation, output)[name]
            if not aligned:
                of_set = misaligned(of_set, members, set_name=name, seed=seed)
            judged[score].append(of_set[chosen])
            if score == "log_prob":
                judged["waic"].append(waic_parts.waic(of_set))
    return {
        score: shared.judge(evaluation, ood_dataset, evaluation.spec(score).direction, *both)
        for score, both in judged.items()
    }


def is_nearer(papers: Any, to: pd.DataFrame, than: pd.DataFrame) -> Any:
    """Whether the paper's AUROCs are nearer to one evaluation's than to another's.

    Nearer by more than the wider of the two intervals, and by more than the paper's rounding can
    account for; where it is nearer to neither in this sense, nothing can be said. That is about
    these members and inputs: the paper's members were others, and how far numbers move between
    ensembles is not in the intervals.

    Args:
      papers: percent, a number or a column; where it is NaN, it is near to nothing.
      to: the columns "auroc", "auroc_low" and "auroc_high", a line each.
      than: likewise.
    """
    gain = abs(papers - than["auroc"]) - abs(papers - to["auroc"])
    own, others = (found["auroc_high"] - found["auroc_low"] for found in (to, than))
    return gain > np.maximum(own, others) + 2 * PAPER_ROUNDING


SCORES = ("log_prob", "waic")
ENDS = ["auroc", "auroc_low", "auroc_high"]
OF_ATTACKS = ("log_prob", "rate", "waic")
FLAGFILE = "flags/evaluate/vae_mnist+as_released.cfg"
MISTAKE, RIGHT = "mistake", "right"  # what a cell of the paper's is nearer to

_Judge = Callable[..., dict[str, dict[str, float]]]
"""`judge_preset` of an evaluation, each cell only once: most presets differ only in the attack."""


def table(evaluations: Sequence[Evaluation]) -> Document:
    """The erratum experiment, one section an evaluation.

    Raises:
      UserError: an evaluation lacks a set or a score that is needed, or is of a training set that
        the paper has no numbers for.
    """
    parts, records = [], []
    for evaluation in evaluations:
        _check(evaluation)
        judge = functools.cache(functools.partial(judge_preset, evaluation))
        presets, attacks = _presets(evaluation, judge), _attacks(evaluation, judge)
        scores = [_score(evaluation, presets, score) for score in SCORES]
        attack_table = _attack_table(evaluation, attacks)
        parts.append({"evaluation": evaluation, "scores": scores, **attack_table})
        frames = {"presets": presets.drop(columns="column"), "attacks": attacks}
        found = pd.concat(frames, names=["part"]).reset_index("part").reset_index(drop=True)
        about = shared.identity(evaluation) | {"members": evaluation.document["members"]}
        records.append(pd.DataFrame(about, found.index).join(found))
    return Document("erratum", {"presets": PRESETS, "parts": parts}, pd.concat(records))


def _check(evaluation: Evaluation) -> None:
    train_dataset = evaluation.document["train_dataset"]
    if train_dataset not in paper.train_datasets():
        expected = f"models trained on one of {', '.join(sorted(paper.train_datasets()))}"
        raise UserError(ARGUMENT, expected, f"{evaluation.directory} with {train_dataset}")
    model = evaluation.document["model"]
    if model != "vae":
        expected = "evaluations of VAEs, whose mistakes these are"
        raise UserError(ARGUMENT, expected, f"{evaluation.directory} of {model}")
    there = {ood_set.name for ood_set in evaluation.ood}
    lacking = [name for name in ATTACKS if name not in there]
    if lacking:
        how = f"evaluate with --flagfile={FLAGFILE}, or add to its --ood: {','.join(lacking)}"
        expected = f"an evaluation with all forms of adversarial noise ({how})"
        raise UserError(ARGUMENT, expected, f"{evaluation.directory} without them")
    outputs = {"rate", *(preset["log_prob"] for preset in PRESETS.values())}
    lacking = sorted(outputs - evaluation.in_distribution.scores.member_scores.keys())
    if lacking:
        expected = f"an evaluation with {', '.join(sorted(outputs))} (evaluate without --outputs)"
        raise UserError(ARGUMENT, expected, f"{evaluation.directory} without {', '.join(lacking)}")


def _attacked_members(evaluation: Evaluation) -> dict[str, tuple[int, ...] | None]:
    """By OoD set; None where it attacks none."""
    attacked = {entry["name"]: entry["attacked_members"] for entry in evaluation.document["sets"]}
    return {name: None if found is None else tuple(found) for name, found in attacked.items()}


def _presets(evaluation: Evaluation, judge: _Judge) -> pd.DataFrame:
    """A line a score, a column of the table and a preset, the right one first."""
    document = evaluation.document
    attacked = _attacked_members(evaluation)
    in_paper = paper.ood_sets(document["train_dataset"])
    columns = [name for name in in_paper if name in attacked and name != paper.ADVERSARIAL]
    lines = []
    for score, column in itertools.product(SCORES, (*columns, paper.ADVERSARIAL)):
        theirs = paper.value(document["train_dataset"], column, score, document["model"])
        for name, preset in PRESETS.items():
            is_attack = column == paper.ADVERSARIAL
            ood = preset["attack"] if is_attack else column
            members = attacked[ood] if is_attack else None
            judged = judge(preset["aligned"], preset["log_prob"], ood, members)
            ours = _record(name, ood, score, judged)
            lines.append({**ours, "paper_auroc": theirs, "column": column})
    found = pd.DataFrame(lines).astype({"paper_auroc": float})
    right = found.groupby(["score", "column"], sort=False)[ENDS].transform("first")
    papers = found["paper_auroc"]
    found["paper_is_nearer_to"] = None
    found.loc[is_nearer(papers, found, right), "paper_is_nearer_to"] = MISTAKE
    found.loc[is_nearer(papers, right, found), "paper_is_nearer_to"] = RIGHT
    return found


def _record(name: str, ood_dataset: str, score: str, judged: Any) -> dict[str, Any]:
    ends = {end: judged[score][end] for end in ENDS}
    return {"name": name, "ood_dataset": ood_dataset, "score": score, **ends}


def _score(evaluation: Evaluation, presets: pd.DataFrame, score: str) -> dict[str, Any]:
    """The table of one score, and what the paper's cells say for and against each mistake."""
    lines = presets[presets["score"] == score]
    lines = lines.assign(
        text=lines.apply(tables.auroc_text, axis=1),
        label=lines["name"].map(lambda name: PRESETS[name]["label"]),
        set_label=lines["column"].map(
            {**shared.set_labels(evaluation), paper.ADVERSARIAL: "Adversarial"}  # of whatever form
        ),
        distance=(lines["paper_auroc"] - lines["auroc"]).abs(),
    )
    first = lines[lines["name"] == CORRECT].set_index("column")
    papers = first.reset_index().assign(label="The paper", text=first["paper_auroc"].to_numpy())
    shown = pd.concat([lines, papers])
    mistaken = lines[lines["paper_is_nearer_to"] == MISTAKE].groupby("column", sort=False)
    right = lines[lines["paper_is_nearer_to"] == RIGHT].groupby("name")
    return {
        "label": results.score_label(evaluation.document, score),
        "table": shared.wide(shown, "label", "set_label", "Evaluated", {}),
        "mistaken": [
            (first.loc[column], found.sort_values("distance", kind="stable"))
            for column, found in mistaken
        ],
        "right": [right.get_group(name) for name in PRESETS if name in right.groups],
    }


def _attacks(evaluation: Evaluation, judge: _Judge) -> pd.DataFrame:
    """What clipping and the place of the gradient do, everything else being as it should."""
    members = _attacked_members(evaluation)[RIGHT_ATTACK]
    means = {
        name: float(of_set[list(members or range(len(of_set)))].mean())
        for name, of_set in shared.values(evaluation, "log_prob").items()
    }
    return pd.DataFrame(
        {
            **_record(name, name, score, judge(True, "log_prob", name, members)),
            "noise_clipped": how["noise_clipped"],
            "gradient_at": how.get("gradient_at"),
            "result_clipped": how["result_clipped"],
            "mean_log_prob": means[name],
            "mean_log_prob_in": means[results.IN_DISTRIBUTION],
        }
        for name, how in ATTACKS.items()
        for score in OF_ATTACKS
    )


def _attack_table(evaluation: Evaluation, attacks: pd.DataFrame) -> dict[str, Any]:
    first = attacks[attacks["score"] == OF_ATTACKS[0]].set_index("name")
    labels = shared.set_labels(evaluation)
    said = {True: "yes", False: "no"}
    lines = pd.DataFrame(
        {
            "Inputs": first.index.map(labels),
            "Noise clipped": first["noise_clipped"].map(said),
            "Gradient at": first["gradient_at"].fillna("no step"),
            "Result clipped": first["result_clipped"].map(said),
            "Mean log p(x), nats": first["mean_log_prob"].map("{:,.1f}".format),
        }
    )
    texts = attacks.assign(text=attacks.apply(tables.auroc_text, axis=1))
    texts = texts.pivot(index="name", columns="score", values="text")[list(OF_ATTACKS)]
    lines = lines.join(texts.rename(columns=evaluation.score_label))
    inside = [labels[results.IN_DISTRIBUTION], f"{first['mean_log_prob_in'].iloc[0]:,.1f}"]
    head = pd.DataFrame([inside], columns=["Inputs", "Mean log p(x), nats"])
    return {
        "attacks": pd.concat([head, lines])[lines.columns],
        "attacked": _attacked_members(evaluation)[RIGHT_ATTACK],
    }
