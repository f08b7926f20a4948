"""The card-fraud builder on fake tables, its splits, and the real table where it is laid out."""

import collections
import re
import unittest

import numpy as np
import pandas as pd
import pytest
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import (
    DATASETS,
    OodContext,
    load_training_data,
    open_ood,
    open_source,
    read_all,
    take,
)
from tfp_genens.data.card_fraud import splits
from tfp_genens.data.card_fraud.card_fraud_dataset_builder import CLASS, FEATURES, CardFraud
from tfp_genens.data.sources import read_batch
from tfp_genens.errors import UserError

SPEC = "tfds:card_fraud:normal"
NUM_NORMAL, NUM_FRAUDS = 70, 10  # of the fake table
UNLABELLED = [name for name in DATASETS if re.fullmatch(r"credit_fraud(/\d)?", name)]
LABELLED = [name for name in DATASETS if name.startswith("credit_fraud_labelled")]


def fake_table():
    """Some rows three times, some twice, in both classes."""
    generator = np.random.default_rng(0)
    label = generator.permutation([0] * NUM_NORMAL + [1] * NUM_FRAUDS)
    values = generator.normal(size=(len(label), len(FEATURES)))
    for of_class, counts in ((0, (3, 3, 2, 2, 2)), (1, (2, 2))):
        rows = np.flatnonzero(label == of_class)
        for i, count in enumerate(counts):
            values[rows[3 * i : 3 * i + count]] = values[rows[3 * i]]
    frame = pd.DataFrame(values, columns=list(FEATURES))
    frame[CLASS] = label
    return frame


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(splits, "NUM_ROWS", NUM_NORMAL + NUM_FRAUDS)
    monkeypatch.setattr(splits, "NUM_FRAUDS", NUM_FRAUDS)


@pytest.fixture
def folder(tmp_path, small):
    tfds.disable_progress_bar()
    return tmp_path / "downloads/manual/card_fraud"


def write(folder, frame):
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "creditcard.csv", index=False)


def test_tensorflow_datasets_own_test_case(tmp_path, small):
    pytest.importorskip("dill", reason="tensorflow_datasets.testing needs dill")
    write(tmp_path / "card_fraud", fake_table())

    class Case(tfds.testing.DatasetBuilderTestCase):
        DATASET_CLASS = CardFraud
        SPLITS = {"normal": NUM_NORMAL, "fraud": NUM_FRAUDS}  # noqa: RUF012 (the base class's form)
        EXAMPLE_DIR = str(tmp_path)
        OVERLAPPING_SPLITS = ()

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    problems = [text for _, text in (*result.errors, *result.failures)]
    assert not problems, "\n".join(problems)
    assert {reason for _, reason in result.skipped} <= {"Not a test."}  # TensorFlow's helper
    assert result.testsRun - len(result.skipped) >= 5


@pytest.mark.parametrize("name", ["normal", "fraud"])
def test_rows_are_those_of_the_file(tmp_path, folder, name):
    frame = fake_table()
    write(folder, frame)
    source = open_source(f"tfds:card_fraud:{name}", None, data_dir=str(tmp_path))
    assert source.columns == FEATURES
    batch = read_batch(source)
    label = ["normal", "fraud"].index(name)
    assert set(batch.labels) == {label}
    assert batch.example_ids[0] == f"card_fraud/{name}/0"
    stored = tfds.builder("card_fraud", data_dir=tmp_path).as_dataset(split=name)
    examples = list(stored.as_numpy_iterator())
    at = [example["row"] for example in examples]
    assert sorted(at) == frame.index[frame[CLASS] == label].tolist()
    assert at != sorted(at)
    values = frame.loc[at, list(FEATURES)].to_numpy(np.float32)
    np.testing.assert_array_equal(np.stack([e["features"] for e in examples]), values)
    np.testing.assert_array_equal(batch.values, values)


