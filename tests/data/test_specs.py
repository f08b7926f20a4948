"""open_source: every scheme read well, and every kind of bad input refused with a clear line."""

import re

import numpy as np
import pandas as pd
import PIL.Image
import pytest

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import SCHEMES, open_source, read_all, take
from tfp_genens.data.sources import read_batch
from tfp_genens.errors import UserError

GREY = InputSpec((8, 8, 1), "uint8", (0.0, 255.0), "x / 255")


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return f"npz:{path}"


def write_text(path, text):
    path.write_text(text)
    return f"csv:{path}"


def write_image(path, values, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(values).save(path, **kwargs)
    return path


@pytest.fixture
def grey():
    return np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8)


# --- SPECs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["", "mnist", "foo:bar", "npz:", ":x", "/tmp/x.npz"])
def test_what_is_no_spec_is_refused_with_the_forms_there_are(spec):
    with pytest.raises(UserError, match="npz:PATH, csv:PATH") as error:
        open_source(spec, None, argument="--input")
    assert error.value.argument == "--input"
    assert repr(spec) in str(error.value)


def test_every_scheme_says_how_it_is_written():
    assert all(scheme.form.startswith(f"{name}:") for name, scheme in SCHEMES.items())


def test_the_argument_and_spec_are_named(tmp_path):
    spec = f"npz:{tmp_path / 'absent.npz'}"
    with pytest.raises(UserError, match="no such file") as error:
        open_source(spec, None, argument="--in_distribution")
    assert error.value.argument == f"--in_distribution={spec}"


# --- npz ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["image", "images", "x", "inputs", "features", "data"])
def test_npz_finds_the_array_by_its_usual_name(tmp_path, grey, name):
    source = open_source(write_npz(tmp_path / "a.npz", **{name: grey, "label": [1] * 5}), GREY)
    ids, values = read_all(source)
    assert ids == tuple(f"a.npz/{i}" for i in range(5))
    assert values.dtype == np.uint8
    np.testing.assert_array_equal(values, grey)


def test_npz_only_array_named_array_and_missing_channel(tmp_path, grey):
    np.testing.assert_array_equal(
        read_all(open_source(write_npz(tmp_path / "a.npz", odd=grey[..., 0]), GREY))[1], grey
    )
    spec = write_npz(tmp_path / "b.npz", first=grey, second=grey + 1)
    np.testing.assert_array_equal(read_all(open_source(spec + ":second", GREY))[1], grey + 1)


def test_npz_labels_are_not_taken_for_inputs(tmp_path, grey):
    source = open_source(write_npz(tmp_path / "a.npz", odd=grey, labels=[3, 0, 1, 2, 1]), GREY)
    batch = read_batch(source)
    np.testing.assert_array_equal(batch.values, grey)
    np.testing.assert_array_equal(batch.labels, [3, 0, 1, 2, 1])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 2], r"got shape \(2,\) for 5 inputs"),
        ([[0], [1], [0], [1], [0]], r"got shape \(5, 1\)"),
        ([0.0, 1.0, 2.0, 3.0, 4.0], "got dtype float64"),
        (list("abcde"), "got dtype <U1"),
        ([0, 1, -1, 0, 1], "got the negative number -1"),
    ],
)
def test_npz_labels_of_no_use_are_left_out_with_a_warning(tmp_path, grey, warned, labels, message):
    source = open_source(write_npz(tmp_path / "a.npz", x=grey, label=labels), GREY)
    assert read_batch(source).labels is None
    (warning,) = warned()
    assert "labels left out" in warning
    assert re.search(message, warning)


def test_npz_natural_shape(tmp_path):
    spec = write_npz(tmp_path / "a.npz", x=np.zeros((3, 4, 6, 2)))
    assert open_source(spec, None).shape == (4, 6, 2)


