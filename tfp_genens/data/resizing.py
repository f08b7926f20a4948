"""Images at other sizes, for out-of-distribution sets; training images are never resized."""

from __future__ import annotations

import numpy as np

AREA, NEAREST, BILINEAR = "area", "nearest", "bilinear"


def resize(values: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """Images at another size, rounded to uint8, by `tf.image.resize` without antialiasing.

    Output pixel i covers [i s, (i + 1) s) of the input, with s = input size / output size, and has
    its centre at (i + 1/2) s.

    Args:
      values: uint8 [batch, height, width, channels].
      size: (height, width) to be had.
      method: AREA takes the mean over all that a pixel covers; NEAREST the one input pixel under
        its centre; BILINEAR interpolates between the four input pixels around its centre, and so
        passes over others where s > 2.
    """
    import tensorflow as tf  # slow to import

    resized = tf.image.resize(values.astype(np.float32), size, method=method, antialias=False)
    return np.rint(resized.numpy()).clip(0, 255).astype(np.uint8)


def centre_square(values: np.ndarray) -> np.ndarray:
    """The largest square in the middle of images [batch, height, width, channels].

    An odd row or column too many goes at the end.
    """
    height, width = values.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return values[:, top : top + side, left : left + side]
