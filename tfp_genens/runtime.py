"""TensorFlow's process-wide settings, made once at the start of a main."""

from __future__ import annotations

import tensorflow as tf


def configure_tensorflow(num_threads: int = 0) -> None:
    """Deterministic operations, full float32 precision, and a bound on threads.

    Args:
      num_threads: threads for TensorFlow's operations; 0 leaves the choice to TensorFlow.
    """
    if num_threads:
        tf.config.threading.set_intra_op_parallelism_threads(num_threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    # TF32 rounds to 10 bits on recent GPUs: too few for likelihoods.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
