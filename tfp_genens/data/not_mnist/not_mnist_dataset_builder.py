"""notMNIST for tensorflow_datasets: importing this module makes `tfds.load("not_mnist")` work."""

import gzip
import io
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds
from absl import logging

FOLDER = "not_mnist"
ORIGINAL = "notMNIST_small"
IDX_IMAGES, IDX_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
LETTERS = "ABCDEFGHIJ"
SIDE = 28

_DESCRIPTION = """\
Grey 28x28 images of the letters A to J, white on black, taken from publicly available fonts: the
small, hand-cleaned set (notMNIST_small), as one test split.
"""

_CITATION = """\
@misc{bulatov2011notmnist,
  title={notMNIST dataset},
  author={Bulatov, Yaroslav},
  year={2011},
  howpublished={http://yaroslavvb.blogspot.com/2011/09/notmnist-dataset.html}
}
"""


class NotMnist(tfds.core.GeneratorBasedBuilder):
    """notMNIST (Bulatov, 2011), from files that the user has put into the manual directory.

    The original has 18,724 readable images; the usual conversion to MNIST's idx format has 10,000
    of them. `info.metadata` says which was found, under "source", and how many images were left out
    because they could not be read, under "num_unreadable".
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}  # noqa: RUF012 (the base class's own form)
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"""\
    Make a folder {FOLDER}/ there and put into it either {ORIGINAL}.tar.gz from
    http://yaroslavvb.com/upload/notMNIST/ (or its extracted folder {ORIGINAL}/), or images of it
    in MNIST's format: {IDX_IMAGES} and {IDX_LABELS}, each with or without .gz, as in
    https://github.com/davidflanagan/notMNIST-to-MNIST. The original is taken where both are there.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(SIDE, SIDE, 1)),
                    "label": tfds.features.ClassLabel(names=list(LETTERS)),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="http://yaroslavvb.blogspot.com/2011/09/notmnist-dataset.html",
            citation=_CITATION,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        folder = dl_manager.manual_dir / FOLDER
        archive, extracted = folder / f"{ORIGINAL}.tar.gz", folder / ORIGINAL
        idx_files = _existing(folder, IDX_IMAGES), _existing(folder, IDX_LABELS)
        if archive.exists():
            files = ((name, file.read()) for name, file in dl_manager.iter_archive(archive))
            return {"test": self._generate_from_pngs(archive.name, files)}
        if extracted.exists():
            paths = sorted(extracted.glob("*/*.png"))
            files = ((f"{path.parent.name}/{path.name}", path.read_bytes()) for path in paths)
            return {"test": self._generate_from_pngs(extracted.name, files)}
        if all(idx_files):
            return {"test": self._generate_examples(*idx_files)}
        raise FileNotFoundError(
            f"{folder} must hold {archive.name}, {extracted.name}/ or both idx files"
        )

    def _generate_examples(self, images_path, labels_path) -> Iterator[tuple[int, dict[str, Any]]]:
        """Examples of a pair of idx files; keys are positions."""
        images = _read_idx(images_path, num_axes=3)
        labels = _read_idx(labels_path, num_axes=1)
        if len(images) != len(labels):
            raise ValueError(f"{len(images)} images in {images_path.name}, {len(labels)} labels")
        self.info.metadata.update(source=images_path.name, num_unreadable=0)
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield i, {"image": image[..., np.newaxis], "label": int(label)}

    def _generate_from_pngs(
        self, source: str, files: Iterable[tuple[str, bytes]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Examples of files (path, content); keys are "LETTER/FILE"."""
        num_unreadable = 0
        for path, content in files:
            letter, _, name = path.rpartition("/")
            letter = letter.rpartition("/")[2]
            if letter not in LETTERS or name.startswith(".") or not name.endswith(".png"):
                continue
            try:
                with PIL.Image.open(io.BytesIO(content)) as image:
                    values = np.asarray(image.convert("L"))
            except OSError as e:  # two files of the original are empty
                logging.warning("not_mnist: %s/%s left out: %s", letter, name, e)
                num_unreadable += 1
                continue
            yield f"{letter}/{name}", {"image": values[..., np.newaxis], "label": letter}
        if num_unreadable:
            logging.warning("not_mnist: %d unreadable images left out", num_unreadable)
        self.info.metadata.update(source=source, num_unreadable=num_unreadable)


def _existing(folder, name: str):
    """The file, or its gzipped form; None where there is neither."""
    return next((folder / n for n in (name, f"{name}.gz") if (folder / n).exists()), None)


def _read_idx(path, num_axes: int) -> np.ndarray:
    """An idx file of unsigned bytes (http://yann.lecun.com/exdb/mnist/), gzipped or not."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    header = 4 * (1 + num_axes)
    magic, *shape = np.frombuffer(content[:header].ljust(header, b"\0"), ">u4").tolist()
    unsigned_bytes = 0x08 << 8
    if magic != unsigned_bytes + num_axes or len(content) != header + int(np.prod(shape)):
        raise ValueError(f"{path} is no idx file of {num_axes} axes, or is cut short")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
