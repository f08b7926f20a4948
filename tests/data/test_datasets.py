import dataclasses

import numpy as np
import pytest
import scipy.stats

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import DATASETS, load_training_data
from tfp_genens.errors import UserError


def save(path, values):
    np.savez(path, x=values)
    return f"npz:{path}"


def test_digits():
    data = load_training_data("digits", validation_fraction=0.1, seed=0)
    assert data.name == "digits"
    assert data.train.shape == (1167, 8, 8, 1)
    assert data.validation.shape == (130, 8, 8, 1)
    assert data.train.dtype == np.uint8
    assert data.input_spec == InputSpec((8, 8, 1), "uint8", (0.0, 255.0), "x / 255")


def test_a_bootstrap_draws_pairs_with_replacement():
    data = load_training_data("digits", validation_fraction=0.1, seed=0)
    data = dataclasses.replace(data, labels=np.arange(len(data.train)))
    drawn = data.bootstrapped(3)
    np.testing.assert_array_equal(drawn.train, data.train[drawn.labels])
    share = len(set(drawn.labels)) / len(data.train)
    assert share == pytest.approx(1 - np.exp(-1), abs=0.04)
    np.testing.assert_array_equal(drawn.labels, data.bootstrapped(3).labels)
    assert (drawn.labels != data.bootstrapped(4).labels).any()
    assert drawn.validation is data.validation


def test_nothing_is_lost_or_in_both_parts(tmp_path):
    values = np.arange(200, dtype=np.float32).reshape(100, 2)
    data = load_training_data(save(tmp_path / "a.npz", values), validation_fraction=0.25, seed=1)
    assert (len(data.train), len(data.validation)) == (75, 25)
    both = np.concatenate([data.train, data.validation])
    np.testing.assert_array_equal(both[np.argsort(both[:, 0])], values)
    indices = [int(name.rpartition("/")[2]) for name in data.validation_ids]
    np.testing.assert_array_equal(values[indices], data.validation)


def test_the_first_held_out_examples_are_a_random_sample_of_sorted_data(tmp_path):
    """Of 5,000 sorted values, the first 100 held out spread like a uniform sample."""
    values = np.arange(5000, dtype=np.float32)[:, None]
    data = load_training_data(save(tmp_path / "a.npz", values), validation_fraction=0.2, seed=0)
    first = data.validation[:100, 0]
    np.testing.assert_array_equal(
        first, [int(name.rpartition("/")[2]) for name in data.validation_ids[:100]]
    )
    assert scipy.stats.kstest(first / 5000, "uniform").pvalue > 0.01
    assert (np.diff(data.train[:, 0]) > 0).all()


def test_split_is_decided_by_the_seed(tmp_path):
    spec = save(tmp_path / "a.npz", np.arange(200.0).reshape(100, 2))

    def load(seed):
        return load_training_data(spec, validation_fraction=0.25, seed=seed)

    assert load(1).validation_ids == load(1).validation_ids
    assert load(1).fingerprint == load(1).fingerprint
    assert load(1).validation_ids != load(2).validation_ids
    assert list(load(1).validation_ids) != [f"a.npz/{i}" for i in range(25)]


@pytest.mark.parametrize("name", ["label", "labels"])
def test_labels_follow_their_examples(tmp_path, name):
    """Each input holds its own label, so that a label gone astray shows."""
    labels = np.random.default_rng(0).integers(0, 7, 100)
    np.savez(tmp_path / "a.npz", x=np.stack([labels, np.arange(100)], axis=1), **{name: labels})
    spec = f"npz:{tmp_path / 'a.npz'}"
    data = load_training_data(spec, validation_fraction=0.25, seed=1)
    assert data.labels.dtype == data.validation_labels.dtype == np.int64
    np.testing.assert_array_equal(data.labels, data.train[:, 0])
    np.testing.assert_array_equal(data.validation_labels, data.validation[:, 0])
    assert data.num_classes == 7


def test_digits_labels_are_those_of_the_digits():
    from sklearn.datasets import load_digits

    data = load_training_data("digits", validation_fraction=0.1, seed=0)
    assert data.num_classes == 10
    stored = load_digits()
    label_of = {
        np.round(image * 255 / 16).astype(np.uint8).tobytes(): label
        for image, label in zip(stored.images, stored.target, strict=True)
    }
    for values, labels in ((data.train, data.labels), (data.validation, data.validation_labels)):
        assert [label_of[image.tobytes()] for image in values] == labels.tolist()


def test_without_labels(tmp_path):
    data = load_training_data(
        save(tmp_path / "a.npz", np.zeros((8, 3))), validation_fraction=0.5, seed=0
    )
    assert (data.labels, data.validation_labels, data.num_classes) == (None, None, None)


