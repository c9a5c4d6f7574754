"""Progress for people: a live line on a terminal, a plain line every few seconds elsewhere; always on stderr."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.text import Text

from distlandscape import output, stopping

PLAIN_SECONDS = 5.0
TOLD_SECONDS = 2.0


class _Console(Console):
    """A console whose reader may end first (``2>&1 | head``): the run is marked as interrupted, and can be resumed."""

    def on_broken_pipe(self) -> None:
        self.quiet = True  # for what is still said as the run ends
        stopping.ask("nobody reads any more what is told")


class Progress:
    """Shows what a study is doing, how far it is, and when it should end.

    The expected end is the time so far scaled by the share of planned work done; the plan is a count of units that
    the study sets and ticks off.

    Args:
        tell: told the same every few seconds: what is done ``now``, units ``done`` and ``planned``, seconds ``left``
            (None: unknown), ``workers`` alive (None: unknown).

    Attributes:
        workers: counts the workers that are alive, where there are any.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], object] = lambda now: None) -> None:
        self.workers: Callable[[], int | None] = lambda: None
        self._tell, self._told = tell, -math.inf
        # Below what makes standard error clean: the live line moves the cursor.
        self._console = _Console(file=output.below(sys.stderr), highlight=False)
        self._status: Status | None = None
        self._began = self._shown = time.monotonic()
        self._planned = self._done = self._part = 0.0
        self._clock, self._now = self._began, "starting"

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._status = self._console.status("starting")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
        self._tell_of(self._now, time.monotonic())  # where it ended, however soon after the last time

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(output.line(text), markup=False, soft_wrap=True)

    def plan(self, units: float) -> None:
        """How much work lies ahead, in any unit; the clock of the estimate starts now."""
        self._planned, self._done, self._part, self._clock = units, 0.0, 0.0, time.monotonic()

    def tick(self, units: float, planned: float | None = None) -> None:
        """So much is done; what ``step`` counted since the last tick is part of it.

        Where the plan had put down another number for it, ``planned``, it is corrected.
        """
        self._done, self._part = self._done + units, 0.0
        if planned is not None:
            self._planned += units - planned

    def step(self, text: str) -> None:
        """One unit of the part under way is done."""
        self._part += 1
        self.update(text)

    def update(self, text: str) -> None:
        """What is being done now.

        Raises:
            Interrupted: the run was asked to stop.
        """
        now, self._now = time.monotonic(), text
        left = self._left(now)
        if now - self._told >= TOLD_SECONDS:
            self._tell_of(text, now)
        line = f"{text} · {now - self._began:.0f} s" + ("" if left is None else f", about {left:.0f} s left")
        if self._status is not None:
            self._status.update(Text(output.line(line)))
        elif now - self._shown >= PLAIN_SECONDS:
            self._shown = now
            self.say(line)
        stopping.look()

    def _tell_of(self, text: str, now: float) -> None:
        self._told = now
        done = {"done": self._done + self._part, "planned": self._planned}
        self._tell({"now": text, **done, "left": self._left(now), "workers": self.workers()})

    def _left(self, now: float) -> float | None:
        """Seconds until the planned end; None where nothing is planned, or nothing done yet."""
        done = self._done + self._part
        if done <= 0 or self._planned <= done:
            return None
        return (now - self._clock) * (self._planned - done) / done
