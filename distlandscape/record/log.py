"""An append-only, fsynced log of JSON lines, each chained to the one before; an event counts once its line is whole."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Any

from distlandscape.errors import InputError, WriteFailed
from distlandscape.files import open_plain, plain_descriptor, write_all
from distlandscape.record.chain import EMPTY, Events, Tail, follow, linked, whole_lines


class EventLog:
    """Events of one run, oldest first.

    Every line holds its number, the hash of the line before it and its own, so a line that was changed, doubled,
    swapped or taken out of the middle is seen at every reading. A crash can tear the last line only. Readers ignore a
    torn line; a writer cuts it off before it goes on.
    Floats survive to the bit (JSON writes their shortest exact form).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._tail: Tail | None = None  # where the last line ends that this object wrote or read for writing

    def append(self, event: str, **fields: Any) -> None:
        """Write one event and wait until the disk has it; one write and one fsync, however long the log is.

        Raises:
            WriteFailed: the disk has not got it; the log is as it was before.
            InputError: someone else changed the log, or it has no chain.
        """
        with self._lock:
            descriptor = self._opened(os.O_RDWR | os.O_CREAT)
            try:
                tail = self._end(descriptor)
                line, end = linked({"event": event, "time": time.time(), **fields}, tail)
                os.lseek(descriptor, tail.size, os.SEEK_SET)
                try:
                    write_all(descriptor, line)
                    os.fsync(descriptor)
                except BaseException:
                    with contextlib.suppress(OSError):  # then the next append finds it too long, and cuts it first
                        os.ftruncate(descriptor, tail.size)
                    raise
                self._tail = end
            except OSError as error:
                raise self._failed(error) from error
            finally:
                os.close(descriptor)

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """All whole events, or those of one kind.

        Raises:
            InputError: a line is missing, doubled, changed or torn in the middle; the sentence has its number.
        """
        return of_kind(self._read(EMPTY)[0], kind)

    def repair(self) -> bool:
        """Cut off a torn last line; True if there was one.

        Raises:
            WriteFailed: it cannot be cut.
            InputError: see ``events``.
        """
        if not self.path.exists():
            return False
        with self._lock:
            descriptor = self._opened(os.O_RDWR)
            try:
                size = os.fstat(descriptor).st_size
                self._tail = None
                return self._end(descriptor).size != size
            except OSError as error:
                raise self._failed(error) from error
            finally:
                os.close(descriptor)

    def _end(self, descriptor: int) -> Tail:
        """Where the last whole line ends; what stands behind it is cut off."""
        size = os.fstat(descriptor).st_size
        if self._tail is not None and self._tail.size == size:
            return self._tail
        _, tail = self._read(EMPTY)
        if not tail.chained:
            raise InputError(f"{self.path} was written by an edition before this one; start the study again")
        if tail.size != size:
            os.ftruncate(descriptor, tail.size)
            os.fsync(descriptor)
        return tail

    def _read(self, tail: Tail) -> tuple[Events, Tail]:
        """What stands whole behind ``tail``."""
        try:
            with open_plain(self.path) as file:
                file.seek(tail.size)
                return follow(whole_lines(file.read()), tail, self.path)
        except FileNotFoundError:
            return [], tail

    def _opened(self, flags: int) -> int:
        try:
            return plain_descriptor(self.path, flags)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> WriteFailed:
        return WriteFailed(error.errno, error.strerror or str(error), str(self.path))


class FollowedLog(EventLog):
    """The log of a run that another process writes, as of the last ``refresh``; no line is read twice."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._known: Events = []
        self._seen = EMPTY

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """See EventLog.events."""
        return of_kind(list(self._known), kind)

    def refresh(self) -> None:
        """Read what was written since the last time.

        Raises:
            InputError: see ``EventLog.events``.
        """
        with self._lock:
            try:
                new, self._seen = self._read(self._seen)
            except InputError:  # a line was taken back because the disk did not keep it, and another stands there now
                self._known = []
                new, self._seen = self._read(EMPTY)
            self._known += new


def of_kind(events: Events, kind: str | None) -> Events:
    """Those of one kind; all where it is None."""
    return [event for event in events if kind is None or event["event"] == kind]
