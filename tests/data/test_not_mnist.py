"""The notMNIST builder, on fake data by tensorflow_datasets' own test case, and on the real set."""

import base64
import gzip
import pathlib
import shutil
import tarfile
import tempfile
import unittest

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import open_source, read_all
from tfp_genens.data.not_mnist import not_mnist_dataset_builder
from tfp_genens.data.not_mnist.not_mnist_dataset_builder import NotMnist
from tfp_genens.errors import UserError

SPEC = "tfds:not_mnist:test"
SHARED = pathlib.Path(__file__).parents[3] / "shared/data/not_mnist_test.npz"
LABELS = np.array([0, 9, 3, 3, 1, 2])
IMAGES = np.random.default_rng(0).integers(0, 256, (len(LABELS), 28, 28), np.uint8)


def idx(array):
    """An array of bytes in idx format, as its specification has it."""
    header = bytes([0, 0, 8, array.ndim])
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + sizes + array.astype(np.uint8).tobytes()


def write_idx(folder, images=IMAGES, labels=LABELS, suffix=".gz"):
    folder.mkdir(parents=True, exist_ok=True)
    pack = gzip.compress if suffix else bytes
    (folder / f"t10k-images-idx3-ubyte{suffix}").write_bytes(pack(idx(images)))
    (folder / f"t10k-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(labels)))


def write_pngs(folder):
    """The original's form, with one of its two empty files and what macOS adds to archives."""
    for i, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
        letter = folder / "notMNIST_small" / "ABCDEFGHIJ"[label]
        letter.mkdir(parents=True, exist_ok=True)
        name = base64.b64encode(f"font {i}.ttf".encode()).decode()
        PIL.Image.fromarray(image).save(letter / f"{name}.png")
    (folder / "notMNIST_small/A/RGVtb2NyYXRpY2FCb2xkT2xkc3R5bGUgQm9sZC50dGY=.png").touch()
    (folder / "notMNIST_small/A/._font.png").write_bytes(b"of macOS")


def write_archive(folder):
    with tempfile.TemporaryDirectory() as directory:
        write_pngs(pathlib.Path(directory))
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(folder / "notMNIST_small.tar.gz", "w:gz") as archive:
            archive.add(pathlib.Path(directory) / "notMNIST_small", "notMNIST_small")


@pytest.mark.parametrize("write", [write_idx, write_pngs, write_archive])
def test_tensorflow_datasets_own_test_case(tmp_path, write):
    pytest.importorskip("dill", reason="tensorflow_datasets.testing needs dill")
    write(tmp_path / "not_mnist")

    class Case(tfds.testing.DatasetBuilderTestCase):
        DATASET_CLASS = NotMnist
        SPLITS = {"test": len(LABELS)}  # noqa: RUF012 (the base class's own form)
        EXAMPLE_DIR = str(tmp_path)

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    problems = [text for _, text in (*result.errors, *result.failures)]
    assert not problems, "\n".join(problems)
    assert {reason for _, reason in result.skipped} <= {"Not a test."}  # TensorFlow's helper
    assert result.testsRun - len(result.skipped) >= 5


@pytest.fixture
def manual_dir(tmp_path):
    """Where users put the files; `tmp_path` is the data directory."""
    return tmp_path / "downloads/manual/not_mnist"


def by_content(images, labels):
    """Pairs of an image and its label, as tensorflow_datasets shuffles what it writes."""
    pairs = zip(images, labels, strict=True)
    return sorted((np.asarray(image, np.uint8).tobytes(), int(label)) for image, label in pairs)


def stored(data_dir):
    builder = tfds.builder("not_mnist", data_dir=data_dir)
    examples = list(builder.as_dataset(split="test").as_numpy_iterator())
    return by_content([e["image"] for e in examples], [e["label"] for e in examples])


@pytest.mark.parametrize(
    ("write", "source", "num_unreadable"),
    [
        (write_idx, "t10k-images-idx3-ubyte.gz", 0),
        (lambda folder: write_idx(folder, suffix=""), "t10k-images-idx3-ubyte", 0),
        (write_pngs, "notMNIST_small", 1),
        (write_archive, "notMNIST_small.tar.gz", 1),
    ],
)
def test_every_form_gives_the_same_images(
    tmp_path, manual_dir, warned, write, source, num_unreadable
):
    write(manual_dir)
    opened = open_source(
        SPEC, InputSpec((28, 28, 1), "uint8", (0.0, 255.0), "x / 255"), data_dir=str(tmp_path)
    )
    ids, values = read_all(opened)
    assert ids == tuple(f"not_mnist/test/{i}" for i in range(len(LABELS)))
    assert values.dtype == np.uint8
    assert stored(tmp_path) == by_content(IMAGES, LABELS)
    assert sorted(v.tobytes() for v in values) == sorted(i.tobytes() for i in IMAGES)
    info = tfds.builder("not_mnist", data_dir=tmp_path).info
    assert info.metadata == {"source": source, "num_unreadable": num_unreadable}
    assert info.features["label"].names == list("ABCDEFGHIJ")
    assert opened.origin == f"{SPEC}, version 1.0.0, made of {source}"
    assert len(warned()) == 2 * num_unreadable


def test_the_original_goes_before_the_idx_files(tmp_path, manual_dir):
    write_idx(manual_dir, images=IMAGES[:1], labels=LABELS[:1])
    write_pngs(manual_dir)
    assert open_source(SPEC, None, data_dir=str(tmp_path)).num_examples == len(LABELS)


def test_once_laid_out_the_files_are_not_needed(tmp_path, manual_dir):
    write_idx(manual_dir)
    open_source(SPEC, None, data_dir=str(tmp_path))
    shutil.rmtree(manual_dir)
    assert open_source(SPEC, None, data_dir=str(tmp_path)).num_examples == len(LABELS)


def only_images(folder):
    write_idx(folder)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()


def cut_short(folder):
    write_idx(folder, suffix="")
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])


