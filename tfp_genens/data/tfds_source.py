"""`tfds:NAME:SPLIT`: images or rows of a tensorflow_datasets set, streamed in stored order.

tensorflow_datasets is imported only when such a set is opened, as that takes a while.
"""

import contextlib
import difflib
import functools
import importlib
import itertools
import logging as python_logging
import os
import pathlib
import re
import socket
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator

import numpy as np

from tfp_genens.data.requests import Request, listed
from tfp_genens.data.sources import Batch, Source

IMAGE, ROW, LABEL = "image", "features", "label"
COLUMNS = "feature_names"  # in a set's metadata: what the columns of its rows are called
FILES = "source"  # likewise: which of several forms of the original it was made of
OWN_BUILDERS = (
    "tfp_genens.data.card_fraud.card_fraud_dataset_builder",
    "tfp_genens.data.not_mnist.not_mnist_dataset_builder",
)
# NAME may hold a configuration and a version, SPLIT slices: mnist:3.0.1, test[:100].
_LOCATION = re.compile(r"(?P<name>[^:\[\]]+(:\d+(\.[\d*]+)*)?):(?P<split>.+)")


def data_directory(data_dir: str | None) -> str:
    """Where sets are kept: `data_dir`, else $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return os.path.expanduser(chosen)


def open_tfds(request: Request) -> Source:
    """Opens a set, downloading and preparing it where it is not laid out yet.

    Ids are `{name}/{split}/{index}`, whatever slice is read. Raises UserError: an unknown set,
    version or split; a set with neither images nor rows of numbers; other columns than the model's;
    a set that cannot be downloaded (the message names the set and the data directory).
    """
    match = _LOCATION.fullmatch(request.location)
    if match is None:
        raise request.error("tfds:NAME:SPLIT, e.g. tfds:mnist:test", repr(request.location))
    split = match["split"]
    data_dir = data_directory(request.data_dir)
    builder = _builder(request, match["name"], data_dir)
    if not builder.info.splits:
        _prepare(request, builder, match["name"], data_dir)
    feature = _feature(request, builder)
    shape = builder.info.features[feature].shape
    ranges = _ranges(request, builder, split)
    if None in shape:  # sizes vary, or are not declared: the first image says what they are to be
        first = next(_examples(request, builder, split, feature), None)
        if first is None:
            raise request.error("at least one input", "none")
        shape = first[0].shape[1:]
    config = builder.builder_config
    set_name = builder.name if config is None else f"{builder.name}/{config.name}"

    def read(batch_size: int) -> Iterator[Batch]:
        ids = (f"{set_name}/{name}/{i}" for name, indices in ranges for i in indices)
        for values, labels in _examples(request, builder, split, feature):
            batch = Batch(tuple(itertools.islice(ids, len(values))), values, labels)
            if values.shape[1:] != shape:
                got = f"shape {values.shape[1:]} in {batch.example_ids[0]}"
                raise request.error(f"images of shape {shape}", got)
            yield batch

    metadata = builder.info.metadata or {}
    columns = metadata.get(COLUMNS) if len(shape) == 1 else None
    made_of = f", made of {metadata[FILES]}" if metadata.get(FILES) else ""
    return Source(
        request.spec,
        shape,
        sum(len(indices) for _, indices in ranges),
        read,
        f"{request.spec}, version {builder.version}{made_of}",
        None if columns is None else tuple(columns),
    )


def _feature(request: Request, builder) -> str:
    """What is read of each example: its image, or else its row."""
    features = builder.info.features
    if IMAGE in features:
        return IMAGE
    if ROW not in features:
        expected = f"a set with a feature {IMAGE!r} or {ROW!r}"
        raise request.error(expected, f"features {listed(features)}")
    if isinstance(features[ROW].shape, dict) or len(features[ROW].shape) != 1:
        raise request.error(f"one vector of numbers as {ROW!r}", f"{features[ROW]}")
    return ROW


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides what tfds and TensorFlow log about their own deprecations; builders are heard."""
    absl, tensorflow = python_logging.getLogger("absl"), python_logging.getLogger("tensorflow")
    before = tensorflow.level
    absl.addFilter(_is_worth_hearing)
    tensorflow.setLevel(python_logging.ERROR)
    try:
        yield
    finally:
        absl.removeFilter(_is_worth_hearing)
        tensorflow.setLevel(before)


def _is_worth_hearing(record: python_logging.LogRecord) -> bool:
    of_tfds = "tensorflow_datasets" in pathlib.PurePath(record.pathname).parts
    return record.levelno >= python_logging.ERROR or not of_tfds