def test_labels_have_no_part_in_the_fingerprint(tmp_path):
    values = np.arange(200.0).reshape(100, 2)
    plain = load_training_data(save(tmp_path / "a.npz", values), validation_fraction=0.25, seed=1)
    np.savez(tmp_path / "a.npz", x=values, label=np.arange(100) % 2)
    labelled = load_training_data(f"npz:{tmp_path / 'a.npz'}", validation_fraction=0.25, seed=1)
    assert labelled.labels is not None
    assert labelled.fingerprint == plain.fingerprint


def test_fingerprint_sees_values_shapes_and_dtypes(tmp_path):
    base = np.arange(96, dtype=np.uint8).reshape(6, 4, 4, 1)
    changed = base.copy()
    changed[5, 3, 3, 0] += 1
    fingerprints = [
        load_training_data(
            save(tmp_path / "a.npz", values), validation_fraction=0.5, seed=0
        ).fingerprint
        for values in (base, changed, base.reshape(6, 2, 8, 1), base.astype(np.float32))
    ]
    assert len(set(fingerprints)) == 4
    assert all(len(text) == 64 and int(text, 16) for text in fingerprints)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.float16])
def test_images_of_other_dtypes_become_float32(tmp_path, dtype):
    values = np.arange(96).reshape(6, 4, 4, 1).astype(dtype)
    data = load_training_data(save(tmp_path / "a.npz", values), validation_fraction=0.5, seed=0)
    assert data.train.dtype == data.validation.dtype == np.float32
    assert data.input_spec == InputSpec((4, 4, 1), "float32", (0.0, 255.0), "x / 255")


def test_images_scaled_to_one_are_warned_about(tmp_path, warned):
    spec = save(tmp_path / "a.npz", np.random.default_rng(0).random((6, 4, 4, 1)))
    load_training_data(spec, validation_fraction=0.5, seed=0)
    (message,) = warned()
    assert "[0, 1]" in message


def test_tables(tmp_path):
    (tmp_path / "a.csv").write_text("example_id,v,u\nA,1,2\nB,3,4\nC,5,6\nD,7,8\n")
    data = load_training_data(f"csv:{tmp_path / 'a.csv'}", validation_fraction=0.25, seed=0)
    assert data.input_spec == InputSpec((2,), "float32", None, "none", ("v", "u"))
    assert data.train.shape == (3, 2)
    assert data.train.dtype == np.float32
    assert data.validation_ids[0] in "ABCD"


def test_unnamed_features_get_names(tmp_path):
    data = load_training_data(
        save(tmp_path / "a.npz", np.zeros((4, 3))), validation_fraction=0.5, seed=0
    )
    assert data.input_spec.column_names() == ("feature_0", "feature_1", "feature_2")


@pytest.mark.parametrize("dataset", ["mnits", "", "kaggle:x", "/tmp/x.npz"])
def test_unknown_data_set(dataset):
    with pytest.raises(UserError) as error:
        load_training_data(dataset, validation_fraction=0.1, seed=0)
    assert error.value.argument == "--dataset"
    assert error.value.expected == f"one of {', '.join(DATASETS)}, or a SPEC such as npz:PATH"
    assert error.value.got == repr(dataset)


@pytest.mark.parametrize("fraction", [0.0, 1.0, 0.01, 0.99, -0.5, 2.0])
def test_both_parts_need_an_example(tmp_path, fraction):
    spec = save(tmp_path / "a.npz", np.zeros((4, 3)))
    with pytest.raises(UserError, match="at least one example") as error:
        load_training_data(spec, validation_fraction=fraction, seed=0)
    assert error.value.argument == "--validation_fraction"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((0, 3)), "at least one input"),
        (np.array([[0.0], [np.nan]]), "finite values; got nan"),
        (np.zeros((2, 3, 3, 3, 1)), r"inputs of shape \(3, 3, 3, 1\)"),
    ],
)
def test_data_that_cannot_be_trained_on(tmp_path, values, message):
    spec = save(tmp_path / "a.npz", values)
    with pytest.raises(UserError, match=message) as error:
        load_training_data(spec, validation_fraction=0.5, seed=0)
    assert error.value.argument == f"--dataset={spec}"


@pytest.mark.slow
def test_mnist(needs_tfds):
    needs_tfds("mnist")
    data = load_training_data("mnist", validation_fraction=1 / 12, seed=0)
    assert data.train.shape == (55000, 28, 28, 1)
    assert data.validation.shape == (5000, 28, 28, 1)
    assert data.validation_ids[0].startswith("mnist/train/")
