"""GLOW as a model: its density of 8-bit images, its training, its frozen form, its gate."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from tfp_genens.artifact import export, manifest
from tfp_genens.artifact.member import Member
from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, InputSpec, OutputSpec
from tfp_genens.config import RunConfig
from tfp_genens.data import TrainingData
from tfp_genens.errors import UserError
from tfp_genens.models.configs import GlowConfig
from tfp_genens.models.frozen_glow import FrozenGlow, GlowDensity
from tfp_genens.models.glow import GlowLearner, WarmUp, initialized_flow
from tfp_genens.models.learner import Examples
from tfp_genens.models.likelihood_checks import PROBES, check_likelihood, warnings_of
from tfp_genens.paper import numbers as paper
from tfp_genens.scoring.scores import available_scores, combine
from tfp_genens.train import train

SEED = np.array([3, 4], np.int32)


def training_data(images):
    return TrainingData(
        name="test",
        train=images,
        validation=images[:20],
        validation_ids=tuple(map(str, range(20))),
        input_spec=InputSpec(images.shape[1:], str(images.dtype), (0.0, 255.0), "x / 255"),
        fingerprint="",
    )


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def small_config(**kwargs):
    settings = {"num_levels": 2, "num_steps": 2, "width": 4, "coupling": "affine"}
    return GlowConfig(**{**settings, "warmup_steps": 0, "batch_size": 4, **kwargs})


def run_steps(learner, images, num_steps, compiled=False):
    step = learner.phases()[0].step
    step = tf.function(step, autograph=False) if compiled else step
    batch = Examples(tf.constant(images))

    def batches(number):
        return batch

    values = [
        step(tf.constant(i, tf.int64), tf.constant([5, i]), batches) for i in range(num_steps)
    ]
    return [{name: float(x) for name, x in row.items()} for row in values]


def smooth_images(num, shape=(8, 8, 3), seed=0):
    """Images with something to learn: a random colour and a random slope."""
    rng = np.random.default_rng(seed)
    colour = rng.uniform(60, 190, (num, 1, 1, shape[-1]))
    slope = rng.uniform(-8, 8, (num, 1, 1, 1)) * np.arange(shape[1]).reshape(1, 1, -1, 1)
    noise = rng.normal(0, 3, (num, *shape))
    return np.clip(np.rint(colour + slope + noise), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def data():
    return training_data(smooth_images(100))


@pytest.fixture(scope="module")
def trained(data):
    """A learner after some steps, and what they returned."""
    learner = GlowLearner(small_config(learned_top=True, learning_rate=3e-3), data, seed=1)
    return learner, run_steps(learner, data.train[:32], 60, compiled=True)


@pytest.fixture(scope="module")
def frozen(trained):
    return trained[0].freeze().module


@pytest.fixture(scope="module")
def member(trained, data, tmp_path_factory):
    directory = tmp_path_factory.mktemp("member")
    model = trained[0].freeze()
    export.export_saved_model(model, data.input_spec, directory / manifest.SAVED_MODEL)
    signatures = export.describe_signatures(model, data.input_spec)
    return Member(directory, {"signatures": signatures, "member": 0})


class TestDensity:
    def perturbed(self, shape, **kwargs):
        data = training_data(random_images(50, *shape))
        flow = initialized_flow(small_config(**kwargs), data, "float32", 0)
        generator = np.random.default_rng(1)
        for variable in flow.trainable_variables:
            variable.assign_add(0.2 * generator.normal(size=variable.shape).astype(np.float32))
        return GlowDensity(flow)

    def test_probabilities_of_all_images_sum_to_one(self):
        """Sum over all x of E_u[p(x + u)], estimated at random x of a wider distribution."""
        density = self.perturbed((2, 2, 1), num_levels=1)
        samples = density.to_pixels(tf.random.stateless_normal([5000, 4], SEED)).numpy()
        samples = samples.reshape(-1, 4)
        wide = scipy.stats.multivariate_t(samples.mean(axis=0), np.cov(samples.T), df=3, seed=2)
        points = wide.rvs(50_000)  # in the continuous space: pixel plus noise
        x = np.floor(points)
        noise = points - x
        shaped = [tf.constant(v.reshape(-1, 2, 2, 1), tf.float32) for v in (x, noise)]
        weights = np.exp(density.log_prob(*shaped).numpy() - wide.logpdf(points))
        error = weights.std() / math.sqrt(len(weights))
        assert error < 0.02
        assert abs(weights.mean() - 1) < 4 * error

    def test_of_an_untrained_model_on_noise_is_near_eight_bits(self):
        data = training_data(random_images(300, 8, 8, 3))
        config = small_config(num_steps=4, coupling="additive")
        density = GlowDensity(initialized_flow(config, data, "float32", 0))
        x = tf.cast(random_images(200, 8, 8, 3, seed=9), tf.float32)
        noise = tf.random.stateless_uniform(x.shape, SEED)
        bits = np.mean(density.bits_per_dim(density.log_prob(x, noise)))
        # A normal with a uniform's variance needs 0.5 log2(2 pi e / 12) = 0.254 bits more than it.
        assert bits == pytest.approx(8 + 0.5 * math.log2(2 * math.pi * math.e / 12), abs=0.03)

    def test_bits_a_dimension(self):
        density = self.perturbed((4, 4, 1))
        assert density.bits_per_dim(-16 * 8 * math.log(2)) == pytest.approx(8)

    def test_samples_are_whole_pixels_of_the_range(self, trained):
        samples = trained[0].density.sample(50, SEED).numpy()
        assert samples.shape == (50, 8, 8, 3)
        np.testing.assert_array_equal(samples, np.rint(samples))
        assert samples.min() >= 0
        assert samples.max() <= 255

    def test_temperature_narrows_samples(self, trained):
        density = trained[0].density
        spread = [density.sample(200, SEED, t).numpy().std(axis=0).mean() for t in (0.3, 1.0)]
        assert spread[0] < 0.6 * spread[1]


class TestTraining:
    def test_learns(self, trained):
        losses = [row["loss"] for row in trained[1]]
        assert losses[-1] < losses[0] - 0.5

    @pytest.mark.parametrize("coupling", ["affine", "additive"])
    def test_every_variable_moves(self, data, coupling):
        learner = GlowLearner(small_config(coupling=coupling, learned_top=True), data, seed=1)
        before = [v.numpy() for v in learner.density.trainable_variables]
        run_steps(learner, data.train[:8], 3)  # the networks behind a zero need one step more
        for old, variable in zip(before, learner.density.trainable_variables, strict=True):
            changed = variable.numpy() != old
            assert np.isfinite(variable.numpy()).all(), variable.name
            assert changed.any(), variable.name

    def test_gradients_are_clipped_to_the_norm(self, data):
        moved = []
        for clip_norm in (None, 1e-9):
            learner = GlowLearner(small_config(optimizer="adam", clip_norm=clip_norm), data, seed=1)
            before = [v.numpy() for v in learner.density.trainable_variables]
            (values,) = run_steps(learner, data.train[:8], 1)
            assert values["gradient_norm"] > 0.01  # what is reported is not clipped
            after = learner.density.trainable_variables
            moved.append(max(np.abs(a - b).max() for a, b in zip(after, before, strict=True)))
            # Adam's first moment is a tenth of the gradient it was given.
            norm = math.sqrt(sum(float(np.sum(m.numpy() ** 2)) for m in first_moments(learner)))
            expected = 0.1 * min(values["gradient_norm"], clip_norm or math.inf)
            assert norm == pytest.approx(expected, rel=1e-3)
        assert moved[1] < moved[0]

    def test_warm_up_rises_in_a_line(self):
        schedule = WarmUp(1e-3, 4)
        rates = [float(schedule(tf.constant(i, tf.int64))) for i in range(6)]
        assert rates == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3, 1e-3])
        assert float(WarmUp(1e-3, 0)(tf.constant(0, tf.int64))) == pytest.approx(1e-3)

    def test_flips_half_of_the_training_images_and_nothing_else(self, data):
        learner = GlowLearner(small_config(horizontal_flips=True), data, seed=1)
        x = tf.cast(data.train, tf.float32)
        seen = learner.augmented(x, tf.constant(SEED)).numpy()
        flipped = (seen == x[:, :, ::-1].numpy()).all(axis=(1, 2, 3))
        same = (seen == x.numpy()).all(axis=(1, 2, 3))
        assert (flipped ^ same).all()
        assert 30 < flipped.sum() < 70
        plain = GlowLearner(small_config(), data, seed=1)
        np.testing.assert_array_equal(plain.augmented(x, tf.constant(SEED)), x)
        examples = Examples(tf.constant(data.validation))
        bits = [m.validate(examples, tf.constant(SEED))["bits_per_dim"] for m in (learner, plain)]
        assert float(bits[0]) == float(bits[1])

    def test_the_seed_decides_weights_and_first_batch(self, data):
        flows = [initialized_flow(small_config(), data, "float32", seed) for seed in (1, 1, 2)]
        first, again, other = (
            np.concatenate([v.numpy().ravel() for v in flow.trainable_variables]) for flow in flows
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()

    def test_bfloat16_is_for_the_networks_while_training(self, data):
        learner = GlowLearner(small_config(precision="mixed_bfloat16"), data, seed=1)
        network = learner.density.flow.levels[0].network.weights()
        assert network.kernel_in.dtype == tf.bfloat16
        frozen = learner.freeze().module.density.flow.levels[0].network.weights()
        assert frozen.kernel_in.dtype == tf.float32


def first_moments(learner):
    optimizer = learner.optimizer
    return [optimizer.get_slot(v, "m") for v in learner.density.trainable_variables]


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((28, 28, 1), {"num_levels": 3}, "--num_levels: expected at most 2"),
        ((7, 8, 1), {"num_levels": 1}, "--dataset: expected images .* whose sides divide by 2"),
        ((8,), {}, "--dataset: expected images"),
        ((8, 8, 3), {"split_fraction": 0.3}, "--split_fraction"),
    ],
)
def test_inputs_that_do_not_suit_are_refused(shape, settings, message):
    with pytest.raises(UserError, match=message):
        GlowLearner(small_config(**settings), training_data(random_images(20, *shape)), 0)


def test_the_paper_s_settings_are_options():
    names = {setting["name"] for setting in paper.settings("glow", "cifar10")}
    options = {f.name for c in (RunConfig, GlowConfig) for f in dataclasses.fields(c)}
    assert names
    assert names <= options | {"num_members"}


class TestFrozen:
    def test_freezing_keeps_scores(self, trained, frozen, data):
        x = data.validation
        noise = tf.random.stateless_uniform([1, 1, *x.shape[1:]], SEED)[0]
        expected = trained[0].density.log_prob(tf.cast(x, tf.float32), noise)
        found = frozen.log_prob(tf.constant(x), SEED)["log_prob"]
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    def test_scores_depend_on_neither_batch_nor_neighbours(self, member, data):
        whole = member.score(data.validation, SEED)["log_prob"]
        others = random_images(3, 8, 8, 3)
        alone = [member.score(data.validation[i : i + 1], SEED)["log_prob"][0] for i in range(4)]
        beside = member.score(np.concatenate([data.validation[:4], others]), SEED)["log_prob"][:4]
        np.testing.assert_allclose(alone, whole[:4], rtol=1e-5)
        np.testing.assert_allclose(beside, whole[:4], rtol=1e-5)

    def test_bits_are_nats_a_dimension(self, member, data):
        scores = member.score(data.validation, SEED)
        np.testing.assert_allclose(
            scores["bits_per_dim"], -scores["log_prob"] / (192 * math.log(2)), rtol=1e-5
        )

    def test_draws_of_noise_are_averaged_as_probabilities(self, trained, data):
        flow, spec = trained[0].density.flow, data.input_spec
        x = tf.constant(data.validation)
        module = FrozenGlow(flow, spec, 3)
        found = module.log_prob(x, SEED)["log_prob"]
        noise = tf.random.stateless_uniform([3, 1, *spec.shape], SEED)
        each = [GlowDensity(flow).log_prob(tf.cast(x, tf.float32), u).numpy() for u in noise]
        np.testing.assert_allclose(found, scipy.special.logsumexp(each, axis=0) - math.log(3), 1e-5)

    def test_statistics_add_up_to_log_prob(self, member, frozen, data):
        """log p(x) = -|z|^2 / 2 + log |det| - n (log 256 + log(2 pi) / 2), level by level."""
        found = member.score(data.validation, SEED)
        num_levels = len(frozen.density.flow.levels)
        squares, log_dets = (
            np.stack([found[f"level_{level}_{name}"] for level in range(num_levels)])
            for name in ("square", "log_det")
        )
        assert num_levels > 1
        constant = 192 * (math.log(256) + 0.5 * math.log(2 * math.pi))
        total = -0.5 * squares.sum(axis=0) + log_dets.sum(axis=0) - constant
        np.testing.assert_allclose(found["log_prob"], total, rtol=1e-4)

    def test_gradient_of_their_weighted_sum_is_that_of_log_prob(self, frozen, data):
        """With the weights by which they add up to it."""
        x = tf.cast(data.validation[:3], tf.float32)
        num_levels = len(frozen.density.flow.levels)
        of_levels = tf.tile([[-0.5, 1.0, 0.0]], [3, num_levels])
        weights = tf.concat([of_levels, tf.zeros([3, 1])], axis=1)  # none of the PNG's
        found = frozen.statistics_gradient(x, SEED, weights)["gradient"]
        expected = frozen.log_prob_gradient(x, SEED)["gradient"]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)

    def test_squares_are_those_of_each_levels_latent(self, frozen, data):
        x = tf.cast(data.validation, tf.float32)
        noise = tf.random.stateless_uniform([1, 1, *x.shape[1:]], SEED)[0]
        latent, _ = frozen.density.to_latent(x, noise)
        sizes = [math.prod(shape) for shape in frozen.density.flow.part_shapes]
        parts = np.split(latent.numpy().astype(np.float64), np.cumsum(sizes)[:-1], axis=1)
        found = frozen.statistics(tf.constant(data.validation), SEED)
        for level, part in enumerate(parts):
            expected = (part**2).sum(axis=1)
            np.testing.assert_allclose(found[f"level_{level}_square"], expected, rtol=1e-4)

    def test_covariances_are_of_neighbours_in_each_levels_latent(self, frozen, data):
        x = tf.cast(data.validation, tf.float32)
        noise = tf.random.stateless_uniform([1, 1, *x.shape[1:]], SEED)[0]
        latent, _ = frozen.density.to_latent(x, noise)
        shapes = frozen.density.flow.part_shapes
        ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
        found = frozen.statistics(tf.constant(data.validation), SEED)
        parts = np.split(latent.numpy().astype(np.float64), ends, axis=1)
        for level, (part, shape) in enumerate(zip(parts, shapes, strict=True)):
            z = part.reshape(-1, *shape)
            height, width, _ = shape
            products = [
                z[:, i, j] * z[:, i, j + 1] for i in range(height) for j in range(width - 1)
            ]
            products += [
                z[:, i, j] * z[:, i + 1, j] for i in range(height - 1) for j in range(width)
            ]
            expected = np.mean(products, axis=(0, 2)) if products else np.zeros(len(z))
            values = found[f"level_{level}_lag_covariance"]
            np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-4)

    def test_samples_have_no_covariance_of_neighbours_and_smooth_latents_have(self, frozen):
        shapes = frozen.density.flow.part_shapes
        white = frozen.density.sample(200, SEED)
        smooth = tf.ones([1, frozen.density.num_dims])
        of_white = frozen.statistics(white, SEED)
        of_smooth = frozen.statistics(frozen.density.to_pixels(smooth), SEED)
        for level, shape in enumerate(shapes[:-1]):
            name = f"level_{level}_lag_covariance"
            spread = 1 / math.sqrt(200 * math.prod(shape))
            assert abs(of_white[name].numpy().mean()) < 8 * spread
            assert of_smooth[name].numpy()[0] > 0.3

    def test_candidates_are_two_estimates_of_log_prob_and_its_gradients_norm(self, frozen, data):
        x = tf.cast(data.validation, tf.float32)
        found = frozen.candidates(x, SEED)
        one, other = found["log_prob_1"].numpy(), found["log_prob_2"].numpy()
        seeds = tf.random.split(SEED, 2)
        np.testing.assert_allclose(one, frozen.log_prob(x, seeds[0])["log_prob"], rtol=1e-5)
        np.testing.assert_allclose(other, frozen.log_prob(x, seeds[1])["log_prob"], rtol=1e-5)
        assert (one != other).all()
        gradient = frozen.log_prob_gradient(x, SEED)["gradient"].numpy()
        norms = np.linalg.norm(gradient.reshape(len(gradient), -1), axis=1)
        np.testing.assert_allclose(found["gradient_norm"], norms, rtol=1e-4)

    def test_statistics_are_the_same_beside_other_scores(self, frozen, data):
        x = tf.constant(data.validation)
        alone, beside = frozen.statistics(x, SEED), frozen.serving_default(x, SEED)
        assert set(alone) == {*beside} - {"log_prob", "bits_per_dim"}
        for name, values in alone.items():
            np.testing.assert_allclose(values, beside[name], rtol=1e-5, err_msg=name)

    def test_samples_decode_and_score(self, member, data):
        samples = member.call("sample", num=20, seed=SEED)["inputs"]
        assert samples.shape == (20, 8, 8, 3)
        assert samples.min() >= 0
        assert samples.max() <= 255
        of_samples = member.score(samples, SEED)["bits_per_dim"].mean()
        of_data = member.score(data.validation, SEED)["bits_per_dim"].mean()
        assert abs(of_samples - of_data) < 1.5
        back = member.call("reconstruct", inputs=samples, seed=SEED)["inputs"]
        np.testing.assert_allclose(back, samples, atol=0.05)

    def test_gradient_is_that_of_log_prob_by_differences(self, member, data):
        x = data.validation[:3].astype(np.float32)
        found = member.call("log_prob_gradient", inputs=x, seed=SEED)
        direction = np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
        step = 0.05
        up, down = (member.score(x + sign * step * direction, SEED)["log_prob"] for sign in (1, -1))
        slope = np.sum(found["gradient"] * direction, axis=(1, 2, 3))
        np.testing.assert_allclose((up - down) / (2 * step), slope, rtol=0.02, atol=0.05)

    def test_an_overflow_scores_lowest_and_nan_stays_nan(self, data):
        flow = initialized_flow(small_config(), data, "float32", 0)
        for level in flow.levels:
            level.log_scale.assign(tf.fill(level.log_scale.shape, -70.0))  # four times e^70
        module = FrozenGlow(flow, data.input_spec)
        lowest = np.finfo(np.float32).min
        score = module.log_prob(tf.fill([1, 8, 8, 3], 255.0), SEED)["log_prob"]
        assert score.numpy().tolist() == [lowest]
        statistics = module.statistics(tf.fill([1, 8, 8, 3], 255.0), SEED)
        assert all(np.isfinite(values).all() for values in statistics.values())
        score = module.log_prob(tf.fill([1, 8, 8, 3], math.nan), SEED)["log_prob"]
        assert np.isnan(score).all()
        gradient = module.log_prob_gradient(tf.fill([1, 8, 8, 3], 255.0), SEED)["gradient"]
        assert not gradient.numpy().any(), "nothing is uphill of the lowest score"

    def test_nothing_is_frozen_before_its_actnorms_are_initialised(self, data):
        learner = GlowLearner(small_config(), data, 0)
        learner.density.flow.levels[0].initialized.assign(False)
        with pytest.raises(ValueError, match="must be initialised with data"):
            learner.freeze()

    def test_variance_over_members_of_the_lowest_scores_is_finite(self):
        low = float(np.finfo(np.float32).min)
        outputs = {"log_prob": np.array([[low, low], [-1e4, low]])}
        specs = {"log_prob": OutputSpec("nats", HIGHER_IS_NORMAL)}
        scores = combine(outputs, available_scores(specs))
        assert all(np.isfinite(values).all() for values in scores.values())
        assert scores["waic"][0] < scores["waic"][1] < 0


class TestGate:
    def test_of_a_trained_model(self, trained, member, data):
        found = trained[0].checks(member, data, SEED)
        json.dumps(found, allow_nan=False)
        assert found["actnorms_initialized"]
        assert found["num_examples"] == len(data.tuning) == 5
        assert found["bits_per_dim"] < found["untrained_bits_per_dim"] - 0.3
        expected = member.score(data.tuning, SEED)["bits_per_dim"].mean()
        assert found["bits_per_dim"] == pytest.approx(expected, rel=1e-5)
        assert 0 <= found["inversion_error"] < 1e-3
        assert set(found["probes"]) == set(PROBES)
        noise = found["probes"]["uniform_noise"]
        assert noise["likelier_share"] == 0
        assert noise["advantage_nats"] < 0
        assert not any("noise is" in w or "learned nothing" in w for w in found["warnings"])

    @staticmethod
    def check(log_prob, reconstruct=lambda x: x, untrained=lambda x: np.full(len(x), -1e6)):
        return check_likelihood(
            log_prob=log_prob,
            untrained_log_prob=untrained,
            reconstruct=reconstruct,
            images=smooth_images(30),
            input_spec=InputSpec((8, 8, 3), "uint8", (0.0, 255.0), "x / 255"),
            seed=0,
        )

    def test_a_density_that_prefers_flat_images_rings_the_alarm(self):
        found = self.check(lambda x: -np.abs(np.diff(x, axis=2)).sum(axis=(1, 2, 3)))
        assert [found["probes"][name]["likelier_share"] for name in ("black", "blurred")] == [1, 1]
        (warning,) = found["warnings"]
        assert warning.startswith("simpler images are likelier than held-out ones (black 100 %")
        assert "\n" not in warning

    def test_a_density_that_prefers_noise_rings_another(self):
        found = self.check(lambda x: np.abs(np.diff(x, axis=2)).sum(axis=(1, 2, 3)))
        assert [w.split(" (")[0] for w in found["warnings"]] == [
            "noise is likelier than held-out images"
        ]

    def test_a_stack_that_does_not_invert_and_one_that_learned_nothing(self):
        found = self.check(
            lambda x: -np.abs(x - x.mean()).sum(axis=(1, 2, 3)) - 2e3,
            reconstruct=lambda x: x + 2.55,
            untrained=lambda x: np.full(len(x), 0.0),
        )
        assert found["inversion_error"] == pytest.approx(0.01, rel=1e-4)
        text = "\n".join(found["warnings"])
        assert "changed by up to 2.55 of 255" in text
        assert "learned nothing" in text

    def test_nan_is_null_and_warned_of(self):
        found = self.check(lambda x: np.full(len(x), np.nan), reconstruct=lambda x: x * np.nan)
        json.dumps(found, allow_nan=False)
        assert found["bits_per_dim"] is None
        assert found["inversion_error"] is None
        assert len(found["warnings"]) >= 3

    @pytest.mark.parametrize("share", [0.0, 0.5])
    def test_nothing_to_say_where_nothing_is_wrong(self, share):
        probes = {name: {"likelier_share": share} for name in PROBES}
        found = {"bits_per_dim": 3.5, "untrained_bits_per_dim": 9.0, "inversion_error": 1e-5}
        assert warnings_of({**found, "probes": probes}) == []

    def test_probes_are_what_they_are_called(self):
        x = np.random.default_rng(0).random((3, 16, 16, 3))
        made = {n: p.make(x, np.random.default_rng(1)) for n, p in PROBES.items()}
        assert {n: v.shape for n, v in made.items()} == dict.fromkeys(PROBES, x.shape)
        assert all(v.min() >= 0 and v.max() <= 1 for v in made.values())
        means = x.reshape(3, 8, 2, 8, 2, 3).mean(axis=(2, 4))
        for i, j in itertools.product((0, 1), repeat=2):
            np.testing.assert_allclose(made["coarse"][:, i::2, j::2], means)
        assert made["blurred"].std() < 0.5 * x.std()
        assert {made[n].mean() for n in ("black", "grey", "white")} == {0, 0.5, 1}


@pytest.mark.slow
def test_the_gate_is_stored_in_the_manifest_and_shown(tmp_path, capsys):
    flags = {"model": "glow", "dataset": "digits", "num_members": 1, "train_steps": 2}
    flags |= {"num_levels": 2, "num_steps": 1, "width": 4, "run_dir": str(tmp_path)}
    assert train(flags) == 0
    stored = manifest.read_manifest(tmp_path / "member_0")
    checks = stored["checks"]
    assert {"bits_per_dim", "untrained_bits_per_dim", "probes", "warnings"} <= checks.keys()
    weights = tf.saved_model.load(str(tmp_path / "member_0" / "saved_model")).weights
    fixed = ("P:0", "sign:0", "initialized:0")  # the convolutions' permutations and signs; a flag
    learned = [weight for weight in weights if not weight.name.endswith(fixed)]
    assert stored["num_parameters"] == sum(weight.numpy().size for weight in learned)
    assert len(learned) < len(weights)
    err = capsys.readouterr().err
    assert checks["warnings"]
    for warning in checks["warnings"]:
        assert f"member 0: warning: {warning}\n" in err
