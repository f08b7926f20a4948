"""The default score beside the paper's best column, from statistics made by hand."""

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score
from support import evaluations, read_back
from support.statistics import evaluation, statistics

from tfp_genens.errors import UserError
from tfp_genens.paper import densities
from tfp_genens.paper.tables import default_table

FAR, NEAR = {"log_scale": 9.0}, {"log_scale": 0.5}


def test_the_papers_best_is_the_largest_of_all_columns():
    """Table 2, as printed."""
    assert default_table._best("mnist", "hflip") == (90.0, "Rate")
    assert default_table._best("mnist", "omniglot") == (100.0, "ODIN, WAIC")


def test_rows_are_counted_and_what_is_missed_is_named(tmp_path):
    made = evaluation(tmp_path, omniglot=FAR, not_mnist=NEAR, vflip=NEAR)
    found = read_back.read(default_table.table, [made])
    assert "1 of 3 rows are at or above" in " ".join(found.text)
    by_set = {r["ood_dataset"]: r for r in found.records}
    assert by_set["omniglot"]["auroc"] == 100.0
    assert by_set["omniglot"]["difference"] == 0.0
    assert by_set["not_mnist"]["auroc"] < by_set["not_mnist"]["best"]
    assert by_set["uniform"]["auroc"] is None
    context = found.document.context
    assert set(context["missed"]["ood_dataset"]) == {"not_mnist", "vflip"}
    assert context["trained"][0]["lowest"]["ood_dataset"].tolist() == ["not_mnist"]


def test_training_sets_stand_one_after_the_other(tmp_path):
    both = [
        evaluation(tmp_path / "a", omniglot=FAR, vflip=NEAR),
        evaluation(tmp_path / "b", "fashion_mnist", vflip=NEAR, omniglot=NEAR, not_mnist=FAR),
    ]
    found = default_table.table(both)
    assert found.context["num_judged"] == 5
    lowest = [one["lowest"]["ood_dataset"].tolist() for one in found.context["trained"]]
    assert lowest == [["omniglot"], ["omniglot"]]
    assert found.context["trained"][1]["table"]["difference"].notna().sum() == 3


def test_members_densities_average_to_the_score(tmp_path):
    made = evaluation(tmp_path, num_members=3, omniglot=NEAR)
    of_sets = densities.member_densities(made)
    assert of_sets["omniglot"].shape == (3, len(statistics(0)["log_prob"][0]))
    for of_set in made.sets:
        np.testing.assert_allclose(
            of_sets[of_set.name].mean(axis=0), of_set.values("dose"), rtol=1e-9
        )


def test_an_interval_over_ensembles_is_the_jackknifes(tmp_path):
    """The member that is attacked stays in."""
    made = evaluation(tmp_path, num_members=4, not_mnist=NEAR, adversarial_unclipped=NEAR)
    of_sets = densities.member_densities(made)
    found = {r["ood_dataset"]: r for r in read_back.read(default_table.table, [made]).records}
    for name, removable in (("not_mnist", [0, 1, 2, 3]), ("adversarial_unclipped", [1, 2, 3])):

        def auroc(members, name=name):
            inside, outside = (
                of_sets[one][members].mean(axis=0) for one in ("in_distribution", name)
            )
            labels = np.repeat([0, 1], [len(inside), len(outside)])
            return 100 * roc_auc_score(labels, -np.concatenate([inside, outside]))

        without = [auroc([m for m in range(4) if m != one]) for one in removable]
        num = len(removable)
        error = np.sqrt((num - 1) / num * np.sum((without - np.mean(without)) ** 2))
        half = scipy.stats.t.ppf(0.975, num - 1) * np.sqrt(2) * error
        ends = [found[name]["ensembles_low"], found[name]["ensembles_high"]]
        expected = auroc([0, 1, 2, 3]) + np.array([-half, half])
        np.testing.assert_allclose(ends, np.clip(expected, 0, 100), err_msg=name)


def test_evaluations_without_the_score_are_refused():
    with pytest.raises(UserError, match="evaluations that have dose"):
        default_table.table([evaluations.evaluation()])


def test_training_sets_that_the_paper_lacks_are_refused(tmp_path):
    with pytest.raises(UserError, match="of digits"):
        default_table.table([evaluation(tmp_path, "digits", omniglot=FAR)])
