"""IDX files, the format of MNIST and its relatives, plain or gzipped."""

from __future__ import annotations

import gzip
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any

import numpy as np

from distlandscape.data.request import Request, Table
from distlandscape.data.rows import CHUNK_BYTES, FileRows, Rows, Samples
from distlandscape.errors import InputError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # where the package dataset-fashion-mnist puts it
PREFIX = {"train": "train", "test": "t10k"}
BYTES = 0x08  # the code of unsigned bytes, the only type these files use


def fashion_mnist(request: Request) -> Table:
    """Zalando's 70,000 images of clothes, 1×28×28 bytes (Xiao et al. 2017)."""
    if request.path is None and not DEBIAN.is_dir():
        raise InputError(
            "data.source=fashion_mnist found nothing at its usual place; install Debian's package"
            " dataset-fashion-mnist, or give data.path, the folder of its four IDX files"
        )
    return _table(request, Path(request.path) if request.path is not None else DEBIAN, "Fashion-MNIST")


def idx(request: Request) -> Table:
    """A folder of IDX files with the names of MNIST."""
    folder = request.existing("a folder of IDX files such as train-images-idx3-ubyte.gz")
    return _table(request, folder, f"IDX files of {folder.name}")


def _table(request: Request, folder: Path, name: str) -> Table:
    prefix = PREFIX[request.split]
    images = _find(folder, f"{prefix}-images-idx3-ubyte")
    labels = _find(folder, f"{prefix}-labels-idx1-ubyte")
    x, y = _rows(images, 3, request), _labels(labels, request)
    if x.shape[0] != len(y):
        raise InputError(f"{images} has {x.shape[0]} images and {labels} {len(y)} labels; fetch both again")
    return Table(x, y, f"{name}, {request.split} split")


def _find(folder: Path, name: str) -> Path:
    for file in (folder / name, folder / f"{name}.gz", folder / name.replace("-idx", ".idx")):
        if file.is_file():
            return file
    raise InputError(f"{folder} has no {name} or {name}.gz; give the folder of the four IDX files")


def _labels(file: Path, request: Request) -> Samples:
    rows = _rows(file, 1, request)
    labels: Samples = rows.take(np.arange(rows.shape[0])).astype(np.int64).reshape(-1)
    return labels


def _rows(file: Path, axes: int, request: Request) -> Rows:
    """Images (N, 1, H, W) or labels (N, 1), of which only the header is read now."""
    packed = file.suffix == ".gz"
    try:
        with file.open("rb") as raw, gzip.GzipFile(fileobj=raw) if packed else nullcontext(raw) as opened:
            stream: Any = opened
            sizes = _sizes(stream, file, axes)
            length = int(np.prod(sizes, dtype=object))
            shape = (sizes[0], 1, *sizes[1:])
            if not packed:
                there = file.stat().st_size - (4 + 4 * axes)
                if there != length:
                    raise InputError(f"{file} holds {there} bytes, its header says {length}; fetch it again")
                return FileRows(file, np.dtype(np.uint8), shape, 4 + 4 * axes)
            return FileRows(_unpack(stream, length, file, request), np.dtype(np.uint8), shape)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file} cannot be read ({error}); fetch it again") from None


def _sizes(stream: IO[bytes], file: Path, axes: int) -> list[int]:
    header = stream.read(4 + 4 * axes)
    if len(header) < 4 + 4 * axes or header[:4] != bytes([0, 0, BYTES, axes]):
        raise InputError(f"{file} does not begin as an IDX file of bytes with {axes} axes does; give the right file")
    return [int.from_bytes(header[i : i + 4], "big") for i in range(4, len(header), 4)]


def _unpack(stream: IO[bytes], length: int, file: Path, request: Request) -> Path:
    """Unpack as many bytes as the header promised, and not one more."""
    raw, left = request.scratch / file.stem, length
    with raw.open("wb") as out:
        while left and (chunk := stream.read(min(CHUNK_BYTES, left))):
            out.write(chunk)
            left -= len(chunk)
    if left or stream.read(1):
        raise InputError(f"{file} does not hold the {length} bytes its header says; fetch it again")
    return raw
