"""Evaluations of VAEs whose statistics were made by hand, with held-out scores on disk."""

import dataclasses

import numpy as np
from support import evaluations

from tfp_genens.artifact import held_out
from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, OutputSpec
from tfp_genens.evaluation import results
from tfp_genens.models.vae import FrozenVae
from tfp_genens.reporting.evaluation_files import EvaluatedSet

TERMS = ("prior_log_prob", "log_scale", "distortion_at_mean")
MARKED = tuple(name for name, spec in FrozenVae.STATISTICS.items() if spec.statistic)
"""What the density of states is of."""

HELD_OUT = ("log_prob", *TERMS, "loc_norm", "input_complexity")
NAMES = (*HELD_OUT, "likelihood_regret")
OUTPUTS = {name: OutputSpec("nats", HIGHER_IS_NORMAL, statistic=name in MARKED) for name in NAMES}
NUM = 100
EXAMPLES = {"first": np.zeros([1, 2])}


def statistics(seed, num_members=2, **shifts):
    """Standard normal, but for those that are moved: float64 [num_members, NUM] by name."""
    rng = np.random.default_rng(seed)
    shape = [num_members, NUM]
    return {name: rng.normal(shifts.get(name, 0.0), 1, shape) for name in NAMES}


def evaluation(
    directory, train_dataset="mnist", model="vae", num_members=2, config=None, seed=0, **sets
):
    """An evaluation with one OoD set a keyword, whose statistics are moved as it says.

    `config` has settings of training; `seed` is added to those below.

    The in-distribution set has seed 0, the inputs to fit on 1, the OoD sets 2 and so on.
    """
    members = range(num_members)
    first = evaluations.evaluation(
        members, {}, train_dataset=train_dataset, model=model, **(config or {})
    )
    fitted = statistics(seed + 1, num_members)
    for position, member in enumerate(members):
        target = results.held_out_dir(directory, member)
        target.mkdir(parents=True, exist_ok=True)
        kept = {name: fitted[name][position] for name in HELD_OUT}
        held_out.write(target, [str(i) for i in range(NUM)], ["fit"] * NUM, kept)
    inside = evaluations.scored(statistics(seed, num_members), OUTPUTS, members, fitted)
    ood, rows, entries = [], [], []
    for own_seed, (name, moved) in enumerate(sets.items(), seed + 2):
        values = statistics(own_seed, num_members, **moved)
        scores = evaluations.scored(values, OUTPUTS, members, fitted)
        ood.append(EvaluatedSet(name, name, scores, dict(EXAMPLES), 0))
        attacked = (0,) if name.startswith("adversarial") else None
        entries.append({"name": name, "file": name, "attacked_members": attacked, "attack": {}})
        rows += evaluations.judged(inside, scores, name, attacked, train_dataset, model)
    document = {**first.document, "rows": rows, "sets": entries, "num_in": NUM}
    in_set = dataclasses.replace(first.in_distribution, scores=inside, examples=dict(EXAMPLES))
    parts = {"document": document, "in_distribution": in_set, "ood": tuple(ood)}
    return dataclasses.replace(first, directory=directory, **parts)


def calibrating(directory, seed=9):
    """Keeps as many inputs to calibrate two members with as to fit on; returns their statistics."""
    parts = [statistics(1), statistics(seed)]
    for member in (0, 1):
        kept = {name: np.concatenate([part[name][member] for part in parts]) for name in HELD_OUT}
        ids = [str(i) for i in range(2 * NUM)]
        labels = ["fit"] * NUM + ["calibrate"] * NUM
        held_out.write(results.held_out_dir(directory, member), ids, labels, kept)
    return parts[1]
