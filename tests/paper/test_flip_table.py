"""Mirrored images by class, on scikit-learn's digits with statistics made by hand."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from support import evaluations, read_back
from support.statistics import NUM, evaluation

from tfp_genens.data import open_source
from tfp_genens.data.sources import read_batch
from tfp_genens.errors import UserError
from tfp_genens.paper.tables import flip_table


@pytest.fixture
def make(tmp_path):
    def make(spec="digits:test", first=0, **sets):
        made = evaluation(tmp_path / str(first), train_dataset="digits", **sets)
        made.document["in_distribution"] = spec
        for one in made.sets:
            one.scores.frame["example_id"] = [f"digits/test/{first + i}" for i in range(NUM)]
        return made

    return make


def test_numbers_are_of_the_class(make):
    made = make(hflip={"log_scale": 2.0}, vflip={}, omniglot={})
    page = read_back.read(flip_table.table, [made])
    assert {record["ood_dataset"] for record in page.records} == {"hflip", "vflip"}
    batch = read_batch(open_source("digits:test", None))
    images, labels = batch.values[:NUM].astype(float), batch.labels[:NUM]
    (found,) = (r for r in page.records if (r["class"], r["ood_dataset"]) == (3, "hflip"))
    of_class = labels == 3
    assert found["num"] == of_class.sum()
    inside, outside = (one.scores.frame["dose"].to_numpy()[of_class] for one in made.sets[:2])
    expected = roc_auc_score(np.repeat([0, 1], of_class.sum()), -np.concatenate([inside, outside]))
    assert found["auroc"] == pytest.approx(100 * expected)
    threes, mirrored = images[of_class], images[of_class][:, :, ::-1]
    ratios = []
    for i, mirror in enumerate(mirrored):
        others = np.delete(threes, i, axis=0).reshape(len(threes) - 1, -1)
        near = NearestNeighbors(n_neighbors=1).fit(others)
        (theirs,), (own,) = near.kneighbors([mirror.ravel(), threes[i].ravel()])[0]
        ratios.append(theirs / own)
    assert found["distance"] == pytest.approx(np.median(ratios))


def test_symmetric_classes_are_near_their_mirror_images(make):
    page = read_back.read(flip_table.table, [make(hflip={})])
    (section,) = (section for section in page.sections if section.header)
    distances = {line[0]: float(line[2]) for line in section.body}
    assert set(distances) <= set(map(str, load_digits().target_names))
    assert distances["8"] < distances["3"]
    assert any("correlation" in note and "hflip" in note for note in section.notes)


def test_what_has_no_flips_or_other_inputs(make):
    with pytest.raises(UserError, match="with hflip or vflip"):
        flip_table.table([make(omniglot={})])
    with pytest.raises(UserError, match="the first images of sets with classes"):
        flip_table.table([make(first=7, hflip={})])
    with pytest.raises(UserError, match="dose"):
        flip_table.table([evaluations.evaluation()])
