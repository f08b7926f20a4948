"""Flow and GANs of the toy: a few steps, and what they must and must not change."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tfp_genens.paper.toy import experiment, models, regions
from tfp_genens.paper.toy.experiment import ToySettings
from tfp_genens.paper.toy.models import Flow, FlowSettings, Gans, GanSettings, Networks
from tfp_genens.seeds import derive_seed

GANS = GanSettings(
    num_members=3,
    hidden_units=(8,),
    batch_size=16,
    generator_steps=4,
    critic_steps=2,
    finetune_steps=6,
)
SETTINGS = ToySettings(
    flow=FlowSettings(num_flows=2, hidden_units=(8,), batch_size=16, steps=5),
    gans=GANS,
    num_points=40,
    side=10,
)


def weights(module):
    return [variable.numpy() for variable in module.variables]


def test_steps_are_taken_in_order_and_their_losses_averaged(monkeypatch):
    monkeypatch.setattr(models, "STEPS_A_CALL", 3)
    last = tf.Variable(-1, dtype=tf.int64)

    def step(i):
        in_order = tf.debugging.assert_equal(i, last + 1)
        with tf.control_dependencies([in_order, last.assign(i)]):
            return tf.stack([tf.cast(i, tf.float32), 1.0])

    curve = models.train(step, 7, [2], "test")
    assert last.numpy() == 6
    np.testing.assert_array_equal(curve, [[1, 1], [4, 1], [6, 1]])


def test_divergence_is_an_error():
    with pytest.raises(FloatingPointError, match="not finite"):
        models.train(lambda i: tf.math.log(3.0 - tf.cast(i, tf.float32)), 5, [], "test")


def test_draws_in_a_graph_are_those_of_p():
    x = models.tensor_draws([3, 5000], tf.constant([1, 2])).numpy().reshape(-1, 2)
    # Five standard errors of a mean and of a (co)variance.
    np.testing.assert_allclose(x.mean(axis=0), regions.CENTRE, atol=5 / np.sqrt(len(x)))
    np.testing.assert_allclose(np.cov(x.T), np.eye(2), atol=5 * np.sqrt(2 / len(x)))


def test_networks_are_dense_layers_with_weights_of_their_own():
    networks = Networks(2, (3, 4, 1), seed=0, name="test")
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    actual = networks(tf.constant(x)).numpy()
    (k0, k1), (b0, b1) = ([v.numpy() for v in vs] for vs in (networks.kernels, networks.biases))
    for m in range(2):
        hidden = x[m] @ k0[m] + b0[m]
        hidden = np.where(hidden > 0, hidden, 0.2 * hidden)
        np.testing.assert_allclose(actual[m], hidden @ k1[m] + b1[m], rtol=1e-5, atol=1e-6)
    assert not np.isclose(k0[0], k0[1]).any()


def test_members_start_alike_in_ensembles_of_any_size():
    large, small = (Networks(num, (2, 4, 1), seed=5, name="test") for num in (3, 2))
    for a, b in zip(large.kernels, small.kernels, strict=True):
        np.testing.assert_array_equal(a[:2], b)


def test_members_do_not_touch_each_other():
    """Another start of the last member leaves the others to the bit where they were."""
    trained = []
    for factor in (1.0, 3.0):
        gans = Gans(GANS, seed=1)
        for variable in gans.variables:
            variable[-1].assign(factor * variable[-1])
        gans.train()
        gans.finetune()
        trained.append(weights(gans))
    kernels_of_last = []
    for a, b in zip(*trained, strict=True):
        np.testing.assert_array_equal(a[:-1], b[:-1])
        kernels_of_last.append(np.array_equal(a[-1], b[-1]))
    assert not any(kernels_of_last)


def test_one_critic_step_follows_the_loss_of_each_member():
    """Adam's first step moves each weight by the learning rate against its gradient's sign."""
    settings = dataclasses.replace(GANS, generator_steps=1, critic_steps=1)
    gans = Gans(settings, seed=2)
    before = weights(gans.critics)
    with tf.GradientTape(persistent=True) as tape:
        seed = tf.constant(derive_seed(2, "toy", "adversarial"))
        step_seed = tf.random.experimental.stateless_fold_in(seed, tf.constant(0, tf.int64))
        critic_seed = tf.random.experimental.stateless_split(step_seed, 2)[0]
        seeds = tf.random.experimental.stateless_split(critic_seed, 2)
        real, fake = gans._points(seeds[0])
        share = tf.random.stateless_uniform([3, 16, 1], seeds[1])
        with tf.GradientTape() as inner:
            between = real + share * (fake - real)
            inner.watch(between)
            values = gans.discriminate(between)
        slope = tf.norm(inner.gradient(values, between), axis=-1)
        distance = tf.reduce_mean(gans.discriminate(real) - gans.discriminate(fake), axis=1)
        losses = 10.0 * tf.reduce_mean((slope - 1.0) ** 2, axis=1) - distance
    gradients = [tape.gradient(losses, v).numpy() for v in gans.critics.trainable_variables]
    gans.train()
    num_checked = 0
    for old, new, gradient in zip(before, weights(gans.critics), gradients, strict=True):
        clear = np.abs(gradient) > 1e-4  # below, Adam's epsilon and rounding have a say
        expected = old - settings.critic_learning_rate * np.sign(gradient)
        np.testing.assert_allclose(new[clear], expected[clear], rtol=1e-3, atol=1e-6)
        num_checked += clear.sum()
    assert num_checked > 60  # of 99; the output's bias is in no term of the loss


def test_finetuning_leaves_the_generators_to_the_bit():
    gans = Gans(GANS, seed=0)
    gans.train()
    generators, critics = weights(gans.generators), weights(gans.critics)
    curve = gans.finetune()
    for old, new in zip(generators, weights(gans.generators), strict=True):
        np.testing.assert_array_equal(old, new)
    assert any((old != new).any() for old, new in zip(critics, weights(gans.critics), strict=True))
    assert curve.shape == (1, 3)


@pytest.fixture(scope="module")
def toy():
    return experiment.run(SETTINGS, 3)


def test_all_arrays_have_their_shapes(toy):
    assert toy.flow_log_prob.shape == (10, 10)
    assert toy.points.shape == (40, 2)
    for gans in (toy.gans, toy.uncentred):
        assert gans.variance.shape == (10, 10)
        assert gans.discriminators.shape == (3, 10, 10)
        assert gans.samples.shape == (3, 40, 2)
        assert gans.distances.shape == gans.cross_entropies.shape == (1, 3)
        assert gans.accuracies.shape == (3,)
    assert len(toy.regions) == 2 + 2 * (2 + 2 * 3)


def arrays(toy):
    """Path -> array, of all arrays of a toy."""
    leaves = dataclasses.asdict(toy)
    leaves |= {f"{name} of {k}": v for k in ("gans", "uncentred") for name, v in leaves[k].items()}
    return {name: value for name, value in leaves.items() if isinstance(value, np.ndarray)}


def test_the_same_seed_gives_the_same_toy_to_the_bit(toy):
    again, other = experiment.run(SETTINGS, 3), experiment.run(SETTINGS, 4)
    found = arrays(toy)
    assert len(found) == 3 + 2 * 5
    for name, values in arrays(again).items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    pd.testing.assert_frame_equal(toy.regions, again.regions, check_exact=True)
    assert (toy.gans.discriminators != other.gans.discriminators).all()
    assert (toy.points != other.points).all()


def test_uncentred_generators_start_at_the_origin(toy):
    """Before training, biases are zero, so noise at zero goes where the networks' origin is."""
    for is_centred, expected in ((True, regions.CENTRE), (False, (0, 0))):
        gans = Gans(dataclasses.replace(GANS, is_centred=is_centred), seed=0)
        np.testing.assert_array_equal(gans._origin, expected)
        far = np.array([expected], np.float32)
        np.testing.assert_array_equal(gans.logits(far), np.zeros((3, 1)))
        spread = gans.samples(200) - np.array(expected)
        assert np.abs(spread.mean(axis=1)).max() < 2


