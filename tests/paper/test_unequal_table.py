"""Ensembles of members that differ in more than the seed, from statistics made by hand."""

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score
from support import evaluations, read_back
from support.statistics import NUM, evaluation, statistics

from tfp_genens.errors import UserError
from tfp_genens.paper import configurations
from tfp_genens.paper.tables import unequal_table

SETS = {"omniglot": {"log_prob": -1.0}, "hflip": {}}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Three equal members; two with other codes; three bootstrapped."""
    directory = tmp_path_factory.mktemp("evaluations")
    own = [(3, 0, {}), (1, 50, {"latent_size": 4}), (1, 60, {"latent_size": 8})]
    made = [
        evaluation(directory / str(seed), num_members=num, config=config, seed=seed, **SETS)
        for num, seed, config in (*own, (3, 70, {"bootstrap": True}))
    ]
    return read_back.read(unequal_table.table, made)


def waic(seed_and_members, seed, **moved):
    log_prob = np.concatenate(
        [
            statistics(own + seed, num, **moved)["log_prob"][used]
            for own, num, used in seed_and_members
        ]
    )
    return log_prob, log_prob.mean(axis=0) - log_prob.var(axis=0)


ENSEMBLES = {
    "seed alone": [(0, 3, [0, 1, 2])],
    "latent_size 4, 8": [(0, 3, [0]), (50, 1, [0]), (60, 1, [0])],
    "bootstrap True": [(70, 3, [0, 1, 2])],
}


@pytest.mark.parametrize("differ", ENSEMBLES)
def test_numbers_are_those_of_the_ensemble(page, differ):
    log_prob, inside = waic(ENSEMBLES[differ], 0)
    of_member, outside = waic(ENSEMBLES[differ], 2, **SETS["omniglot"])
    (found,) = (
        r
        for r in page.records
        if (r["members_differ_in"], r["score"], r["ood_dataset"]) == (differ, "waic", "omniglot")
    )
    labels = np.repeat([0, 1], NUM)
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert found["num_members"] == 3
    assert found["auroc"] == pytest.approx(
        100 * roc_auc_score(labels, -np.concatenate([inside, outside]))
    )
    alone = [
        100 * roc_auc_score(labels, -np.concatenate(one))
        for one in zip(log_prob, of_member, strict=True)
    ]
    assert found["auroc_one_member"] == pytest.approx(np.mean(alone))
    expected = [scipy.stats.spearmanr(log_prob[i], log_prob[j]).statistic for i, j in pairs]
    assert found["correlation"] == pytest.approx(np.mean(expected))


def test_a_table_a_score(page):
    assert [s.heading for s in page.sections if s.header] == ["MNIST, dose", "MNIST, WAIC"]
    table = page.sections[-1]
    assert table.header[-2:] == ("omniglot", "hflip")
    assert [line[0] for line in table.body] == list(ENSEMBLES)
    lowest = {line[0]: line[5] for line in table.body}
    of_omniglot = {line[0]: line[6] for line in table.body}
    assert lowest == of_omniglot  # the flips are left out


def test_another_model_is_an_ensemble_of_all_members(tmp_path):
    made = [
        evaluation(tmp_path / "glow", model="glow", **SETS),
        evaluation(tmp_path / "vae", config={"train_steps": 7}, seed=50, **SETS),
    ]
    page = read_back.read(unequal_table.table, made)
    found = {r["members_differ_in"]: r["num_members"] for r in page.records}
    assert found == {"seed alone": 2, "model vae": 4}


def test_equal_members_alone_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"--evaluation_dir.*a setting differs from the first"):
        unequal_table.table([evaluation(tmp_path, **SETS)])


def test_settings_that_are_newer_than_a_run_are_no_difference():
    old, new = evaluations.evaluation(), evaluations.evaluation(bootstrap=False, seed=1)
    assert configurations.different_settings(new, old) == ()
    other = evaluations.evaluation(bootstrap=True, latent_size=4)
    assert configurations.different_settings(other, old) == ("bootstrap", "latent_size")
    assert configurations.differences(other, old) == (
        "bootstrap True (not False), latent_size 4 (not 16)"
    )
