"""The registry of training sets, and how one is loaded: a new one is one row of DATASETS."""

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np

from tfp_genens.artifact.held_out import CALIBRATE, FIT, TUNE
from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data.card_fraud import splits
from tfp_genens.data.checks import warn_of_odd_columns
from tfp_genens.data.sources import Batch, Source, read_batch
from tfp_genens.data.specs import open_source, scheme_of
from tfp_genens.errors import UserError
from tfp_genens.seeds import numpy_generator

IMAGE_RANGE = (0.0, 255.0)

_DRAWN = ("omniglot", "not_mnist")
_NOISE = ("uniform", "gaussian")
_FLIPS = ("hflip", "vflip")
_ATTACKS = (
    "adversarial_unclipped",
    "adversarial_clipped",
    "adversarial_pgd_clipped",
    "adversarial_waic_clipped",
)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One set to train on: SPECs of training data, some of which are held out, and of test data.

    `ood`: names in OOD_SETS, in the paper's order (Table 2). `ood_specs`: SPECs of those whose
    examples depend on what was left out of the training data.
    """

    name: str
    label: str
    train: str
    test: str
    ood: tuple[str, ...]
    ood_specs: Mapping[str, str] = dataclasses.field(default_factory=dict)


def _card_fraud(split: int) -> tuple[Dataset, Dataset]:
    """The card-fraud table without frauds to train on, and with four fifths of them."""
    normal, normal_test = splits.parts(splits.NORMAL, split)
    frauds, other_frauds = splits.parts(splits.FRAUD, split)
    number, numbered = (f"/{split}", f", split {split}") if split else ("", "")

    table = f"tfds:{splits.NAME}:"

    def row(name: str, label: str, train: str, fraud: str) -> Dataset:
        specs = table + train, table + normal_test
        return Dataset(
            name + number, label + numbered, *specs, ("fraud",), {"fraud": table + fraud}
        )

    return (
        row("credit_fraud", "Card fraud", normal, splits.FRAUD),
        row("credit_fraud_labelled", "Card fraud with labels", f"{normal}+{frauds}", other_frauds),
    )


def _of_tfds(name: str, label: str, ood: tuple[str, ...]) -> Dataset:
    return Dataset(name, label, f"tfds:{name}:train", f"tfds:{name}:test", ood)


_PERTURBED = (*_NOISE, *_FLIPS, *_ATTACKS)
_DIGITS_OOD = (*_FLIPS, *_NOISE, *_ATTACKS, "photo_patches")

DATASETS: dict[str, Dataset] = {
    row.name: row
    for row in (
        Dataset("digits", "Digits", "digits:train", "digits:test", _DIGITS_OOD),
        _of_tfds("mnist", "MNIST", (*_DRAWN, "fashion_mnist", *_PERTURBED)),
        _of_tfds("fashion_mnist", "Fashion-MNIST", (*_DRAWN, "mnist", *_PERTURBED)),
        _of_tfds("cifar10", "CIFAR-10", ("celeba", "svhn", "imagenet32", *_PERTURBED)),
        *(row for split in range(splits.NUM_SPLITS) for row in _card_fraud(split)),
    )
}


MAX_TUNE, MAX_FIT, MAX_CALIBRATE = 500, 1000, 1000
"""Held-out examples are scored by every member: more would cost minutes, and tell little."""


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """A training set in memory, on the raw scale, as `input_spec.dtype`.

    Attributes:
      name: the registered name or SPEC.
      train: [num_train, *shape].
      validation: [num_validation, *shape], held out of training, the same for all members, in
        random order. It has three disjoint parts, see `held_out`.
      fingerprint: SHA-256 of all training and validation inputs; labels have no part in it.
      labels: int64 [num_train], class numbers from 0; None where the set has none.
      validation_labels: int64 [num_validation], likewise.
    """

    name: str
    train: np.ndarray
    validation: np.ndarray
    validation_ids: tuple[str, ...]
    input_spec: InputSpec
    fingerprint: str
    labels: np.ndarray | None = None
    validation_labels: np.ndarray | None = None

    @property
    def held_out(self) -> dict[str, slice]:
        """Which of the held-out examples have which use, by TUNE, FIT and CALIBRATE.

        A quarter each, up to a limit, to tune and to fit; the rest, up to a limit, calibrates.
        """
        num = len(self.validation)
        tune = min(max(num // 4, 1), MAX_TUNE)
        fit = tune + min(num // 4, MAX_FIT)
        return {
            TUNE: slice(0, tune),
            FIT: slice(tune, fit),
            CALIBRATE: slice(fit, fit + MAX_CALIBRATE),
        }

    def bootstrapped(self, seed: int) -> "TrainingData":
        """The same with as many training examples, drawn with replacement."""
        num = len(self.train)
        rows = numpy_generator(seed, "bootstrap").integers(num, size=num)
        labels = None if self.labels is None else self.labels[rows]
        return dataclasses.replace(self, train=self.train[rows], labels=labels)

    def held_out_source(self, part: str) -> Source:
        """The held-out examples of one use, TUNE or FIT, as a source."""
        chosen = self.held_out[part]
        labels = None if self.validation_labels is None else self.validation_labels[chosen]
        batch = Batch(self.validation_ids[chosen], self.validation[chosen], labels)
        name = f"held_out:{part}"
        return Source(name, batch.values.shape[1:], len(batch), lambda _: iter([batch]), name)

    @property
    def tuning(self) -> np.ndarray:
        """The held-out inputs that training and checks may look at."""
        return self.validation[self.held_out[TUNE]]

    @property
    def num_classes(self) -> int | None:
        """One more than the largest class number; None without labels."""
        parts = [part for part in (self.labels, self.validation_labels) if part is not None]
        return 1 + max(int(part.max()) for part in parts) if parts else None


def load_training_data(
    dataset: str, *, validation_fraction: float, seed: int, data_dir: str | None = None
) -> TrainingData:
    """Loads a name in DATASETS, or any SPEC, and holds out a random part for validation.

    `seed` is the run's, the same for all its members. At least one example is left in either part.
    Raises UserError: an unknown set; anything wrong with its data; a part left without examples.
    """
    if dataset not in DATASETS and scheme_of(dataset) is None:
        expected = f"one of {', '.join(DATASETS)}, or a SPEC such as npz:PATH"
        raise UserError("--dataset", expected, repr(dataset))
    spec = DATASETS[dataset].train if dataset in DATASETS else dataset
    input_spec = _natural_input_spec(spec, data_dir)
    everything = read_batch(open_source(spec, input_spec, argument="--dataset", data_dir=data_dir))
    if len(input_spec.shape) == 1:
        warn_of_odd_columns(dataset, input_spec.column_names(), everything)
    values = everything.values.astype(input_spec.dtype, copy=False)
    labels = everything.labels
    if labels is not None and (labels < 0).any():  # a set whose labels are not public
        labels = None
    order = numpy_generator(seed, "validation").permutation(len(values))
    num_validation = round(validation_fraction * len(values))
    if not 0 < num_validation < len(values):
        expected = "at least one example in the training and in the validation part"
        got = f"{validation_fraction} of {len(values)} examples"
        raise UserError("--validation_fraction", expected, got)
    held_out = order[:num_validation]
    kept = np.sort(order[num_validation:])
    train, validation = values[kept], values[held_out]
    return TrainingData(
        name=dataset,
        train=train,
        validation=validation,
        validation_ids=tuple(everything.example_ids[i] for i in held_out),
        input_spec=input_spec,
        fingerprint=_fingerprint(train, validation),
        labels=None if labels is None else labels[kept],
        validation_labels=None if labels is None else labels[held_out],
    )


def _natural_input_spec(spec: str, data_dir: str | None) -> InputSpec:
    """What a model of these data takes: images on the scale 0 to 255, or rows of a table."""
    source = open_source(spec, None, argument="--dataset", data_dir=data_dir)
    shape = tuple(source.shape)
    if len(shape) == 3:
        first = next(source.batches(1))
        dtype = "uint8" if first.values.dtype == np.uint8 else "float32"
        return InputSpec(shape, dtype, IMAGE_RANGE, "x / 255")
    if len(shape) == 1:
        names = source.columns or tuple(f"feature_{i}" for i in range(shape[0]))
        return InputSpec(shape, "float32", None, "none", names)
    expected = "images [height, width, channels] or rows [features]"
    raise UserError(f"--dataset={spec}", expected, f"inputs of shape {shape}")


def _fingerprint(*parts: np.ndarray) -> str:
    digest = hashlib.sha256()
    for part in parts:
        little_endian = np.ascontiguousarray(part, part.dtype.newbyteorder("<"))
        digest.update(f"{part.shape} {part.dtype.name} ".encode())
        digest.update(little_endian.data)
    return digest.hexdigest()
