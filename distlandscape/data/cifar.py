"""``data.source=cifar10`` and ``cifar100``: the binary versions of Krizhevsky's data sets.

A file is a row of records: one label byte (CIFAR-100: a coarse and a fine one), then 3×32×32 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distlandscape.data.arrays import Samples
from distlandscape.data.source import Request, Source, Streamed, read_rows
from distlandscape.errors import InputError
from distlandscape.files import open_regular

_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class _Format:
    name: str
    files: dict[str, list[str]]
    labels: int  # label bytes a record; the last one counts
    classes: int


_CIFAR10 = _Format(
    "CIFAR-10", {"train": [f"data_batch_{n}.bin" for n in range(1, 6)], "test": ["test_batch.bin"]}, 1, 10
)
_CIFAR100 = _Format("CIFAR-100", {"train": ["train.bin"], "test": ["test.bin"]}, 2, 100)


def open_cifar10(request: Request) -> Source:
    """Images (3, 32, 32) of bytes in 10 classes."""
    return _open(request, _CIFAR10)


def open_cifar100(request: Request) -> Source:
    """Images (3, 32, 32) of bytes in 100 classes, the fine labels."""
    return _open(request, _CIFAR100)


def has_test(request: Request) -> bool:
    """Whether the folder has the file of the test split."""
    form = _CIFAR10 if request.source == "cifar10" else _CIFAR100
    folder = request.folder("the folder of the binary version")
    return all((folder / name).is_file() for name in form.files["test"])


def _open(request: Request, form: _Format) -> Source:
    names = form.files[request.split]
    folder = request.folder(f"the folder of the binary version, with {names[0]}")
    files = [folder / name for name in names]
    record = form.labels + _PIXELS
    for file in files:
        if not file.is_file():
            raise InputError(f"{folder} has no {file.name}; give the folder of the binary version of {form.name}")
        size = file.stat().st_size
        if not size or size % record:
            raise InputError(
                f"{file} has {size} bytes, no multiple of the {record} of a {form.name} record; get it again"
            )
    y = np.concatenate([records[:, form.labels - 1] for records in _records(files, record)])
    if y.max() >= form.classes:
        raise InputError(
            f"{folder} has the label {y.max()}, {form.name} has 0…{form.classes - 1}; give the right files"
        )

    def read() -> Iterator[Samples]:
        for records in _records(files, record):
            yield records[:, form.labels :].reshape(-1, 3, 32, 32)

    return Streamed(f"{form.name} {request.split} images ({folder.name}), 3×32×32", y, read)


def _records(files: list[Path], record: int) -> Iterator[Samples]:
    for file in files:
        try:
            with open_regular(file) as stream:
                yield from read_rows(stream, (file.stat().st_size // record, record), np.dtype(np.uint8))
        except OSError as error:
            raise InputError(f"{file} cannot be read ({error.strerror}); check the file") from None
        except EOFError:
            raise InputError(f"{file} became shorter while it was read; import again") from None
