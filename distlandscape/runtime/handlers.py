"""Keep this process's handler of SIGTERM, which Ray replaces three times: as it starts, as it connects, as it leaves.

``ray.init`` puts a handler in place that exits. Its C++ part puts one below Python's, which prints a stack and aborts
the process, and takes it away again in ``ray.shutdown``, so that the process would die at once. A stack of a crash is
what is lost where they are left out.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

# A static bool of Ray's log: whether handlers of C++ are in place, which are then neither installed nor removed.
INSTALLED = "_ZN3ray6RayLog36is_failure_signal_handler_installed_E"

_left_out = False  # those of the Ray this process is connected to


@contextlib.contextmanager
def kept_as_ray_starts() -> Iterator[None]:
    """Around ``ray.init``; where this process handles no SIGTERM itself, Ray's way to end with it stays."""
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        yield
        return
    from ray._private import utils

    theirs = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda handler: None
    _leave_out(True)
    try:
        yield
    finally:
        utils.set_sigterm_handler = theirs


@contextlib.contextmanager
def kept_as_ray_ends() -> Iterator[None]:
    """Around ``ray.shutdown``."""
    handler = signal.getsignal(signal.SIGTERM)
    if _left_out:
        _leave_out(False)
    try:
        yield
    finally:
        handle_sigterm_by(handler)  # in a version of Ray that is not told so


def handle_sigterm_by(handler: Any) -> None:
    """Put a handler in place, where this thread may."""
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _leave_out(wanted: bool) -> None:
    global _left_out
    library = importlib.import_module("ray._raylet").__file__
    with contextlib.suppress(ValueError, OSError):  # another version of Ray
        ctypes.c_bool.in_dll(ctypes.CDLL(library), INSTALLED).value = wanted
        _left_out = wanted
