"""`digits:train|test`: scikit-learn's handwritten digits, real data that needs no download."""

from __future__ import annotations

import numpy as np

from tfp_genens.data.requests import Request
from tfp_genens.data.sources import Source, array_source
from tfp_genens.seeds import numpy_generator

NUM_TRAIN = 1297
SPLITS = {"train": slice(None, NUM_TRAIN), "test": slice(NUM_TRAIN, None)}


def open_digits(request: Request) -> Source:
    """Opens 1,297 training or 500 test digits, uint8 [8, 8, 1] (stored values 0..16 made 0..255).

    The split is a permutation with a fixed seed: the file is grouped by writer, so that its tail
    would be other people's handwriting. Raises UserError for another split.
    """
    if request.location not in SPLITS:
        raise request.error("digits:train or digits:test", repr(request.location))
    from sklearn.datasets import load_digits  # slow to import

    stored = load_digits()
    images = np.round(stored.images * 255 / 16).astype(np.uint8)[..., np.newaxis]
    order = numpy_generator(0, "digits", "split").permutation(len(images))
    chosen = order[SPLITS[request.location]]
    labels = stored.target[chosen].astype(np.int64)
    return array_source(request.spec, images[chosen], f"digits/{request.location}", labels)
