"""Normal inputs made strange: scores are chosen by them, not by anomalies (docs/protocol.md).

Each takes inputs, float64 [batch, *event_shape], and a generator, and gives inputs of the same
shape. Images [height, width, channels] are in [0, 1] before and after.
"""

import functools
from collections.abc import Callable

import numpy as np
import scipy.ndimage

Corrupt = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def noisy(images: np.ndarray, generator: np.random.Generator, scale: float) -> np.ndarray:
    """A normal deviate is added to each pixel, and the sum clipped."""
    return np.clip(images + scale * generator.standard_normal(images.shape), 0.0, 1.0)


def blurred(images: np.ndarray, generator: np.random.Generator, share: float) -> np.ndarray:
    """By a Gaussian whose standard deviation is a share of the side."""
    sigma = share * max(images.shape[1:3])
    return scipy.ndimage.gaussian_filter(images, (0.0, sigma, sigma, 0.0), mode="nearest")


def contrast(images: np.ndarray, generator: np.random.Generator, factor: float) -> np.ndarray:
    """Distances from the image's mean are multiplied."""
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    return np.clip(mean + factor * (images - mean), 0.0, 1.0)


def shuffled(images: np.ndarray, generator: np.random.Generator, num: int) -> np.ndarray:
    """A grid of `num` x `num` tiles in random order, not all where they were before.

    Rows and columns that are left over where a side does not divide stay as they are.
    """
    found = images.copy()
    height, width = (side // num for side in images.shape[1:3])
    corners = [(i * height, j * width) for i in range(num) for j in range(num)]
    for image, result in zip(images, found, strict=True):
        order = generator.permutation(len(corners))
        while (order == np.arange(len(corners))).all():
            order = generator.permutation(len(corners))
        for (top, left), source in zip(corners, order, strict=True):
            from_top, from_left = corners[source]
            tile = image[from_top : from_top + height, from_left : from_left + width]
            result[top : top + height, left : left + width] = tile
    return found


def elastic(images: np.ndarray, generator: np.random.Generator, share: float) -> np.ndarray:
    """A random smooth displacement, whose root mean square is a share of the side."""
    height, width, num_channels = images.shape[1:]
    side = max(height, width)
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"))
    found = np.empty_like(images)
    for image, result in zip(images, found, strict=True):
        white = generator.standard_normal((2, height, width))
        smooth = scipy.ndimage.gaussian_filter(white, (0.0, side / 7, side / 7), mode="reflect")
        moved = grid + share * side * smooth / np.sqrt(np.mean(smooth**2))
        for channel in range(num_channels):
            plane = image[..., channel]
            result[..., channel] = scipy.ndimage.map_coordinates(
                plane, moved, order=1, mode="nearest"
            )
    return found


def mixed_halves(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The left half of one image beside the right half of another."""
    middle = images.shape[2] // 2
    order = generator.permutation(len(images))
    others = np.empty_like(images)
    others[order] = images[np.roll(order, 1)]  # none beside itself
    return np.concatenate([images[:, :, :middle], others[:, :, middle:]], axis=2)


def shifted(images: np.ndarray, generator: np.random.Generator, share: float) -> np.ndarray:
    """Right and down by a share of the side; the edge pixels are repeated."""
    down, right = (round(share * side) for side in images.shape[1:3])
    padding = [(0, 0), (down, 0), (right, 0), (0, 0)]
    return np.pad(images, padding, mode="edge")[:, : images.shape[1], : images.shape[2]]


def columns_mixed(rows: np.ndarray, generator: np.random.Generator, share: float) -> np.ndarray:
    """Each value comes, with probability `share`, from the same column of another row."""
    num_rows = len(rows)
    away = generator.integers(1, max(num_rows, 2), rows.shape)
    others = np.take_along_axis(
        rows, (np.arange(num_rows)[:, np.newaxis] + away) % num_rows, axis=0
    )
    return np.where(generator.random(rows.shape) < share, others, rows)


def columns_noisy(rows: np.ndarray, generator: np.random.Generator, share: float) -> np.ndarray:
    """A normal deviate of the column's own standard deviation is added to a share of the columns.

    It is another share for each row, of at least one column.
    """
    num_columns = rows.shape[1]
    ranks = generator.random(rows.shape).argsort(axis=1)
    is_chosen = ranks < max(1, round(share * num_columns))
    return rows + is_chosen * rows.std(axis=0) * generator.standard_normal(rows.shape)


CORRUPTIONS: dict[str, Corrupt] = {
    "noise_mild": functools.partial(noisy, scale=0.1),
    "noise_strong": functools.partial(noisy, scale=0.3),
    "blur_mild": functools.partial(blurred, share=1 / 28),
    "blur_strong": functools.partial(blurred, share=1 / 14),
    "contrast_mild": functools.partial(contrast, factor=0.7),
    "contrast_strong": functools.partial(contrast, factor=0.4),
    "shuffled_mild": functools.partial(shuffled, num=2),
    "shuffled_strong": functools.partial(shuffled, num=4),
    "elastic_mild": functools.partial(elastic, share=1 / 28),
    "elastic_strong": functools.partial(elastic, share=1 / 14),
    "mixed_halves": mixed_halves,
    "shift_mild": functools.partial(shifted, share=1 / 7),
    "shift_strong": functools.partial(shifted, share=2 / 7),
}
"""Of images, by name."""

ROW_CORRUPTIONS: dict[str, Corrupt] = {
    "columns_mixed": functools.partial(columns_mixed, share=1.0),
    "columns_half_mixed": functools.partial(columns_mixed, share=0.5),
    "columns_noisy": functools.partial(columns_noisy, share=0.1),
}
"""Of the rows [num_columns] of a table."""
