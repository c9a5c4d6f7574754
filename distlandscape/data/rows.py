"""Samples that can be taken by index without all of them being in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from distlandscape.errors import InputError

Samples = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]
CHUNK_BYTES = 2**24  # looked at together


class Rows(Protocol):
    """N samples of one shape and type."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, …)."""

    def take(self, indices: Indices) -> Samples:
        """Samples in this order, (n, …)."""


class ArrayRows:
    """Rows of an array in memory."""

    def __init__(self, array: Samples) -> None:
        self._array = array
        self.dtype, self.shape = array.dtype, array.shape

    def take(self, indices: Indices) -> Samples:
        """See Rows.take."""
        return self._array[indices]


class FileRows:
    """Rows of equal length in a file, read one by one: a map would keep all that was touched in memory.

    Args:
        path: the file.
        dtype: type of the elements.
        shape: (N, …).
        offset: byte at which the first row starts.
        stride: bytes from one row to the next; None: rows follow each other.
    """

    def __init__(
        self, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int = 0, stride: int | None = None
    ) -> None:
        self.dtype, self.shape = dtype, shape
        self._path, self._offset = path, offset
        self._bytes = int(np.prod(shape[1:])) * dtype.itemsize
        self._stride = stride if stride is not None else self._bytes

    def take(self, indices: Indices) -> Samples:
        """See Rows.take; InputError where the file has become shorter."""
        out = np.empty((len(indices), *self.shape[1:]), self.dtype)
        raw: Any = out.reshape(-1).view(np.uint8)
        flat = memoryview(raw)
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            for position, index in enumerate(indices.tolist()):
                row = flat[position * self._bytes : (position + 1) * self._bytes]
                if os.preadv(descriptor, [row], self._offset + index * self._stride) != self._bytes:
                    raise InputError(f"{self._path} is shorter than its header says; fetch it again")
        finally:
            os.close(descriptor)
        return out


class JoinedRows:
    """Rows of several tables, one after the other."""

    def __init__(self, parts: Sequence[Rows]) -> None:
        self._parts = list(parts)
        self._starts = np.cumsum([0, *(part.shape[0] for part in parts)])
        self.dtype, self.shape = parts[0].dtype, (int(self._starts[-1]), *parts[0].shape[1:])

    def take(self, indices: Indices) -> Samples:
        """See Rows.take."""
        out = np.empty((len(indices), *self.shape[1:]), self.dtype)
        owner = np.searchsorted(self._starts, indices, side="right") - 1
        for number, part in enumerate(self._parts):
            mine = owner == number
            if mine.any():
                out[mine] = part.take(indices[mine] - self._starts[number])
        return out


def chunks(rows: Rows) -> Iterator[Samples]:
    """All rows in order, some megabytes at a time."""
    row_bytes = max(1, int(np.prod(rows.shape[1:])) * rows.dtype.itemsize)
    step = max(1, CHUNK_BYTES // row_bytes)
    for start in range(0, rows.shape[0], step):
        yield rows.take(np.arange(start, min(start + step, rows.shape[0])))


def staged(parts: Iterable[Samples], path: Path, progress: Callable[[str], None]) -> FileRows:
    """Write arrays of rows to a raw file, one after the other, and read rows from there.

    Raises:
        InputError: no rows, or rows of differing shapes.
    """
    count, shape, dtype = 0, None, None
    with path.open("wb") as file:
        for part in parts:
            if shape is None:
                shape, dtype = part.shape[1:], part.dtype
            elif part.shape[1:] != shape or part.dtype != dtype:
                raise InputError(
                    f"sample {count} has shape {part.shape[1:]} and type {part.dtype}, those before it {shape} and"
                    f" {dtype}; give samples of one shape"
                )
            file.write(np.ascontiguousarray(part).data)
            count += len(part)
            progress(f"{count:,} samples read")
    if shape is None or dtype is None:
        raise InputError("the source holds no samples; give at least one")
    return FileRows(path, dtype, (count, *shape))