def test_grids_have_the_second_coordinate_first(toy):
    flow = Flow(SETTINGS.flow, 3)
    flow.train()
    ticks = regions.box_ticks(SETTINGS.side)
    point = np.array([[ticks[7], ticks[2]]])
    np.testing.assert_allclose(flow.log_prob(point), toy.flow_log_prob[2, 7], rtol=1e-5)


def test_regions_are_those_of_the_grids(toy):
    grids = [toy.flow_log_prob]
    for gans in (toy.gans, toy.uncentred):
        grids += [-gans.variance, gans.discriminators.mean(axis=0)]
        grids += [*gans.discriminators, *gans.discriminators]
    for region, values in zip(toy.regions[1:].itertuples(), grids, strict=True):
        threshold = region.threshold if region.higher_is_normal else -region.threshold
        assert region.box == np.mean(values >= threshold), region.name
        assert region.part != "boundary" or threshold == 0


@pytest.mark.slow
def test_a_trained_flow_is_the_normal():
    flow = Flow(FlowSettings(steps=1500), 0)
    losses = flow.train()
    ticks = (np.arange(200) + 0.5) / 20
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    log_prob = flow.log_prob(grid)
    assert np.exp(log_prob).sum() * 0.05**2 == pytest.approx(1, abs=2e-3)
    assert losses[-1] == pytest.approx(1 + np.log(2 * np.pi), abs=0.02)  # the entropy of p(x)
    exact = regions.log_prob(grid)
    divergence = np.sum(np.exp(exact) * (exact - log_prob)) * 0.05**2
    assert 0 <= divergence < 0.02
