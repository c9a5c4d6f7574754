"""Who may write to a run directory: a lease with a heartbeat."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

from distlandscape.errors import RunLockedError

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0


class Lease:
    """Exclusive right to write to ``folder`` while the context is open.

    A lease is free again when its holder gave it up, when its process is gone (same host), or when its heartbeat is
    older than a minute (another host).

    Raises:
        RunLockedError: the run is being written by a living process.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lease.json"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Lease:
        mine = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())})
        while True:
            try:
                descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            except FileExistsError:
                self._clear_stale()
                continue
            with os.fdopen(descriptor, "w") as file:
                file.write(mine)
            break
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def _clear_stale(self) -> None:
        """Take away a dead holder's lease; the rename makes sure only one contender does."""
        try:
            age = time.time() - self.path.stat().st_mtime
            text = self.path.read_text()
        except FileNotFoundError:
            return
        holder = _parse(text)
        if _alive(holder, age):
            raise RunLockedError(
                f"the run {self.path.parent} is being written by process {holder.get('pid', '?')} on"
                f" {holder.get('host', 'another host')}; wait for it or stop it before you resume"
            )
        grave = self.path.with_name(f"lease.{os.getpid()}.{time.monotonic_ns()}.stale")
        try:
            self.path.rename(grave)
        except FileNotFoundError:
            return
        grave.unlink()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            os.utime(self.path)


def held(folder: Path) -> bool:
    """Whether some process that lives holds the lease of a run directory, seen from any machine."""
    path = folder / "lease.json"
    try:
        return _alive(_parse(path.read_text()), time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return False


def _parse(text: str) -> dict[str, object]:
    """The holder's lines, or {} while it is still writing them."""
    try:
        holder: dict[str, object] = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return holder


def _alive(holder: dict[str, object], age: float) -> bool:
    if not holder:  # just created, its content not yet written
        return age < STALE_SECONDS
    if holder.get("host") != socket.gethostname():
        return age < STALE_SECONDS
    pid = holder.get("pid")
    return isinstance(pid, int) and _started(pid) is not None and _started(pid) == holder.get("started")


def _started(pid: int) -> str | None:
    """Start time of a living process (tells a re-used pid from the old one); None if there is none."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc").exists() or not _signalable(pid) else "unknown"
    return None if fields[0] == "Z" else fields[19]


def _signalable(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