@pytest.mark.parametrize(
    ("arrays", "key", "message"),
    [
        ({"first": [[1]], "second": [[2]]}, "", "npz:PATH:KEY; got the arrays first, second"),
        ({"x": [[1]], "data": [[2]]}, "", "npz:PATH:KEY; got the arrays x, data"),
        ({"first": [[1]]}, ":other", "one of the arrays first; got 'other'"),
        ({"x": [1.0, 2.0]}, "", r"an array \[N, ...\] of inputs; got shape \(2,\)"),
        ({"x": [["a"]]}, "", "an array of numbers"),
        ({"x": [[1j]]}, "", "an array of numbers"),
        ({"x": [[True]]}, "", "an array of numbers"),
        ({"x": np.array([[None]])}, "", "allow_pickle"),
    ],
)
def test_npz_that_cannot_be_used(tmp_path, arrays, key, message):
    with pytest.raises(UserError, match=message):
        open_source(write_npz(tmp_path / "a.npz", **arrays) + key, None)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"text"])
def test_npz_that_is_none(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"a readable .npz file"):
        open_source(f"npz:{tmp_path / 'a.npz'}", None)


def test_npy_is_no_archive(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 2)))
    with pytest.raises(UserError, match=r"an .npz archive"):
        open_source(f"npz:{tmp_path / 'a.npy'}", None)


# --- what holds for every scheme ---------------------------------------------------------------


def test_wrong_shape_names_both(tmp_path):
    spec = write_npz(tmp_path / "a.npz", x=np.zeros((3, 9, 8, 1)))
    with pytest.raises(UserError, match=r"shape \(8, 8, 1\); got shape \(9, 8, 1\)"):
        open_source(spec, GREY)


def test_no_rows(tmp_path):
    with pytest.raises(UserError, match="at least one input; got none"):
        open_source(write_npz(tmp_path / "a.npz", x=np.zeros((0, 8, 8, 1))), GREY)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_not_finite_in_float32_are_refused(tmp_path, bad):
    values = np.full((5, 8, 8, 1), 7.0)
    values[3, 2, 4, 0] = bad
    source = open_source(write_npz(tmp_path / "a.npz", x=values), GREY)
    message = re.escape(f"{bad} at [2, 4, 0] of example 'a.npz/3'")
    with pytest.raises(UserError, match=message):
        read_all(source)


def test_values_outside_the_range_pass_with_one_warning(tmp_path, warned):
    values = np.full((300, 8, 8, 1), 7.0)
    values[2, 0, 0, 0] = 256
    values[299, 0, 0, 0] = -1
    source = open_source(write_npz(tmp_path / "a.npz", x=values), GREY)
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate([b.values for b in source.batches(7)]), values)
    (message,) = warned()
    assert "0 to 255" in message
    assert "256 in example 'a.npz/2'" in message


def test_images_scaled_to_one_pass_with_one_warning(tmp_path, warned):
    spec = write_npz(tmp_path / "a.npz", x=np.random.default_rng(0).random((30, 8, 8, 1)))
    source = open_source(spec, GREY)
    for _ in range(2):
        assert len(read_all(source)[0]) == 30
    (message,) = warned()
    assert "[0, 1]" in message


def test_images_scaled_to_one_are_noticed_where_reading_stops_early(tmp_path, warned):
    source = open_source(write_npz(tmp_path / "a.npz", x=np.ones((30, 8, 8, 1))), GREY)
    read_all(take(source, 5))
    assert len(warned()) == 1


@pytest.mark.parametrize(
    "values",
    [
        np.full((3, 8, 8, 1), 200.0),
        np.zeros((3, 8, 8, 1), np.uint8),
        np.concatenate([np.zeros((3, 8, 8, 1)), np.full((1, 8, 8, 1), 1.5)]),
    ],
)
def test_usual_values_pass_without_a_warning(tmp_path, warned, values):
    for _ in open_source(write_npz(tmp_path / "a.npz", x=values), GREY).batches(1):
        pass
    assert warned() == []


def test_tables_have_no_range_to_leave(tmp_path, warned, table_spec):
    read_all(open_source(write_text(tmp_path / "a.csv", "a,b\n0.5,0.1\n"), table_spec))
    read_all(open_source(write_text(tmp_path / "a.csv", "a,b\n-5e9,3\n"), table_spec))
    assert warned() == []


# --- tables ------------------------------------------------------------------------------------


def test_csv_chooses_columns_by_name(tmp_path, table_spec):
    spec = write_text(tmp_path / "a.csv", "b,other,a\n1,x,2\n3,y,4.5\n\n")
    ids, values = read_all(open_source(spec, table_spec))
    assert ids == ("row 0", "row 1")
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [[2, 1], [4.5, 3]])


