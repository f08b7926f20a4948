"""Each frozen graph against scikit-learn's own scores, and what the families refuse."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from sklearn.covariance import EmpiricalCovariance
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from tfp_genens.artifact import export, manifest
from tfp_genens.artifact.member import Member
from tfp_genens.artifact.spec import HIGHER_IS_NORMAL, InputSpec
from tfp_genens.data import TrainingData
from tfp_genens.errors import UserError
from tfp_genens.models import FAMILIES
from tfp_genens.models.classical import references
from tfp_genens.models.classical.isolation_forest import expected_path_length
from tfp_genens.seeds import derive_int, numpy_generator

CLASSICAL = ("isolation_forest", "mahalanobis", "knn", "lof", "one_class_svm", "pca")
SEED = 7
NUM_TRAIN = 700


def table_rows(num: int, seed: int) -> np.ndarray:
    """Correlated and heavy-tailed columns of very different scales and places."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(6, 6))
    x = rng.standard_t(4, size=(num, 6)) @ mixing
    return (x * [1.0, 1e-3, 1e4, 30.0, 1.0, 5.0] + [0.0, 0.0, 1e5, -7.0, 3.0, 2.5]).astype("f4")


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Real images [num, 8, 8, 1], uint8 from 0 to 255, with pixels that are always 0."""
    from sklearn.datasets import load_digits

    images = np.round(load_digits().images[..., np.newaxis] * (255 / 16)).astype(np.uint8)
    return images[:NUM_TRAIN], images[-60:]


def training_data(train: np.ndarray, validation: np.ndarray) -> TrainingData:
    if train.ndim == 4:
        spec = InputSpec(train.shape[1:], "uint8", (0.0, 255.0), "x / 255")
    else:
        spec = InputSpec(train.shape[1:], "float32", None, "none")
    ids = tuple(map(str, range(len(validation))))
    return TrainingData("test", train, validation, ids, spec, "")


@pytest.fixture(scope="module")
def rows():
    return training_data(table_rows(NUM_TRAIN, 0), table_rows(60, 1))


@pytest.fixture(scope="module")
def images():
    return training_data(*digits())


@pytest.fixture(params=["rows", "images"])
def data(request):
    return request.getfixturevalue(request.param)


def build(name, data, **flags):
    family = FAMILIES[name]
    return family.build(family.config(**flags), data, SEED)


def scores_of(learner, inputs) -> np.ndarray:
    ((output, values),) = (
        learner.freeze().functions["serving_default"].function(tf.constant(inputs)).items()
    )
    assert output in learner.freeze().functions["serving_default"].outputs
    assert values.dtype == tf.float32
    return values.numpy().astype(np.float64)


def features(data, *, of=None) -> np.ndarray:
    """What the methods see, by scikit-learn."""
    inputs = data.train if of is None else of
    flat = inputs.reshape(len(inputs), -1).astype(np.float64)
    if data.input_spec.value_range:
        return flat / 255.0
    return StandardScaler().fit(data.train.astype(np.float64)).transform(flat)


def compare(learner, data, score):
    """`score` of features: scikit-learn's."""
    far = data.validation.astype(np.float32) * 3
    for inputs in (data.validation, far, data.train[:20]):
        expected = score(features(data, of=inputs))
        np.testing.assert_allclose(scores_of(learner, inputs), expected, rtol=2e-6, atol=2e-6)


