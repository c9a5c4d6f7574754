"""Files that are either whole or absent (temporary name, fsync, rename), regular files, folders of Ray's sockets."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path

from distlandscape.errors import InputError

SOCKET_PATH = 107  # bytes that the path of a Unix socket may have
SOCKET_BELOW = len("/ray/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store.10")  # Ray's longest


class NotRegularError(InputError):
    """What was named as a file is something else: it could wait, or give bytes, for ever."""


def write_whole(path: Path, write: Callable[[Path], object]) -> str:
    """Let ``write`` make the file under a temporary name, sync it, rename it; returns its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
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
    """Digest of a file's content, in hexadecimal.

    Raises:
        InputError: it is no regular file.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_regular(path: str | Path) -> BufferedReader:
    """Open a file for reading; symbolic links are followed, and what is no regular file is neither waited for nor read.

    Raises:
        NotRegularError: a pipe, a socket or a device.
        OSError: it cannot be opened, or is a folder.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a device that is not there
            raise _no_regular_file(path) from None
        raise
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise _no_regular_file(path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | Path, most: int) -> bytes:
    """The content of a regular file of at most ``most`` bytes.

    Raises:
        InputError: larger, or no regular file.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise _too_large(path, Path(path).stat().st_size, most)
    return content


def require_regular(folder: Path, limits: Mapping[str, int]) -> None:
    """Look at files of a folder, named with the bytes each may have, before any of them is read.

    Raises:
        InputError: one is there and is no regular file, or is larger.
    """
    for name, most in limits.items():
        path = folder / name
        try:
            found = path.stat()
        except OSError:  # absent, or for its reader to complain about
            continue
        if not stat.S_ISREG(found.st_mode):
            raise _no_regular_file(path)
        if found.st_size > most:
            raise _too_large(path, found.st_size, most)


def _no_regular_file(path: str | Path) -> NotRegularError:
    return NotRegularError(
        f"{path} is no regular file (a pipe, a socket, a device or a folder); copy its content into a regular file"
    )


def _too_large(path: str | Path, size: int, most: int) -> InputError:
    return InputError(f"{path} has {size:,} bytes, and files of its kind have {most:,} at most; give the right file")


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


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