def test_equal_rows_stand_in_one_block(tmp_path, folder):
    write(folder, fake_table())
    assert splits.bounds("normal") == (0, 10, 20, 30, 40, 50)
    assert splits.bounds("fraud") == (0, 2, 4, 6, 8, 10)
    for name in ("normal", "fraud"):
        values = read_all(open_source(f"tfds:card_fraud:{name}", None, data_dir=str(tmp_path)))[1]
        blocks = [part.tolist() for part in np.split(values, splits.bounds(name)[1:]) if len(part)]
        assert len(blocks) == (6 if name == "normal" else 5)
        homes = collections.defaultdict(set)
        for i, block in enumerate(blocks):
            for row in block:
                homes[tuple(row)].add(i)
        assert all(len(found) == 1 for found in homes.values())
        assert len(homes) < len(values)


@given(
    st.lists(st.integers(1, 3), min_size=0, max_size=8),
    st.lists(st.integers(0, 9), max_size=4),
    st.integers(0, 5),
)
def test_arrangements_keep_groups_within_bounds(sizes, widths, seed):
    bounds = np.cumsum([0, *widths])
    groups = np.repeat(np.arange(len(sizes)), sizes)
    groups = np.concatenate([groups, 100 + np.arange(bounds[-1] + 4)])  # enough to fill any block
    groups = np.random.default_rng(seed).permutation(groups)
    order = splits.arrange(groups, bounds, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(groups)))
    block_of = np.searchsorted(bounds[1:], np.arange(len(groups)), side="right")
    for group in set(groups):
        assert len(set(block_of[groups[order] == group])) == 1


def test_blocks_that_cannot_be_filled():
    with pytest.raises(ValueError, match="got 1 rows too few"):
        splits.arrange(np.zeros(4, int), [0, 1], np.random.default_rng(0))


def times_read(spec):
    """How often a SPEC reads each row, normal ones first, as tensorflow_datasets understands it."""
    sizes = {"normal": splits.NUM_ROWS - splits.NUM_FRAUDS, "fraud": splits.NUM_FRAUDS}
    infos = {
        name: tfds.core.SplitInfo(
            name=name, shard_lengths=[size], num_bytes=0, filename_template=None
        )
        for name, size in sizes.items()
    }
    name, split = spec.removeprefix("tfds:").split(":", 1)
    assert name == "card_fraud"
    first = {"normal": 0, "fraud": sizes["normal"]}
    times = np.zeros(splits.NUM_ROWS, int)
    for part in tfds.core.ReadInstruction.from_spec(split).to_absolute(infos):
        start = first[part.splitname]
        times[start : start + sizes[part.splitname]][part.from_ : part.to] += 1
    return times


def test_there_are_five_splits_of_either_kind():
    numbers = ["", "/1", "/2", "/3", "/4"]
    assert [f"credit_fraud{number}" for number in numbers] == UNLABELLED
    assert [f"credit_fraud_labelled{number}" for number in numbers] == LABELLED
    assert len({DATASETS[name].label for name in (*UNLABELLED, *LABELLED)}) == 10


def test_no_test_row_is_trained_on_and_none_is_lost():
    frauds = times_read("tfds:card_fraud:fraud")
    assert frauds.sum() == 492
    for name, labelled in zip(UNLABELLED, LABELLED, strict=True):
        row = DATASETS[name]
        train, test, fraud = map(times_read, (row.train, row.test, row.ood_specs["fraud"]))
        assert test.sum() == 492
        np.testing.assert_array_equal(fraud, frauds)
        np.testing.assert_array_equal(train + test + fraud, 1)
        row = DATASETS[labelled]
        np.testing.assert_array_equal(times_read(row.test), test)
        some = times_read(row.ood_specs["fraud"])
        assert some.sum() in (98, 99)
        np.testing.assert_array_equal(times_read(row.train), train + frauds - some)


def test_what_is_tested_in_one_split_is_not_in_another():
    assert sum(times_read(DATASETS[name].test) for name in UNLABELLED).max() == 1
    held_out = sum(times_read(DATASETS[name].ood_specs["fraud"]) for name in LABELLED)
    np.testing.assert_array_equal(held_out, times_read("tfds:card_fraud:fraud"))


