"""`--table=erratum`: what each mistake of the released code does to the numbers of Table 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfp_genens.errors import UserError
from tfp_genens.evaluation import results, rows, tables
from tfp_genens.paper import errata
from tfp_genens.paper import numbers as paper
from tfp_genens.paper.documents import Section, TableDocument
from tfp_genens.paper.errata import Auroc, Preset
from tfp_genens.reporting.evaluation_files import ARGUMENT, EvaluatedSet, Evaluation

SCORES = ("log_prob", "waic")
FLAGFILE = "flags/evaluate/vae_mnist+as_released.cfg"

_TEXT = (
    "The authors' released code departs from the paper in how it evaluates. Here the same members "
    "and the same score files are judged with one of these departures at a time, and with all of "
    "them, beside the paper's own numbers. AUROC in percent [95 % interval over inputs]; "
    "out-of-distribution is the positive class.",
    "Where it is said below that a cell of the paper's is nearer to a mistake than to the right "
    "evaluation, or the other way round, the rule is: its distances to our numbers with and "
    "without the mistake differ by more than the wider of the two intervals and the paper's "
    "rounding. These are other members than "
    "the paper's, and how far numbers move between ensembles is not in the intervals: nearness is "
    "a hint at what happened, not a proof.",
)

MISTAKE, RIGHT = "mistake", "right"  # what a cell of the paper's is nearer to

# preset, OoD set -> score -> AUROC; the column Adversarial is under paper.ADVERSARIAL
_Cells = Mapping[tuple[str, str], Mapping[str, Auroc]]

# preset, set, judged by all members or by the attacked ones -> score -> AUROC
_Judge = Callable[[Preset, EvaluatedSet, tuple[int, ...] | None], Mapping[str, Auroc]]


def table(evaluations: Sequence[Evaluation]) -> TableDocument:
    """The erratum experiment, one section an evaluation.

    Raises:
      UserError: an evaluation lacks a set or a score that is needed, or is of a training set that
        the paper has no numbers for.
    """
    sections = [
        Section(
            "The ways to evaluate",
            notes=tuple(f"{p.label}: {p.description}" for p in errata.PRESETS.values()),
        )
    ]
    records: list[Mapping[str, Any]] = []
    for evaluation in evaluations:
        found_sections, found_records = _evaluation(evaluation)
        sections += found_sections
        records += found_records
    return TableDocument(
        "Erratum: what the released code's mistakes do", _TEXT, tuple(sections), tuple(records)
    )


def _evaluation(evaluation: Evaluation) -> tuple[list[Section], list[Mapping[str, Any]]]:
    _check(evaluation)
    sets = {ood_set.name: ood_set for ood_set in evaluation.ood}
    attacked = {
        entry["name"]: None
        if entry["attacked_members"] is None
        else tuple(entry["attacked_members"])
        for entry in evaluation.document["sets"]
    }
    judge = _judge(evaluation)
    columns = [
        name for name in _paper_sets(evaluation) if name in sets and name != paper.ADVERSARIAL
    ]
    cells: dict[tuple[str, str], Mapping[str, Auroc]] = {}
    for preset in errata.PRESETS.values():
        for name in columns:
            cells[preset.name, name] = judge(preset, sets[name], None)
        found = judge(preset, sets[preset.attack], attacked[preset.attack])
        cells[preset.name, paper.ADVERSARIAL] = found
    columns.append(paper.ADVERSARIAL)

    heading = f"{tables.heading(evaluation.document)}: {evaluation.directory}"
    members = evaluation.document["members"]
    alone = "One member cannot be misaligned, and has no WAIC apart from its log p(x)."
    sections = [
        Section(
            heading,
            (
                f"{evaluation.document['num_in']:,} in-distribution inputs. Single-model numbers "
                "are means over members; in the column Adversarial, where each line has the noise "
                f"that its description names, they are of the attacked member. "
                f"{alone if members == 1 else ''}".strip(),
            ),
        ),
        *(_preset_section(evaluation, score, columns, cells) for score in SCORES),
    ]
    attack_section, attack_records = _attacks(evaluation, sets, judge, attacked)
    records = [
        *_preset_records(evaluation, columns, cells),
        *attack_records,
    ]
    return [*sections, attack_section], records


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
    lacking = [form.name for form in errata.ATTACK_FORMS if form.name not in there]
    if lacking:
        raise UserError(
            ARGUMENT,
            "an evaluation with all forms of adversarial noise (evaluate with "
            f"--flagfile={FLAGFILE}, or add to its --ood: {','.join(lacking)})",
            f"{evaluation.directory} without them",
        )
    outputs = {"rate", *(preset.log_prob for preset in errata.PRESETS.values())}
    lacking = sorted(outputs - evaluation.in_distribution.scores.member_scores.keys())
    if lacking:
        raise UserError(
            ARGUMENT,
            f"an evaluation with {', '.join(sorted(outputs))} (evaluate without --outputs)",
            f"{evaluation.directory} without {', '.join(lacking)}",
        )


def _paper_sets(evaluation: Evaluation) -> list[str]:
    """The OoD sets of the paper's table for this training set, in its order."""
    train_dataset = evaluation.document["train_dataset"]
    return list(
        dict.fromkeys(ood for trained, ood, _ in paper.results() if trained == train_dataset)
    )


