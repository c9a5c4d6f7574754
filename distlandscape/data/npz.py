"""``data.source=npz``: arrays x and y (x_test and y_test) saved by numpy.savez, compressed or not.

numpy.load would hold a whole member; here a member is read as a stream.
"""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distlandscape.data.arrays import Samples, check_arrays
from distlandscape.data.source import Request, Source, Streamed, read_array, read_rows
from distlandscape.errors import InputError
from distlandscape.files import open_regular
from distlandscape.limits import check_row, check_unpacked, memory_of

LISTED = 12  # names of an archive that an error shows
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def open_npz(request: Request) -> Source:
    """Arrays as they are; an x in Fortran order cannot be streamed and is read whole.

    Raises:
        InputError: no archive, damaged, without the arrays, with arrays that are no samples, or packed far more densely
            than data are.
    """
    if request.path is None:
        raise InputError("data.source=npz needs data.path, a file with arrays x and y")
    file = Path(request.path)
    names = ("x", "y") if request.split == "train" else ("x_test", "y_test")
    with _readable(file):
        stream = request.files.enter_context(open_regular(file))
        if stream.read(6) == b"\x93NUMPY":
            raise InputError(f"{file} is a single array, not an npz archive; save arrays x and y with numpy.savez")
        archive = request.files.enter_context(zipfile.ZipFile(stream))
        held = sorted(name.removesuffix(".npy") for name in archive.namelist())[:LISTED]
        missing = [name for name in names if f"{name}.npy" not in archive.namelist()]
        if missing:
            remedy = "save x and y" if request.split == "train" else "save x_test and y_test, or set data.split=train"
            raise InputError(f"{file} has no array {missing[0]!r} (it has {held}); {remedy}")
        x, y = (_Member.of(archive, f"{name}.npy") for name in names)
        if not x.shape or not y.shape:
            raise InputError(
                f"x and y in {file} must be arrays with one row a sample, not {x.shape} and {y.shape}; reshape them"
            )
        check_arrays(x.dtype, x.shape, y.dtype, y.shape)
        for member in (x, y):
            member.check_size(file)
        targets = np.concatenate(list(y.rows(archive)))

    def read() -> Iterator[Samples]:
        with _readable(file):
            yield from x.rows(archive)

    split = "" if request.split == "train" else ", test split"
    return Streamed(f"npz {file.name}{split}", targets, read)


def has_test(request: Request) -> bool:
    """Whether the archive has arrays x_test and y_test."""
    file = request.required_path("a file with arrays x and y")
    with _readable(file), open_regular(file) as stream, zipfile.ZipFile(stream) as archive:
        return {"x_test.npy", "y_test.npy"} <= set(archive.namelist())


@dataclass(frozen=True)
class _Member:
    """One array of the archive."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int
    packed: int

    @classmethod
    def of(cls, archive: zipfile.ZipFile, name: str) -> _Member:
        info = archive.getinfo(name)
        if info.compress_type not in _PACKED:
            raise ValueError("numpy does not pack arrays like this")
        with archive.open(name) as stream:
            shape, fortran, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
            member = cls(name, shape, dtype, fortran, stream.tell(), info.compress_size)
        if dtype.hasobject:
            raise _HoldsObjectsError
        if member.offset + math.prod(shape) * dtype.itemsize != info.file_size:
            raise ValueError("size and header differ")
        return member

    def check_size(self, file: Path) -> None:
        """Raise InputError for rows, or a whole, of which no archive of this size should ask."""
        name = f"array {self.name.removesuffix('.npy')!r} of {file}"
        check_row(name, self.shape, self.dtype)
        row = math.prod(self.shape[1:]) * self.dtype.itemsize
        # The archive's own word for what is packed may be more than there is.
        packed = min(self.packed, file.stat().st_size)
        check_unpacked(name, memory_of(self.shape[0], row), packed, "save it uncompressed with numpy.savez")

    def rows(self, archive: zipfile.ZipFile) -> Iterator[Samples]:
        with archive.open(self.name) as stream:
            read_array(stream, (self.offset,), np.dtype(np.uint8))
            if self.fortran:
                yield read_array(stream, self.shape[::-1], self.dtype).T
            else:
                yield from read_rows(stream, self.shape, self.dtype)
            stream.read(1)  # at its end a member is compared with its checksum


class _HoldsObjectsError(Exception):
    pass


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[None]:
    """What can go wrong with a file, in the user's words."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"data.path {file} does not exist; give an npz file with arrays x and y") from None
    except PermissionError:
        raise InputError(f"data.path {file} may not be read; change its permissions or give another file") from None
    except Exception as error:  # zip, zlib and numpy each have their own ways to fail on a damaged or hostile file
        objects = isinstance(error, _HoldsObjectsError)
        reason = "it holds Python objects" if objects else "it is damaged or not an npz archive"
        raise InputError(f"cannot read {file}: {reason}; save plain numeric arrays with numpy.savez") from None
