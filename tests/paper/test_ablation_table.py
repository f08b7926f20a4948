"""Which statistics the protocol takes, from evaluations whose statistics were made by hand."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from support import evaluations, read_back

from tfp_genens.artifact import held_out
from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, OutputSpec
from tfp_genens.errors import UserError
from tfp_genens.evaluation import results
from tfp_genens.evaluation.rows import make_rows
from tfp_genens.paper.tables import ablation_table
from tfp_genens.reporting.evaluation_files import EvaluatedSet
from tfp_genens.scoring import dose

TERMS = ("prior_log_prob", "log_scale", "distortion_at_mean")
NAMES = (*TERMS, "loc_norm", "input_complexity")
OUTPUTS = {name: OutputSpec("nats", HIGHER_IS_NORMAL) for name in NAMES}
NUM = 200
MEMBERS = (0, 1)


def statistics(seed, **shifts):
    """Standard normal, but for those that are moved."""
    rng = np.random.default_rng(seed)
    shape = [len(MEMBERS), NUM]
    return {name: rng.normal(shifts.get(name, 0.0), 1, shape) for name in NAMES}


@pytest.fixture
def make(tmp_path):
    """Makes an evaluation with one corruption a keyword, which moves the statistics it names."""

    def make(train_dataset="mnist", model="vae", **corrupted):
        first = evaluations.evaluation(MEMBERS, {}, train_dataset=train_dataset, model=model)
        inside = evaluations.scored(statistics(0), OUTPUTS, MEMBERS)
        ood, rows = [], []
        for seed, (name, how) in enumerate(corrupted.items(), 2):
            scores = evaluations.scored(statistics(seed, **how), OUTPUTS, MEMBERS)
            ood.append(EvaluatedSet(f"corrupted_{name}", name, scores, {}, 0))
            rows += make_rows(
                inside, scores, ood_dataset=f"corrupted_{name}", description="",
                attacked_members=None, train_dataset=train_dataset, model=model,
                num_bootstrap=10, seed=0,
            )  # fmt: skip
        directory = tmp_path / train_dataset
        for position, member in enumerate(MEMBERS):
            target = results.held_out_dir(directory, member)
            target.mkdir(parents=True, exist_ok=True)
            kept = {name: values[position] for name, values in statistics(1).items()}
            held_out.write(target, [str(i) for i in range(NUM)], ["fit"] * NUM, kept)
        document = {**first.document, "rows": rows}
        in_set = dataclasses.replace(first.in_distribution, scores=inside)
        parts = {"document": document, "in_distribution": in_set, "ood": tuple(ood)}
        return dataclasses.replace(first, directory=directory, **parts)

    return make


def records(found, kind="statistics"):
    return {
        (r["variant"], r["ood_dataset"]): r["auroc"] for r in found.records if r["kind"] == kind
    }


def test_numbers_are_those_of_densities_fitted_on_the_held_out_part(make):
    evaluation = make(blur={"log_scale": 1.5})
    found = records(read_back.read(ablation_table.table, [evaluation]))
    inside, fitted, corrupted = (
        statistics(seed, **how) for seed, how in [(0, {}), (1, {}), (2, {"log_scale": 1.5})]
    )
    state = dose.fit(*(fitted[name] for name in TERMS))
    values = [
        dose.log_density(*(of_set[name] for name in TERMS), state=state)
        for of_set in (inside, corrupted)
    ]
    expected = 100 * roc_auc_score(np.repeat([0, 1], NUM), -np.concatenate(values))
    assert found["terms", "corrupted_blur"] == pytest.approx(expected, abs=1e-6)


def test_a_set_is_enlarged_only_where_that_helps(make):
    plain = ablation_table.table([make(blur={"log_scale": 2.0})])
    assert plain.context["chosen"] == "terms"
    helped = ablation_table.table([make(blur={"input_complexity": 2.0})])
    assert helped.context["chosen"] == helped.context["best"] == "terms + input_complexity"


def test_of_sets_of_one_size_the_better_is_taken():
    """97.6 is not far below 98, and nor is 97.7."""
    candidates = {"a": "x", "a + b": "xb", "a + c": "xc", "a + b + c": "xbc"}
    means = pd.Series([97.0, 97.6, 97.7, 98.0, 99.0], [*candidates, "1 Gaussian"])
    assert ablation_table._chosen(candidates, means) == ("a + b + c", "a + c")


def test_training_sets_and_corruptions_count_alike(make):
    both = [
        make(blur={"loc_norm": 3.0}, noise={"log_scale": 3.0}),
        make("fashion_mnist", blur={"loc_norm": 3.0}, noise={"log_scale": 3.0}),
    ]
    found = ablation_table.table(both)
    lines = found.context["lines"]["statistics"].set_index("variant")
    one = lines.loc["terms"]
    of_sets = [one[column] for column in lines.columns if column.endswith(", mean")]
    assert len(of_sets) == 2
    assert one["mean"] == pytest.approx(np.mean(of_sets))
    assert found.context["chosen"] == "terms + loc_norm"


def test_densities_members_and_the_scores_that_there_were_are_beside(make):
    read = read_back.read(ablation_table.table, [make(blur={"log_scale": 2.0})])
    variants = {
        kind: {variant for variant, _ in records(read, kind)} for kind in ("densities", "members")
    }
    assert variants["members"] == {"1 member", "2 members"}
    assert "1 Gaussian" in variants["densities"]
    assert "8 Gaussians" in variants["densities"]


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        (lambda make: make(), "evaluations of OoD sets"),
        (
            lambda make: evaluations.evaluation(sets={"corrupted_blur": 0.0}),
            "evaluations that have prior_log_prob, log_scale, distortion_at_mean, loc_norm",
        ),
        (lambda make: evaluations.evaluation(model="wgan"), "one model of vae, tabular_vae, glow"),
    ],
)
def test_what_it_cannot_be_made_of_is_refused(make, evaluation, message):
    with pytest.raises(UserError, match=message):
        ablation_table.table([evaluation(make)])


def test_an_evaluation_of_before_held_out_scores_were_kept_is_refused(make):
    evaluation = make(blur={})
    (results.held_out_dir(evaluation.directory, 1) / held_out.FILE).unlink()
    with pytest.raises(UserError, match=r"held-out scores \(prior_log_prob.*export --renew"):
        ablation_table.table([evaluation])


def test_two_models_are_two_tables(make):
    both = [make(blur={}), make(model="tabular_vae", blur={})]
    with pytest.raises(UserError, match="one model of"):
        ablation_table.table(both)
