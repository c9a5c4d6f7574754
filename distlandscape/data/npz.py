"""Archives of numpy: arrays x and y, and x_test and y_test for the test split."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from distlandscape.data.request import Request, Table
from distlandscape.data.rows import CHUNK_BYTES, ArrayRows, FileRows, Rows
from distlandscape.errors import InputError

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def npz(request: Request) -> Table:
    """Samples x are read where they lie in the archive, or unpacked first; targets y are held in memory."""
    file = request.existing("a file with arrays x and y")
    names = ("x", "y") if request.split == "train" else ("x_test", "y_test")
    try:
        return _read(file, names, request)
    except InputError:
        raise
    except PermissionError:
        raise InputError(f"data.path {file} may not be read; change its permissions or give another file") from None
    except Exception:  # zip, zlib and numpy each have their own ways to fail on a damaged or hostile file
        raise InputError(
            f"cannot read {file}: it is damaged or not an npz archive; save plain numeric arrays with numpy.savez"
        ) from None


def _read(file: Path, names: tuple[str, str], request: Request) -> Table:
    with file.open("rb") as stream:
        if stream.read(6) == b"\x93NUMPY":
            raise InputError(f"{file} is a single array, not an npz archive; save arrays x and y with numpy.savez")
    with zipfile.ZipFile(file) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        missing = [name for name in names if name not in members]
        if missing and request.split == "test" and len(missing) == 2:
            raise request.no_test_split(f"save arrays x_test and y_test in {file}")
        if missing:
            raise InputError(
                f"{file} has no array {missing[0]!r} (it has {sorted(members)}); save {' and '.join(names)}"
            )
        x = _rows(file, archive, members[names[0]], request)
        y = _whole(archive, members[names[1]], file)
    if not x.shape or y.ndim < 1:
        raise InputError(f"x and y in {file} must be arrays with one row a sample, not {x.shape} and {y.shape}")
    return Table(x, y, f"npz {file.name}")


def _header(stream: IO[bytes], info: zipfile.ZipInfo, file: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns come first, type; the array must be as long as its header says."""
    shape, by_columns, dtype = HEADERS[np.lib.format.read_magic(stream)](stream)
    if dtype.hasobject:
        raise InputError(f"cannot read {file}: it holds Python objects; save plain numeric arrays with numpy.savez")
    if info.file_size != stream.tell() + dtype.itemsize * int(np.prod(shape, dtype=object)):
        raise InputError(f"cannot read {file}: it is damaged, {info.filename} is not as long as its header says")
    return shape, by_columns, dtype


def _whole(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: Path) -> np.ndarray[Any, Any]:
    with archive.open(info) as stream:
        _header(stream, info, file)
    with archive.open(info) as stream:
        array: np.ndarray[Any, Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _rows(file: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, request: Request) -> Rows:
    with archive.open(info) as stream:
        shape, by_columns, dtype = _header(stream, info, file)
        start = stream.tell()
        if by_columns or not shape:
            return ArrayRows(_whole(archive, info, file))
        packed = info.compress_type != zipfile.ZIP_STORED
        with (request.scratch / "x").open("wb") if packed else Path("/dev/null").open("wb") as unpacked:
            while chunk := stream.read(CHUNK_BYTES):  # to the end, where the archive's checksum is compared
                unpacked.write(chunk)
                request.progress(f"{stream.tell() / 2**20:,.0f} of {info.file_size / 2**20:,.0f} MB read")
    if packed:
        return FileRows(request.scratch / "x", dtype, shape)
    with file.open("rb") as raw:  # the local header may be longer than the one in the archive's directory
        raw.seek(info.header_offset + 26)
        name, extra = (int.from_bytes(raw.read(2), "little") for _ in range(2))
    return FileRows(file, dtype, shape, info.header_offset + 30 + name + extra + start)
