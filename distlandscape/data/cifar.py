"""CIFAR-10 and CIFAR-100 in their binary versions (Krizhevsky 2009)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distlandscape.data.request import Request, Table
from distlandscape.data.rows import FileRows, JoinedRows, Samples
from distlandscape.errors import InputError

PIXELS = 3 * 32 * 32


def cifar10(request: Request) -> Table:
    """60,000 images 3×32×32 of 10 classes."""
    files = [f"data_batch_{i}.bin" for i in range(1, 6)] if request.split == "train" else ["test_batch.bin"]
    return _table(request, files, label_bytes=1, classes=10)


def cifar100(request: Request) -> Table:
    """60,000 images 3×32×32 of 100 classes, the fine labels."""
    return _table(request, [f"{request.split}.bin"], label_bytes=2, classes=100)


def _table(request: Request, names: list[str], label_bytes: int, classes: int) -> Table:
    what = f"the folder of the binary version, with {', '.join(names)}"
    folder = request.existing(what)
    parts, labels = [], []
    for name in names:
        file = folder / name
        if not file.is_file():
            raise InputError(f"{folder} has no {name}; give {what}")
        labels.append(_labels(file, label_bytes, classes))
        shape = (len(labels[-1]), 3, 32, 32)
        parts.append(FileRows(file, np.dtype(np.uint8), shape, label_bytes, label_bytes + PIXELS))
    return Table(JoinedRows(parts), np.concatenate(labels), f"CIFAR-{classes}, {request.split} split")


def _labels(file: Path, label_bytes: int, classes: int) -> Samples:
    """The last label byte of every record; in CIFAR-100 the coarse label comes first."""
    record = label_bytes + PIXELS
    size = file.stat().st_size
    if not size or size % record:
        raise InputError(f"{file} has {size} bytes, not a multiple of {record} as CIFAR-{classes} has; fetch it again")
    rows = FileRows(file, np.dtype(np.uint8), (size // record, 1), label_bytes - 1, record)
    labels: Samples = rows.take(np.arange(size // record)).reshape(-1).astype(np.int64)
    if labels.max() >= classes:
        raise InputError(
            f"{file} has label {labels.max()}, beyond the {classes} classes of CIFAR-{classes}; fetch it again"
        )
    return labels
