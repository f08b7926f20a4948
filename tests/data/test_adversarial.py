from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfp_genens.data.adversarial import member_descent, member_gradient, pgd, waic_gradient


def fgsm(values, gradient, eps, clip_to=None):
    return pgd(values, gradient, eps, steps=1, step_size=eps, clip_to=clip_to)


def noise(seed=0, size=6):
    return np.random.default_rng(seed).uniform(0, 255, (size, 8, 8, 1)).astype(np.float32)


def test_fgsm_steps_along_the_sign_towards_the_centre(ensemble):
    start = noise()
    attacked = fgsm(start, partial(member_gradient, ensemble), 76.5)
    towards = np.sign(ensemble.centres[0] - start).astype(np.float32)
    np.testing.assert_array_equal(attacked, start + np.float32(76.5) * towards)
    assert attacked.dtype == np.float32


def test_a_small_step_raises_the_attacked_score(ensemble):
    start = noise()
    attacked = fgsm(start, partial(member_gradient, ensemble), 0.5)
    assert (ensemble.log_prob(attacked, 0) > ensemble.log_prob(start, 0)).all()
    attacked = fgsm(start, partial(waic_gradient, ensemble), 0.5)
    assert (ensemble.waic(attacked) > ensemble.waic(start)).all()


def test_the_descent_lowers_what_the_attack_raises(ensemble):
    start = noise()
    lowered = fgsm(start, partial(member_descent, ensemble), 0.5)
    assert (ensemble.log_prob(lowered, 0) < ensemble.log_prob(start, 0)).all()


def test_clipping_is_that_of_the_unclipped_step(ensemble):
    start = noise()
    gradient = partial(member_gradient, ensemble)
    free = fgsm(start, gradient, 76.5)
    assert free.min() < 0
    assert free.max() > 255
    np.testing.assert_array_equal(
        fgsm(start, gradient, 76.5, clip_to=(0.0, 255.0)), free.clip(0, 255)
    )


@settings(deadline=None)
@given(st.integers(0, 100), st.integers(1, 8), st.floats(1, 100), st.booleans())
def test_pgd_stays_in_the_ball_and_the_range(seed, steps, eps, clipped):
    centre = np.random.default_rng(seed).uniform(0, 255, (8, 8, 1))
    start = noise(seed)
    clip_to = (0.0, 255.0) if clipped else None
    attacked = pgd(
        start, lambda x: centre - x, eps, steps=steps, step_size=eps / 4, clip_to=clip_to
    )
    assert np.abs(attacked.astype(np.float64) - start).max() <= eps * (1 + 1e-6) + 1e-4
    if clipped:
        assert attacked.min() >= 0
        assert attacked.max() <= 255


def test_pgd_turns_back_where_fgsm_steps_too_far():
    """With the optimum 10 away and eps 40, one step overshoots by 30; four steps of 10 arrive."""
    start = np.full((1, 2), 100, np.float32)

    def gradient(values):
        return 110 - values

    np.testing.assert_array_equal(fgsm(start, gradient, 40), [[140, 140]])
    attacked = pgd(start, gradient, 40, steps=4, step_size=10)
    np.testing.assert_array_equal(attacked, [[110, 110]])


def test_steps_that_shrink_come_to_rest_where_steps_of_one_size_jump():
    def gradient(values):
        return 107 - values

    start = np.full((1, 2), 100, np.float32)
    jumping = pgd(start, gradient, 40, steps=40, step_size=10)
    assert np.abs(jumping - 107).min() >= 3
    resting = pgd(start, gradient, 40, steps=40, step_size=10, last_step_size=0.01)
    assert np.abs(resting - 107).max() < 0.05


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_never_followed(bad):
    with pytest.raises(FloatingPointError, match="`gradient` must be finite"):
        fgsm(np.zeros((1, 2)), lambda values: np.array([[0, bad]]), 1.0)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_gradient_of_zeros_is_no_attack(steps):
    with pytest.raises(FloatingPointError, match="only zeros"):
        pgd(np.ones((3, 2)), np.zeros_like, 1.0, steps=steps, step_size=0.5)


def test_one_example_at_its_optimum_stays_there():
    attacked = fgsm(np.array([[5.0, 5.0], [5.0, 9.0]]), lambda values: 5 - values, 1.0)
    np.testing.assert_array_equal(attacked, [[5, 5], [5, 8]])


def test_arriving_at_the_optimum_is_no_error():
    start = np.full((1, 2), 5, np.float32)
    attacked = pgd(start, lambda values: 6 - values, 2.0, steps=3, step_size=1.0)
    np.testing.assert_array_equal(attacked, [[6, 6]])


@pytest.mark.parametrize(
    ("eps", "steps", "step_size"), [(0, 1, 1), (-1, 1, 1), (1, 0, 1), (1, 1, 0)]
)
def test_sizes_must_be_positive(eps, steps, step_size):
    with pytest.raises(ValueError, match="must be positive"):
        pgd(np.zeros((1, 2)), np.zeros_like, eps, steps=steps, step_size=step_size)
