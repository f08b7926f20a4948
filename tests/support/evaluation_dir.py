"""An evaluation's files, made by hand: reports must work from these alone."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, OutputSpec
from tfp_genens.evaluation.rows import make_rows
from tfp_genens.paper import numbers as paper
from tfp_genens.scoring.columns import member_column, read_scores
from tfp_genens.scoring.scores import available_scores, combine
from tfp_genens.scoring.stream import table_schema

OUTPUTS = {
    "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL, "log p(x)", main=True),
    "rate": OutputSpec("nats", LOWER_IS_NORMAL, "Rate", main=True),
    "distortion": OutputSpec("nats", LOWER_IS_NORMAL, "Distortion"),
}
SCORES = available_scores(OUTPUTS)
NUM_MEMBERS = 2


def write_scores(path, log_prob, with_p_values):
    """log_prob: [NUM_MEMBERS, num_inputs]; rate and distortion follow from it."""
    scores = {"log_prob": log_prob, "rate": -0.1 * log_prob, "distortion": 3 - 0.9 * log_prob}
    ensemble: Any = SimpleNamespace(
        signature_for=lambda names: "serving_default",
        specs=lambda signature, kind: {
            "member_scores": OUTPUTS,
            "ensemble_scores": {name: score.spec for name, score in SCORES.items()},
        }[kind],
        members=range(NUM_MEMBERS),
        num_members=NUM_MEMBERS,
        inputs_of=lambda signature: {name: score.inputs for name, score in SCORES.items()},
        model="vae",
        train_dataset="mnist",
        decision_score=lambda outputs: "waic" if with_p_values else None,
    )
    source: Any = SimpleNamespace(name="a source")
    schema = table_schema(ensemble, source, list(OUTPUTS))
    columns = {"example_id": [str(i) for i in range(log_prob.shape[1])]}
    for name, values in scores.items():
        columns |= {member_column(name, m): v for m, v in enumerate(values)}
    columns |= {name: x.numpy() for name, x in combine(scores, SCORES).items()}
    if with_p_values:
        p_value = (1 + np.argsort(np.argsort(log_prob[0]))) / (1 + log_prob.shape[1])
        columns |= {"p_value": p_value, "is_outlier": p_value <= 0.05}
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns, schema=schema), path)
    return read_scores(path)


def write_evaluation(
    directory,
    sets=("fashion_mnist", "hflip", "adversarial_clipped"),
    shape=(28, 28, 1),
    with_p_values=True,
    log_probs=None,
):
    """Writes O/results.json, O/scores and O/examples; returns O."""
    rng = np.random.default_rng(0)
    directory.mkdir()
    given = log_probs or {}

    def write_set(file, mean):
        log_prob = given.get(file, rng.normal(mean, 1, size=(NUM_MEMBERS, 50)))
        scores = write_scores(directory / "scores" / f"{file}.parquet", log_prob, with_p_values)
        images = rng.uniform(-40, 300, size=(10, *shape)).astype(np.float32)
        (directory / "examples").mkdir(exist_ok=True)
        np.savez(
            directory / "examples" / f"{file}.npz",
            first=images,
            reconstructions=images / 2,
            least_normal=images,
            least_normal_score=np.sort(scores.frame["waic"])[:10],
            most_normal=images,
            most_normal_score=-np.sort(-scores.frame["waic"])[:10],
        )
        return scores

    in_scores = write_set("in_distribution", 0)
    rows, entries = [], []
    for k, name in enumerate(sets):
        attacked = (1,) if name.startswith("adversarial") else None
        rows += make_rows(
            in_scores,
            write_set(f"file_{k}", -1.5),
            ood_dataset=name,
            description=f"What {name} is.",
            attacked_members=attacked,
            train_dataset="mnist",
            model="vae",
            num_bootstrap=20,
            seed=0,
        )
        entries.append(
            {
                "name": name,
                "file": f"file_{k}",
                "description": "",
                "attacked_members": attacked,
                "attack": {"steps": 1} if attacked else {},
            }
        )
    np.savez(
        directory / "examples" / "model_samples.npz",
        samples=rng.uniform(0, 255, size=(NUM_MEMBERS, 6, *shape)),
    )
    config = {
        "model": "vae",
        "dataset": "mnist",
        "beta": 0.1,
        "binarize": False,
        "seed": 3,
        "prior": "maf",
        "odd": "a b",
    }
    document = {
        "schema_version": 1,
        "train_dataset": "mnist",
        "model": "vae",
        "members": NUM_MEMBERS,
        "in_distribution": "tfds:mnist:test",
        "num_in": 50,
        "labels": {
            "datasets": {
                "mnist": "MNIST",
                "fashion_mnist": "Fashion-MNIST",
                "omniglot": "Omniglot",
            },
            "scores": {"rate": "Rate", "log_prob": "log p(x)", "waic": "WAIC"},
        },
        "main_scores": list(paper.main_scores(["rate", "log_prob", "waic"], "vae")),
        "rows": rows,
        "missing": [],
        "notes": ["A note on <members> & more."],
        "sets": entries,
        "settings": {
            "run_dir": "runs/x",
            "output_dir": str(directory),
            "ood": None,
            "in_distribution": None,
            "num_examples": 50,
            "batch_size": 100,
            "num_bootstrap": 20,
            "seed": 0,
            "outputs": None,
            "figures": True,
            "data_dir": None,
        },
        "value_range": [0.0, 255.0],
        "manifests": [
            {
                "member": m,
                "seed": config["seed"],
                "config": config,
                "wall_clock_secs": 100.0 * (m + 1),
                "steps": 5000,
                "num_train": 57000,
                "num_validation": 3000,
                "git_commit": "abc123",
                "package_versions": {"tensorflow": "2.21.0", "tf_keras": None},
            }
            for m in range(NUM_MEMBERS)
        ],
        "git_commit": "0123456789abcdef0123456789abcdef01234567-dirty",
        "versions": {"python": "3.11", "numpy": "2.4"},
    }
    (directory / "results.json").write_text(json.dumps(document))
    return directory
