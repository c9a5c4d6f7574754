"""An append-only, fsynced log of JSON lines; an event counts once its line is whole."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any


class EventLog:
    """Events of one run, oldest first.

    A crash can tear the last line only. Readers ignore a torn line; ``repair`` cuts it off before a writer goes on.
    Floats survive to the bit (JSON writes their shortest exact form).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def append(self, event: str, **fields: Any) -> None:
        """Write one event and wait until the disk has it."""
        line = json.dumps({"event": event, "time": time.time(), **fields}, allow_nan=False) + "\n"
        with self._lock, self.path.open("ab") as file:
            whole = file.tell()
            try:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.truncate(file.fileno(), whole)  # or the next line would follow a torn one
                raise

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """All whole events, or those of one kind."""
        if not self.path.exists():
            return []
        lines = self.path.read_bytes().split(b"\n")[:-1]
        events = [json.loads(line) for line in lines]
        return [event for event in events if kind is None or event["event"] == kind]

    def repair(self) -> bool:
        """Cut off a torn last line; True if there was one."""
        if not self.path.exists():
            return False
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) == len(content):
            return False
        with self.path.open("r+b") as file:
            file.truncate(len(whole))
            os.fsync(file.fileno())
        return True


class FollowedLog(EventLog):
    """The log of a run that another process writes, as of the last ``refresh``; no line is read twice."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._known: list[dict[str, Any]] = []
        self._read = 0

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """See EventLog.events."""
        return [event for event in list(self._known) if kind is None or event["event"] == kind]

    def refresh(self) -> None:
        """Read what was written since the last time."""
        with self._lock, self.path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
            new = new[: new.rfind(b"\n") + 1]  # a torn line is written anew, from the same place
            self._known += [json.loads(line) for line in new.split(b"\n")[:-1]]
            self._read += len(new)
