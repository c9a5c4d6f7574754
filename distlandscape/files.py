"""Files that are either whole or absent, regular files, and what is read and deleted without following links."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path

from safetensors import SafetensorError

from distlandscape.errors import InputError, WriteFailed


class NotRegularError(InputError):
    """What was named as a file is something else: it could wait, or give bytes, for ever."""


PRIVATE = 0o600  # mode of the files of a run: its owner's alone, whatever the umask


def write_whole(path: Path, write: Callable[[Path], object], private: bool = True) -> str:
    """Let ``write`` make the file under a temporary name, sync it, rename it; returns its sha256.

    A ``private`` file is its owner's alone from its first byte on. One that is replaced keeps the mode that its owner
    gave it; without ``private`` the umask decides.

    Raises:
        WriteFailed: the disk is full or refuses; the file is as it was before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    mode = PRIVATE if private else 0o666
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode))
        write(temporary)
        with open_plain(temporary) as file:
            if private:
                os.fchmod(file.fileno(), _mode_of(path))
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        temporary.replace(path)
        _sync_folder(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, (OSError, SafetensorError)):
            raise _failed(error, path) from error
        raise
    return digest


def write_bytes(path: Path, content: bytes) -> str:
    """Write a small file whole; returns its sha256.

    Raises:
        WriteFailed: see ``write_whole``.
    """

    def write(temporary: Path) -> None:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            write_all(descriptor, content)
        finally:
            os.close(descriptor)

    return write_whole(path, write)


def write_text(path: Path, text: str) -> str:
    """Write a text file whole; returns its sha256.

    Raises:
        WriteFailed: see ``write_whole``.
    """
    return write_bytes(path, text.encode())


def write_all(descriptor: int, content: bytes) -> None:
    """Write without a buffer, which would be written once more at closing; less than everything is an error.

    Raises:
        OSError: not all of it is written.
    """
    written = os.write(descriptor, content)
    if written != len(content):
        os.write(descriptor, content[written:])  # for the system's own reason, which is an error as a rule
        raise OSError(errno.ENOSPC, f"the disk took {written:,} of {len(content):,} bytes")


def open_plain(path: Path) -> BufferedReader:
    """Open a file of a run for reading: a regular file, never what a link in its place points to.

    Raises:
        InputError: it is a link, a pipe, a device or a socket.
        OSError: absent or unreadable.
    """
    return open(plain_descriptor(path, os.O_RDONLY), "rb")


def plain_descriptor(path: Path, flags: int) -> int:
    """The same as a descriptor, for what ``flags`` say.

    Raises:
        InputError: see ``open_plain``.
        OSError: absent, or not for this user.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, PRIVATE)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):  # a link, a pipe or a socket
            raise
    else:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    raise InputError(
        f"{path} is a link, a pipe or a device, where a run has files of its own; replace it by the file, or leave this"
        " run alone"
    )


def read_plain(path: Path) -> bytes:
    """Content of a file of a run; errors as ``open_plain``."""
    with open_plain(path) as file:
        return file.read()


def require_unchanged(path: Path, digest: object) -> None:
    """Raise InputError unless a file of a run has the digest that its log holds."""
    try:
        with open_plain(path) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        found = None
    if found is None or found != digest:
        raise InputError(f"{path} is missing or was changed after the run wrote it; start the study again")


def remove_files(top: Path, doomed: Callable[[Path], bool]) -> None:
    """Delete files of a run below a folder, which may be absent; follows no link."""
    if not top.is_dir():
        return
    for folder, _, names, descriptor in os.fwalk(top):
        for name in names:
            if doomed(Path(folder, name)):
                os.unlink(name, dir_fd=descriptor)


def remove_tree(top: Path, below: Path) -> None:
    """Delete the folder ``below`` of the folder ``top``, as far as it is there; follows no link below ``top``."""
    descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in below.parent.parts:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        shutil.rmtree(below.name, ignore_errors=True, dir_fd=descriptor)
    except (FileNotFoundError, NotADirectoryError):  # absent, or a link
        return
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Digest of a file's content, in hexadecimal.

    Raises:
        InputError: it is no regular file.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _failed(error: OSError | SafetensorError, path: Path) -> WriteFailed:
    if isinstance(error, OSError):
        return WriteFailed(error.errno, error.strerror or str(error), str(path))
    return WriteFailed(None, str(error), str(path))


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
