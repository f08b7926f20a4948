"""`images:FOLDER-OR-GLOB`: image files, decoded with Pillow one batch at a time."""

import contextlib
import glob
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
import PIL.Image

from tfp_genens.data.requests import Request
from tfp_genens.data.sources import Batch, Source
from tfp_genens.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_GREY_MODES = ("1", "L", "LA", "I", "F")  # I also stands for its variants I;16, I;16B, ...


def open_images(request: Request) -> Source:
    """Opens a folder (searched recursively), a glob pattern or a single file, in sorted order.

    Images become grey or coloured as the model takes them, and are never resized; without an input
    spec the first says what all must be like. Raises UserError: no images; while it is read, an
    unreadable file or one of another size.
    """
    root, paths = _find(request)
    if not paths:
        raise request.error(f"image files ({', '.join(SUFFIXES)})", "none")
    spec = request.input_spec
    shape: tuple[int, ...]
    if spec is None:
        with _opened(request, paths[0]) as first:
            channels = 1 if first.mode.partition(";")[0] in _GREY_MODES else 3
            shape = (first.height, first.width, channels)
    else:
        shape = spec.shape
        if len(shape) != 3 or shape[-1] not in _MODES:
            raise request.error(f"inputs of shape {shape}", "image files")

    def read(batch_size: int) -> Iterator[Batch]:
        for path in paths:
            example_id = path.relative_to(root).as_posix()
            yield Batch((example_id,), _decode(request, path, shape)[np.newaxis])

    return Source(request.spec, shape, len(paths), read, origin=request.spec)


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


@contextlib.contextmanager
def _opened(request: Request, path: pathlib.Path) -> Iterator[PIL.Image.Image]:
    try:
        with PIL.Image.open(path) as image:
            yield image
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as e:
        raise request.error("readable images", f"{path}: {e}") from e


def _decode(request: Request, path: pathlib.Path, shape: tuple[int, ...]) -> np.ndarray:
    """One image file (the first frame of an animation) as uint8 [height, width, channels].

    16-bit grey values are divided by 257; transparency is dropped unless there are four channels.
    """
    with _opened(request, path) as image:
        if (image.height, image.width) != shape[:2]:
            found = (image.height, image.width, len(image.getbands()))
            raise request.error(f"images of shape {shape}", f"shape {found} in {path}")
        if image.mode.startswith("I"):  # Pillow would clip 16-bit values to 255
            grey = np.clip(np.round(np.asarray(image) / 257), 0, 255).astype(np.uint8)
            image = PIL.Image.fromarray(grey)
        return np.asarray(image.convert(_MODES[shape[-1]]), np.uint8).reshape(shape)
