"""Progress of a call for who watches it: one line on standard error of a terminal or a notebook, nothing elsewhere.

A bar would need to know the end. A call that stops by residual does not, so the line says what has been reached.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

from distlandscape.spectral.journal import Silent

QUIET_SECONDS = 2.0  # a call that is over sooner shows nothing
EVERY_SECONDS = 0.2

F = TypeVar("F", bound=Callable[..., Any])


class Watch(Silent):
    """A journal that keeps nothing and shows the newest state of the call on one line."""

    def __init__(self, what: str) -> None:
        self._what, self._began, self._shown, self._width = what, time.monotonic(), 0.0, 0

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            sys.stderr.write("\n")
            sys.stderr.flush()

    def progress(self, name: str, step: int, note: str) -> None:
        """See Journal.progress."""
        now = time.monotonic()
        if now - self._began < QUIET_SECONDS or now - self._shown < EVERY_SECONDS:
            return
        self._shown = now
        counted = note if str(step) in note.split() else f"step {step}, {note}"
        line = f"{self._what}: {counted} · {now - self._began:.0f} s"
        sys.stderr.write(f"\r{line:<{self._width}}")
        sys.stderr.flush()
        self._width = len(line)


def watched(function: F) -> F:
    """A function that shows its progress where it is called without a ``journal`` and somebody looks."""

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if "journal" in options or not _somebody_looks():
            return function(*args, **options)
        with Watch(function.__name__) as watch:
            return function(*args, journal=watch, **options)

    return cast(F, call)


def _somebody_looks() -> bool:
    """Whether standard error is a terminal, or the output of a notebook's cell."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return sys.stderr.isatty() or hasattr(shell, "kernel")
