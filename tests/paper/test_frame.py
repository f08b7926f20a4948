"""The one frame of results holds what results.json and the paper hold, number by number."""

from __future__ import annotations

import pandas as pd
import pytest
from support.evaluations import evaluation

from tfp_genens.errors import UserError
from tfp_genens.paper import frame


def test_a_row_a_number():
    given = [evaluation(), evaluation(range(5, 8)), evaluation(sets={"vflip": 0.0}, beta=0.1)]
    found = frame.results(given)
    assert list(found.columns) == frame.COLUMNS
    assert found.groupby("configuration")["evaluation"].unique().map(list).tolist() == [[0, 1], [2]]
    keys = ["evaluation", "ood_dataset", "score", "metric", "member"]
    assert not found.duplicated(keys).any()
    for position, one in enumerate(given):
        for row in one.document["rows"]:
            of_row = found[
                (found["evaluation"] == position)
                & (found["ood_dataset"] == row["ood_dataset"])
                & (found["score"] == row["score"])
            ]
            whole = of_row[of_row["member"].isna()].set_index("metric")
            for metric in ("auroc", "average_precision", "fpr_at_95_tpr"):
                numbers = whole.loc[metric]
                assert numbers["value"] == row[metric]
                assert (numbers["low"], numbers["high"]) == (
                    row[f"{metric}_low"],
                    row[f"{metric}_high"],
                )
            assert whole["num_in"].tolist() == [row["num_in"]] * 3
            members = of_row[of_row["member"].notna()]
            assert members["value"].tolist() == (row["auroc_members"] or [])
            assert set(members["metric"]) <= {"auroc"}


def test_the_papers_numbers_and_attacked_members():
    found = frame.results([evaluation(sets={"hflip": -1.0, "adversarial_clipped": 0.0})])
    rate = found[(found["score"] == "rate") & (found["metric"] == "auroc")]
    theirs = rate.groupby("ood_dataset")["paper"].first()
    assert theirs["hflip"] == 90.0  # Table 2 of the paper
    assert pd.isna(theirs["adversarial_clipped"])
    used = rate.dropna(subset="member").groupby("ood_dataset")["is_used"].sum()
    assert used.to_dict() == {"hflip": 5, "adversarial_clipped": 1}


def test_shared_members_are_refused():
    with pytest.raises(UserError, match="share no members"):
        frame.results([evaluation(), evaluation([4])])


def test_nothing_is_an_empty_frame():
    assert list(frame.results([evaluation(sets={})]).columns) == frame.COLUMNS
