"""Who may write to a run directory: a lease with a heartbeat."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

from distlandscape.errors import RunLockedError, WriteFailed
from distlandscape.files import read_plain, write_all

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0


class Lease:
    """Exclusive right to write to ``folder`` while the context is open.

    A lease is free again when its holder gave it up, when its process is gone (same host), or when its heartbeat is
    older than a minute (another host).

    Raises:
        RunLockedError: the run is being written by a living process.
        WriteFailed: the lease cannot be written.
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
            except OSError as error:
                raise self._failed(error) from error
            try:
                write_all(descriptor, mine.encode())
            except OSError as error:
                self.path.unlink()  # or nobody could resume the run for a minute
                raise self._failed(error) from error
            finally:
                os.close(descriptor)
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
            age = time.time() - self.path.lstat().st_mtime
            text = read_plain(self.path)
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

    def _failed(self, error: OSError) -> WriteFailed:
        return WriteFailed(error.errno, error.strerror or str(error), str(self.path))

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            os.utime(self.path, follow_symlinks=False)


def held(folder: Path) -> bool:
    """Whether some process that lives holds the lease of a run directory, seen from any machine."""
    path = folder / "lease.json"
    try:
        return _alive(_parse(read_plain(path)), time.time() - path.lstat().st_mtime)
    except FileNotFoundError:
        return False


def halted(folder: Path) -> int | None:
    """The process that holds the lease of a run directory, where it is on this machine and stopped (SIGSTOP)."""
    try:
        holder = _parse(read_plain(folder / "lease.json"))
    except FileNotFoundError:
        return None
    pid = holder.get("pid")
    if holder.get("host") != socket.gethostname() or not isinstance(pid, int):
        return None
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return pid if state == "T" else None


def _parse(text: bytes) -> dict[str, object]:
    """The holder's lines, or {} while it is still writing them, or where they are not those of a holder."""
    try:
        holder = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return holder if isinstance(holder, dict) else {}


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
