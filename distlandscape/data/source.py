"""What a source of samples has to offer, and what every reader of files needs.

A source is read from its beginning, a few megabytes at a time, and may be larger than memory; its targets are kept.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from distlandscape.data.arrays import Indices, Samples
from distlandscape.errors import InputError

CHUNK = 8 * 2**20  # bytes of samples read at a time


@dataclass(frozen=True)
class Request:
    """What was asked for, in the words of the configuration; ``files`` closes what stays open while it is read."""

    source: str
    path: str | None = None
    split: str = "train"
    target: str = "y"
    options: Mapping[str, Any] = field(default_factory=dict)
    files: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def required_path(self, what: str) -> Path:
        """``path``, which must exist.

        Raises:
            InputError: not given, or not there.
        """
        if self.path is None:
            raise InputError(f"data.source={self.source} needs data.path, {what}")
        path = Path(self.path)
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(f"data.path {path} does not exist; give {what}") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"data.path {self.path!r} cannot be read ({reason}); give {what}") from None
        return path

    def folder(self, what: str) -> Path:
        """``path``, which must be a folder."""
        path = self.required_path(what)
        if not path.is_dir():
            raise InputError(f"data.path {path} is a file; data.source={self.source} needs {what}")
        return path

    def train_only(self, remedy: str) -> None:
        """Raise InputError when the test split is asked of a source that has none."""
        if self.split != "train":
            raise InputError(f"data.source={self.source} has no test split here; {remedy}, or set data.split=train")


class Readable(Protocol):
    """A binary stream, plain or decompressed on the way."""

    def read(self, size: int, /) -> bytes:
        """The next bytes; fewer only where it ends."""


class Source(Protocol):
    """Samples in a fixed order, with one target each."""

    @property
    def description(self) -> str:
        """What the samples are, in words."""

    def __len__(self) -> int:
        """Number of samples."""

    def targets(self) -> Samples:
        """All targets."""

    def chunks(self, wanted: Indices) -> Iterator[tuple[Samples, Samples]]:
        """The samples at ascending positions and their targets, in pieces of some megabytes."""


@dataclass(frozen=True)
class Streamed:
    """A source whose targets y are known and whose samples ``read`` yields from the beginning, in chunks."""

    description: str
    y: Samples
    read: Callable[[], Iterator[Samples]]

    def __len__(self) -> int:
        return len(self.y)

    def targets(self) -> Samples:
        """All targets."""
        return self.y

    def chunks(self, wanted: Indices) -> Iterator[tuple[Samples, Samples]]:
        """The wanted rows of each chunk; nothing is read behind the last of them."""
        start = done = 0
        for chunk in self.read():
            end = int(np.searchsorted(wanted, start + len(chunk)))
            if end > done:
                rows = wanted[done:end]
                yield chunk[rows - start], self.y[rows]
            start, done = start + len(chunk), end
            if done == len(wanted) and start < len(self.y):  # a file read to its end is asked whether it ends well
                return
        assert done == len(wanted), "a reader yields as many samples as it has targets"


def chunk_sizes(rows: int, row_bytes: int) -> Iterator[int]:
    """How many rows to read at a time."""
    most = max(1, CHUNK // max(1, row_bytes))
    for start in range(0, rows, most):
        yield min(most, rows - start)


def read_array(stream: Readable, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Samples:
    """The next elements of a stream.

    Raises:
        EOFError: the stream ends before.
    """
    size = math.prod(shape) * dtype.itemsize
    content = stream.read(size)
    if len(content) < size:
        raise EOFError(f"it ends {size - len(content)} bytes too early")
    return np.frombuffer(content, dtype).reshape(shape)


def read_rows(stream: Readable, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterator[Samples]:
    """An array of a stream, in chunks of rows."""
    for count in chunk_sizes(shape[0], math.prod(shape[1:]) * dtype.itemsize):
        yield read_array(stream, (count, *shape[1:]), dtype)