class TestAgainstScikitLearn:
    @pytest.mark.parametrize("flags", [{}, {"num_trees": 7, "tree_samples": 100}])
    def test_isolation_forest(self, data, flags):
        forest = IsolationForest(
            n_estimators=flags.get("num_trees", 100),
            max_samples=flags.get("tree_samples", "auto"),
            random_state=derive_int(SEED, "isolation_forest"),
        ).fit(features(data))
        learner = build("isolation_forest", data, **flags)
        compare(learner, data, lambda x: -forest.score_samples(x))

    def test_mahalanobis(self, rows):
        covariance = EmpiricalCovariance().fit(features(rows))
        learner = build("mahalanobis", rows)
        compare(learner, rows, lambda x: np.sqrt(covariance.mahalanobis(x)))

    @pytest.mark.parametrize("num_neighbors", [1, 5, 30])
    def test_knn(self, data, num_neighbors):
        search = NearestNeighbors(n_neighbors=num_neighbors).fit(features(data))
        learner = build("knn", data, num_neighbors=num_neighbors)
        compare(learner, data, lambda x: search.kneighbors(x)[0].mean(axis=1))

    @pytest.mark.parametrize("num_neighbors", [3, 20])
    def test_lof(self, data, num_neighbors):
        lof = LocalOutlierFactor(num_neighbors, novelty=True).fit(features(data))
        learner = build("lof", data, num_neighbors=num_neighbors)
        # Training rows are new rows here, as they are to scikit-learn's score_samples.
        compare(learner, data, lambda x: -lof.score_samples(x))

    @pytest.mark.parametrize("flags", [{}, {"nu": 0.1, "gamma": 0.02}])
    def test_one_class_svm(self, data, flags):
        svm = OneClassSVM(**flags).fit(features(data))
        learner = build("one_class_svm", data, **flags)
        near = np.concatenate([data.validation, data.train[:100]])
        expected = svm.score_samples(features(data, of=near))
        assert expected.min() > 0
        actual = np.exp(scores_of(learner, near))
        # libsvm stops at a tolerance of 1e-3, and what it makes of rows rounded to float32 differs.
        np.testing.assert_allclose(actual, expected, rtol=1e-4)

    @pytest.mark.parametrize("flags", [{}, {"explained_variance": 0.5}, {"num_components": 4}])
    def test_pca(self, data, flags):
        pca = PCA(flags.get("num_components") or flags.get("explained_variance", 0.95))
        pca.fit(features(data))
        learner = build("pca", data, **flags)
        compare(
            learner,
            data,
            lambda x: np.linalg.norm(x - pca.inverse_transform(pca.transform(x)), axis=1),
        )


def test_references_are_searched_chunk_by_chunk(monkeypatch, rows):
    whole = {name: scores_of(build(name, rows), rows.validation) for name in ("knn", "lof")}
    monkeypatch.setattr(references, "CHUNK", 64)
    assert len(rows.train) % 64  # the last chunk is a smaller one
    for name, expected in whole.items():
        np.testing.assert_allclose(
            scores_of(build(name, rows), rows.validation), expected, rtol=1e-6
        )


def test_a_copy_of_a_training_image_is_at_no_distance_from_it(images):
    distances = scores_of(build("knn", images, num_neighbors=1), images.train[:50])
    # Pixels are compared in float64, and references are kept in float32.
    np.testing.assert_allclose(distances, 0.0, atol=8 * 2.0**-24)


def test_references_are_drawn_by_the_members_seed(rows):
    learner = build("knn", rows, num_reference=100)
    drawn = np.sort(numpy_generator(SEED, "reference").choice(NUM_TRAIN, 100, replace=False))
    search = NearestNeighbors(n_neighbors=5).fit(features(rows)[drawn])
    compare(learner, rows, lambda x: search.kneighbors(x)[0].mean(axis=1))


