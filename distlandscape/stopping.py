"""Requests to end a run: a signal is noted, and the run ends at the next place where it commits or waits.

An exception that a handler raises strikes wherever the main thread is: inside of Ray's C code, which makes another
error of it, or in a destructor, which swallows it. So while a run is under way a handler only takes a note, and all
that commits, waits or repeats calls ``look``. Only where nothing has looked for some seconds, as in a user's endless
loop, the handler raises all the same. The state is the calling thread's own: handlers run in the main thread, and a
thread that helps a run finishes what it writes.
"""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from distlandscape.errors import InputError, Interrupted

# What schedulers and batch systems send, as a warning or before they kill.
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
GRACE_SECONDS = 10.0  # for something to look, before the handler raises


class _Requests(threading.local):
    """What was asked of this thread's run, and what it makes of it.

    Attributes:
        reason: why the run is to end; None where nobody asked.
        asked: when, by a clock that only goes forwards.
        noting: a request is only noted; before a run has begun it is raised at once.
        heard: it was raised, so that the run is on its way to its end.
        ending: the run ends already, so that ``look`` finds nothing more to do.
        sealed: the end is being recorded, and nothing is raised, whoever asks.
    """

    reason: str | None = None
    asked = 0.0
    noting = heard = ending = sealed = False


_requests = _Requests()


def look() -> None:
    """Raise Interrupted where this thread's run was asked to end, and does not yet."""
    if _requests.reason is not None and not _requests.ending:
        _requests.heard = True
        raise Interrupted(_requests.reason)


def ask(reason: str) -> None:
    """Ask this thread's run to end, in the words of its record."""
    if _requests.reason is None:
        _requests.reason, _requests.asked, _requests.heard = reason, time.monotonic(), False


def reason() -> str | None:
    """Why this thread's run is to end; None where nobody asked."""
    return _requests.reason


def stopped(error: BaseException) -> bool:
    """Whether a run that ends with this error was stopped, rather than failed.

    A signal that reaches a whole group of processes ends workers too, and their loss is no fault of the run. What the
    user gave is wrong all the same. Ray's own handler of SIGTERM raises SystemExit, where a program calls this package.
    """
    if isinstance(error, (KeyboardInterrupt, Interrupted, SystemExit)):
        return True
    return _requests.reason is not None and not isinstance(error, InputError)


@contextmanager
def listening() -> Iterator[None]:
    """Heed SIGTERM, SIGUSR1, SIGUSR2 and Ctrl-C as requests to end; for programs, whose signals are their own.

    A signal that is ignored stays so. The first Ctrl-C of a run is noted as the others are, a second one is raised.
    """
    if threading.current_thread() is not threading.main_thread():  # where Python takes no handlers
        yield
        return
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGINT)}
    mine = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]
    _requests.reason, _requests.noting = None, False
    over, noted = threading.Event(), list[int]()

    def remind() -> None:
        while not over.wait(GRACE_SECONDS / 2):
            if noted:
                _thread.interrupt_main(signal.SIGTERM)  # which does nothing where no handler is in place

    def note(number: int, frame: FrameType | None) -> None:
        """Takes no lock: the main thread may hold any."""
        first = _requests.reason is None
        ask(f"stopped by {signal.Signals(number).name}")
        noted.append(number)
        _heed(number, again=not first)

    reminder = threading.Thread(target=remind, name="stopping", daemon=True)
    reminder.start()
    try:
        for number in mine:
            signal.signal(number, note)
        yield
    finally:
        over.set()
        reminder.join()
        for number in mine:
            signal.signal(number, before[number])
        _requests.reason, _requests.noting = None, False


@contextmanager
def noting() -> Iterator[None]:
    """A run is under way: requests are only noted, for ``look`` to find; one that comes after it changes nothing."""
    _requests.noting, _requests.ending = True, False
    try:
        yield
    finally:
        _requests.reason, _requests.ending = None, False


@contextmanager
def sealed() -> Iterator[None]:
    """Record how a run ends: from here on ``look`` raises nothing, and within no signal does."""
    _requests.heard = _requests.ending = _requests.sealed = True
    try:
        yield
    finally:
        _requests.sealed = False


def _heed(number: int, again: bool) -> None:
    """Raise what a signal asks for, where that is not left to ``look``."""
    if _requests.sealed:
        return
    if _requests.noting and not (again and number == signal.SIGINT):
        late = not _requests.heard and time.monotonic() >= _requests.asked + GRACE_SECONDS
        if not late:
            return
    _requests.heard = True
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Interrupted(_requests.reason)
