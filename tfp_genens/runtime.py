"""TensorFlow's process-wide settings, made once at the start of a main."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def _held_back_stderr() -> Iterator[None]:
    """Keeps what is written to file descriptor 2, from C++ too, and shows it on an exception."""
    sys.stderr.flush()
    kept_descriptor = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(kept_descriptor, held_back.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept_descriptor, 2)
            os.close(kept_descriptor)


def load_tensorflow() -> None:
    """Imports TensorFlow without the lines that its C++ side prints before its log level is set.

    For mains, before they import anything that imports TensorFlow. What is printed while it loads
    is shown only if that fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _held_back_stderr():
        import tensorflow  # noqa: F401


def configure_tensorflow(num_threads: int = 0) -> None:
    """Loads TensorFlow; deterministic operations, full float32 precision, a bound on threads.

    With `num_threads` 0 TensorFlow chooses how many threads its operations have.
    """
    load_tensorflow()
    import tensorflow as tf

    if num_threads:
        tf.config.threading.set_intra_op_parallelism_threads(num_threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    # TF32 rounds to 10 bits on recent GPUs: too few for likelihoods.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
