"""Omniglot's drawings, black on white at 105x105, made white on black, with wider strokes."""

from __future__ import annotations

import numpy as np
import scipy.ndimage

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of ITU-R 601, as elsewhere


def white_on_black(values: np.ndarray) -> np.ndarray:
    """uint8 RGB [batch, height, width, 3] -> their inverse in grey, [batch, height, width, 1]."""
    grey = np.rint(values.astype(np.float32) @ _LUMA)
    return (255 - grey).astype(np.uint8)[..., np.newaxis]


def disc(diameter: int) -> np.ndarray:
    """The pixels whose centres lie within a disc: bool [diameter, diameter]."""
    offsets = np.arange(diameter) - (diameter - 1) / 2
    return offsets[:, np.newaxis] ** 2 + offsets**2 <= (diameter / 2) ** 2


def thicken(values: np.ndarray, diameter: int) -> np.ndarray:
    """Widens bright strokes: each pixel becomes the largest under a disc (grey dilation).

    values: [batch, height, width, 1]. A disc of `diameter` 1 changes nothing.
    """
    footprint = disc(diameter)[np.newaxis, ..., np.newaxis]
    return scipy.ndimage.grey_dilation(values, footprint=footprint, mode="constant")
