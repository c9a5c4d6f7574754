"""Folders for the files of a Ray: their owner's alone, short enough for its sockets, gone when it has ended.

Ray makes every folder of its own writable for everybody, those of jobs' packages and of its sockets among them. So it
gets one inside of a folder that nobody else can enter, which it never touches.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

from distlandscape.errors import InputError
from distlandscape.other_users import why_replaceable

PREFIX = "dl-ray-"
HELD = "driver"  # locked by a process that has a Ray of its own, for as long as it lives
SOCKET_PATH = 107  # bytes that the path of a Unix socket may have
SOCKET_BELOW = len("/ray/session_2000-01-01_00-00-00_000000_4194304/sockets/dash_MetricsHead")  # Ray's longest


def make_ray_folder() -> Path:
    """Make a folder for a Ray's files, its owner's alone; Ray is given ``ray`` in it.

    It lies among the temporary files ($RAY_TMPDIR, $TMPDIR), or in /tmp where paths get too long there or another user
    could put another folder in its place.

    Raises:
        InputError: it cannot be made.
    """
    wanted = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    reasons = []
    for root in dict.fromkeys((os.path.realpath(wanted), os.path.realpath("/tmp"))):
        reason = _unfit(root)
        if reason is None:
            try:
                return Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
            except OSError as error:
                reason = f"nothing can be made in {root} ({error.strerror})"
        reasons.append(reason)
    raise InputError(
        f"there is no place for Ray's files: {'; '.join(reasons)}; set TMPDIR to a folder of yours whose path has at"
        f" most {SOCKET_PATH - SOCKET_BELOW - len(PREFIX) - 9} bytes"
    )


class OwnRayFolder:
    """The folder of a Ray that lives no longer than this process; what killed processes left is removed first.

    Attributes:
        ray: what Ray is given.

    Raises:
        InputError: it cannot be made.
    """

    def __init__(self) -> None:
        self._folder, self._owner = make_ray_folder(), os.getpid()
        self.ray = self._folder / "ray"
        self._lock = _hold(self._folder)
        for left in sorted(self._folder.parent.glob(f"{PREFIX}*")):
            if left != self._folder:
                _remove_left(left)

    def remove(self) -> None:
        """Remove it; a forked process removes nothing of its parent's."""
        if os.getpid() == self._owner:
            _remove(self._folder)
            self._release()

    def keep(self) -> None:
        """Leave it, for the logs in it, until somebody removes it."""
        with contextlib.suppress(OSError):
            (self._folder / HELD).unlink()
            self._folder.rmdir()  # unless there is something in it
        self._owner = 0
        self._release()

    def _release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def _unfit(root: str) -> str | None:
    """Why Ray's files should not lie in a folder; None: they may."""
    if len(os.fsencode(f"{root}/{PREFIX}12345678")) + SOCKET_BELOW > SOCKET_PATH:
        return f"the path {root} is too long for its sockets"
    return why_replaceable(Path(root))


def _hold(folder: Path) -> int | None:
    """Lock the folder's mark before anyone can see it; None where the file system knows no locks."""
    making = folder / f".{HELD}"
    lock = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.write(lock, os.fsencode(os.uname().nodename))  # another host may not see the lock
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    making.rename(folder / HELD)
    return lock


def _remove_left(folder: Path) -> None:
    lock = _lock_of_the_dead(folder)
    if lock is not None:
        _remove(folder)
        os.close(lock)


def _lock_of_the_dead(folder: Path) -> int | None:
    """The lock on the folder of a process of this user and host that is no more; None where it is none."""
    try:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return None
        lock = os.open(folder / HELD, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if os.read(lock, 300) == os.fsencode(os.uname().nodename):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
    except OSError:  # it lives
        pass
    os.close(lock)
    return None


def _remove(folder: Path) -> None:
    """Remove all of it; processes of Ray that are about to end may still write there."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)
