import numpy as np
import pytest
from scipy import stats

from tfp_genens.data.noise import fits_photos, gaussian_blocks, photo_patch_blocks, uniform_blocks

RANGE = (0.0, 255.0)


@pytest.mark.parametrize("blocks", [uniform_blocks, gaussian_blocks])
def test_noise_is_a_function_of_seed_and_block(blocks):
    make_block = blocks((4, 4, 1), RANGE, 5)
    first = make_block(0)
    assert first.shape == (100, 4, 4, 1)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, blocks((4, 4, 1), RANGE, 5)(0))
    assert not np.array_equal(first, make_block(1))
    assert not np.array_equal(first, blocks((4, 4, 1), RANGE, 6)(0))


def test_uniform_noise_is_uniform_on_the_range():
    values = uniform_blocks((10, 10, 1), RANGE, 0)(0).ravel()
    assert 0 <= values.min() < values.max() <= 255
    assert stats.kstest(values, stats.uniform(0, 255).cdf).pvalue > 1e-3


def test_gaussian_noise_is_clipped_to_the_range():
    values = gaussian_blocks((10, 10, 1), RANGE, 0)(0).ravel()
    assert (values.min(), values.max()) == (0, 255)
    num_low, num_high = (values == 0).sum(), (values == 255).sum()
    for count, probability in ((num_low, 0.5), (num_high, stats.norm.sf(1))):
        assert stats.binomtest(int(count), values.size, probability).pvalue > 1e-3
    between = values[(values > 0) & (values < 255)] / 255
    assert stats.kstest(between, stats.truncnorm(0, 1).cdf).pvalue > 1e-3


@pytest.mark.parametrize("blocks", [uniform_blocks, gaussian_blocks])
def test_noise_fills_any_range(blocks):
    values = blocks((50,), (-3.0, 1.0), 0)(0)
    assert -3 <= values.min() < -2.9
    assert 0.9 < values.max() <= 1


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 12, 3)])
def test_photo_patches_are_cut_from_the_photographs(shape):
    from sklearn.datasets import load_sample_images

    patches = photo_patch_blocks(shape, 0)(0)
    assert patches.shape == (100, *shape)
    assert patches.dtype == np.uint8
    assert not np.array_equal(patches, photo_patch_blocks(shape, 0)(1))
    np.testing.assert_array_equal(patches, photo_patch_blocks(shape, 0)(0))
    photos = load_sample_images().images
    if shape[-1] == 1:
        photos = [np.round(photo @ [0.299, 0.587, 0.114])[..., np.newaxis] for photo in photos]
    tolerance = 1 if shape[-1] == 1 else 0  # rounding of the luma
    windows = [
        np.lib.stride_tricks.sliding_window_view(photo[..., 0], shape[:2]) for photo in photos
    ]
    found = {0: 0, 1: 0}
    for patch in patches[:10]:
        for which, window in enumerate(windows):
            corner = window[..., 0, 0].astype(int) - int(patch[0, 0, 0])
            tops, lefts = np.nonzero(np.abs(corner) <= tolerance)
            for top, left in zip(tops, lefts, strict=True):
                area = photos[which][top : top + shape[0], left : left + shape[1]]
                if np.abs(area.astype(int) - patch.astype(int)).max() <= tolerance:
                    found[which] += 1
                    break
    assert found[0] + found[1] >= 10
    assert min(found.values()) > 0


def test_photo_patches_need_an_image_shape_that_fits():
    assert all(map(fits_photos, [(8, 8, 1), (8, 12, 3), (427, 640, 3)]))
    assert not any(map(fits_photos, [(8, 8, 2), (64,), (428, 8, 1), (8, 641, 3)]))
    assert photo_patch_blocks((427, 640, 1), 0)(0).shape == (100, 427, 640, 1)
