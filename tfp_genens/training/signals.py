"""Stopping on request: SIGINT and SIGTERM become a flag that the loop looks at between steps."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class Stopped(Exception):  # noqa: N818  (not an error: the user asked)
    """Training stopped on a signal after saving its state.

    Attributes:
      signum: the signal.
      step: the step that was saved.
    """

    def __init__(self, signum: int, step: int):
        super().__init__(f"stopped by {signal.Signals(signum).name} at step {step}")
        self.signum = signum
        self.step = step


class StopRequest:
    """Holds the number of the signal that came, if one came."""

    def __init__(self) -> None:
        self.signum: int | None = None

    def __call__(self, signum: int, frame: object) -> None:
        del frame
        if self.signum is not None:  # a second signal: the user does not want to wait
            raise KeyboardInterrupt
        self.signum = signum


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Handles SIGINT and SIGTERM inside the block; does nothing outside the main thread."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {s: signal.signal(s, request) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
