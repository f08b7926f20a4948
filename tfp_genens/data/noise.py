"""Noise images and patches of photographs, drawn block by block from a seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import PIL.Image

from tfp_genens.data.sources import BLOCK_SIZE
from tfp_genens.seeds import numpy_generator

# Block number -> float32 or uint8 [BLOCK_SIZE, *shape], a pure function: see sources.BlockSource.
Blocks = Callable[[int], np.ndarray]
_PHOTO_MODES = {1: "L", 3: "RGB"}


def _on_scale(unit: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    low, high = value_range
    return np.float32(low) + np.float32(high - low) * unit


def uniform_blocks(shape: tuple[int, ...], value_range: tuple[float, float], seed: int) -> Blocks:
    """U(0, 1) noise scaled to the range; float32."""

    def make_block(block: int) -> np.ndarray:
        unit = numpy_generator(seed, "uniform", block).random((BLOCK_SIZE, *shape), np.float32)
        return _on_scale(unit, value_range)

    return make_block


def gaussian_blocks(
    shape: tuple[int, ...], value_range: tuple[float, float], seed: int, *, clipped: bool = True
) -> Blocks:
    """N(0, 1) noise scaled so that [0, 1] is the range; float32.

    Clipped to the range, half of all values are its low end; not clipped, two thirds lie outside.
    The draws are the same.
    """

    def make_block(block: int) -> np.ndarray:
        generator = numpy_generator(seed, "gaussian", block)
        unit = generator.standard_normal((BLOCK_SIZE, *shape), np.float32)
        return _on_scale(unit.clip(0, 1) if clipped else unit, value_range)

    return make_block


def photo_patch_blocks(shape: tuple[int, ...], seed: int) -> Blocks:
    """Patches of scikit-learn's two sample photographs at full resolution; uint8.

    Grey is the luma of ITU-R 601. Each patch comes from either photograph with equal chances, from
    anywhere in it. Raises ValueError unless `shape` is that of an image with one or three channels
    that fits into the photographs.
    """
    from sklearn.datasets import load_sample_images  # slow to import

    if len(shape) != 3 or shape[-1] not in _PHOTO_MODES:
        raise ValueError(f"`shape` must be (height, width, 1 or 3); got {shape}.")
    mode = _PHOTO_MODES[shape[-1]]
    photos = [
        np.asarray(PIL.Image.fromarray(photo).convert(mode)).reshape(*photo.shape[:2], shape[-1])
        for photo in load_sample_images().images
    ]
    height, width, _ = shape
    if any(photo.shape[0] < height or photo.shape[1] < width for photo in photos):
        raise ValueError(f"`shape` must fit into {photos[0].shape[:2]}; got {shape}.")

    def make_block(block: int) -> np.ndarray:
        generator = numpy_generator(seed, "photo_patches", block)
        patches = []
        for which in generator.integers(len(photos), size=BLOCK_SIZE):
            photo = photos[which]
            top = generator.integers(photo.shape[0] - height + 1)
            left = generator.integers(photo.shape[1] - width + 1)
            patches.append(photo[top : top + height, left : left + width])
        return np.stack(patches)

    return make_block
