"""The fraud classifier against scikit-learn's losses and scalers."""

import numpy as np
import pandas as pd
import pytest
import scipy.special
import tensorflow as tf
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import StandardScaler

from tfp_genens.artifact.spec import LOWER_IS_NORMAL, InputSpec
from tfp_genens.data import TrainingData, load_training_data
from tfp_genens.errors import UserError
from tfp_genens.models.fraud_classifier import (
    FraudClassifierConfig,
    FraudClassifierLearner,
    weighted_cross_entropy,
)
from tfp_genens.models.learner import Examples
from tfp_genens.train import train


def table(num_rows=600, labels=None):
    """Three features of different scales and a constant one; outliers have a larger second one."""
    rng = np.random.default_rng(0)
    if labels is None:
        labels = (rng.uniform(size=num_rows) < 0.1).astype(np.int64)
    values = rng.normal(size=(num_rows, 4)) * [1e4, 0.01, 1.0, 0.0] + [1e5, 0.0, -3.0, 2.5]
    values[:, 1] += 0.04 * (labels > 0)
    values = values.astype(np.float32)
    return TrainingData(
        name="test",
        train=values[100:],
        validation=values[:100],
        validation_ids=tuple(map(str, range(100))),
        input_spec=InputSpec((4,), "float32", None, "none", tuple("abcd")),
        fingerprint="",
        labels=labels[100:],
        validation_labels=labels[:100],
    )


def build(data, **settings):
    config = FraudClassifierConfig(**{"hidden_units": 32, "train_steps": 5, **settings})
    return FraudClassifierLearner(config, data, seed=1)


def batch_of(data):
    return Examples(tf.constant(data.train), tf.constant(data.labels))


@pytest.mark.parametrize("weight", [1.0, 580.0])
def test_the_loss_is_scikit_learns_with_sample_weights(weight):
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 2, 200), 3 * rng.normal(size=200)
    sample_weight = np.where(labels == 1, weight, 1.0)
    total = log_loss(
        labels, scipy.special.expit(logits), sample_weight=sample_weight, normalize=False
    )
    loss = weighted_cross_entropy(labels, tf.constant(logits, tf.float32), weight)
    assert float(loss) == pytest.approx(total / 200, rel=1e-5)


def test_a_step_reports_the_loss_of_its_batch():
    data = table()
    learner = build(data, dropout=0.0, positive_weight=7.0)
    logits = learner.networks.logits(data.train).numpy().astype(np.float64)
    (phase,) = learner.phases()
    values = phase.step(tf.constant(0, tf.int64), tf.constant([1, 2]), lambda _: batch_of(data))
    total = log_loss(
        data.labels,
        scipy.special.expit(logits),
        sample_weight=np.where(data.labels == 1, 7.0, 1.0),
        normalize=False,
    )
    assert float(values["loss"]) == pytest.approx(total / len(logits), rel=1e-4)


def test_logits_are_those_of_the_layers_on_rows_scaled_by_training_rows():
    data = table()
    module = build(data).freeze().module
    scaler = StandardScaler().fit(data.train.astype(np.float64))
    x = scaler.transform(data.validation.astype(np.float64))
    first, second = ([w.numpy() for w in layer.weights] for layer in module.networks.hidden)
    kernel, bias = (w.numpy() for w in module.networks.output.weights)
    hidden = np.maximum(x @ first[0] + first[1], 0)
    hidden = np.maximum(hidden @ second[0] + second[1], 0)
    expected = (hidden @ kernel + bias)[:, 0]
    scores = module.serving_default(tf.constant(data.validation))["fraud"]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_validation_rows_have_no_part_in_the_scaling():
    data = table()
    before = build(data).networks.logits(data.train).numpy()
    data.validation[:] = 1e6
    np.testing.assert_array_equal(build(data).networks.logits(data.train).numpy(), before)


