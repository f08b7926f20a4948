"""`images:FOLDER-OR-GLOB`: image files, decoded with Pillow one batch at a time."""

from __future__ import annotations

import dataclasses
import glob
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
import PIL.Image

from tfp_genens.data.requests import Request
from tfp_genens.data.sources import Batch, rebatch

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_GREY_MODES = ("1", "L", "LA", "I", "F")  # I also stands for its variants I;16, I;16B, ...


@dataclasses.dataclass(frozen=True)
class ImageSource:
    """Image files as uint8 [batch, height, width, channels]; ids are paths relative to `root`."""

    request: Request
    root: pathlib.Path
    paths: tuple[pathlib.Path, ...]
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.request.spec

    @property
    def num_examples(self) -> int:
        return len(self.paths)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        return rebatch(self._read(), batch_size)

    def _read(self) -> Iterator[Batch]:
        for path in self.paths:
            example_id = path.relative_to(self.root).as_posix()
            yield Batch((example_id,), decode(self.request, path, self.shape)[np.newaxis])


def open_images(request: Request) -> ImageSource:
    """Opens a folder (searched recursively), a glob pattern or a single file, in sorted order.

    Images become grey or coloured as the model takes them, and are never resized; without an input
    spec the first says what all must be like. Raises UserError: no images; while it is read, an
    unreadable file or one of another size.
    """
    root, paths = _find(request)
    if not paths:
        raise request.error(f"image files ({', '.join(SUFFIXES)})", "none")
    spec = request.input_spec
    if spec is None:
        shape = _natural_shape(request, paths[0])
    else:
        shape = tuple(spec.shape)
        if len(shape) != 3 or shape[-1] not in _MODES:
            raise request.error(f"inputs of shape {shape}", "image files")
    return ImageSource(request, root, tuple(paths), shape)


def _find(request: Request) -> tuple[pathlib.Path, list[pathlib.Path]]:
    location = pathlib.Path(os.path.expanduser(request.location))
    found: Iterable[pathlib.Path]
    if location.is_dir():
        root, found = location, location.rglob("*")
    elif location.is_file():
        root, found = location.parent, [location]
    else:
        plain = itertools.takewhile(lambda part: part == glob.escape(part), location.parts[:-1])
        root = pathlib.Path(*plain)
        found = map(pathlib.Path, glob.iglob(str(location), recursive=True))
    images = {path for path in found if path.suffix.lower() in SUFFIXES and path.is_file()}
    return root, sorted(images, key=lambda path: path.as_posix())


def _open(request: Request, path: pathlib.Path) -> PIL.Image.Image:
    try:
        return PIL.Image.open(path)
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as e:
        raise request.error("readable images", f"{path}: {e}") from e


def _natural_shape(request: Request, path: pathlib.Path) -> tuple[int, ...]:
    with _open(request, path) as image:
        channels = 1 if image.mode.partition(";")[0] in _GREY_MODES else 3
        return (image.height, image.width, channels)


def decode(request: Request, path: pathlib.Path, shape: tuple[int, ...]) -> np.ndarray:
    """One image file (the first frame of an animation) as uint8 [height, width, channels].

    16-bit grey values are divided by 257; transparency is dropped unless there are four channels.
    Raises UserError: an unreadable file; a size other than that of `shape`.
    """
    with _open(request, path) as image:
        if (image.height, image.width) != shape[:2]:
            found = (image.height, image.width, len(image.getbands()))
            raise request.error(f"images of shape {shape}", f"shape {found} in {path}")
        try:
            if image.mode.startswith("I"):  # Pillow would clip 16-bit values to 255
                grey = np.clip(np.round(np.asarray(image) / 257), 0, 255).astype(np.uint8)
                image = PIL.Image.fromarray(grey)
            values = np.asarray(image.convert(_MODES[shape[-1]]), dtype=np.uint8)
        except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as e:
            raise request.error("readable images", f"{path}: {e}") from e
    return values.reshape(shape)