def swapped(frame):
    return frame[[FEATURES[1], FEATURES[0], *FEATURES[2:], CLASS]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (None, "an empty or missing folder"),
        (lambda frame: frame.iloc[1:], "80 rows, 10 of them frauds; it has 79 and "),
        (lambda frame: frame.assign(Class=0), "80 rows, 10 of them frauds; it has 80 and 0"),
        (lambda frame: frame.assign(Class=frame[CLASS].replace(0, 2)), "0 or 1 as Class"),
        (lambda frame: frame.assign(V3=np.nan), "finite numbers"),
        (lambda frame: frame.drop(columns="V3"), "the columns Time, V1, ..., V28, Amount, Class"),
        (swapped, "the columns Time, V1"),
    ],
)
def test_missing_or_wrong_files_say_what_to_put_where(tmp_path, folder, change, reason):
    if change is not None:
        write(folder, change(fake_table()))
    with pytest.raises(UserError, match=reason) as error:
        open_source(SPEC, None, argument="--dataset", data_dir=str(tmp_path))
    message = str(error.value)
    assert message.startswith(f"--dataset={SPEC}: expected the tensorflow_datasets set")
    assert f"in {folder.parent}: Make a folder card_fraud/" in message
    assert "\n" not in message


def test_the_real_table_has_another_size(tmp_path):
    tfds.disable_progress_bar()
    write(tmp_path / "downloads/manual/card_fraud", fake_table())
    with pytest.raises(UserError, match="284,807 rows, 492 of them frauds; it has 80 and 10"):
        open_source(SPEC, None, data_dir=str(tmp_path))


def test_columns_must_be_the_models(tmp_path, folder):
    write(folder, fake_table())
    same = InputSpec((30,), "float32", None, "none", FEATURES)
    assert open_source(SPEC, same, data_dir=str(tmp_path)).num_examples == NUM_NORMAL
    other = InputSpec((30,), "float32", None, "none", (*FEATURES[:-1], "Sum"))
    with pytest.raises(UserError, match=r"the columns Time, V1, .*; got Time, V1, "):
        open_source(SPEC, other, data_dir=str(tmp_path))


def context(train_dataset, data_dir=None):
    spec = InputSpec((30,), "float32", None, "none", FEATURES)
    test = open_source(DATASETS["credit_fraud"].test, spec, data_dir=data_dir)
    return OodContext(take(test, 492), spec, 492, 0, None, data_dir, train_dataset)


@pytest.mark.parametrize("train_dataset", ["mnist", "csv:creditcard.csv", ""])
def test_frauds_that_may_have_been_trained_on_are_refused(needs_tfds, train_dataset):
    needs_tfds("card_fraud")
    with pytest.raises(UserError, match=r"one of credit_fraud, .*, or fraud=SPEC"):
        open_ood("fraud", context(train_dataset))


@pytest.mark.parametrize(("name", "split"), [("credit_fraud/3", 3), ("credit_fraud_labelled/3", 3)])
def test_the_real_table(needs_tfds, name, split):
    """No test row is in the training data, neither by number nor by what it holds."""
    needs_tfds("card_fraud")
    data = load_training_data(name, validation_fraction=0.05, seed=0)
    with_labels = "labelled" in name
    frauds = read_batch(open_ood("fraud", context(name))[1])
    test = read_batch(open_source(DATASETS[name].test, data.input_spec))
    assert (len(test), set(test.labels), set(frauds.labels)) == (492, {0}, {1})
    assert len(frauds) == (splits.NUM_FRAUDS // 5 + (split > 0) if with_labels else 492)
    num_trained = 284_315 - 492 + (492 - len(frauds) if with_labels else 0)
    assert len(data.train) + len(data.validation) == num_trained
    assert data.labels.sum() + data.validation_labels.sum() == (
        492 - len(frauds) if with_labels else 0
    )
    assert data.input_spec == InputSpec((30,), "float32", None, "none", FEATURES)
    seen = {row.tobytes() for part in (data.train, data.validation) for row in part}
    assert not any(row.tobytes() in seen for row in (*test.values, *frauds.values))
    # As published: the seconds of two days, and 25,691.16 the largest amount.
    assert data.train[:, 0].max() <= 172_792
    assert max(part[:, -1].max() for part in (data.train, data.validation, test.values)) == (
        np.float32(25_691.16)
    )