def _judge(evaluation: Evaluation) -> _Judge:
    """Judges sets of this evaluation, each only once in the same way: most presets differ only in
    the attack."""
    settings = evaluation.document["settings"]
    known: dict[tuple, Mapping[str, Auroc]] = {}

    def judge(
        preset: Preset, ood_set: EvaluatedSet, attacked_members: tuple[int, ...] | None
    ) -> Mapping[str, Auroc]:
        key = (preset.aligned, preset.log_prob, ood_set.name, attacked_members)
        if key not in known:
            known[key] = errata.judge(
                preset,
                evaluation.in_distribution.scores,
                ood_set.scores,
                ood_dataset=ood_set.name,
                attacked_members=attacked_members,
                num_bootstrap=settings["num_bootstrap"],
                seed=settings["seed"],
            )
        return known[key]

    return judge


def _paper_value(evaluation: Evaluation, name: str, score: str) -> float | None:
    document = evaluation.document
    return paper.value(document["train_dataset"], name, score, document["model"])


def _set_label(evaluation: Evaluation, name: str) -> str:
    if name == paper.ADVERSARIAL:
        return "Adversarial"  # of whatever form
    return results.dataset_label(evaluation.document, name)


def _cell(auroc: Auroc) -> str:
    return f"{auroc.value:.1f} {tables.interval(auroc.low, auroc.high)}"


def _preset_section(
    evaluation: Evaluation,
    score: str,
    columns: Sequence[str],
    cells: _Cells,
) -> Section:
    papers = [_paper_value(evaluation, name, score) for name in columns]
    body = [
        (preset.label, *(_cell(cells[preset.name, name][score]) for name in columns))
        for preset in errata.PRESETS.values()
    ]
    body.append(("The paper", *("-" if p is None else f"{p:.1f}" for p in papers)))
    return Section(
        results.score_label(evaluation.document, score),
        header=("Evaluated", *(_set_label(evaluation, name) for name in columns)),
        body=tuple(body),
        notes=tuple(_notes(evaluation, score, columns, cells)),
        level=3,
    )


def _notes(evaluation: Evaluation, score: str, columns: Sequence[str], cells: _Cells) -> list[str]:
    """What the paper's cells say for and against each mistake, by the rule in the text."""
    nearer: dict[tuple[str, str], list[Preset]] = {}
    for name in columns:
        for preset in errata.PRESETS.values():
            verdict = _nearer_to(_paper_value(evaluation, name, score), preset, name, score, cells)
            if verdict is not None:
                nearer.setdefault((verdict, name), []).append(preset)
    notes = []
    for name in columns:
        papers = _paper_value(evaluation, name, score)
        if papers is not None and (MISTAKE, name) in nearer:
            by_distance = sorted(
                nearer[MISTAKE, name],
                key=lambda preset: abs(papers - cells[preset.name, name][score].value),
            )
            mistakes = "; ".join(
                f"{preset.label} {_cell(cells[preset.name, name][score])}" for preset in by_distance
            )
            notes.append(
                f"{_set_label(evaluation, name)}: the paper's {papers:.1f} is nearer to mistaken "
                f"evaluations than to {_cell(cells[errata.CORRECT, name][score])}, as it should "
                f"be; nearest first: {mistakes}."
            )
    if not notes:
        notes.append("No cell of the paper's is nearer to a mistake by the rule above.")
    for preset in errata.PRESETS.values():
        against = [name for name in columns if preset in nearer.get((RIGHT, name), ())]
        if against:
            labels = ", ".join(_set_label(evaluation, name) for name in against)
            notes.append(
                f"{preset.label}: by the same rule the paper is nearer to the right evaluation on "
                f"{labels}, which speaks against this mistake there."
            )
    return notes