@pytest.mark.parametrize("name", CLASSICAL)
def test_members_differ_where_there_is_anything_random(name, rows):
    few = {"num_reference": 100} if name in ("knn", "lof", "one_class_svm") else {}
    family = FAMILIES[name]
    one, same, other = (
        scores_of(family.build(family.config(**few), rows, seed), rows.validation)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    is_random = bool(few) or name == "isolation_forest"
    assert np.array_equal(one, other) != is_random
    if not few:
        assert (family.num_members > 1) == is_random


@pytest.mark.parametrize("name", CLASSICAL)
def test_preprocessing_is_fitted_on_training_rows_only(name, rows):
    elsewhere = training_data(rows.train, 1e3 * rows.validation + 77)
    np.testing.assert_array_equal(
        scores_of(build(name, rows), rows.validation),
        scores_of(build(name, elsewhere), rows.validation),
    )


@pytest.mark.parametrize("name", sorted(set(CLASSICAL) - {"isolation_forest", "pca"}))
def test_the_unit_of_a_column_makes_no_difference(name, rows):
    unit = np.array([1e-3, 1e4, 1.0, 7.0, 0.5, 1.0], np.float32)
    scaled = training_data(rows.train * unit, rows.validation * unit)
    np.testing.assert_allclose(
        scores_of(build(name, scaled), scaled.validation),
        scores_of(build(name, rows), rows.validation),
        rtol=1e-4,
    )


@pytest.mark.parametrize("name", CLASSICAL)
def test_extreme_inputs_are_finite_and_ever_more_outlying(name, data):
    learner = build(name, data)
    spec = learner.freeze().functions["serving_default"].outputs
    (direction,) = (s.direction for s in spec.values())
    direction_out = np.random.default_rng(0).normal(size=data.input_spec.shape)
    start = data.train.astype(np.float64).mean(axis=0)
    reach = [1.0, 1e2, 1e4, 1e6, 1e9, 1e12, 1e15]
    unit = data.train.astype(np.float64).std(axis=0).max()
    inputs = np.stack([start + r * unit * direction_out for r in reach]).astype(np.float32)
    outlying = scores_of(learner, inputs) * (-1 if direction == HIGHER_IS_NORMAL else 1)
    assert np.isfinite(outlying).all()
    steps = np.diff(outlying)
    # A forest's splits all lie within the training range, so that it cannot tell how far out.
    assert (steps >= 0).all() if name == "isolation_forest" else (steps > 0).all()
    for value in (-3e38, -1e30, 1e30, 3e38):
        extreme = scores_of(learner, np.full([1, *data.input_spec.shape], value, np.float32))
        extreme *= -1 if direction == HIGHER_IS_NORMAL else 1
        assert np.isfinite(extreme).all()
        normal = scores_of(learner, data.train)
        normal *= -1 if direction == HIGHER_IS_NORMAL else 1
        assert extreme[0] > np.median(normal)


class TestConstantColumns:
    @pytest.fixture(scope="class")
    def constant(self):
        def with_column(x):
            return np.concatenate([x, np.full([len(x), 1], 2.5, np.float32)], axis=1)

        return training_data(with_column(table_rows(300, 0)), with_column(table_rows(50, 1)))

    @pytest.mark.parametrize("name", CLASSICAL)
    def test_scores_are_finite(self, name, constant):
        assert np.isfinite(scores_of(build(name, constant), constant.validation)).all()

    @pytest.mark.parametrize("name", sorted(set(CLASSICAL) - {"isolation_forest"}))
    def test_what_never_varied_counts_when_it_does(self, name, constant):
        learner = build(name, constant)
        (spec,) = learner.freeze().functions["serving_default"].outputs.values()
        moved = constant.validation.copy()
        moved[:, -1] += 1e4
        before, after = (scores_of(learner, x) for x in (constant.validation, moved))
        if spec.direction == HIGHER_IS_NORMAL:
            before, after = -before, -after
        assert (after > before).all()

    def test_mahalanobis_is_scikit_learns_where_it_stays_constant(self, constant):
        covariance = EmpiricalCovariance().fit(features(constant))
        learner = build("mahalanobis", constant)
        expected = np.sqrt(covariance.mahalanobis(features(constant, of=constant.validation)))
        np.testing.assert_allclose(scores_of(learner, constant.validation), expected, rtol=1e-6)


def test_expected_path_length_is_liu_and_others():
    # c(256) is 10.24 in Liu et al. (2008), section 2; c(2) is 1.
    np.testing.assert_allclose(
        expected_path_length(np.array([1, 2, 256])), [0.0, 1.0, 10.244], atol=1e-3
    )


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "flags", "message"),
        [
            ("knn", {"num_neighbors": 8}, r"--num_neighbors: expected at most 7,.*got 8"),
            ("lof", {"num_neighbors": 7}, r"--num_neighbors: expected at most 6,.*got 7"),
            ("knn", {"num_neighbors": 4, "num_reference": 3}, r"--num_neighbors: .*at most 3,"),
            ("pca", {"num_components": 6}, r"--num_components: expected at most 5, .*got 6"),
        ],
    )
    def test_too_few_rows_or_columns(self, name, flags, message):
        data = training_data(table_rows(7, 0), table_rows(3, 1))
        with pytest.raises(UserError, match=message):
            build(name, data, **flags)

    def test_a_tree_of_one_row(self):
        data = training_data(table_rows(1, 0), table_rows(1, 1))
        with pytest.raises(UserError, match="--dataset: expected at least 2 training rows"):
            build("isolation_forest", data)

    @pytest.mark.parametrize("name", CLASSICAL)
    @pytest.mark.parametrize("flag", ["train_steps", "learning_rate", "batch_size", "precision"])
    def test_flags_of_training_in_steps(self, name, flag):
        from tfp_genens.train import model_config

        with pytest.raises(UserError, match=f"--{flag}: expected a flag that --model={name} has"):
            model_config({"model": name, flag: 1}, FAMILIES)

    @pytest.mark.parametrize(
        ("name", "flags"),
        [
            ("one_class_svm", {"nu": 1.5}),
            ("one_class_svm", {"gamma": 0.0}),
            ("pca", {"explained_variance": 1.0}),
            ("knn", {"num_neighbors": 0}),
            ("isolation_forest", {"tree_samples": 1}),
        ],
    )
    def test_values_without_sense(self, name, flags):
        with pytest.raises(UserError, match=f"--{next(iter(flags))}"):
            FAMILIES[name].config(**flags)


