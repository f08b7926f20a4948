"""A user's own table: each usual flaw is handled as README says, or refused with one clear line."""

import re

import numpy as np
import pandas as pd
import pytest

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import load_training_data, open_source, read_all
from tfp_genens.data.sources import read_batch
from tfp_genens.errors import UserError

NUM_ROWS = 2500  # more than are read at once
MODEL = InputSpec((2,), "float32", None, "none", ("speed", "weight"))


def table(**columns):
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"speed": generator.normal(size=NUM_ROWS), "weight": generator.normal(size=NUM_ROWS)}
    )
    return frame.assign(**columns)


def classes():
    return np.random.default_rng(1).permutation([0] * 2400 + [1] * 100)


@pytest.fixture(params=["csv", "parquet"])
def save(request, tmp_path):
    """A function that writes a frame and returns its SPEC."""

    def write(frame):
        path = tmp_path / f"mine.{request.param}"
        if request.param == "csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path)
        return f"{request.param}:{path}"

    return write


def train_on(spec):
    return load_training_data(spec, validation_fraction=0.2, seed=0)


def refusal(function, *arguments):
    with pytest.raises(UserError) as error:
        function(*arguments)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_a_table_without_flaws(save, warned):
    frame = table()
    data = train_on(save(frame))
    assert data.input_spec == MODEL
    assert (len(data.train), len(data.validation)) == (2000, 500)
    assert warned() == []


def test_a_column_of_categories_is_left_out_with_a_warning(save, warned):
    colour = np.random.default_rng(0).choice(["red", "blue"], NUM_ROWS)
    spec = save(table(colour=colour))
    assert train_on(spec).input_spec == MODEL
    assert f"{spec}: columns without numbers left out: colour" in warned()
    assert read_all(open_source(spec, MODEL))[1].shape == (NUM_ROWS, 2)


def test_a_column_of_numbers_with_one_word_is_refused(save):
    frame = table()
    frame["speed"] = frame["speed"].astype(str)
    frame.loc[1700, "speed"] = "fast"
    message = "expected numbers in column 'speed'; got 'fast' in row 1700"
    assert message in refusal(train_on, save(frame))


@pytest.mark.parametrize("row", [0, 1700])
def test_a_missing_value_is_refused(save, row):
    frame = table()
    frame.loc[row, "weight"] = np.nan
    message = f"expected finite values; got nan in column 'weight' of example 'row {row}'"
    spec = save(frame)
    assert message in refusal(train_on, spec)
    assert message in refusal(read_all, open_source(spec, MODEL))


def test_a_constant_column_is_used_with_a_warning(save, warned):
    data = train_on(save(table(unit=5.0, other=0)))
    assert data.input_spec.feature_names == ("speed", "weight", "unit", "other")
    (message,) = warned()
    assert "one value throughout: unit, other;" in message


@pytest.mark.parametrize("value", [1e30, -1e9])
def test_a_huge_outlier_is_used_with_a_warning(save, warned, value):
    frame = table()
    frame.loc[1700, "weight"] = value
    spec = save(frame)
    data = train_on(spec)
    assert np.float32(value) in np.concatenate([data.train, data.validation])
    (message,) = warned()
    assert f"column 'weight' has {value:g} in example 'row 1700', where half" in message
    read_all(open_source(spec, MODEL))  # to be scored: a far value is what is looked for
    assert len(warned()) == 1


def test_heavy_tails_and_counts_are_not_called_outliers(save, warned):
    generator = np.random.default_rng(0)
    train_on(
        save(
            table(
                amount=generator.lognormal(3, 2, NUM_ROWS),
                mostly_zero=generator.random(NUM_ROWS) < 0.01,
            ).astype(float)
        )
    )
    assert warned() == []


def test_a_value_beyond_float32_is_refused(save):
    frame = table()
    frame.loc[1700, "weight"] = 1e39
    message = "got inf in column 'weight' of example 'row 1700'"
    assert message in refusal(train_on, save(frame))


def test_one_row_cannot_be_trained_on_but_scored(save):
    spec = save(table().iloc[:1])
    message = refusal(train_on, spec)
    assert "at least one example in the training and in the validation part" in message
    assert "got 0.2 of 1 examples" in message
    assert read_all(open_source(spec, MODEL))[1].shape == (1, 2)


def test_another_header_than_the_models_is_refused(save):
    spec = save(table().rename(columns={"weight": "Weight"}))
    message = refusal(open_source, spec, MODEL)
    assert "a column named 'weight'; got the columns speed, Weight" in message


def test_a_first_row_that_is_no_header_is_refused(tmp_path, warned):
    (tmp_path / "a.csv").write_text("0.5,2\n1.5,4\n-3,5\n")
    message = refusal(train_on, f"csv:{tmp_path / 'a.csv'}")
    assert "the columns' names in the first row; got numbers: 0.5, 2" in message


