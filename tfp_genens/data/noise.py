"""Noise images and patches of photographs, drawn block by block from a seed."""

from collections.abc import Callable

import numpy as np
import PIL.Image

from tfp_genens.data.sources import BLOCK_SIZE
from tfp_genens.seeds import numpy_generator

# Block number -> float32 or uint8 [BLOCK_SIZE, *shape], a pure function: see sources.block_source.
Blocks = Callable[[int], np.ndarray]
Range = tuple[float, float]
_PHOTO_MODES = {1: "L", 3: "RGB"}
_PHOTO_SIZE = (427, 640)


def _on_scale(unit: np.ndarray, value_range: Range) -> np.ndarray:
    low, high = value_range
    return np.float32(low) + np.float32(high - low) * unit


def uniform_blocks(shape: tuple[int, ...], value_range: Range, seed: int) -> Blocks:
    """U(0, 1) noise scaled to the range; float32."""

    def make_block(block: int) -> np.ndarray:
        unit = numpy_generator(seed, "uniform", block).random((BLOCK_SIZE, *shape), np.float32)
        return _on_scale(unit, value_range)

    return make_block


def gaussian_blocks(
    shape: tuple[int, ...], value_range: Range, seed: int, clipped: bool = True
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


def fits_photos(shape: tuple[int, ...]) -> bool:
    """Whether it is that of a grey or colour image which fits into the photographs."""
    is_image = len(shape) == 3 and shape[-1] in _PHOTO_MODES
    return is_image and shape[0] <= _PHOTO_SIZE[0] and shape[1] <= _PHOTO_SIZE[1]


def photo_patch_blocks(shape: tuple[int, ...], seed: int) -> Blocks:
    """Patches of scikit-learn's two sample photographs at full resolution; uint8.

    Grey is the luma of ITU-R 601. Each patch comes from either photograph with equal chances, from
    anywhere in it. `shape` must pass `fits_photos`.
    """
    from sklearn.datasets import load_sample_images  # slow to import

    height, width, channels = shape
    photos = [
        np.asarray(PIL.Image.fromarray(photo).convert(_PHOTO_MODES[channels]))
        for photo in load_sample_images().images
    ]

    def make_block(block: int) -> np.ndarray:
        generator = numpy_generator(seed, "photo_patches", block)
        patches = []
        for which in generator.integers(len(photos), size=BLOCK_SIZE):
            photo = photos[which]
            top = generator.integers(photo.shape[0] - height + 1)
            left = generator.integers(photo.shape[1] - width + 1)
            patches.append(photo[top : top + height, left : left + width])
        return np.stack(patches).reshape(BLOCK_SIZE, *shape)

    return make_block
