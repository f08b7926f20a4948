"""`evaluate`: scores every set, judges every score, and writes what `results` lists.

Figures are drawn from these files alone, see `reporting.figures`; nothing here knows of them.
"""

import functools
import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfp_genens import __version__
from tfp_genens.artifact.held_out import FILE, TUNE
from tfp_genens.artifact.manifest import git_commit, member_dir
from tfp_genens.artifact.spec import OutputSpec
from tfp_genens.config import EvaluateConfig, member_numbers
from tfp_genens.data import ood as ood_sets
from tfp_genens.data.datasets import DATASETS, load_training_data
from tfp_genens.data.sources import Source, take
from tfp_genens.data.specs import open_source
from tfp_genens.errors import UserError
from tfp_genens.evaluation import accuracy, results, rows, store, tables
from tfp_genens.files import atomic_path, make_directory, write_json
from tfp_genens.scoring.columns import ScoreFile
from tfp_genens.scoring.ensemble import Ensemble
from tfp_genens.scoring.freeze import ensure_frozen

HELD_OUT = "held_out:tune"
"""As --in_distribution: the normal inputs that scores may be chosen by, see docs/protocol.md."""

NUM_SAMPLES = 12  # of each member, for the figure of samples


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Judges an ensemble as a detector; a rerun uses what is already on disk.

    Returns:
      results.json, whose "missing" names the OoD sets that could not be evaluated.

    Raises:
      UserError: the run, the in-distribution set or the output directory cannot be used.
    """
    git_commit()  # of the code as it starts, whatever is edited while it scores
    output_dir = make_directory(config.output_dir, "--output_dir")
    members = member_numbers(config.members)
    ensure_frozen(config.run_dir, members)
    ensemble = Ensemble.load(config.run_dir, members)
    in_spec, ood_names = _sets(config, ensemble)
    if in_spec == HELD_OUT:
        everything = _held_out(config, ensemble)
    else:
        everything = open_source(
            in_spec, ensemble.input_spec, argument="--in_distribution", data_dir=config.data_dir
        )
    source = take(everything, config.num_examples)
    in_scores, judged = _judged_sets(config, ensemble, source, ood_names, output_dir)
    document = _document(config, ensemble, in_spec, in_scores, judged)
    measured = accuracy.measure(
        ensemble,
        source,
        batch_size=config.batch_size,
        num_bootstrap=config.num_bootstrap,
        seed=config.seed,
    )
    if measured is not None:
        document["accuracy"] = measured
    document["notes"] = notes(document)
    write_results(output_dir, document)
    _write_model_samples(ensemble, output_dir, config.seed)
    _copy_of_members(config.run_dir, ensemble, output_dir)
    return document


def _held_out(config: EvaluateConfig, ensemble: Ensemble) -> Source:
    """The inputs that the run held out of training to choose by."""
    trained = ensemble.manifest["config"]
    data = load_training_data(
        trained["dataset"],
        validation_fraction=trained["validation_fraction"],
        seed=trained["seed"],
        data_dir=config.data_dir,
    )
    if data.fingerprint != ensemble.manifest["data_fingerprint"]:
        expected = f"{HELD_OUT}, of the data that {config.run_dir} was trained on"
        raise UserError("--in_distribution", expected, f"{trained['dataset']}, changed since")
    return data.held_out_source(TUNE)


def _judged_sets(
    config: EvaluateConfig,
    ensemble: Ensemble,
    source: Source,
    ood_names: Sequence[str],
    output_dir: Path,
) -> tuple[ScoreFile, dict[str, list[dict[str, Any]]]]:
    """The in-distribution scores, and the "rows", "sets" and "missing" of results.json."""
    scorer = store.Scorer(output_dir, ensemble, config)
    in_inputs = store.fingerprint(source, config.batch_size)
    in_scores = scorer.scores(results.IN_DISTRIBUTION, source, inputs=in_inputs)
    context = ood_sets.OodContext(
        test=source,
        input_spec=ensemble.input_spec,
        num_examples=len(in_scores.frame),  # no set gets larger than the in-distribution one
        seed=config.seed,
        ensemble=ensemble,
        data_dir=config.data_dir,
        train_dataset=ensemble.train_dataset,
    )
    judged: dict[str, list[dict[str, Any]]] = {"rows": [], "sets": [], "missing": []}
    for asked in ood_names:
        name, _ = ood_sets.parse_ood(asked)
        file = store.safe_name(name)
        try:
            ood_set, ood_source = ood_sets.open_ood(asked, context)
            if ood_set.attack:
                inputs = [in_inputs, config.seed, ood_set.attack]
                start = ood_sets.start_of_attack(ood_set, context)
                if start is not None:
                    inputs.append(store.fingerprint(start, config.batch_size))
            else:
                inputs = [store.fingerprint(ood_source, config.batch_size)]
            ood_scores = scorer.scores(file, ood_source, set=name, inputs=inputs)
        except UserError as e:
            judged["missing"].append({"ood_dataset": name, "reason": str(e)})
            print(f"{name}: not evaluated: {e}", file=sys.stderr)
            continue
        judged["rows"] += rows.make_rows(
            in_scores,
            ood_scores,
            ood_dataset=name,
            description=ood_set.description,
            attacked_members=ood_set.attacked_members,
            train_dataset=ensemble.train_dataset,
            model=ensemble.model,
            num_bootstrap=config.num_bootstrap,
            seed=config.seed,
        )
        judged["sets"].append(
            {
                "name": name,
                "file": file,
                "description": ood_set.description,
                "source": ood_source.origin,
                "is_stand_in": ood_set.is_stand_in,
                "attacked_members": ood_set.attacked_members,
                "attack": dict(ood_set.attack),
            }
        )
    return in_scores, judged


def check_complete(document: Mapping[str, Any], output_dir: str | os.PathLike) -> None:
    """Raises UserError where some OoD set could not be evaluated."""
    missing = document["missing"]
    if missing:
        which = "; ".join(f"{entry['ood_dataset']} ({entry['reason']})" for entry in missing)
        got = f"{len(missing)} that could not (the others were written to {output_dir}): {which}"
        raise UserError("--ood", "sets that can all be evaluated", got)


def write_results(output_dir: str | os.PathLike, document: Mapping[str, Any]) -> None:
    """Writes results.json, results.csv and table.md, each whole or not at all."""
    output_dir = Path(output_dir)
    write_json(output_dir / "results.json", document)
    for name, text in (
        ("results.csv", tables.csv(document)),
        ("table.md", tables.table_md(document)),
    ):
        with atomic_path(output_dir / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _sets(config: EvaluateConfig, ensemble: Ensemble) -> tuple[str, tuple[str, ...]]:
    """The in-distribution SPEC and the names of the OoD sets: as asked, or all that suit."""
    train_dataset = ensemble.train_dataset
    registered = DATASETS.get(train_dataset)
    in_spec = config.in_distribution or (registered.test if registered else None)
    if in_spec is None:
        expected = f"a SPEC, because {train_dataset} has no registered test split"
        raise UserError("--in_distribution", expected, "nothing")
    suitable = (
        name
        for name in (registered.ood if registered else ())
        if ood_sets.OOD_SETS[name].suits(ensemble)
    )
    asked = tuple(dict.fromkeys(config.ood or suitable))
    if not asked:
        expected = f"names or SPECs, because no OoD sets are registered for {train_dataset}"
        raise UserError("--ood", expected, "nothing")
    set_names = [ood_sets.parse_ood(name)[0] for name in asked]
    twice = [name for name in set_names if set_names.count(name) > 1]
    if twice:
        raise UserError("--ood", "each set once", f"{twice[0]} in two forms")
    return in_spec, asked


def _document(
    config: EvaluateConfig,
    ensemble: Ensemble,
    in_spec: str,
    in_scores: ScoreFile,
    judged: Mapping[str, list[dict[str, Any]]],
) -> dict[str, Any]:
    """results.json, but for its notes."""
    scores = {**in_scores.member_scores, **in_scores.ensemble_scores}
    decides = in_scores.decision_score
    main_scores = [name for name, spec in scores.items() if spec.main and name != decides]
    main_scores = [decides, *main_scores] if decides else main_scores
    return {
        "schema_version": results.SCHEMA_VERSION,
        "train_dataset": ensemble.train_dataset,
        "model": ensemble.model,
        "members": ensemble.num_members,
        "in_distribution": in_spec,
        "num_in": len(in_scores.frame),
        "labels": labels(
            ensemble.train_dataset,
            [s["name"] for s in judged["sets"]] + [m["ood_dataset"] for m in judged["missing"]],
            scores,
        ),
        "main_scores": main_scores or list(in_scores.member_scores),
        "rows": judged["rows"],
        "missing": judged["missing"],
        "notes": [],
        "sets": judged["sets"],
        "settings": config.to_json(),
        "value_range": ensemble.input_spec.value_range,
        "manifests": ensemble.manifests,
        "git_commit": git_commit(),
        "versions": _versions(),
    }


def labels(
    train_dataset: str, ood_datasets: Iterable[str], scores: Mapping[str, OutputSpec]
) -> dict[str, dict[str, str]]:
    """What tables and figures call sets and scores; what is not in it stands for itself.

    It goes into results.json, because reports are made from files alone.
    """
    found = [*map(ood_sets.made_or_registered, ood_datasets), DATASETS.get(train_dataset)]
    return {
        "datasets": {row.name: row.label for row in found if row is not None},
        "scores": {name: spec.label for name, spec in scores.items() if spec.label},
    }


def _versions() -> dict[str, str]:
    """What evaluated; what trained stands in the manifests."""
    packages = ("tensorflow", "numpy", "scipy", "pandas", "pyarrow")
    return {
        "python": platform.python_version(),
        "tfp_genens": __version__,
        **{name: importlib.metadata.version(name) for name in packages},
    }


def notes(document: Mapping[str, Any]) -> list[str]:
    """What a reader must know before comparing the numbers, one sentence each."""
    label = functools.partial(results.dataset_label, document)
    found = [
        "A single-model score's number is the mean over members of each member's own; intervals "
        "are over inputs and take the members as given.",
        *accuracy.note(document),
    ]
    by_attack: dict[tuple[int, ...], list[str]] = {}
    for entry in document["sets"]:
        if entry["attacked_members"] is not None:
            by_attack.setdefault(entry["attacked_members"], []).append(label(entry["name"]))
    for attacked, names in by_attack.items():
        members = ", ".join(map(str, attacked))
        found.append(
            f"{'; '.join(names)}: made against member {members}, so single-model numbers are of "
            f"member {members} only."
        )
    found += [
        f"{label(s['name'])}: the registered set was not used; {s['source']} stands in."
        for s in document["sets"]
        if s["is_stand_in"]
    ]
    found += [
        f"{results.score_label(document, row['score'])} on {label(row['ood_dataset'])}: "
        f"{row['num_nan']:,} scores were NaN; each counts against the score."
        for row in document["rows"]
        if row["num_nan"]
    ]
    return found


def _write_model_samples(ensemble: Ensemble, output_dir: Path, seed: int) -> None:
    if "sample" not in ensemble.functions:
        return
    samples = [
        np.asarray(ensemble.sample(NUM_SAMPLES, member=member, seed=seed))
        for member in range(ensemble.num_members)
    ]
    store.write_arrays(
        results.examples_path(output_dir, results.MODEL_SAMPLES), {"samples": np.stack(samples)}
    )


def _copy_of_members(run_dir: str, ensemble: Ensemble, output_dir: Path) -> None:
    """Reports are made from an evaluation's files alone: what training recorded belongs in them,
    and what scores may be fitted on.
    """
    for manifest in ensemble.manifests:
        number = manifest["member"]
        directory = member_dir(run_dir, number)
        _copy(directory / "metrics.csv", results.training_path(output_dir, number))
        _copy(directory / FILE, results.held_out_dir(output_dir, number) / FILE)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.exists():
        with atomic_path(target) as temporary:
            temporary.write_bytes(source.read_bytes())
    else:
        target.unlink(missing_ok=True)  # of an earlier evaluation
