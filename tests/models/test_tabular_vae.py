"""The VAE on table rows against SciPy's densities, and its frozen form."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tfp_genens.artifact import export
from tfp_genens.artifact.frozen import Frozen
from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import TrainingData
from tfp_genens.errors import UserError
from tfp_genens.models import tabular_vae
from tfp_genens.models.configs import SCALES, TabularVaeConfig
from tfp_genens.models.learner import Examples
from tfp_genens.models.likelihoods import LIKELIHOODS, SCALE_FLOOR
from tfp_genens.models.priors import PRIORS, NormalPrior
from tfp_genens.models.tables import LINEAR_LIMIT, PREPROCESSINGS, fit_standard
from tfp_genens.models.tabular_vae import (
    FrozenTabularVae,
    Observation,
    TabularVaeNetworks,
)
from tfp_genens.models.variational import OUT_OF_RANGE_NATS
from tfp_genens.scoring import Ensemble

SEED = tf.constant([3, 4])
DENSITIES = [name for name in LIKELIHOODS if name != "bernoulli"]
SETTINGS = [
    {"likelihood": "normal", "scale": "column"},
    {"likelihood": "student_t", "scale": "predicted"},
    {"likelihood": "logistic", "preprocessing": "quantile"},
    {"likelihood": "bernoulli", "preprocessing": "minmax"},
]
ids = [",".join(setting.values()) for setting in SETTINGS]


def table(num_rows: int, seed: int = 0) -> np.ndarray:
    """Rows with a heavy tail, a skewed column with ties, a binary and a constant one."""
    rng = np.random.default_rng(seed)
    columns = [
        1e3 + 20.0 * rng.normal(size=num_rows),
        rng.standard_t(2, size=num_rows),
        np.round(rng.exponential(50.0, size=num_rows), 0),
        rng.integers(0, 2, num_rows),
        np.full(num_rows, 2.5),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def small_config(**kwargs):
    return TabularVaeConfig(**{"prior": "normal", "latent_size": 3, "batch_size": 50, **kwargs})


def training_data(rows: np.ndarray, validation: np.ndarray | None = None) -> TrainingData:
    spec = InputSpec((rows.shape[1],), "float32", None, "none")
    validation = rows[:10] if validation is None else validation
    return TrainingData("test", rows, validation, (), spec, "")


def build(rows=None, seed=1, **kwargs):
    rows = table(500) if rows is None else rows
    return tabular_vae.build(small_config(**kwargs), training_data(rows), seed)


def step(learner, rows, number=0):
    (phase,) = learner.phases()
    batch = Examples(tf.constant(rows))
    return phase.step(tf.constant(number, tf.int64), tf.constant([1, number]), lambda _: batch)


@pytest.fixture(params=PREPROCESSINGS)
def preprocessing(request):
    return PREPROCESSINGS[request.param](table(2000))


class TestPreprocessing:
    def strange_rows(self):
        rng = np.random.default_rng(5)
        near = table(50, seed=9)
        far = (near + rng.normal(size=near.shape) * 10.0 ** rng.integers(0, 12, (50, 1))).astype(
            np.float32
        )
        return np.concatenate([near, far])

    def test_log_determinant_is_that_of_autodiff(self, preprocessing):
        x = tf.constant(self.strange_rows(), tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y, log_det = preprocessing.forward(x)
        jacobian = tape.batch_jacobian(y, x).numpy()
        off_diagonal = jacobian * (1 - np.eye(jacobian.shape[1]))
        assert (off_diagonal == 0).all()
        sign, expected = np.linalg.slogdet(jacobian)
        assert (sign == 1).all()
        np.testing.assert_allclose(log_det, expected, rtol=1e-9, atol=1e-9)

    def test_inverse(self, preprocessing):
        rows = self.strange_rows()
        y, _ = preprocessing.forward(tf.constant(rows))
        back = preprocessing.inverse(y)
        # float32 of the raw row, except where a column's unit dwarfs it.
        np.testing.assert_allclose(back, rows, rtol=1e-5, atol=1e-5)

    def test_strictly_increasing_up_to_the_largest_float(self, preprocessing):
        base = np.median(table(2000), axis=0)
        distances = np.concatenate([np.geomspace(0.1, 3e38, 100)])
        distances = np.concatenate([-distances[::-1], [0.0], distances])
        rows = np.clip(base + distances[:, np.newaxis], -3.4e38, 3.4e38).astype(np.float32)
        # Values that float32 cannot tell apart, next to 1,000, need not differ.
        y, log_det = preprocessing.forward(tf.constant(rows))
        assert np.isfinite(y).all()
        assert np.isfinite(log_det).all()
        differs = np.diff(rows, axis=0) > 0
        assert (np.diff(y, axis=0)[differs] > 0).all()
        assert np.abs(y).max() < 150 * LINEAR_LIMIT

    def test_continuous_with_a_continuous_slope_at_the_edge_of_the_training_rows(self):
        rows = table(2000)
        transform = PREPROCESSINGS["quantile"](rows)
        for edge in (rows.min(axis=0), rows.max(axis=0)):
            edge = edge.astype(np.float64)
            near = np.stack([edge - 1e-6, edge, edge + 1e-6])
            y, _ = transform.forward(tf.constant(near))
            slopes = np.diff(y, axis=0)
            np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-3)

    def test_quantile_gives_normal_scores(self):
        rows = table(20000)[:, :2]
        y, _ = PREPROCESSINGS["quantile"](rows).forward(tf.constant(rows))
        for column in y.numpy().T:
            assert scipy.stats.kstest(column, "norm").statistic < 0.01

    def test_standard_and_minmax_by_hand(self):
        rows = np.array([[1.0, 5.0], [3.0, 5.0]], np.float32)
        x = tf.constant([[4.0, 6.0]])
        y, log_det = PREPROCESSINGS["standard"](rows).forward(x)
        np.testing.assert_allclose(y, [[2.0, 1.0]])
        np.testing.assert_allclose(log_det, [0.0])
        y, log_det = PREPROCESSINGS["minmax"](rows).forward(x)
        np.testing.assert_allclose(y, [[1.5, 1.0]])
        np.testing.assert_allclose(log_det, [-np.log(2.0)])

    @pytest.mark.parametrize("name", PREPROCESSINGS)
    def test_any_training_rows(self, name):
        big = np.finfo(np.float32).max
        for column in ([0.0], [1e30, 1e30], [-big, big], [0.0, 1e-38], [0.0] * 99 + [1e30]):
            rows = np.array(column, np.float32)[:, np.newaxis]
            y, log_det = PREPROCESSINGS[name](rows).forward(tf.constant(rows))
            assert np.isfinite(y).all()
            assert np.isfinite(log_det).all()

    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30),
        st.floats(-1e9, 1e9, width=32),
        st.sampled_from(list(PREPROCESSINGS)),
    )
    @example([0.0, 1.0, -2.0, -3.0], -9.091171535655903e-17, "quantile")
    def test_monotone_for_any_column(self, column, x, name):
        transform = PREPROCESSINGS[name](np.array(column, np.float32)[:, np.newaxis])
        points = np.sort(np.array([*column, x, x + 1.0], np.float32))
        y, log_det = transform.forward(tf.constant(points[:, np.newaxis]))
        assert (np.diff(y[:, 0]) >= 0).all()
        assert np.isfinite(log_det).all()


class TestLikelihoods:
    @pytest.mark.parametrize("scale", SCALES)
    @pytest.mark.parametrize("name", DENSITIES)
    def test_densities_are_scipys(self, name, scale):
        rng = np.random.default_rng(0)
        likelihood = LIKELIHOODS[name](3, scale)
        for variable in likelihood.trainable_variables:
            variable.assign(rng.normal(size=variable.shape))
        x = 10.0 * rng.normal(size=(7, 3))
        outputs = rng.normal(size=(7, likelihood.num_outputs)).astype(np.float32)
        raw = outputs[:, 3:] if scale == "predicted" else likelihood.raw_scale.numpy()
        softplus = np.log1p(np.exp(raw.astype(np.float64) + np.log(np.expm1(1.0))))
        kwargs = {"loc": outputs[:, :3], "scale": softplus + SCALE_FLOOR}
        if name == "student_t":
            kwargs["df"] = 1.0 + np.log1p(np.exp(likelihood.raw_df.numpy().astype(np.float64)))
        distribution = {"normal": "norm", "logistic": "logistic", "student_t": "t"}[name]
        expected = getattr(scipy.stats, distribution).logpdf(x, **kwargs)
        np.testing.assert_allclose(likelihood.log_prob(x, outputs), expected, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(likelihood.mean(outputs), outputs[:, :3])

    def test_bernoulli_of_grey_values(self):
        rng = np.random.default_rng(0)
        x, logits = rng.uniform(size=(7, 3)), rng.normal(size=(7, 3)).astype(np.float32)
        p = 1 / (1 + np.exp(-logits.astype(np.float64)))
        expected = x * np.log(p) + (1 - x) * np.log1p(-p)
        likelihood = LIKELIHOODS["bernoulli"](3, "column")
        np.testing.assert_allclose(likelihood.log_prob(x, logits), expected, rtol=1e-6)


class LinearGaussianNetworks(TabularVaeNetworks):
    """Preprocessed x = W z + noise, with the exact posterior: log p(x) is known in closed form."""

    def __init__(self, weights, noise_scale):
        tf.Module.__init__(self)
        self.weights, self.noise_scale = weights, noise_scale
        self.latent_size = weights.shape[1]
        self.prior = NormalPrior(self.latent_size, 0)
        precision = weights.T @ weights / noise_scale**2 + np.eye(self.latent_size)
        self.covariance = np.linalg.inv(precision)

    def encode(self, x):
        gain = self.covariance @ self.weights.T / self.noise_scale**2
        loc = tf.cast(tf.matmul(x, tf.constant(gain.T)), tf.float32)
        scale = np.sqrt(np.diag(self.covariance))
        return loc, tf.broadcast_to(tf.constant(scale, tf.float32), tf.shape(loc))

    def column_distortion(self, x, z):
        loc = tf.matmul(tf.cast(z, tf.float64), tf.constant(self.weights.T))
        squared = ((x - loc) / self.noise_scale) ** 2
        return 0.5 * squared + np.log(self.noise_scale) + 0.5 * np.log(2 * np.pi)


def test_log_prob_is_the_density_of_raw_rows():
    """Standardised x is normal with covariance W W' + s^2 I, so a raw row is normal too."""
    rng = np.random.default_rng(0)
    weights, noise_scale = np.array([[2.0], [0.5]]), 0.7
    rows = (rng.normal(size=(300, 2)) * [1e2, 1e-1] + [5e2, 0.0]).astype(np.float32)
    observation = Observation(fit_standard(rows), "normal")
    frozen = FrozenTabularVae(LinearGaussianNetworks(weights, noise_scale), observation)
    loc, scale = rows.astype(np.float64).mean(axis=0), rows.astype(np.float64).std(axis=0)
    covariance = weights @ weights.T + noise_scale**2 * np.eye(2)
    marginal = scipy.stats.multivariate_normal(loc, np.outer(scale, scale) * covariance)
    exact = marginal.logpdf(rows[:20])
    scores = frozen.serving_default(tf.constant(rows[:20]), SEED)
    np.testing.assert_allclose(scores["log_prob"], exact, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scores["elbo"], exact, rtol=1e-5, atol=1e-5)
    gradient = frozen.log_prob_gradient(tf.constant(rows[:20]), SEED)["gradient"]
    precision = np.linalg.inv(covariance * np.outer(scale, scale))
    expected = -(rows[:20] - loc) @ precision
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-6 * np.abs(expected).max())


