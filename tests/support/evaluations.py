"""Evaluations made by hand, in memory: what tables and figures are tested on."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, LOWER_IS_NORMAL, OutputSpec
from tfp_genens.evaluation.rows import make_rows
from tfp_genens.paper import numbers as paper
from tfp_genens.reporting.evaluation_files import EvaluatedSet, Evaluation
from tfp_genens.scoring.columns import ScoreFile, member_column
from tfp_genens.scoring.scores import available_scores, combine

OUTPUTS = {
    "vae": {
        "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL),
        "rate": OutputSpec("nats", LOWER_IS_NORMAL),
    },
    "wgan": {"critic": OutputSpec("logits", HIGHER_IS_NORMAL)},
    "glow": {
        "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL),
        "bits_per_dim": OutputSpec("bits/dim", LOWER_IS_NORMAL),
    },
    "classifier": {
        "max_softmax": OutputSpec("probability", HIGHER_IS_NORMAL),
        "odin": OutputSpec("probability", HIGHER_IS_NORMAL),
    },
    "vib": {
        "rate": OutputSpec("nats", LOWER_IS_NORMAL),
        "entropy": OutputSpec("nats", LOWER_IS_NORMAL),
    },
    "tabular_vae": {
        "log_prob": OutputSpec("nats", HIGHER_IS_NORMAL),
        "rate": OutputSpec("nats", LOWER_IS_NORMAL),
    },
    "fraud_classifier": {"fraud": OutputSpec("logits", LOWER_IS_NORMAL)},
    "mahalanobis": {"mahalanobis": OutputSpec("standard deviations", LOWER_IS_NORMAL)},
}
OWN_SETTINGS = {
    "vae": {"beta": 1.0, "train_samples": 1},
    "wgan": {"critic_steps": 5},
    "glow": {},
    "classifier": {"odin_temperature": 1000.0},
    "vib": {"beta": 1e-3},
    "tabular_vae": {"learning_rate": 1e-3, "latent_size": 16},
    "fraud_classifier": {"positive_weight": 580.0},
    "mahalanobis": {},
}
DATASET_LABELS = {"mnist": "MNIST", "cifar10": "CIFAR-10", "hflip": "HFlip"}
LABELS = {
    "rate": "Rate",
    "log_prob": "log p(x)",
    "waic": "WAIC",
    "critic": "D",
    "critic_var": "Var(D)",
    "odin": "ODIN",
    "max_softmax": "Maximum softmax",
}
NUM_INPUTS = 61  # a prime: no AUROC lies half-way between two that are printed


def score_file(name, mean, members, outputs=OUTPUTS["vae"], num_inputs=NUM_INPUTS):
    """Inputs are the same in every evaluation; members differ by their number."""
    shared = np.random.default_rng(len(name)).normal(mean, 1, num_inputs)
    noise = [np.random.default_rng([len(name), m]).normal(0, 0.5, num_inputs) for m in members]
    log_prob = shared + np.array(noise)
    values = {
        "log_prob": log_prob,
        "bits_per_dim": 3.5 - 0.1 * log_prob,
        "rate": -0.1 * log_prob + 0.05 * np.array(noise),
        "critic": np.where(log_prob > -2, log_prob, 0.5 * log_prob),
        "odin": 0.1 + 1e-5 * log_prob,
        "max_softmax": 1.0 / (1.0 + np.exp(-log_prob)),
        "entropy": -log_prob,
        "fraud": -log_prob,
        "mahalanobis": np.exp(-0.2 * log_prob),
    }
    return scored({output: values[output] for output in outputs}, outputs, members)


def scored(values, outputs, members, held_out=None):
    """A score file of member outputs, [num_members, num_inputs] each, and all that is made of them.

    Args:
      values: by output.
      outputs: their specs.
      members: their numbers.
      held_out: values likewise, of held-out inputs; where a score must be fitted.
    """
    num_inputs = len(next(iter(values.values()))[0])
    columns = {"example_id": [str(i) for i in range(num_inputs)]}
    for output, of_members in values.items():
        columns |= {
            member_column(output, m): row for m, row in zip(members, of_members, strict=True)
        }
    scores = available_scores(outputs)
    states = {n: s.fit(*(held_out[i] for i in s.inputs)) for n, s in scores.items() if s.fit}
    columns |= {name: x.numpy() for name, x in combine(values, scores, states).items()}
    return ScoreFile(
        pd.DataFrame(columns),
        tuple(members),
        outputs,
        {name: score.spec for name, score in scores.items()},
        "mnist",
        "a source",
        {
            "decision_score": None,
            "ensemble_scores": {n: {"inputs": list(score.inputs)} for n, score in scores.items()},
        },
    )


def judged(in_scores, ood_scores, name, attacked_members, train_dataset, model):
    """Rows of results.json, on few resamples."""
    return make_rows(
        in_scores,
        ood_scores,
        ood_dataset=name,
        description="",
        attacked_members=attacked_members,
        train_dataset=train_dataset,
        model=model,
        num_bootstrap=20,
        seed=0,
    )


def evaluation(
    members=range(5),
    sets: Mapping[str, float] = {"hflip": -1.0},
    *,
    train_dataset="mnist",
    model="vae",
    outputs=None,
    num_examples=NUM_INPUTS,
    num_out=NUM_INPUTS,
    **config,
):
    """An evaluation whose OoD sets are so many nats likelier than test images; attacks, named
    adversarial_*, are on member 0, but for those on WAIC. `num_out` inputs of each OoD set."""
    outputs = outputs or OUTPUTS[model]
    config = {"model": model, "dataset": train_dataset, "seed": 0} | OWN_SETTINGS[model] | config
    in_scores = score_file("in_distribution", 0.0, members, outputs)
    rows, entries, ood = [], [], []
    for name, mean in sets.items():
        is_attack = name.startswith("adversarial")
        attacked = (0,) if is_attack and "waic" not in name else None
        scores = score_file(name, mean, members, outputs, num_out)
        rows += judged(in_scores, scores, name, attacked, train_dataset, model)
        attack = {"steps": 1} if is_attack else {}
        entries.append({"name": name, "file": name, "attacked_members": attacked, "attack": attack})
        label = DATASET_LABELS.get(name, name)
        ood.append(EvaluatedSet(name, label, scores, {"first": np.ones(3)}, 0))
    document = {
        "train_dataset": train_dataset,
        "model": model,
        "members": len(members),
        "num_in": NUM_INPUTS,
        "labels": {"datasets": DATASET_LABELS, "scores": LABELS},
        "main_scores": list(
            paper.main_scores([*in_scores.member_scores, *in_scores.ensemble_scores], model)
        ),
        "rows": rows,
        "missing": [],
        "notes": [],
        "sets": entries,
        "settings": {
            "run_dir": "runs/x",
            "num_examples": num_examples,
            "num_bootstrap": 20,
            "seed": 0,
        },
        "manifests": [
            {
                "member": m,
                "seed": config["seed"],
                "config": config,
                "steps": 5000,
                "wall_clock_secs": 60.0 * (10 + m),
            }
            for m in members
        ],
    }
    in_set = EvaluatedSet("in_distribution", "test", in_scores, {"first": np.ones(3)}, 0)
    directory = Path(f"runs/x/{'_'.join(map(str, members))}")
    return Evaluation(directory, document, in_set, tuple(ood), None)
