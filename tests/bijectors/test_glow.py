"""The whole stack: its latent's layout, its density, and what is exported."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_genens.bijectors.convolution import InvertibleMatrix
from tfp_genens.bijectors.coupling import AffineCoupling
from tfp_genens.bijectors.glow import Glow

SERVER = """
import sys
for name in ("tfp_genens", "tensorflow_probability", "tf_keras"):
    sys.modules[name] = None  # any import of it raises ImportError
import numpy as np
import tensorflow as tf

directory, images, latents = sys.argv[1:]
model = tf.saved_model.load(directory)
x, log_det = model.to_latent(tf.constant(np.load(images)))
np.savez(latents, x=x, log_det=log_det, images=model.to_image(x))
"""


class Served(tf.Module):
    def __init__(self, glow):
        super().__init__()
        self.glow = glow

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3])])
    def to_latent(self, images):
        return self.glow.inverse_and_log_det(images)

    @tf.function(input_signature=[tf.TensorSpec([None, 192])])
    def to_image(self, latents):
        return self.glow.forward(latents)


@pytest.fixture
def small():
    return Glow((8, 8, 3), num_levels=2, num_steps=2, width=4, seed=0)


def standard_flow(glow):
    base = tfd.MultivariateNormalDiag(tf.zeros(glow.latent_size, glow.dtype))
    return tfd.TransformedDistribution(base, glow)


def test_density_integrates_to_one(perturbed):
    glow = Glow((2, 2, 1), num_levels=1, num_steps=2, width=4, seed=0, dtype="float64")
    flow = standard_flow(perturbed(glow, 0.3))
    samples = flow.sample(20_000, seed=[1, 2]).numpy().reshape(-1, 4)
    # Heavier tails than the flow's, so that the weights' variance is finite.
    proposal = scipy.stats.multivariate_t(samples.mean(axis=0), np.cov(samples.T), df=3, seed=3)
    points = proposal.rvs(200_000)
    log_prob = flow.log_prob(points.reshape(-1, 2, 2, 1)).numpy()
    weights = np.exp(log_prob - proposal.logpdf(points))
    error = weights.std() / np.sqrt(len(weights))
    assert error < 0.01
    assert abs(weights.mean() - 1) < 4 * error
    # And the samples are that density's: E_p[g] by samples and by weights.
    expected = np.mean(weights[:, None] * np.abs(points), axis=0)
    np.testing.assert_allclose(np.abs(samples).mean(axis=0), expected, rtol=0.05)


def test_untrained_flow_is_a_scaled_rotation_of_its_input(images):
    glow = Glow((4, 4, 1), num_levels=2, num_steps=1, width=4, seed=0, dtype="float64")
    y = images(5, 4, 4, 1)
    x, log_det = glow.inverse_and_log_det(y)
    # Each coupling scales half of its channels by sigmoid(2): 8 of 16, then 4 of 8 dimensions.
    expected = (8 + 4) * np.log(scipy.special.expit(2.0))
    np.testing.assert_allclose(log_det, np.full(5, expected), rtol=1e-12)
    assert x.shape == (5, 16)


def test_latent_holds_the_factored_parts_level_by_level(perturbed, images):
    shape, fractions = (8, 8, 1), [0.25, 0.5]
    glow = Glow(
        shape,
        num_levels=3,
        num_steps=1,
        width=4,
        split_fractions=fractions,
        seed=0,
        dtype="float64",
    )
    # 4x4 pixels x 1 of 4 channels; 2x2 x 6 of 12; 1x1 x 24.
    sizes = [16, 24, 24]
    assert [split.sizes for split in glow.splits] == [(3, 1), (6, 6)]
    y = images(2, *shape)
    before = tf.split(perturbed(glow).inverse(y), sizes, axis=-1)
    glow.top.loc.assign_add(tf.ones_like(glow.top.loc))
    after = tf.split(glow.inverse(tf.identity(y)), sizes, axis=-1)
    changed = [bool((a.numpy() != b.numpy()).any()) for a, b in zip(after, before, strict=True)]
    assert changed == [False, False, True]
    glow.splits[1].prior.bias.assign_add(tf.ones_like(glow.splits[1].prior.bias))
    last = tf.split(glow.inverse(tf.identity(y)), sizes, axis=-1)
    changed = [bool((a.numpy() != b.numpy()).any()) for a, b in zip(last, after, strict=True)]
    assert changed == [False, True, False]


def test_finite_far_from_the_data(perturbed, images):
    glow = perturbed(Glow((8, 8, 3), num_levels=2, num_steps=4, width=8, seed=0))
    x, log_det = glow.inverse_and_log_det(1e4 * tf.cast(images(4, 8, 8, 3), tf.float32))
    assert np.isfinite(x).all()
    assert np.isfinite(log_det).all()


def test_float32_log_dets_keep_their_digits(images):
    settings = {"num_levels": 3, "num_steps": 4, "width": 8, "seed": 0}
    single, double = Glow((32, 32, 3), **settings), Glow((32, 32, 3), **settings, dtype="float64")
    y = images(4, 32, 32, 3)
    single.initialize(tf.cast(y, tf.float32))
    double.initialize(y)
    _, log_det = single.inverse_and_log_det(tf.cast(y, tf.float32))
    _, expected = double.inverse_and_log_det(y)
    np.testing.assert_allclose(log_det, expected, atol=0.02)  # nats of 3072 dimensions


def test_serves_with_tensorflow_alone(small, perturbed, images, tmp_path):
    batch = tf.cast(images(5, 8, 8, 3), tf.float32)
    small.initialize(batch)
    perturbed(small, 0.05)
    tf.saved_model.save(Served(small), str(tmp_path / "model"))
    np.save(tmp_path / "images.npy", batch)
    paths = [str(tmp_path / name) for name in ("model", "images.npy", "latents.npz")]
    command = [sys.executable, "-c", SERVER, *paths]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    served = np.load(paths[-1])
    x, log_det = small.inverse_and_log_det(batch)
    np.testing.assert_allclose(served["x"], x, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(served["log_det"], log_det, rtol=1e-6)
    np.testing.assert_allclose(served["images"], batch, atol=1e-4)


def test_an_uninitialised_stack_is_not_saved(small, tmp_path):
    with pytest.raises(ValueError, match="must be initialised with data before it is exported"):
        tf.saved_model.save(Served(small), str(tmp_path / "model"))
    assert not small.initialized


def test_weights_carry_over_by_assignment(small, images):
    batch = tf.cast(images(5, 8, 8, 3), tf.float32)
    small.initialize(batch)
    other = Glow((8, 8, 3), num_levels=2, num_steps=2, width=4, seed=1)
    for to, source in zip(other.variables, small.variables, strict=True):
        to.assign(source)
    assert other.initialized
    np.testing.assert_array_equal(other.inverse(batch), small.inverse(batch))


def test_seed_decides_the_weights():
    def weights(seed):
        glow = Glow((4, 4, 1), num_levels=2, num_steps=2, width=4, seed=seed)
        return np.concatenate([v.numpy().ravel() for v in glow.trainable_variables])

    np.testing.assert_array_equal(weights(1), weights(1))
    assert (weights(1) != weights(2)).any()


def test_no_two_rotations_or_networks_are_alike():
    glow = Glow((8, 8, 1), num_levels=2, num_steps=2, width=4, seed=0)
    first, second = glow.levels[0].weight.matrix().numpy()
    assert np.abs(first - second).max() > 0.1
    first, second = glow.levels[0].network.kernel_in.numpy()
    assert np.abs(first - second).max() > 0.1


def test_matrix_starts_as_a_rotation_and_knows_its_determinant(perturbed):
    weight = InvertibleMatrix(6, seed=0, stack=(3,), dtype="float64")
    matrix = weight.matrix().numpy()
    np.testing.assert_allclose(matrix @ matrix.swapaxes(-1, -2), [np.eye(6)] * 3, atol=1e-12)
    perturbed(weight)
    matrix = weight.matrix().numpy()
    _, log_det = np.linalg.slogdet(matrix)
    np.testing.assert_allclose(np.sum(weight.log_abs_diag, axis=-1), log_det, atol=1e-10)
    np.testing.assert_allclose(weight.inverse(), np.linalg.inv(matrix), atol=1e-9)


def test_coupling_scale_is_bounded(images):
    coupling = AffineCoupling(2, 4, seed=0, dtype="float64")
    coupling.network.last.bias.assign([0.0, 50.0])
    _, log_det = coupling.inverse_and_log_det(images(3, 4, 4, 2))
    np.testing.assert_allclose(log_det, 0, atol=1e-12)  # scale 1 at most: never an expansion
    coupling.network.last.bias.assign([0.0, 0.0])
    _, log_det = coupling.inverse_and_log_det(images(3, 4, 4, 2))
    np.testing.assert_allclose(log_det, 16 * np.log(scipy.special.expit(2.0)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_shape": (6, 8, 3)}, "`image_shape` must be .* divide by 4 for 2 levels; got"),
        ({"image_shape": (8, 8)}, "`image_shape` must be"),
        ({"num_levels": 0}, "`num_levels` must be positive; got 0"),
        ({"split_fractions": 0.3}, "`split_fractions` must leave a whole number of 12 channels"),
        ({"split_fractions": 1.0}, "`split_fractions` must leave a whole number"),
        ({"split_fractions": 1}, "`split_fractions` must leave a whole number"),
        ({"split_fractions": [0.5, 0.5]}, "`split_fractions` must be one number or 1; got 2"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        Glow(**{"image_shape": (8, 8, 3), "num_levels": 2, "num_steps": 1, "seed": 0, **settings})


def test_other_sizes_are_refused(small):
    with pytest.raises(ValueError, match=r"must have shape \[..., 8, 8, 3\]; got \(2, 16, 16, 3\)"):
        small.inverse(tf.zeros([2, 16, 16, 3]))
    with pytest.raises(ValueError, match=r"must have shape \[..., 192\]; got \(2, 191\)"):
        small.forward(tf.zeros([2, 191]))
