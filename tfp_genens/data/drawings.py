"""Omniglot's drawings, black on white at 105x105, made into small images white on black."""

from __future__ import annotations

import numpy as np
import scipy.ndimage

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of ITU-R 601, as elsewhere

AREA, NEAREST, BILINEAR = "area", "nearest", "bilinear"


def white_on_black(values: np.ndarray) -> np.ndarray:
    """uint8 RGB [batch, height, width, 3] -> the inverse of their grey [batch, height, width, 1].

    255 where the ink is; the dtype stays uint8.
    """
    grey = np.rint(values.astype(np.float32) @ _LUMA)
    return (255 - grey).astype(np.uint8)[..., np.newaxis]


def disc(diameter: int) -> np.ndarray:
    """The pixels whose centres lie within a disc: bool [diameter, diameter]."""
    offsets = np.arange(diameter) - (diameter - 1) / 2
    return offsets[:, np.newaxis] ** 2 + offsets**2 <= (diameter / 2) ** 2


def thicken(values: np.ndarray, diameter: int) -> np.ndarray:
    """Widens bright strokes: each pixel becomes the largest under a disc (grey dilation).

    Args:
      values: [batch, height, width, 1].
      diameter: of the disc, in pixels; 1 changes nothing.
    """
    footprint = disc(diameter)[np.newaxis, ..., np.newaxis]
    return scipy.ndimage.grey_dilation(values, footprint=footprint, mode="constant")


def resize(values: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """Images at another size, rounded to uint8, by `tf.image.resize` without antialiasing.

    Output pixel i covers [i s, (i + 1) s) of the input, with s = input size / output size, and has
    its centre at (i + 1/2) s.

    Args:
      values: uint8 [batch, height, width, channels].
      size: (height, width) to be had.
      method: AREA takes the mean over all that a pixel covers, with parts of input pixels weighted
        by how much of them is covered; NEAREST the one input pixel under its centre; BILINEAR
        interpolates between the four input pixels whose centres are around its centre, and so
        passes over others where s > 2.
    """
    import tensorflow as tf  # slow to import

    resized = tf.image.resize(values.astype(np.float32), size, method=method, antialias=False)
    return np.rint(resized.numpy()).clip(0, 255).astype(np.uint8)
