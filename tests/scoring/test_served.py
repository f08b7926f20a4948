"""The SavedModel where only TensorFlow is installed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfp_genens.artifact.member import scoring_seed
from tfp_genens.data import open_source

SERVER = """
import sys
for name in ("tfp_genens", "tensorflow_probability", "tf_keras"):
    sys.modules[name] = None  # any import of it raises ImportError
import json
import numpy as np
import tensorflow as tf

directory, inputs, seed, *batch_sizes = sys.argv[1], *json.loads(sys.argv[2])
images = np.load(inputs)
model = tf.saved_model.load(directory)
signature = model.signatures["serving_default"]
for batch_size in batch_sizes:
    parts = [
        signature(inputs=tf.cast(images[i : i + batch_size], tf.float32), seed=tf.constant(seed))
        for i in range(0, len(images), batch_size)
    ]
    print(json.dumps({k: np.concatenate([p[k].numpy() for p in parts]).tolist() for k in parts[0]}))
natural = model.serving_default(tf.constant(images), tf.constant(seed, tf.int32))
rate = model.signatures["rate"](inputs=tf.cast(images, tf.float32), seed=tf.constant(seed))
print(json.dumps([natural["log_prob"].numpy().tolist(), rate["rate"].numpy().tolist()]))
"""


def serve(directory, images_path, seed, batch_sizes):
    """Scores by batch size; then log_prob from uint8, and the rate by its own signature."""
    given = json.dumps([str(images_path), seed.tolist(), *batch_sizes])
    command = [sys.executable, "-c", SERVER, str(directory), given]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    *by_batch_size, alone = map(json.loads, result.stdout.splitlines())
    return by_batch_size, alone


def test_same_scores_without_our_code_for_any_batch_size(trained_run, trained_ensemble, tmp_path):
    images = next(open_source("digits:test", trained_ensemble.input_spec).batches(100)).values
    np.save(tmp_path / "images.npy", images)
    expected = {
        name: x[:, 1]
        for name, x in trained_ensemble.score(images).items()
        if name in trained_ensemble.outputs
    }
    by_batch_size, (from_uint8, rate_alone) = serve(
        trained_run / "member_1" / "saved_model",
        tmp_path / "images.npy",
        scoring_seed(0, 1),
        [1, 7, 100],
    )
    assert len(by_batch_size) == 3
    for served in by_batch_size:
        for name, values in expected.items():
            np.testing.assert_allclose(served[name], values, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(from_uint8, expected["log_prob"], rtol=2e-5)
    np.testing.assert_allclose(rate_alone, expected["rate"], rtol=2e-5, atol=2e-5)


ROW_FORMAT = """
import json
import sys
import numpy as np
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
for request in map(json.loads, sys.stdin):
    signature = model.signatures[request.get("signature_name", "serving_default")]
    specs = signature.structured_input_signature[1]
    rows = request["instances"]
    if not isinstance(rows[0], dict):  # the only argument
        (name,) = specs
        rows = [{name: row} for row in rows]
    arguments = {
        name: tf.constant([row[name] for row in rows], spec.dtype) for name, spec in specs.items()
    }
    found = signature(**arguments)
    # As TensorFlow Serving does: rows of the answer need the batch's dimension in every output.
    assert {len(values) for values in found.values()} == {len(rows)}
    rows_of = {name: values.numpy().tolist() for name, values in found.items()}
    predictions = [dict(zip(rows_of, row, strict=True)) for row in zip(*rows_of.values())]
    print(json.dumps({"predictions": predictions}))
print([name for name in ("tfp_genens", "tensorflow_probability") if name in sys.modules])
"""


def test_requests_by_rows(trained_run, trained_ensemble):
    """As TensorFlow Serving's REST interface takes them, for batches of 1, 7 and 100."""
    images = next(open_source("digits:test", trained_ensemble.input_spec).batches(100)).values
    expected = trained_ensemble.score(images)
    alphas = np.linspace(0.001, 1.0, 100)
    requests = []
    for num in (1, 7, 100):
        rows = images[:num].tolist()
        requests.append({"instances": rows})
        requests.append({"instances": [{"inputs": row} for row in rows]})
        with_alpha = [{"inputs": r, "alpha": a} for r, a in zip(rows, alphas, strict=False)]
        requests.append({"signature_name": "with_alpha", "instances": with_alpha})
    answers = subprocess.run(
        [sys.executable, "-c", ROW_FORMAT, str(trained_run / "ensemble/1")],
        input="\n".join(map(json.dumps, requests)),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert answers.pop() == "[]", "nothing beside TensorFlow is needed"
    for request, answer in zip(requests, answers, strict=True):
        predictions = json.loads(answer)["predictions"]
        assert len(predictions) == len(request["instances"])
        assert set(predictions[0]) == set(expected)
        for name in set(expected) - {"is_outlier"}:
            found = [row[name] for row in predictions]
            np.testing.assert_allclose(found, expected[name][: len(found)], rtol=2e-5, atol=2e-5)
        limits = alphas if "signature_name" in request else np.full(100, 0.05)
        flagged = [row["p_value"] <= limit for row, limit in zip(predictions, limits, strict=False)]
        assert [row["is_outlier"] for row in predictions] == flagged


@pytest.mark.slow
def test_saved_model_cli(trained_run, trained_ensemble, tmp_path):
    images = next(open_source("digits:test", trained_ensemble.input_spec).batches(7)).values
    np.save(tmp_path / "images.npy", images.astype(np.float32))
    command = f"run --tag_set serve --signature_def serving_default --outdir {tmp_path}/found"
    where = ["--dir", str(trained_run / "ensemble/1"), "--inputs", f"inputs={tmp_path}/images.npy"]
    cli = Path(sys.executable).with_name("saved_model_cli")
    subprocess.run([cli, *command.split(), *where], check=True, capture_output=True)
    for name, values in trained_ensemble.score(images).items():
        found = np.load(tmp_path / f"found/{name}.npy")
        np.testing.assert_allclose(found, values, rtol=2e-5, atol=2e-5)