def test_columns_that_are_numbered_pass(tmp_path):
    pd.DataFrame(np.random.default_rng(0).normal(size=(10, 3))).to_csv(
        tmp_path / "a.csv", index=False
    )
    assert train_on(f"csv:{tmp_path / 'a.csv'}").input_spec.feature_names == ("0", "1", "2")


# --- labels ------------------------------------------------------------------------------------


def test_a_label_column_is_no_feature(save):
    frame = table(Class=classes())
    data = train_on(f"{save(frame)}?label=Class")
    assert data.input_spec == MODEL
    assert data.num_classes == 2
    rows = [int(name.removeprefix("row ")) for name in data.validation_ids]
    np.testing.assert_array_equal(data.validation_labels, frame["Class"].to_numpy()[rows])
    assert data.labels.sum() + data.validation_labels.sum() == 100


@pytest.mark.parametrize(
    ("kinds", "only"),
    [
        ((0, 1), ("0", "1")),
        ((0, 1), ("0.0", "1e0")),
        ((0.0, 1.0), ("0", "1")),
        (("ham", "spam"), ("ham", "spam")),
        (("a b", "c&d"), ("a+b", "c%26d")),
    ],
)
def test_only_the_rows_of_one_class(save, kinds, only):
    frame = table(Class=np.array(kinds, object)[classes()])
    if not isinstance(kinds[0], str):
        frame["Class"] = frame["Class"].astype(type(kinds[0]))
    spec = save(frame)
    normal = train_on(f"{spec}?label=Class&only={only[0]}")
    assert normal.input_spec == MODEL
    assert (len(normal.train) + len(normal.validation), normal.labels) == (2400, None)
    source = open_source(f"{spec}?label=Class&only={only[1]}", MODEL)
    assert source.num_examples is None
    for batch_size in (7, 1000):
        batches = list(source.batches(batch_size))
        assert {len(batch) for batch in batches[:-1]} <= {batch_size}
        ids = [name for batch in batches for name in batch.example_ids]
        assert ids == [f"row {row}" for row in np.flatnonzero(classes())]
        np.testing.assert_array_equal(
            np.concatenate([batch.values for batch in batches]),
            frame.loc[classes() == 1, ["speed", "weight"]].to_numpy(np.float32),
        )


def test_ids_of_the_table_stay_with_their_rows(save):
    frame = table(Class=classes(), example_id=[f"n{i}" for i in range(NUM_ROWS)])
    batch = read_batch(open_source(f"{save(frame)}?label=Class&only=1", None))
    assert batch.example_ids == tuple(f"n{row}" for row in np.flatnonzero(classes()))


def test_a_bad_cell_is_named_by_its_row_of_the_file(save):
    frame = table(Class=classes())
    row = int(np.flatnonzero(classes())[-1])
    frame.loc[row, "weight"] = np.nan
    message = refusal(read_all, open_source(f"{save(frame)}?label=Class&only=1", MODEL))
    assert f"nan in column 'weight' of example 'row {row}'" in message


@pytest.mark.parametrize(
    ("change", "query", "message"),
    [
        (
            {},
            "?label=Class",
            "a column named 'Class' for the labels; got the columns speed, weight",
        ),
        (
            {"Class": 0.5},
            "?label=Class",
            "whole numbers from 0 in column 'Class'; got 0.5 in row 0",
        ),
        ({"Class": -1}, "?label=Class", "whole numbers from 0 in column 'Class'; got -1 in row 0"),
        ({"Class": "ham"}, "?label=Class", "numbers in column 'Class'; got 'ham' in row 0"),
        (
            {"Class": None},
            "?label=Class&only=1",
            "a value in column 'Class' of every row; got none",
        ),
        ({"Class": 0}, "?label=Class&only=1", "at least one input; got none"),
        ({"Class": 0}, "?only=1", "?label=COLUMN or ?label=COLUMN&only=VALUE"),
        ({"Class": 0}, "?label=Class&omit=1", "?label=COLUMN or ?label=COLUMN&only=VALUE"),
        ({"Class": 0}, "?label=", "?label=COLUMN or ?label=COLUMN&only=VALUE"),
    ],
)
def test_labels_that_cannot_be_used(save, change, query, message):
    spec = f"{save(table(**change))}{query}"
    assert message in refusal(train_on, spec)


def test_a_missing_label_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,Class\n1,0\n2,\n3,1\n")
    message = refusal(train_on, f"csv:{tmp_path / 'a.csv'}?label=Class")
    assert "a value in column 'Class' of every row; got none in row 1" in message


def test_a_question_mark_in_a_files_name(tmp_path):
    path = tmp_path / "what?label=x.csv"
    table().to_csv(path, index=False)
    assert train_on(f"csv:{path}").input_spec == MODEL
    assert "no such file" in refusal(train_on, f"csv:{tmp_path / 'absent?.csv'}")
    assert re.search("no such file", refusal(train_on, f"csv:{tmp_path / 'absent'}?label=x"))
