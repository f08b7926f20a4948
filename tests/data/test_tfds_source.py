"""tfds: SPECs, against small sets written in tfds's own format and against the real MNIST."""

import shutil
import socket

import numpy as np
import pytest

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import load_training_data, open_source, read_all, take
from tfp_genens.data.sources import read_batch
from tfp_genens.data.tfds_source import data_directory
from tfp_genens.errors import UserError

MNIST = InputSpec((28, 28, 1), "uint8", (0.0, 255.0), "x / 255")
IMAGES = np.random.default_rng(0).integers(0, 256, (10, 6, 5, 1), np.uint8)
TRAIN, TEST = IMAGES[:7], IMAGES[7:]
TRAIN_LABELS, TEST_LABELS = [2, 0, 1, 1, 2, 0, 2], [1, 0, 2]
ROWS = np.random.default_rng(1).normal(size=(5, 3))


def write_set(data_dir, name, features, splits):
    """Lays out a set with three shards a split."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={
            split: tf.data.Dataset.from_generator(
                lambda examples=examples: iter(examples),
                output_signature={
                    key: feature.get_tensor_spec() for key, feature in features.items()
                },
            )
            for split, examples in splits.items()
        },
        data_dir=str(data_dir),
        disable_shuffling=True,
        download_config=tfds.download.DownloadConfig(num_shards=3),
    )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    directory = tmp_path_factory.mktemp("tfds")
    features = tfds.features
    write_set(
        directory,
        "tiny",
        {"image": features.Image(shape=(6, 5, 1)), "label": features.ClassLabel(num_classes=3)},
        {
            split: [
                {"image": image, "label": label}
                for image, label in zip(images, labels, strict=True)
            ]
            for split, images, labels in (
                ("train", TRAIN, TRAIN_LABELS),
                ("test", TEST, TEST_LABELS),
            )
        },
    )
    write_set(
        directory,
        "sizes",
        {"image": features.Image(shape=(None, None, 1))},
        {
            "same": [{"image": image} for image in TEST],
            "mixed": [{"image": image} for image in (*TEST, TEST[0][:4])],
        },
    )
    write_set(
        directory,
        "words",
        {"label": features.ClassLabel(num_classes=2)},
        {"all_of": [{"label": 1}] * 3},
    )
    write_set(
        directory,
        "rows",
        {
            "features": features.Tensor(shape=(3,), dtype=np.float64),
            "label": features.ClassLabel(num_classes=3),
        },
        {
            "all_of": [
                {"features": row, "label": label}
                for row, label in zip(ROWS, (1, 0, 0, 1, 2), strict=True)
            ]
        },
    )
    write_set(
        directory,
        "whole_rows",
        {
            "features": features.Tensor(shape=(3,), dtype=np.int64),
            "label": features.Tensor(shape=(), dtype=np.int64),
        },
        {"all_of": [{"features": np.floor(row).astype(np.int64), "label": 7} for row in ROWS]},
    )
    write_set(
        directory,
        "matrices",
        {"features": features.Tensor(shape=(3, 3), dtype=np.float64)},
        {"all_of": [{"features": ROWS[:3]}] * 3},
    )
    write_set(
        directory,
        "columns",
        {"features": features.FeaturesDict({"a": np.float32})},
        {"all_of": [{"features": {"a": 1.0}}] * 3},
    )
    return directory


@pytest.mark.parametrize(
    ("split", "images", "names"),
    [
        ("train", TRAIN, [f"train/{i}" for i in range(7)]),
        ("train[2:5]", TRAIN[2:5], [f"train/{i}" for i in range(2, 5)]),
        ("train[-2:]", TRAIN[-2:], ["train/5", "train/6"]),
        (
            "test+train[:2]",
            [*TEST, *TRAIN[:2]],
            ["test/0", "test/1", "test/2", "train/0", "train/1"],
        ),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_order_and_ids_across_shards(data_dir, split, images, names, batch_size):
    source = open_source(f"tfds:tiny:{split}", None, data_dir=str(data_dir))
    assert source.shape == (6, 5, 1)
    assert source.num_examples == len(images)
    for _ in range(2):
        batches = list(source.batches(batch_size))
        assert [i for batch in batches for i in batch.example_ids] == [f"tiny/{n}" for n in names]
        values = np.concatenate([batch.values for batch in batches])
        assert values.dtype == np.uint8
        np.testing.assert_array_equal(values, images)


def test_labels_follow_their_images_through_slices(data_dir):
    source = open_source("tfds:tiny:test+train[1:3]", None, data_dir=str(data_dir))
    whole = read_batch(source)
    np.testing.assert_array_equal(whole.labels, TEST_LABELS + TRAIN_LABELS[1:3])
    assert whole.labels.dtype == np.int64
    for batch_size in (1, 2, 4):
        parts = [batch.labels for batch in take(source, 4).batches(batch_size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole.labels[:4])
    same = open_source("tfds:sizes:same", None, data_dir=str(data_dir))
    assert read_batch(same).labels is None


@pytest.mark.parametrize(
    ("split", "at"),
    [
        ("all_of", [0, 1, 2, 3, 4]),
        ("all_of[1:4]", [1, 2, 3]),
        ("all_of[3:]+all_of[:2]", [3, 4, 0, 1]),
    ],
)
@pytest.mark.parametrize("name", ["rows", "whole_rows"])
def test_rows_of_numbers(data_dir, name, split, at):
    source = open_source(f"tfds:{name}:{split}", None, data_dir=str(data_dir))
    batch = read_batch(source)
    assert (source.shape, source.columns, source.num_examples) == ((3,), None, len(at))
    assert batch.example_ids == tuple(f"{name}/all_of/{i}" for i in at)
    assert batch.values.dtype == np.float32
    rows = ROWS if name == "rows" else np.floor(ROWS)
    np.testing.assert_array_equal(batch.values, rows[at].astype(np.float32))
    if name == "rows":
        np.testing.assert_array_equal(batch.labels, np.array([1, 0, 0, 1, 2])[at])
    else:
        assert batch.labels is None  # its label is a number, not a class


def test_no_rows(data_dir):
    with pytest.raises(UserError, match="at least one input"):
        open_source("tfds:rows:all_of[2:2]", None, data_dir=str(data_dir))


def test_undeclared_sizes_are_taken_from_the_first_image(data_dir):
    source = open_source("tfds:sizes:same", None, data_dir=str(data_dir))
    assert source.shape == (6, 5, 1)
    np.testing.assert_array_equal(read_all(source)[1], TEST)


def test_sizes_that_vary_are_refused(data_dir):
    source = open_source("tfds:sizes:mixed", None, data_dir=str(data_dir))
    with pytest.raises(UserError, match=r"\(6, 5, 1\); got shape \(4, 5, 1\) in sizes/mixed/3"):
        read_all(source)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("tiny", "tfds:NAME:SPLIT"),
        ("tiny:validation", "one of the splits train, test.*; got 'validation'"),
        ("tiny:train[", "one of the splits"),
        ("tiny:train[9:]", "one of the splits"),
        ("tiny:train[3:3]", "at least one input"),
        ("tiny:train[:4]+train[2:]", "each example once"),
        ("tiny:9.9.9:train", "tensorflow_datasets"),
        ("words:all_of", "a feature 'image' or 'features'; got features label"),
        ("mnits:test", r"tensorflow_datasets knows, such as mnist.*; got 'mnits'"),
        ("matrices:all_of", "one vector of numbers as 'features'"),
        ("columns:all_of", "one vector of numbers as 'features'"),
        ("no such name:test", "tensorflow_datasets"),
    ],
)
def test_what_cannot_be_opened(data_dir, location, message):
    with pytest.raises(UserError, match=message) as error:
        read_all(open_source(f"tfds:{location}", None, data_dir=str(data_dir)))
    assert "\n" not in str(error.value)


def test_wrong_shape(data_dir):
    with pytest.raises(UserError, match=r"\(28, 28, 1\); got shape \(6, 5, 1\)"):
        open_source("tfds:tiny:test", MNIST, data_dir=str(data_dir))


def test_set_that_cannot_be_looked_up_is_given_up_at_once(tmp_path, monkeypatch):
    def offline(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr(socket, "getaddrinfo", offline)
    with pytest.raises(UserError, match="cannot be downloaded: no address") as error:
        open_source("tfds:kmnist:test", None, data_dir=str(tmp_path / "sets"))
    assert "'kmnist'" in str(error.value)
    assert str(tmp_path / "sets") in str(error.value)


def test_download_that_fails_names_set_directory_and_reason(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def fail(self, **kwargs):
        raise ConnectionError("the server said no\nand more")

    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "a proxy"})
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(UserError, match=r"ConnectionError: the server said no$") as error:
        open_source("tfds:kmnist:test", None, data_dir=str(tmp_path))
    assert str(tmp_path) in str(error.value)


def test_damaged_records_are_the_users_error(data_dir, tmp_path):
    shutil.copytree(data_dir / "tiny", tmp_path / "tiny")
    (shard,) = (tmp_path / "tiny" / "1.0.0").glob("tiny-train.tfrecord-00001*")
    shard.write_bytes(shard.read_bytes()[:-5])
    source = open_source("tfds:tiny:train", None, data_dir=str(tmp_path))
    with pytest.raises(UserError, match="readable records"):
        read_all(source)


def test_data_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert data_directory(None) == str(tmp_path)
    assert data_directory("/elsewhere") == "/elsewhere"
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_directory(None) == str(tmp_path / "tensorflow_datasets")


def test_data_directory_is_read_from_the_environment(data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    assert open_source("tfds:tiny:test", None).num_examples == 3


def test_reading_logs_nothing(data_dir, warned, caplog):
    read_all(open_source("tfds:tiny:test", None, data_dir=str(data_dir)))
    assert warned() == []
    assert [record.getMessage() for record in caplog.records] == []


def test_training_on_a_set(data_dir):
    data = load_training_data(
        "tfds:tiny:train", validation_fraction=0.3, seed=0, data_dir=str(data_dir)
    )
    assert (len(data.train), len(data.validation)) == (5, 2)
    assert all(i.startswith("tiny/train/") for i in data.validation_ids)
    held_out = [int(i.rpartition("/")[2]) for i in data.validation_ids]
    np.testing.assert_array_equal(data.validation_labels, np.array(TRAIN_LABELS)[held_out])
    np.testing.assert_array_equal(data.labels, np.delete(TRAIN_LABELS, held_out))
    assert data.num_classes == 3


def test_mnist_is_in_tfds_order_with_its_shapes(needs_tfds):
    needs_tfds("mnist")
    import tensorflow_datasets as tfds

    source = open_source("tfds:mnist:test", MNIST)
    assert source.num_examples == 10000
    ids, values = read_all(take(source, 300))
    assert ids == tuple(f"mnist/test/{i}" for i in range(300))
    assert values.dtype == np.uint8
    stored = tfds.builder("mnist").as_dataset(split="test", shuffle_files=False).take(300)
    expected = np.stack([example["image"] for example in stored.as_numpy_iterator()])
    np.testing.assert_array_equal(values, expected)


def test_set_with_a_configuration(needs_tfds):
    needs_tfds("downsampled_imagenet")
    source = open_source("tfds:downsampled_imagenet/32x32:validation[:3]", None)
    ids, values = read_all(source)
    assert ids[2] == "downsampled_imagenet/32x32/validation/2"
    assert values.shape == (3, 32, 32, 3)
