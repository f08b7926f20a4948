"""Images made to look like others, for out-of-distribution sets; training images stay as they are.

Images are uint8 [batch, height, width, channels] throughout.
"""

import numpy as np
import scipy.ndimage

AREA, NEAREST, BILINEAR = "area", "nearest", "bilinear"
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of ITU-R 601, as elsewhere


def resize(values: np.ndarray, size: tuple[int, int], method: str) -> np.ndarray:
    """Images at another size (height, width), by `tf.image.resize` without antialiasing, rounded.

    Output pixel i covers [i s, (i + 1) s) of the input, with s = input size / output size, and has
    its centre at (i + 1/2) s. AREA takes the mean over all that a pixel covers; NEAREST the one
    input pixel under its centre; BILINEAR interpolates between the four input pixels around its
    centre, and so passes over others where s > 2.
    """
    import tensorflow as tf  # slow to import

    resized = tf.image.resize(values.astype(np.float32), size, method=method, antialias=False)
    return np.rint(resized.numpy()).clip(0, 255).astype(np.uint8)


def centre_square(values: np.ndarray) -> np.ndarray:
    """The largest square in the middle; an odd row or column too many goes at the end."""
    height, width = values.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return values[:, top : top + side, left : left + side]


def white_on_black(values: np.ndarray) -> np.ndarray:
    """Black on white RGB [batch, height, width, 3] -> its inverse in grey, with one channel."""
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
