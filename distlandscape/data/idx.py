"""``data.source=idx`` and ``fashion_mnist``: image and label files in the format of MNIST (LeCun, Cortes, Burges).

A file is a magic number, the sizes as big-endian 32-bit numbers, and then bytes.
"""

from __future__ import annotations

import contextlib
import gzip
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from distlandscape.data.arrays import Samples
from distlandscape.data.source import Request, Source, Streamed, read_array, read_rows
from distlandscape.errors import InputError
from distlandscape.files import open_regular
from distlandscape.limits import check_row, check_unpacked, memory_of

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
FILES = {"train": "train", "test": "t10k"}
ENDS = ("", ".gz")
_BYTE = np.dtype(np.uint8)


def open_idx(request: Request) -> Source:
    """Images (1, H, W) of bytes, with labels.

    Raises:
        InputError: files that are missing, damaged, of another format, or that do not belong together.
    """
    what = "a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte and the like, .gz or not"
    return _open(request, request.folder(what), "IDX")


def open_fashion_mnist(request: Request) -> Source:
    """Fashion-MNIST (Xiao et al. 2017), from Debian's package unless ``path`` names another folder."""
    if request.path is None and not FASHION_MNIST.is_dir():
        raise InputError(
            f"Fashion-MNIST is not in {FASHION_MNIST}; install Debian's package dataset-fashion-mnist, or give its"
            " folder as data.path"
        )
    folder = FASHION_MNIST if request.path is None else request.folder("the folder of its IDX files")
    source = _open(request, folder, "Fashion-MNIST")
    if source.y.max() > 9:
        raise InputError(f"{folder} has labels up to {source.y.max()}, Fashion-MNIST has 0…9; use data.source=idx")
    return source


def has_test(request: Request) -> bool:
    """Whether the folder has the two files of the test split."""
    bundled = request.source == "fashion_mnist" and request.path is None
    folder = FASHION_MNIST if bundled else request.folder("the folder of its IDX files")
    kinds = ("images-idx3", "labels-idx1")
    return all(any((folder / f"{FILES['test']}-{kind}-ubyte{end}").is_file() for end in ENDS) for kind in kinds)


def _open(request: Request, folder: Path, name: str) -> Streamed:
    stem = FILES[request.split]
    images, labels = (_find(folder, f"{stem}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
    count, height, width = _sizes(images, 3)
    (labelled,) = _sizes(labels, 1)
    if count != labelled:
        raise InputError(f"{images} has {count} images and {labels.name} {labelled} labels; give files of one set")
    if not count * height * width:
        raise InputError(f"{images} is empty: {count} images of {height}×{width}; give at least one image")
    y = np.concatenate(list(_content(labels, 1, (count,))))
    description = f"{name} {request.split} images ({folder.name}), 1×{height}×{width}"
    return Streamed(description, y, lambda: _content(images, 3, (count, 1, height, width)))


def _find(folder: Path, name: str) -> Path:
    for end in ENDS:
        if (folder / f"{name}{end}").is_file():
            return folder / f"{name}{end}"
    raise InputError(f"{folder} has neither {name} nor {name}.gz; give a folder with the IDX files of this split")


def _sizes(file: Path, dimensions: int) -> tuple[int, ...]:
    """The header's sizes, if they are those of data and not of a bomb."""
    with _opened(file) as stream:
        magic, *sizes = (int(number) for number in read_array(stream, (1 + dimensions,), np.dtype(">u4")))
    expected = 0x800 + dimensions
    if magic != expected:
        raise InputError(
            f"{file} begins with 0x{magic:08x}, not 0x{expected:08x}: no IDX file of bytes with {dimensions} sizes;"
            " give the original file"
        )
    size, needed = file.stat().st_size, math.prod(sizes) + 4 * (1 + dimensions)
    if file.suffix != ".gz" and needed > size:
        raise InputError(f"{file} is truncated: its header asks for {needed} bytes, it has {size}; get it again")
    check_row(str(file), tuple(sizes), _BYTE)
    check_unpacked(str(file), memory_of(sizes[0], math.prod(sizes[1:])), size, "unpack it with gunzip")
    return tuple(sizes)


def _content(file: Path, dimensions: int, shape: tuple[int, ...]) -> Iterator[Samples]:
    """What follows the header, and no byte more, however much a compressed file would give."""
    with _opened(file) as stream:
        read_array(stream, (1 + dimensions,), np.dtype(">u4"))
        yield from read_rows(stream, shape, _BYTE)
        if stream.read(1):
            raise InputError(f"{file} holds more than its header says; it is damaged, get it again")


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with open_regular(file) as stream:
            yield gzip.GzipFile(fileobj=stream) if file.suffix == ".gz" else stream
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{file} is truncated or damaged ({error}); get it again") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}); check the file") from None