def labels_as_images(folder):
    write_idx(folder)
    shutil.copy(folder / "t10k-labels-idx1-ubyte.gz", folder / "t10k-images-idx3-ubyte.gz")


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda folder: None, "an empty or missing folder"),
        (lambda folder: folder.parent.mkdir(parents=True), "an empty or missing folder"),
        (lambda folder: folder.mkdir(parents=True), "must hold notMNIST_small.tar.gz, "),
        (only_images, "both idx files"),
        (cut_short, "t10k-images-idx3-ubyte is no idx file of 3 axes, or is cut short"),
        (labels_as_images, "t10k-images-idx3-ubyte.gz is no idx file of 3 axes"),
        (lambda folder: write_idx(folder, labels=LABELS[1:]), "6 images .* 5 labels"),
        (lambda folder: write_idx(folder, labels=LABELS + 1), "."),
        (lambda folder: write_idx(folder, images=IMAGES[:, 1:]), "."),
        (lambda folder: (folder / "notMNIST_small").mkdir(parents=True), "."),
    ],
)
def test_missing_or_wrong_files_say_what_to_put_where(tmp_path, manual_dir, write, reason):
    write(manual_dir)
    with pytest.raises(UserError, match=reason) as error:
        open_source(SPEC, None, argument="--ood", data_dir=str(tmp_path))
    message = str(error.value)
    assert message.startswith(f"--ood={SPEC}: expected the tensorflow_datasets set 'not_mnist'")
    assert f"in {manual_dir.parent}: Make a folder not_mnist/" in message
    assert "\n" not in message


def test_instructions_name_what_is_looked_for():
    instructions = NotMnist.MANUAL_DOWNLOAD_INSTRUCTIONS
    for name in ("FOLDER", "ORIGINAL", "IDX_IMAGES", "IDX_LABELS"):
        assert getattr(not_mnist_dataset_builder, name) in instructions


@pytest.mark.skipif(not SHARED.exists(), reason="no ../shared/data/not_mnist_test.npz")
def test_the_real_set(tmp_path, manual_dir):
    with np.load(SHARED) as archive:
        images, labels = archive["image"], archive["label"]
    write_idx(manual_dir, images.reshape(-1, 28, 28), labels)
    source = open_source(SPEC, None, data_dir=str(tmp_path))
    assert (source.num_examples, source.shape) == (10_000, (28, 28, 1))
    assert stored(tmp_path) == by_content(images, labels)