def test_tables_spell_images_by_their_pixels(tmp_path, grey):
    names = GREY.column_names()
    assert names[:2] == ("pixel_0_0", "pixel_0_1")
    frame = pd.DataFrame(grey.reshape(5, 64), columns=list(names))[list(names[::-1])]
    frame["label"] = "digit"
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    for spec in (f"csv:{tmp_path / 'a.csv'}", f"parquet:{tmp_path / 'a.parquet'}"):
        np.testing.assert_array_equal(read_all(open_source(spec, GREY))[1], grey)


@pytest.mark.parametrize("batch_size", [1, 7, 999, 1000, 3000])
@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_tables_stream_in_order(tmp_path, table_spec, suffix, batch_size):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(2500, 2)), columns=["a", "b"])
    path = tmp_path / f"t.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(path, row_group_size=700)
    else:
        frame.to_csv(path, index=False)
    source = open_source(f"{suffix.partition('.')[0]}:{path}", table_spec)
    for _ in range(2):
        batches = list(source.batches(batch_size))
        assert {len(batch) for batch in batches[:-1]} <= {batch_size}
        np.testing.assert_array_equal(
            np.concatenate([batch.values for batch in batches]),
            frame.to_numpy().astype(np.float32),
        )
        assert [i for batch in batches for i in batch.example_ids] == [
            f"row {row}" for row in range(2500)
        ]


def test_example_ids_are_taken_as_written(tmp_path, table_spec):
    spec = write_text(tmp_path / "a.csv", "example_id,a,b\n007,1,2\nNA,3,4\n")
    assert read_all(open_source(spec, table_spec))[0] == ("007", "NA")
    frame = pd.DataFrame({"a": [1, 3], "b": [2, 4]}, index=pd.Index([8, 9], name="example_id"))
    frame.to_parquet(tmp_path / "a.parquet")
    source = open_source(f"parquet:{tmp_path / 'a.parquet'}", table_spec)
    assert read_all(source)[0] == ("8", "9")


def test_training_on_a_table_takes_its_numeric_columns(tmp_path, warned):
    spec = write_text(tmp_path / "a.csv", "example_id,v,name,u\n1,2,joe,3\n2,4,ann,5\n")
    source = open_source(spec, None)
    assert source.columns == ("v", "u")
    np.testing.assert_array_equal(read_all(source)[1], [[2, 3], [4, 5]])
    assert len(warned()) == 1
    assert "name" in warned()[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one input; got an empty file"),
        ("a,b\n", "at least one input; got none"),
        ("a,c\n1,2\n", "a column named 'b'; got the columns a, c"),
        ("a,b,a\n1,2,3\n", "a single column named 'a'; got 2"),
        ("a,b\n1,2\n3,x\n", "numbers in column 'b'; got 'x' in row 1"),
        ("a,b\n1,True\n3,False\n", "numbers in column 'b'; got 'True' in row 0"),
        ("a,b\n" + "1,2\n" * 2100 + "oops,2\n", "numbers in column 'a'; got 'oops' in row 2100"),
        ("a,b\n1,2\n3,\n", "nan in column 'b' of example 'row 1'"),
        ("a,b\n1,2\n3\n", "nan in column 'b' of example 'row 1'"),
        ("a,b\nNaN,2\n", "nan in column 'a' of example 'row 0'"),
        ("a,b\n1,-inf\n", "-inf in column 'b' of example 'row 0'"),
        ("example_id,a,b\nme,1,1e39\n", "inf in column 'b' of example 'me'"),
        ("example_id,a,b\nme,1,2\n,1,2\n", "'example_id' of every row; got none in row 1"),
        ("a,b\n1,2\n1,2,3\n", "a readable table"),
        ("a,b\n1,2,3\n1,2,3\n", "a readable table"),
    ],
)
def test_csv_that_cannot_be_used(tmp_path, table_spec, text, message):
    spec = write_text(tmp_path / "a.csv", text)
    with pytest.raises(UserError, match=message):
        read_all(open_source(spec, table_spec))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "at least one input; got none"),
        (",a\n0,1\n", "a name for every column; got none for column 0"),
        ("a,a\n0,1\n", "a single column named 'a'"),
        ("a,b\njoe,ann\n", "at least one column of numbers; got the columns a, b"),
        ("a,b\n1,2\n3,x\n", "numbers in column 'b'; got 'x' in row 1"),
    ],
)
def test_csv_that_cannot_be_trained_on(tmp_path, text, message):
    spec = write_text(tmp_path / "a.csv", text)
    with pytest.raises(UserError, match=message):
        read_all(open_source(spec, None))