def test_dropout_acts_in_training_only():
    data = table()
    networks = build(data, dropout=0.5).networks
    one, other = (networks.logits(data.train, tf.constant([1, i])).numpy() for i in (0, 1))
    assert (one != other).any()
    np.testing.assert_array_equal(networks.logits(data.train), networks.logits(data.train))
    # Both hidden layers drop, each with noise of its own.
    second = networks.hidden[1](tf.constant(np.ones((50, 32), np.float32)))
    assert second.shape == (50, 32)


def test_fraud_is_learnt_and_scores_higher():
    data = table(3000)
    learner = build(data, learning_rate=1e-3, positive_weight=10.0)
    (phase,) = learner.phases()
    step = tf.function(lambda i: phase.step(tf.constant(0, tf.int64), i, lambda _: batch_of(data)))
    for i in range(150):
        step(tf.constant([1, i]))
    frozen = learner.freeze()
    assert frozen.functions["serving_default"].outputs["fraud"].direction == LOWER_IS_NORMAL
    scores = frozen.module.serving_default(tf.constant(data.validation))["fraud"].numpy()
    # Four standard deviations apart along one feature: the best possible AUROC is 0.998.
    assert roc_auc_score(data.validation_labels, scores) > 0.97
    validation = learner.validate(
        Examples(tf.constant(data.validation), tf.constant(data.validation_labels)),
        tf.constant([1, 2]),
    )
    flagged = scores[data.validation_labels == 1] > 0
    assert float(validation["true_positive_rate"]) == pytest.approx(flagged.mean())


def test_every_label_but_zero_is_outlying():
    data = table(labels=np.arange(600) % 3)
    binary = table(labels=(np.arange(600) % 3 > 0).astype(np.int64))
    losses = []
    for labels in (data.labels, binary.labels):
        losses.append(float(weighted_cross_entropy(labels, tf.range(500.0) / 100 - 2, 5.0)))
    assert losses[0] == losses[1]


def test_p_values_are_calibrated_on_normal_rows_alone(tmp_path):
    data = table()
    everything = np.concatenate([data.train, data.validation])
    labels = np.concatenate([data.labels, data.validation_labels])
    frame = pd.DataFrame(everything, columns=list("abcd")).assign(fraud=labels)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    flags = {
        "model": "fraud_classifier",
        "dataset": f"csv:{tmp_path}/rows.csv?label=fraud",
        "run_dir": str(tmp_path / "run"),
        "hidden_units": 8,
        "train_steps": 2,
        "num_members": 1,
        "validation_fraction": 0.3,
    }
    assert train(flags) == 0
    with np.load(tmp_path / "run/member_0/held_out.npz") as held_out:
        rows = np.array([int(name.removeprefix("row ")) for name in held_out["example_id"]])
        calibrates = held_out["part"] == "calibrate"
    assert (labels[rows] == 0).all()
    data = load_training_data(flags["dataset"], validation_fraction=0.3, seed=0)
    num_normal = (data.validation_labels[len(data.tuning) :] == 0).sum()
    assert 0 < len(rows) == num_normal < 180
    assert 0 < calibrates.sum() < len(rows)


def test_data_that_do_not_suit_are_refused():
    normal = table(labels=np.zeros(600, np.int64))
    with pytest.raises(UserError, match="at least two classes"):
        build(normal)
    with pytest.raises(UserError, match="labelled 0"):
        build(table(labels=1 + np.arange(600) % 2))
    held_out_are_outlying = np.where(np.arange(600) < 100, 1, np.arange(600) % 2)
    with pytest.raises(UserError, match="--validation_fraction: expected normal rows"):
        build(table(labels=held_out_are_outlying))


def test_rows_far_out_have_finite_logits():
    module = build(table()).freeze().module
    for value in (-3e38, -1e30, 1e30, 3e38):
        scores = module.serving_default(tf.fill([2, 4], tf.constant(value)))["fraud"]
        assert np.isfinite(scores).all()
