"""The SavedModel where only TensorFlow is installed."""

import json
import subprocess
import sys

import numpy as np

from tfp_genens.artifact.member import scoring_seed
from tfp_genens.data import open_source
from tfp_genens.scoring import Ensemble

SERVER = """
import sys
for name in ("tfp_genens", "tensorflow_probability", "tf_keras"):
    sys.modules[name] = None  # any import of it raises ImportError
import json
import numpy as np
import tensorflow as tf

directory, inputs, seed, batch_size = sys.argv[1], *json.loads(sys.argv[2]), int(sys.argv[3])
images = np.load(inputs)
model = tf.saved_model.load(directory)
signature = model.signatures["serving_default"]
parts = [
    signature(inputs=tf.cast(images[i : i + batch_size], tf.float32), seed=tf.constant(seed))
    for i in range(0, len(images), batch_size)
]
scores = {k: np.concatenate([p[k].numpy() for p in parts]).tolist() for k in parts[0]}
natural = model.serving_default(tf.constant(images), tf.constant(seed, tf.int32))
scores["from_uint8"] = natural["log_prob"].numpy().tolist()
scores["rate_alone"] = model.signatures["rate"](
    inputs=tf.cast(images, tf.float32), seed=tf.constant(seed)
)["rate"].numpy().tolist()
print(json.dumps(scores))
"""


def serve(directory, images_path, seed, batch_size):
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            SERVER,
            str(directory),
            json.dumps([str(images_path), seed.tolist()]),
            str(batch_size),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_same_scores_without_our_code_for_any_batch_size(trained_run, tmp_path):
    ensemble = Ensemble.load(trained_run)
    images = next(open_source("digits:test", ensemble.input_spec).batches(100)).values
    np.save(tmp_path / "images.npy", images)
    expected = {
        name: x[:, 1] for name, x in ensemble.score(images).items() if name in ensemble.outputs
    }
    for batch_size in (1, 7, 100):
        served = serve(
            trained_run / "member_1" / "saved_model",
            tmp_path / "images.npy",
            scoring_seed(0, 1),
            batch_size,
        )
        for name, values in expected.items():
            np.testing.assert_allclose(served[name], values, rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(served["from_uint8"], expected["log_prob"], rtol=2e-5)
        np.testing.assert_allclose(served["rate_alone"], expected["rate"], rtol=2e-5, atol=2e-5)
