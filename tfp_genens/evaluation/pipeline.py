"""`evaluate`: scores every set, judges every score, and writes tables.

O/scores/, O/examples/            see `store`
O/results.json, O/results.csv     one row an OoD set and score
O/table.md                        the same for people
O/training/member_I.csv           member I's metrics.csv, where training left one

Figures are drawn from these files alone, see `reporting.figures`; nothing here knows of them.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfp_genens import __version__
from tfp_genens.artifact.manifest import git_commit, member_dir
from tfp_genens.artifact.spec import OutputSpec
from tfp_genens.config import EvaluateConfig, member_numbers
from tfp_genens.data import ood as ood_sets
from tfp_genens.data.datasets import DATASETS
from tfp_genens.data.sources import Source, take
from tfp_genens.data.specs import open_source
from tfp_genens.errors import UserError
from tfp_genens.evaluation import accuracy, results, rows, store, tables
from tfp_genens.files import atomic_path, make_directory, write_json
from tfp_genens.scoring.columns import ScoreFile
from tfp_genens.scoring.ensemble import Ensemble
from tfp_genens.scoring.freeze import ensure_frozen

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
    source = take(
        open_source(
            in_spec, ensemble.input_spec, argument="--in_distribution", data_dir=config.data_dir
        ),
        config.num_examples,
    )
    scorer = _Scorer(config, ensemble, source, output_dir)
    result_rows, sets, missing = _judged_sets(config, ensemble, scorer, ood_names)
    in_scores = scorer.in_distribution.scores
    document = _document(config, ensemble, in_spec, in_scores, result_rows, sets, missing)
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
    _copy_training_metrics(config.run_dir, ensemble, output_dir)
    return document


def _judged_sets(
    config: EvaluateConfig, ensemble: Ensemble, scorer: _Scorer, ood_names: Sequence[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, str]]]:
    """The "rows", "sets" and "missing" of results.json."""
    result_rows: list[dict[str, Any]] = []
    sets: list[dict[str, Any]] = []
    missing: list[dict[str, str]] = []
    for asked in ood_names:
        name, _ = ood_sets.parse_ood(asked)
        try:
            ood_set, ood_scored, origin = scorer.ood(asked)
        except UserError as e:
            missing.append({"ood_dataset": name, "reason": str(e)})
            print(f"{name}: not evaluated: {e}", file=sys.stderr)
            continue
        result_rows += rows.make_rows(
            scorer.in_distribution.scores,
            ood_scored.scores,
            ood_dataset=name,
            description=ood_set.description,
            attacked_members=ood_set.attacked_members,
            train_dataset=ensemble.train_dataset,
            model=ensemble.model,
            num_bootstrap=config.num_bootstrap,
            seed=config.seed,
        )
        sets.append(
            {
                "name": name,
                "file": store.safe_name(name),
                "description": ood_set.description,
                "source": origin,
                "is_stand_in": ood_set.is_stand_in,
                "attacked_members": ood_set.attacked_members,
                "attack": dict(ood_set.attack),
            }
        )
    return result_rows, sets, missing


def check_complete(document: Mapping[str, Any], output_dir: str | os.PathLike) -> None:
    """Raises UserError where some OoD set could not be evaluated."""
    missing = document["missing"]
    if missing:
        raise UserError(
            "--ood",
            "sets that can all be evaluated",
            f"{len(missing)} that could not (the others were written to {output_dir}): "
            + "; ".join(f"{entry['ood_dataset']} ({entry['reason']})" for entry in missing),
        )


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


class _Scorer:
    """Scores sets into the output directory, and says so, one line a set."""

    def __init__(
        self, config: EvaluateConfig, ensemble: Ensemble, source: Source, output_dir: Path
    ):
        self._config = config
        self._ensemble = ensemble
        self._source = source
        self._store = store.Store(output_dir)
        self._in_fingerprint = store.fingerprint(source, config.batch_size)
        self.in_distribution = self._scored(
            results.IN_DISTRIBUTION, source, inputs=self._in_fingerprint
        )
        self._context = ood_sets.OodContext(
            test=source,
            input_spec=ensemble.input_spec,
            # No set gets larger than the in-distribution one.
            num_examples=len(self.in_distribution.scores.frame),
            seed=config.seed,
            ensemble=ensemble,
            data_dir=config.data_dir,
            train_dataset=ensemble.train_dataset,
        )

    def ood(self, asked: str) -> tuple[ood_sets.OodSet, store.ScoredSet, str]:
        """The set, its scores, and where its inputs come from."""
        ood_set, source = ood_sets.open_ood(asked, self._context)
        if ood_set.attack:
            inputs = [self._in_fingerprint, self._config.seed, ood_set.attack]
        else:
            inputs = [store.fingerprint(source, self._config.batch_size)]
        name = ood_set.name
        scored = self._scored(store.safe_name(name), source, set=name, inputs=inputs)
        return ood_set, scored, source.origin

    def _scored(self, file_name: str, source: Source, **key: Any) -> store.ScoredSet:
        outputs = self._config.outputs
        scored = self._store.scored(
            file_name,
            store.make_key(
                [self._ensemble.manifest["weights_sha256"], *self._ensemble.manifests],
                num_examples=self._config.num_examples,
                outputs=outputs,
                source=source.name,
                **key,
            ),
            self._ensemble,
            source,
            batch_size=self._config.batch_size,
            outputs=outputs,
        )
        how = "scored already" if scored.was_reused else f"scored in {scored.seconds:.1f} s"
        print(f"{source.name}: {len(scored.scores.frame):,} inputs {how}", file=sys.stderr)
        return scored


def _sets(config: EvaluateConfig, ensemble: Ensemble) -> tuple[str, tuple[str, ...]]:
    """The in-distribution SPEC and the names of the OoD sets: as asked, or all that suit."""
    train_dataset = ensemble.train_dataset
    registered = DATASETS.get(train_dataset)
    in_spec = config.in_distribution or (registered.test if registered else None)
    if in_spec is None:
        raise UserError(
            "--in_distribution",
            f"a SPEC, because {train_dataset} has no registered test split",
            "nothing",
        )
    names = config.ood or tuple(
        name
        for name in (registered.ood if registered else ())
        if ood_sets.OOD_SETS[name].suits(ensemble)
    )
    if not names:
        raise UserError(
            "--ood",
            f"names or SPECs, because no OoD sets are registered for {train_dataset}",
            "nothing",
        )
    asked = tuple(dict.fromkeys(names))
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
    result_rows: Sequence[dict[str, Any]],
    sets: Sequence[dict[str, Any]],
    missing: Sequence[dict[str, str]],
) -> dict[str, Any]:
    """results.json, but for its notes."""
    scores = {**in_scores.member_scores, **in_scores.ensemble_scores}
    main_scores = [name for name, spec in scores.items() if spec.main]
    return {
        "schema_version": results.SCHEMA_VERSION,
        "train_dataset": ensemble.train_dataset,
        "model": ensemble.model,
        "members": ensemble.num_members,
        "in_distribution": in_spec,
        "num_in": len(in_scores.frame),
        "labels": labels(
            ensemble.train_dataset,
            [entry["name"] for entry in sets] + [entry["ood_dataset"] for entry in missing],
            scores,
        ),
        "main_scores": main_scores or list(in_scores.member_scores),
        "rows": list(result_rows),
        "missing": list(missing),
        "notes": [],
        "sets": list(sets),
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
    found = [*(ood_sets.OOD_SETS.get(n) for n in ood_datasets), DATASETS.get(train_dataset)]
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
    found = [
        "A single-model score's number is the mean over members of each member's own; intervals "
        "are over inputs and take the members as given.",
        *accuracy.note(document),
    ]
    by_attack: dict[tuple[int, ...], list[str]] = {}
    for entry in document["sets"]:
        if entry["attacked_members"] is not None:
            name = results.dataset_label(document, entry["name"])
            by_attack.setdefault(tuple(entry["attacked_members"]), []).append(name)
    for attacked, names in by_attack.items():
        members = ", ".join(map(str, attacked))
        found.append(
            f"{'; '.join(names)}: made against member {members}, so single-model numbers are of "
            f"member {members} only."
        )
    for entry in document["sets"]:
        if entry.get("is_stand_in"):
            name = results.dataset_label(document, entry["name"])
            found.append(f"{name}: the registered set was not used; {entry['source']} stands in.")
    for row in document["rows"]:
        if row["num_nan"]:
            found.append(
                f"{results.score_label(document, row['score'])} on "
                f"{results.dataset_label(document, row['ood_dataset'])}: "
                f"{row['num_nan']:,} scores were NaN; each counts against the score."
            )
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


def _copy_training_metrics(run_dir: str, ensemble: Ensemble, output_dir: Path) -> None:
    """Reports are made from an evaluation's files alone, and training curves belong in them."""
    for manifest in ensemble.manifests:
        source = member_dir(run_dir, manifest["member"]) / "metrics.csv"
        target = results.training_path(output_dir, manifest["member"])
        target.parent.mkdir(exist_ok=True)
        if source.exists():
            with atomic_path(target) as temporary:
                temporary.write_bytes(source.read_bytes())
        else:
            target.unlink(missing_ok=True)  # of an earlier evaluation
