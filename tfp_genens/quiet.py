"""Imports TensorFlow without the lines that its C++ side prints before its log level is set.

Mains import this module first. What is printed while TensorFlow loads is shown only if that fails.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


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


with _held_back_stderr():
    import tensorflow  # noqa: F401