def test_a_lone_column_keeps_its_blank_lines(tmp_path):
    one = InputSpec((1,), "float32", None, "none", ("a",))
    with pytest.raises(UserError, match="nan in column 'a' of example 'row 1'"):
        read_all(open_source(write_text(tmp_path / "a.csv", "a\n1\n\n3\n"), one))


def test_parquet_that_cannot_be_used(tmp_path, table_spec):
    path = tmp_path / "a.parquet"
    for frame, message in (
        (pd.DataFrame({"a": [1.0]}), "a column named 'b'"),
        (pd.DataFrame({"a": [1.0], "b": [None]}), "nan in column 'b' of example 'row 0'"),
        (pd.DataFrame({"a": [1, 2], "b": ["3", "x"]}), "numbers in column 'b'; got 'x' in row 1"),
        (pd.DataFrame({"a": [1], "b": [pd.Timestamp(0)]}), "numbers in column 'b'"),
        (pd.DataFrame({"a": [], "b": []}), "at least one input; got none"),
    ):
        frame.to_parquet(path)
        with pytest.raises(UserError, match=message):
            read_all(open_source(f"parquet:{path}", table_spec))
    path.write_bytes(b"no parquet")
    with pytest.raises(UserError, match="a readable table"):
        open_source(f"parquet:{path}", table_spec)


@pytest.mark.parametrize("scheme", ["csv", "parquet"])
def test_no_such_table(tmp_path, table_spec, scheme):
    with pytest.raises(UserError, match="an existing file; got no such file"):
        open_source(f"{scheme}:{tmp_path / 'absent'}", table_spec)


# --- images ------------------------------------------------------------------------------------


def test_image_folder_is_sorted_and_recursive(tmp_path, grey):
    for name, image in zip(["b.png", "a/z.bmp", "a/y.PNG", "c.gif"], grey, strict=False):
        write_image(tmp_path / name, image[..., 0])
    (tmp_path / "labels.txt").write_text("not an image")
    ids, values = read_all(open_source(f"images:{tmp_path}", GREY))
    assert ids == ("a/y.PNG", "a/z.bmp", "b.png", "c.gif")
    assert values.dtype == np.uint8
    np.testing.assert_array_equal(values, grey[[2, 1, 0, 3]])


def test_image_glob_and_single_file(tmp_path, grey):
    for name in ["one/a.png", "one/b.jpg", "two/a.png"]:
        write_image(tmp_path / name, grey[0, ..., 0])
    assert read_all(open_source(f"images:{tmp_path}/*/a.png", GREY))[0] == (
        "one/a.png",
        "two/a.png",
    )
    assert read_all(open_source(f"images:{tmp_path}/one/*", GREY))[0] == ("a.png", "b.jpg")
    assert read_all(open_source(f"images:{tmp_path}/one/a.png", GREY))[0] == ("a.png",)


def test_images_become_grey_or_coloured_as_the_model_wants(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    write_image(tmp_path / "a.png", rgb)
    spec = f"images:{tmp_path}"
    luma = np.round(rgb @ [0.299, 0.587, 0.114])
    grey = read_all(open_source(spec, GREY))[1][0, ..., 0]
    assert np.abs(grey - luma).max() <= 1
    colour = InputSpec((8, 8, 3), "uint8", (0.0, 255.0), "x / 255")
    np.testing.assert_array_equal(read_all(open_source(spec, colour))[1][0], rgb)
    write_image(tmp_path / "a.png", rgb[..., 0])
    np.testing.assert_array_equal(
        read_all(open_source(spec, colour))[1][0], np.repeat(rgb[..., :1], 3, axis=-1)
    )


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        (np.zeros((4, 6), np.uint8), (4, 6, 1)),
        (np.zeros((4, 6), bool), (4, 6, 1)),
        (np.zeros((4, 6), np.uint16), (4, 6, 1)),
        (np.zeros((4, 6, 3), np.uint8), (4, 6, 3)),
        (np.zeros((4, 6, 4), np.uint8), (4, 6, 3)),
    ],
)
def test_images_natural_shape(tmp_path, values, shape):
    write_image(tmp_path / "a.png", values)
    source = open_source(f"images:{tmp_path}", None)
    assert source.shape == shape
    assert read_all(source)[1].shape == (1, *shape)