def _builder(request: Request, name: str, data_dir: str):
    with _quiet():
        import tensorflow_datasets as tfds

        for module in OWN_BUILDERS:
            importlib.import_module(module)  # registers it
        try:
            return tfds.builder(name, data_dir=data_dir)
        except tfds.core.DatasetNotFoundError as e:
            known = tfds.list_builders(with_community_datasets=False)
            close = difflib.get_close_matches(name, known, n=5) or ["mnist", "fashion_mnist"]
            raise request.error(
                f"one of the {len(known)} sets that tensorflow_datasets knows, such as "
                f"{listed(close)}, or one laid out in {data_dir}",
                repr(name),
            ) from e
        except (ValueError, AssertionError, ImportError, OSError) as e:
            raise request.error("a set that tensorflow_datasets can open", _first_line(e)) from e


def _prepare(request: Request, builder, name: str, data_dir: str) -> None:
    expected = f"the tensorflow_datasets set {name!r} laid out in {data_dir}"
    not_to_be_had = "none, and it cannot be downloaded: "
    unreachable = _unreachable_hosts(builder)
    if unreachable:  # else tfds would retry for minutes
        raise request.error(expected, f"{not_to_be_had}no address known for {unreachable}")
    try:
        with _quiet(), contextlib.redirect_stdout(sys.stderr):  # tfds prints what it is doing
            builder.download_and_prepare()
    except Exception as e:  # whatever goes wrong in a builder's own download code
        got = f"{not_to_be_had}{type(e).__name__}: {_first_line(e)}"
        if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
            manual_dir = pathlib.Path(data_dir, "downloads", "manual")
            instructions = builder.MANUAL_DOWNLOAD_INSTRUCTIONS.strip().removesuffix(".")
            expected += f", or the files it is made of in {manual_dir}: {instructions}"
            has_files = manual_dir.is_dir() and any(manual_dir.iterdir())
            got = _first_line(e) if has_files else "an empty or missing folder"
        raise request.error(expected, got) from e


def _unreachable_hosts(builder) -> str:
    """The hosts a set comes from, where not one of them has an address; else ""."""
    if urllib.request.getproxies():
        return ""  # the proxy looks names up
    urls = (urllib.parse.urlsplit(url) for url in builder.url_infos or ())
    hosts = sorted({url.hostname for url in urls if url.hostname})
    for host in hosts:
        with contextlib.suppress(OSError):
            socket.getaddrinfo(host, None)
            return ""
    return ", ".join(hosts)


def _ranges(request: Request, builder, split: str) -> tuple[tuple[str, range], ...]:
    import tensorflow_datasets as tfds

    splits = builder.info.splits
    try:
        parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(splits)
    except (ValueError, KeyError, AssertionError) as e:
        known = f"{listed(splits)}, or a slice such as {next(iter(splits))}[:100]"
        raise request.error(f"one of the splits {known}", repr(split)) from e
    ranges = tuple(
        (part.splitname, range(splits[part.splitname].num_examples)[part.from_ : part.to])
        for part in parts
    )
    for (name, one), (other_name, other) in itertools.combinations(ranges, 2):
        if name == other_name and max(one.start, other.start) < min(one.stop, other.stop):
            raise request.error("each example once", f"{split!r}, which repeats some")
    return ranges


def _examples(
    request: Request, builder, split: str, name: str
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Values [n, *shape] and their labels: many at once where all have one declared size."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    features = builder.info.features
    names = [name]
    if LABEL in features and isinstance(features[LABEL], tfds.features.ClassLabel):
        names.append(LABEL)
    are_floats = name == ROW and features[name].get_serialized_info().tf_dtype.is_floating
    with _quiet():
        try:
            open_split = _parsed_rows if are_floats else _decoded
            dataset = open_split(builder, split, names)
        except (ValueError, AssertionError, OSError) as e:
            raise request.error("a readable set", _first_line(e)) from e
    try:
        for example in dataset.as_numpy_iterator():
            values = example[name]
            labels = example[LABEL].astype(np.int64) if LABEL in names else None
            yield (values.astype(np.float32) if name == ROW else values), labels
    except tf.errors.OpError as e:
        raise request.error("readable records", _first_line(e)) from e


def _decoded(builder, split: str, names: list[str]):
    """Batches of some features of all examples."""
    import tensorflow_datasets as tfds

    dataset = builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders=tfds.decode.PartialDecoding(dict.fromkeys(names, True)),
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
    )
    return dataset.batch(1 if None in builder.info.features[names[0]].shape else 256)


def _parsed_rows(builder, split: str, names: list[str]):
    """The same for rows of real numbers, in a fourteenth of the time that tfds's parsing takes."""
    import tensorflow as tf

    forms = {
        ROW: tf.io.FixedLenFeature(builder.info.features[ROW].shape, tf.float32),
        LABEL: tf.io.FixedLenFeature((), tf.int64),
    }
    wanted = {name: forms[name] for name in names}
    records = functools.reduce(
        tf.data.Dataset.concatenate,
        (
            tf.data.TFRecordDataset(part.filename).skip(part.skip).take(part.take)
            for part in builder.info.splits[split].file_instructions
        ),
    )
    return records.batch(4096).map(lambda serialized: tf.io.parse_example(serialized, wanted))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
