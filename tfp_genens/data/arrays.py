"""`npz:PATH`, `npz:PATH:KEY` and `digits:train|test`: arrays, read whole."""

import os
import pathlib
import zipfile

import numpy as np
from absl import logging

from tfp_genens.data.requests import Request, listed
from tfp_genens.data.sources import Source, array_source
from tfp_genens.errors import UserError
from tfp_genens.seeds import numpy_generator

USUAL_NAMES = ("image", "images", "x", "inputs", "features", "data")
LABEL_NAMES = ("label", "labels")
DIGITS = {"train": slice(None, 1297), "test": slice(1297, None)}


def open_npz(request: Request) -> Source:
    """Opens one array [N, H, W, C], [N, H, W] (taken as one channel) or [N, features].

    That is KEY where given, else the one that has one of USUAL_NAMES, else the only one. An array
    `label` or `labels` holds the class of each; where it cannot, a warning says why not. Raises
    UserError: no such file or array, no archive, pickled or non-numeric values.
    """
    path, key = os.path.expanduser(request.location), None
    if ":" in path and not pathlib.Path(path).exists():
        path, _, key = path.rpartition(":")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise request.error("an .npz archive", "a single array (.npy)")
        with archive:
            values = archive[_choose(request, archive.files, key)]
            labels = next((archive[name] for name in LABEL_NAMES if name in archive), None)
    except UserError:
        raise
    except FileNotFoundError as e:
        raise request.error("an existing .npz file", "no such file") from e
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as e:
        raise request.error("a readable .npz file of plain arrays", str(e)) from e
    if values.dtype.kind not in "uif":
        raise request.error("an array of numbers", f"dtype {values.dtype}")
    if values.ndim < 2:
        raise request.error("an array [N, ...] of inputs", f"shape {values.shape}")
    if values.ndim == 3:
        values = values[..., np.newaxis]
    labels = None if labels is None else _class_numbers(request, labels, len(values))
    return array_source(request.spec, values, os.path.basename(path), labels)


def _class_numbers(request: Request, labels: np.ndarray, num_examples: int) -> np.ndarray | None:
    if labels.shape != (num_examples,):
        problem = f"shape {labels.shape} for {num_examples} inputs"
    elif labels.dtype.kind not in "bui":
        problem = f"dtype {labels.dtype}"
    elif labels.size and labels.min() < 0:
        problem = f"the negative number {labels.min()}"
    else:
        return labels.astype(np.int64)
    logging.warning(
        "%s: labels left out: they must be whole numbers from 0, one an input; got %s.",
        *(request.spec, problem),
    )
    return None


def _choose(request: Request, names: list[str], key: str | None) -> str:
    if key in names:
        return key
    if key is not None:
        raise request.error(f"one of the arrays {listed(names)}", repr(key))
    usual = [name for name in USUAL_NAMES if name in names]
    candidates = usual or [name for name in names if name not in LABEL_NAMES] or names
    if len(candidates) != 1:
        raise request.error(
            f"a single array, or one named {' or '.join(USUAL_NAMES)}; name it as npz:PATH:KEY",
            f"the arrays {listed(names)}",
        )
    return candidates[0]


def open_digits(request: Request) -> Source:
    """Opens 1,297 training or 500 test digits of scikit-learn, uint8 [8, 8, 1].

    Stored values 0..16 become 0..255. The split is a permutation with a fixed seed: the file is
    grouped by writer, so that its tail would be other people's handwriting. Raises UserError for
    another split.
    """
    if request.location not in DIGITS:
        raise request.error("digits:train or digits:test", repr(request.location))
    from sklearn.datasets import load_digits  # slow to import

    stored = load_digits()
    images = np.round(stored.images * 255 / 16).astype(np.uint8)[..., np.newaxis]
    order = numpy_generator(0, "digits", "split").permutation(len(images))
    chosen = order[DIGITS[request.location]]
    labels = stored.target[chosen].astype(np.int64)
    return array_source(request.spec, images[chosen], f"digits/{request.location}", labels)