SERVER = """
import sys
for name in ("tfp_genens", "tensorflow_probability", "tf_keras", "sklearn", "scipy"):
    sys.modules[name] = None  # any import of it raises ImportError
import json
import os
import numpy as np
import tensorflow as tf

found = {}
for directory in sys.argv[1:]:
    inputs = np.load(os.path.join(directory, "../../inputs.npy"))
    model = tf.saved_model.load(directory)
    scores = model.signatures["serving_default"](inputs=tf.cast(inputs, tf.float32))
    ((_, natural),) = model.serving_default(tf.constant(inputs)).items()
    ((name, values),) = scores.items()
    found[directory] = [name, values.numpy().tolist(), natural.numpy().tolist()]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_served_with_tensorflow_alone(rows, images, tmp_path):
    expected = {}
    for kind, data in (("rows", rows), ("images", images)):
        (tmp_path / kind).mkdir()
        np.save(tmp_path / kind / "inputs.npy", data.validation)
        for name in CLASSICAL:
            learner = build(name, data)
            frozen = learner.freeze()
            directory = tmp_path / kind / name
            export.export_saved_model(frozen, data.input_spec, directory / manifest.SAVED_MODEL)
            signatures = export.describe_signatures(frozen, data.input_spec)
            member = Member(directory, {"signatures": signatures, "member": 0})
            (output,) = member.outputs
            values = scores_of(learner, data.validation)
            scored = member.score(data.validation, np.array([0, 0]))[output]
            np.testing.assert_allclose(scored, values, rtol=1e-5, atol=1e-6)
            expected[str(directory / manifest.SAVED_MODEL)] = (output, values)
    command = [sys.executable, "-c", SERVER, *expected]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    served = json.loads(result.stdout)
    assert served.keys() == expected.keys()
    for directory, (found, values, natural) in served.items():
        output, of_learner = expected[directory]
        assert found == output
        np.testing.assert_allclose(values, of_learner, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(natural, of_learner, rtol=1e-5, atol=1e-6)
