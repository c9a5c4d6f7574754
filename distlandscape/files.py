"""Files that are either whole or absent (temporary name, fsync, rename), and folders that hold Ray's sockets."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from distlandscape.errors import InputError

SOCKET_PATH = 107  # bytes that the path of a Unix socket may have
SOCKET_BELOW = len("/ray/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store.10")  # Ray's longest


PRIVATE = 0o600  # mode of the files of a run: its owner's alone, whatever the umask


def write_whole(path: Path, write: Callable[[Path], object], private: bool = True) -> str:
    """Let ``write`` make the file under a temporary name, sync it, rename it; returns its sha256.

    A ``private`` file is its owner's alone from its first byte on. One that is replaced keeps the mode that its owner
    gave it; without ``private`` the umask decides.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if private:
            temporary.unlink(missing_ok=True)
            temporary.touch(PRIVATE, exist_ok=False)
        write(temporary)
        with temporary.open("rb+") as file:
            if private:
                os.fchmod(file.fileno(), _mode_of(path))
            os.fsync(file.fileno())
        digest = sha256(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return digest


def write_text(path: Path, text: str) -> str:
    """Write a text file whole; returns its sha256."""
    return write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def sha256(path: Path) -> str:
    """Digest of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def holds_sockets(folder: str) -> bool:
    """Whether Ray's sockets in a session below a folder have paths that are short enough."""
    return len(os.fsencode(folder)) + SOCKET_BELOW <= SOCKET_PATH


def ray_folder(prefix: str) -> Path:
    """Make a folder for a Ray's files, its owner's alone; in /tmp where paths get too long among the temporary files.

    Raises:
        InputError: it cannot be made there.
    """
    root = tempfile.gettempdir()
    if not holds_sockets(f"{root}/{prefix}12345678"):
        root = "/tmp"
    try:
        return Path(tempfile.mkdtemp(prefix=prefix, dir=root))
    except OSError as error:
        raise InputError(
            f"no folder for Ray's sockets can be made in {root} ({error.strerror}); set TMPDIR to a folder of yours"
            f" whose path has at most {SOCKET_PATH - SOCKET_BELOW} bytes"
        ) from None


def _mode_of(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat(follow_symlinks=False).st_mode) & 0o777
    except FileNotFoundError:
        return PRIVATE


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