def test_statistics_of_columns_by_hand():
    rng = np.random.default_rng(0)
    networks = LinearGaussianNetworks(np.array([[2.0], [0.5], [1.0]]), 0.7)
    rows = rng.normal(size=(50, 3)).astype(np.float32)
    frozen = FrozenTabularVae(networks, Observation(fit_standard(rows), "normal"))
    found = frozen.statistics(tf.constant(rows))
    x = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    loc = x @ (networks.covariance @ networks.weights.T / 0.7**2).T
    of_columns = -scipy.stats.norm(scale=0.7).logpdf(x - loc @ networks.weights.T)
    log_det = -np.log(rows.std(axis=0)).sum()
    expected = {
        "distortion_at_mean": of_columns.sum(axis=1) - log_det,
        "largest_distortion": of_columns.max(axis=1),
        "distortion_norm": np.linalg.norm(of_columns, axis=1),
        "loc_norm": np.abs(loc[:, 0]),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("preprocessing", ["standard", "quantile"])
@pytest.mark.parametrize("likelihood", DENSITIES)
def test_density_of_a_column_integrates_to_one(likelihood, preprocessing):
    """Of p(x|z) with the preprocessing's Jacobian, over all of the line."""
    rows = np.random.default_rng(0).standard_t(2, size=(1000, 1)).astype(np.float32)
    observation = Observation(PREPROCESSINGS[preprocessing](rows), likelihood)
    distances = np.geomspace(1e-4, 1e12, 40000)
    x = np.concatenate([-distances[::-1], [0.0], distances])
    observed, nats = observation(tf.constant(x[:, np.newaxis], tf.float64))
    model = LIKELIHOODS[likelihood](1, "column")
    if likelihood == "student_t":
        model.raw_df.assign([9.0])  # a tail that the range of integration can hold
    log_prob = model.log_prob(observed, tf.zeros([1, 1]))[:, 0] - nats
    assert np.trapezoid(np.exp(log_prob), x) == pytest.approx(1.0, abs=0.01)


@pytest.fixture(scope="module", params=SETTINGS, ids=ids)
def learner(request):
    """A few steps into training."""
    learner = build(**request.param)
    for i in range(5):
        step(learner, table(50, seed=i), i)
    return learner


@pytest.fixture(scope="module")
def module(learner):
    return learner.freeze().module


class TestFrozen:
    """All on batches of 40 rows, for which the functions are traced once."""

    def test_elbo_is_minus_distortion_minus_rate(self, module):
        scores = module.serving_default(tf.constant(table(40)), SEED)
        np.testing.assert_allclose(
            scores["elbo"], -scores["distortion"] - scores["rate"], rtol=1e-5, atol=1e-5
        )
        assert (scores["elbo"].numpy() <= scores["log_prob"].numpy() + 1e-4).all()

    def test_freezing_keeps_the_scores_of_validation(self, learner, module):
        rows = tf.constant(table(40))
        frozen = module.serving_default(rows, SEED)
        trained = learner.validate(Examples(rows), SEED)
        # Other noise, so only near; a wrong or missing Jacobian would be nats off.
        for name in ("log_prob", "distortion", "rate"):
            mean = float(tf.reduce_mean(frozen[name]))
            assert mean == pytest.approx(float(trained[name]), abs=2.0)

    def test_rate_alone_is_the_same_rate_and_never_decodes(self, module):
        rows = tf.constant(table(40))
        whole = module.serving_default(rows, SEED)["rate"]
        np.testing.assert_allclose(module.rate(rows, SEED)["rate"], whole, rtol=1e-6, atol=1e-6)
        graph = module.rate.get_concrete_function(rows, SEED).graph
        captured = {id(tensor) for tensor in graph.external_captures}
        assert not captured & {id(v.handle) for v in module.networks.decoder.variables}

    def test_every_finite_row_has_finite_scores_and_gradients(self, module):
        big = np.finfo(np.float32).max
        rng = np.random.default_rng(0)
        for x in (
            table(40),
            rng.normal(size=(40, 5)) * 1e6,
            rng.normal(size=(40, 5)) * 1e30,
            rng.choice([-big, big], (40, 5)),
            np.full((40, 5), 1e-40),
        ):
            x = tf.constant(x.astype(np.float32))
            for name, values in module.serving_default(x, SEED).items():
                assert np.isfinite(values).all(), name
            result = module.log_prob_gradient(x, SEED)
            assert np.isfinite(result["log_prob"]).all()
            assert np.isfinite(result["gradient"]).all()

    @pytest.mark.parametrize("columns", [slice(0, 1), slice(1, 2), slice(4, 5), slice(0, 5)])
    def test_further_out_is_less_likely(self, module, columns):
        for side in (1.0, -1.0):
            scores = []
            for distance in (1e5, 1e7, 1e10, 1e15, 1e20, 1e25, 1e30, 1e37):
                rows = table(40)
                rows[:, columns] = side * distance
                log_prob = module.serving_default(tf.constant(rows), SEED)["log_prob"]
                scores.append(log_prob.numpy())
            assert (np.diff(np.stack(scores), axis=0) < 0).all()

    def test_reconstructions_and_samples_are_rows_in_raw_units(self, module):
        for x in (
            module.reconstruct(tf.constant(table(40)), SEED)["inputs"],
            module.sample(tf.constant(40), SEED)["inputs"],
        ):
            assert x.shape == (40, 5)
            assert np.isfinite(x).all()
            assert 800 < np.median(x[:, 0]) < 1200

    def test_gradient_equals_finite_differences(self, module):
        rows = table(40, seed=3)
        # Columns with ties lie on kinks, of quantile bins or of clipping, in every row.
        spread = np.array([20.0, 1.0, 0.0, 0.0, 0.0])
        gradient = module.log_prob_gradient(tf.constant(rows), SEED)["gradient"].numpy()
        direction = spread * np.random.default_rng(1).choice([-1.0, 1.0], rows.shape)
        size = 0.002  # so that few steps cross a quantile, where the slope jumps
        above, below = (
            module.serving_default(tf.constant((rows + s * size * direction).astype("f4")), SEED)[
                "log_prob"
            ].numpy()
            for s in (1, -1)
        )
        differences = (above.astype(np.float64) - below) / (2 * size)
        expected = (gradient * direction).sum(axis=1, dtype=np.float64)
        # Kinks (of leaky ReLUs and quantile bins) are crossed by some steps: the median.
        relative = np.abs(differences - expected) / np.maximum(np.abs(expected), 0.1)
        assert np.median(relative) < 0.05


class TestTraining:
    @pytest.mark.parametrize(
        "setting", [*SETTINGS, *({"prior": prior} for prior in PRIORS)], ids=str
    )
    def test_a_step_moves_every_variable(self, setting):
        learner = build(**setting)
        before = [v.numpy() for v in learner.networks.trainable_variables]
        for i in range(3):
            values = step(learner, table(50, seed=i), i)
        assert set(values) == {"loss", "distortion", "rate"}
        for variable, old in zip(learner.networks.trainable_variables, before, strict=True):
            assert np.isfinite(variable.numpy()).all()
            assert (variable.numpy() != old).any(), variable.name

    def test_images_are_refused(self):
        spec = InputSpec((8, 8, 1), "uint8", (0.0, 255.0), "x / 255")
        images = np.zeros((9, 8, 8, 1), np.uint8)
        data = TrainingData("test", images, images, (), spec, "")
        with pytest.raises(UserError, match="rows of a table"):
            tabular_vae.build(small_config(), data, 0)

    def test_bernoulli_needs_minmax(self):
        with pytest.raises(UserError, match="--preprocessing: expected minmax"):
            small_config(likelihood="bernoulli")

    def test_preprocessing_is_fitted_on_training_rows_only(self):
        rows = table(500)
        scores = []
        for validation in (rows[:10], 1e6 * rows[:10]):
            data = training_data(rows, validation)
            module = tabular_vae.build(small_config(), data, 0).freeze().module
            scores.append(module.serving_default(tf.constant(rows), SEED)["log_prob"])
        np.testing.assert_array_equal(*scores)

    def test_log_prob_does_not_depend_on_the_unit(self):
        """Of a column in other units, but for the Jacobian: nats shift by log of the unit."""
        rows = table(500)
        units = np.array([1e-3, 8.0, 1.0, 1.0, 1.0], np.float32)
        scores = []
        for factor in (1.0, units):
            module = build(rows * factor).freeze().module
            scored = module.serving_default(tf.constant(rows * factor), SEED)
            scores.append(scored["log_prob"].numpy())
        np.testing.assert_allclose(scores[0] - scores[1], np.log(units).sum(), atol=0.01)

    def test_values_outside_the_range_pay_under_a_bernoulli(self):
        rows = table(500)
        frozen = build(rows, likelihood="bernoulli", preprocessing="minmax").freeze().module
        edge = rows[:1].copy()
        edge[0, 0] = rows[:, 0].max()
        outside = edge.copy()
        width = float(np.ptp(rows[:, 0]))
        outside[0, 0] += 0.5 * width
        inside, beyond = (
            frozen.serving_default(tf.constant(x), SEED)["log_prob"].numpy()
            for x in (edge, outside)
        )
        np.testing.assert_allclose(inside - beyond, 0.5 * OUT_OF_RANGE_NATS, rtol=1e-3)

    def test_training_raises_held_out_log_prob(self):
        held_out = Examples(tf.constant(table(200, seed=77)))
        rows = table(2000)
        learner = build(rows, learning_rate=0.01, train_steps=300)
        before = float(learner.validate(held_out, SEED)["log_prob"])
        (phase,) = learner.phases()

        @tf.function
        def compiled(i):
            batch = tf.gather(rows, 50 * (i % 40) + tf.range(50, dtype=tf.int64))
            return phase.step(i, tf.stack([1, tf.cast(i, tf.int32)]), lambda _: Examples(batch))

        for i in range(300):
            compiled(tf.constant(i, tf.int64))
        assert float(learner.validate(held_out, SEED)["log_prob"]) > before + 1.0


SERVER = """
import sys
for name in ("tfp_genens", "tensorflow_probability", "tf_keras"):
    sys.modules[name] = None  # any import of it raises ImportError
import json
import numpy as np
import tensorflow as tf

directory, inputs = sys.argv[1:]
signature = tf.saved_model.load(directory).signatures["serving_default"]
scores = signature(inputs=tf.constant(np.load(inputs)), seed=tf.constant([3, 4]))
print(json.dumps({name: values.numpy().tolist() for name, values in scores.items()}))
"""


def test_served_where_only_tensorflow_is_installed(tmp_path):
    frozen = build(prior="mixture", preprocessing="quantile").freeze()
    rows = table(20)
    served = Frozen(frozen.module, {"serving_default": frozen.functions["serving_default"]})
    spec = InputSpec((5,), "float32", None, "none")
    export.export_saved_model(served, spec, tmp_path / "saved_model")
    np.save(tmp_path / "rows.npy", rows)
    command = [sys.executable, "-c", SERVER, tmp_path / "saved_model", tmp_path / "rows.npy"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    expected = frozen.module.serving_default(tf.constant(rows), SEED)
    for name, values in json.loads(result.stdout).items():
        np.testing.assert_allclose(values, expected[name], rtol=2e-5, atol=2e-5)


def test_a_table_end_to_end(tmp_path):
    from tfp_genens.score import score
    from tfp_genens.scoring.columns import read_scores
    from tfp_genens.train import train

    header = "amount,age,visits,member,constant"
    path = tmp_path / "table.csv"
    np.savetxt(path, table(400), delimiter=",", header=header, comments="")
    run_dir = tmp_path / "run"
    flags = {
        "model": "tabular_vae",
        "dataset": f"csv:{path}",
        "run_dir": str(run_dir),
        "num_members": 2,
        "train_steps": 60,
        "latent_size": 2,
        "prior": "mixture",
        "learning_rate": 0.01,
        "validation_fraction": 0.2,
    }
    assert train(flags) == 0
    ensemble = Ensemble.load(run_dir)
    assert ensemble.input_spec.column_names() == tuple(header.split(","))
    strange = table(30)
    strange[:, 0] = 5000.0
    scores = ensemble.score(np.concatenate([table(30), strange]))["log_prob"]
    assert (scores[:30].min(axis=0) > scores[30:].max(axis=0)).all()
    np.savetxt(tmp_path / "new.csv", strange, delimiter=",", header=header, comments="")
    output = tmp_path / "scores.parquet"
    score({"run_dir": str(run_dir), "input": f"csv:{tmp_path / 'new.csv'}", "output": str(output)})
    assert read_scores(output).frame["is_outlier"].all()


def test_defaults_are_the_papers():
    defaults = {f.name: f.default for f in dataclasses.fields(TabularVaeConfig)}
    assert defaults["encoder_units"] == 32
    assert defaults["decoder_units"] == 30
    assert defaults["hidden_layers"] == 1
    assert defaults["learning_rate"] == 1e-3
