"""What the models that learn from labels have in common: refusals, freezing, serving, learning."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss

from tfp_genens.artifact import export
from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import TrainingData
from tfp_genens.errors import UserError
from tfp_genens.models import FAMILIES, supervised
from tfp_genens.models.learner import Examples

SEED = np.array([3, 4], np.int32)
SMALL = {
    "classifier": {"base_depth": 4, "code_depth": 16},
    "vib": {"base_depth": 4, "code_depth": 32, "latent_size": 16},
    "fraud_classifier": {"hidden_units": 16, "learning_rate": 1e-3},
}
IMAGES = InputSpec((8, 8, 1), "uint8", (0.0, 255.0), "x / 255")


def digits(labels=True) -> TrainingData:
    images, classes = load_digits(return_X_y=True)
    images = np.rint(images * 255 / 16).astype(np.uint8).reshape(-1, 8, 8, 1)
    return data_of(images, classes if labels else None, IMAGES)


def rows() -> TrainingData:
    """Two features; outliers have a larger first one."""
    rng = np.random.default_rng(0)
    labels = (rng.uniform(size=1797) < 0.1).astype(np.int64)
    values = rng.normal(size=(1797, 2)) + np.stack([4 * labels, 0 * labels], axis=1)
    spec = InputSpec((2,), "float32", None, "none", ("a", "b"))
    return data_of((values * [30, 0.1]).astype(np.float32), labels, spec)


def data_of(values, labels, spec) -> TrainingData:
    return TrainingData(
        name="test",
        train=values[300:],
        validation=values[:300],
        validation_ids=tuple(map(str, range(300))),
        input_spec=spec,
        fingerprint="",
        labels=None if labels is None else labels[300:],
        validation_labels=None if labels is None else labels[:300],
    )


def build(name, data, **settings):
    config = FAMILIES[name].config(**{"batch_size": 64, **SMALL[name], **settings})
    return FAMILIES[name].build(config, data, 1)


def data_for(name):
    return rows() if name == "fraud_classifier" else digits()


def train(learner, data, num_steps):
    (phase,) = learner.phases()

    def batches(number):
        chosen = (64 * number + tf.range(64, dtype=tf.int64)) % len(data.train)
        return Examples(tf.gather(data.train, chosen), tf.gather(data.labels, chosen))

    step = tf.function(lambda i, seed: phase.step(i, seed, batches))
    return [
        {k: float(v) for k, v in step(tf.constant(i, tf.int64), tf.constant([7, i])).items()}
        for i in range(num_steps)
    ]


def held_out(data):
    return Examples(tf.constant(data.validation), tf.constant(data.validation_labels))


@pytest.mark.parametrize("name", ["classifier", "vib"])
def test_digits_are_learnt(name):
    data = digits()
    learner = build(name, data, train_steps=500, learning_rate=3e-3)
    before = learner.validate(held_out(data), tf.constant(SEED))
    train(learner, data, 500)
    after = learner.validate(held_out(data), tf.constant(SEED))
    assert before["accuracy"] < 0.4
    assert after["accuracy"] > 0.9
    assert after["cross_entropy"] < before["cross_entropy"] / 3


@pytest.mark.parametrize("name", SMALL)
def test_every_variable_moves_in_a_step(name):
    data = data_for(name)
    learner = build(name, data)
    before = [v.numpy() for v in learner.networks.trainable_variables]
    train(learner, data, 1)
    for variable, old in zip(learner.networks.trainable_variables, before, strict=True):
        assert (variable.numpy() != old).any(), variable.name


@pytest.mark.parametrize("name", SMALL)
def test_members_with_other_seeds_begin_elsewhere(name):
    data = data_for(name)
    family = FAMILIES[name]
    one, same, other = (
        family.build(family.config(**SMALL[name]), data, seed) for seed in (1, 1, 2)
    )
    first = [learner.networks.trainable_variables[0].numpy() for learner in (one, same, other)]
    np.testing.assert_array_equal(first[0], first[1])
    assert (first[0] != first[2]).any()


@pytest.mark.parametrize("name", ["classifier", "vib"])
def test_data_without_labels_or_with_one_class_are_refused(name):
    with pytest.raises(UserError, match=r"--dataset.*class labels"):
        build(name, digits(labels=False))
    data = digits()
    data.labels[:] = 5
    with pytest.raises(UserError, match=r"at least two classes.*label is 5"):
        build(name, data)


def test_a_class_held_out_alone_counts():
    data = digits()
    data.labels[data.labels == 9] = 0
    assert supervised.num_classes(data) == 10


def test_cross_entropy_and_accuracy_are_scikit_learns():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 4)), rng.integers(0, 4, 50)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    nats = supervised.cross_entropy(labels, tf.constant(logits))
    assert np.mean(nats) == pytest.approx(log_loss(labels, probabilities), rel=1e-9)
    expected = np.mean(logits.argmax(axis=1) == labels)
    assert float(supervised.accuracy(labels, logits)) == pytest.approx(expected, rel=1e-6)


def test_dropout_keeps_the_mean_and_only_acts_with_a_seed():
    x = tf.ones([200, 200])
    dropped = supervised.dropped_out(x, 0.25, tf.constant(SEED)).numpy()
    assert set(np.unique(dropped)) == {np.float32(0.0), np.float32(1 / 0.75)}
    # 40,000 draws: four standard errors of the mean are 4 * sqrt(0.25 / 0.75 / 40000).
    assert dropped.mean() == pytest.approx(1.0, abs=0.012)
    assert supervised.dropped_out(x, 0.25, None) is x


SERVER = """
import sys
for name in ("tfp_genens", "tensorflow_probability", "tf_keras"):
    sys.modules[name] = None  # any import of it raises ImportError
import json
import numpy as np
import tensorflow as tf

arguments = {"seed": tf.constant([3, 4])}
results = {}
for directory in sys.argv[1:]:
    model = tf.saved_model.load(directory + "/saved_model")
    arguments["inputs"] = tf.constant(np.load(directory + "/inputs.npy"), tf.float32)
    results[directory] = {}
    for name, signature in model.signatures.items():
        taken = signature.structured_input_signature[1]
        outputs = signature(**{k: v for k, v in arguments.items() if k in taken})
        results[directory][name] = {k: v.numpy().tolist() for k, v in outputs.items()}
print(json.dumps(results))
"""


def test_what_is_served_without_our_code_is_what_was_trained(tmp_path):
    frozen, inputs = {}, {}
    for name in SMALL:
        data = data_for(name)
        learner = build(name, data)
        train(learner, data, 3)
        frozen[name], inputs[name] = learner.freeze(), data.validation[:9]
        directory = tmp_path / name
        directory.mkdir()
        export.export_saved_model(frozen[name], data.input_spec, directory / "saved_model")
        np.save(directory / "inputs.npy", inputs[name])
    result = subprocess.run(
        [sys.executable, "-c", SERVER, *(str(tmp_path / name) for name in SMALL)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    served = json.loads(result.stdout)
    for name in SMALL:
        signatures = served[str(tmp_path / name)]
        assert set(signatures) == set(frozen[name].functions)
        for signature, entry in frozen[name].functions.items():
            given = {"inputs": tf.constant(inputs[name]), "seed": tf.constant(SEED)}
            expected = entry.function(*(given[argument] for argument in entry.arguments))
            for output, values in expected.items():
                np.testing.assert_allclose(
                    signatures[signature][output], values, rtol=2e-5, atol=2e-5, err_msg=output
                )