def test_sixteen_bit_images_keep_their_greys(tmp_path):
    grey = np.arange(64, dtype=np.uint16).reshape(8, 8) * 4 * 257
    write_image(tmp_path / "a.png", grey)
    values = read_all(open_source(f"images:{tmp_path}", GREY))[1][0, ..., 0]
    np.testing.assert_array_equal(values, grey // 257)


def test_animation_gives_its_first_frame(tmp_path, grey):
    first, second = (PIL.Image.fromarray(image[..., 0]) for image in grey[:2])
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    np.testing.assert_array_equal(read_all(open_source(f"images:{tmp_path}", GREY))[1], grey[:1])


def test_image_of_another_size_names_the_file(tmp_path, grey):
    write_image(tmp_path / "a.png", grey[0, ..., 0])
    write_image(tmp_path / "b.png", np.zeros((9, 8, 3), np.uint8))
    with pytest.raises(UserError, match=r"\(8, 8, 1\); got shape \(9, 8, 3\) in .*b.png"):
        read_all(open_source(f"images:{tmp_path}", GREY))


@pytest.mark.parametrize("damage", ["not an image", "cut short", "empty"])
def test_unreadable_image_names_the_file(tmp_path, grey, damage):
    path = write_image(tmp_path / "bad.png", grey[0, ..., 0])
    content = path.read_bytes()
    path.write_bytes({"not an image": b"x", "cut short": content[:-40], "empty": b""}[damage])
    with pytest.raises(UserError, match=r"readable images; got .*bad.png"):
        read_all(open_source(f"images:{tmp_path}", GREY))


@pytest.mark.parametrize("location", ["", "/absent", "/*.png"])
def test_no_images(tmp_path, location):
    with pytest.raises(UserError, match=r"image files .*; got none"):
        open_source(f"images:{tmp_path}{location}", GREY)


def test_images_do_not_suit_a_table_model(tmp_path, grey, table_spec):
    write_image(tmp_path / "a.png", grey[0, ..., 0])
    with pytest.raises(UserError, match=r"inputs of shape \(2,\); got image files"):
        open_source(f"images:{tmp_path}", table_spec)


# --- digits ------------------------------------------------------------------------------------


def test_digits_are_split_without_overlap_or_loss():
    from sklearn.datasets import load_digits

    train, test = (open_source(f"digits:{split}", GREY) for split in ("train", "test"))
    assert (train.num_examples, test.num_examples) == (1297, 500)
    (train_ids, a), (test_ids, b) = read_all(train), read_all(test)
    assert a.dtype == b.dtype == np.uint8
    assert train_ids[0] == "digits/train/0"
    assert len({*train_ids, *test_ids}) == 1797
    both = np.concatenate([a, b])[..., 0].astype(float) * 16 / 255
    rows = np.round(both).astype(int).reshape(1797, 64)
    stored = load_digits().images.astype(int).reshape(1797, 64)
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], stored[np.lexsort(stored.T)])
    assert (a.min(), a.max()) == (0, 255)


def test_digits_split_is_not_by_writer():
    from sklearn.datasets import load_digits

    values = read_all(open_source("digits:test", GREY))[1]
    stored = np.round(load_digits().images * 255 / 16)[..., np.newaxis]
    last_500 = stored[-500:].astype(np.uint8)
    assert not np.array_equal(np.sort(values, axis=0), np.sort(last_500, axis=0))


def test_digits_have_two_splits():
    with pytest.raises(UserError, match="digits:train or digits:test; got 'validation'"):
        open_source("digits:validation", GREY)