def _nearer_to(
    papers: float | None, preset: Preset, name: str, score: str, cells: _Cells
) -> str | None:
    """What the paper's number is nearer to: MISTAKE, RIGHT or, where it cannot be said, None."""
    if papers is None:
        return None
    mistaken, correct = (cells[p, name][score] for p in (preset.name, errata.CORRECT))
    if errata.is_nearer(papers, to=mistaken, than=correct):
        return MISTAKE
    return RIGHT if errata.is_nearer(papers, to=correct, than=mistaken) else None


def _attacks(
    evaluation: Evaluation,
    sets: Mapping[str, EvaluatedSet],
    judge: _Judge,
    attacked: Mapping[str, tuple[int, ...] | None],
) -> tuple[Section, list[Mapping[str, Any]]]:
    """What clipping and the place of the gradient do, everything else being as it should."""
    members = attacked[errata.RIGHT_ATTACK]
    correct = errata.PRESETS[errata.CORRECT]
    scores = ("log_prob", "rate", "waic")

    def mean_log_prob(ood_set: EvaluatedSet) -> float:
        values = rows.member_values(ood_set.scores, "log_prob")
        return float((values if members is None else values[list(members)]).mean())

    in_mean = mean_log_prob(evaluation.in_distribution)
    body: list[tuple[str, ...]] = [
        (evaluation.in_distribution.label, "-", "-", "-", f"{in_mean:,.1f}", "-", "-", "-")
    ]
    records: list[Mapping[str, Any]] = []
    for form in errata.ATTACK_FORMS:
        ood_set = sets[form.name]
        found = judge(correct, ood_set, members)
        mean = mean_log_prob(ood_set)
        body.append(
            (
                ood_set.label,
                "yes" if form.noise_clipped else "no",
                form.gradient_at or "no step",
                "yes" if form.result_clipped else "no",
                f"{mean:,.1f}",
                *(_cell(found[score]) for score in scores),
            )
        )
        records += [
            _record(evaluation, "attacks", form.name, form.name, score, found[score])
            | {
                "noise_clipped": form.noise_clipped,
                "gradient_at": form.gradient_at,
                "result_clipped": form.result_clipped,
                "mean_log_prob": mean,
                "mean_log_prob_in": in_mean,
            }
            for score in scores
        ]
    who = "all members" if members is None else "member " + ", ".join(map(str, members))
    section = Section(
        "Adversarial noise",
        (
            f"Aligned members and the IWAE bound; Gaussian noise and one step of 0.3 of the range, "
            f"where there is one, up the gradient of log p(x). Mean log p(x), and the AUROC of "
            f"log p(x) and of the rate, are those of {who}; WAIC is the ensemble's.",
        ),
        (
            "Inputs",
            "Noise clipped",
            "Gradient at",
            "Result clipped",
            "Mean log p(x), nats",
            *(results.score_label(evaluation.document, score) for score in scores),
        ),
        tuple(body),
        level=3,
    )
    return section, records


def _record(
    evaluation: Evaluation, part: str, name: str, ood_dataset: str, score: str, auroc: Auroc
) -> dict[str, Any]:
    return {
        "evaluation_dir": str(evaluation.directory),
        "train_dataset": evaluation.document["train_dataset"],
        "model": evaluation.document["model"],
        "members": evaluation.document["members"],
        "part": part,
        "name": name,
        "ood_dataset": ood_dataset,
        "score": score,
        "auroc": auroc.value,
        "auroc_low": auroc.low,
        "auroc_high": auroc.high,
    }


def _preset_records(
    evaluation: Evaluation,
    columns: Sequence[str],
    cells: _Cells,
) -> list[Mapping[str, Any]]:
    records: list[Mapping[str, Any]] = []
    for score in SCORES:
        for name in columns:
            papers = _paper_value(evaluation, name, score)
            for preset in errata.PRESETS.values():
                is_attack = name == paper.ADVERSARIAL
                records.append(
                    _record(
                        evaluation,
                        "presets",
                        preset.name,
                        preset.attack if is_attack else name,
                        score,
                        cells[preset.name, name][score],
                    )
                    | {
                        "paper_auroc": papers,
                        "paper_is_nearer_to": _nearer_to(papers, preset, name, score, cells),
                    }
                )
    return records
