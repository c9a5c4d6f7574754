"""From the order of a source to the order drawn, with a block at most in memory.

Rows arrive in ascending order and leave block by block. A large set goes through a temporary file in which every block
has its place; within it rows lie as they arrived, and are put in order when the block is read.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from distlandscape.data.arrays import Indices, Samples, check_finite, stored_samples, stored_targets
from distlandscape.data.source import Source, read_rows
from distlandscape.data.writer import Progress
from distlandscape.errors import InputError

IN_MEMORY = 64 * 2**20  # bytes of samples that are put in order without a file


def gather(
    source: Source, order: Indices, cut: list[int], files: contextlib.ExitStack, folder: Path | None, progress: Progress
) -> tuple[Callable[[int], Samples], Samples]:
    """Samples of a block by its index, and all targets, both in ``order`` and as they are to be stored.

    Raises:
        InputError: NaN or infinite values, no room in ``folder``, or whatever the source has to say.
    """
    arrival = np.argsort(order)  # row number k of those that arrive is number arrival[k] in the order drawn
    done, placed, y = 0, None, np.empty(0)
    for x_chunk, y_chunk in source.chunks(order[arrival]):
        check_finite("x", x_chunk)
        check_finite("y", y_chunk)
        rows, targets = stored_samples(x_chunk), stored_targets(y_chunk)
        if placed is None:
            y = np.empty((len(order), *targets.shape[1:]), targets.dtype)
            size = len(order) * math.prod(rows.shape[1:]) * rows.itemsize
            placed = _InMemory(cut, rows) if size <= IN_MEMORY else _OnDisk(order, cut, rows, files, folder)
        places = arrival[done : done + len(rows)]
        placed.add(places, rows)
        y[places] = targets
        done += len(rows)
        progress(f"read {done:,} of {len(order):,} samples")
    assert placed is not None, "at least one sample is wanted"
    assert done == len(order), "a source gives what is wanted of it"
    return placed.block, y


class _InMemory:
    """All rows in one array."""

    def __init__(self, cut: list[int], like: Samples) -> None:
        self._cut = cut
        self._rows = np.empty((cut[-1], *like.shape[1:]), like.dtype)

    def add(self, places: Indices, rows: Samples) -> None:
        """Put rows where they belong."""
        assert rows.shape[1:] == self._rows.shape[1:]
        self._rows[places] = rows

    def block(self, index: int) -> Samples:
        """The rows of a block."""
        return self._rows[self._cut[index] : self._cut[index + 1]]


class _OnDisk:
    """All rows in a temporary file, which has no name and is gone with the process."""

    def __init__(
        self, order: Indices, cut: list[int], like: Samples, files: contextlib.ExitStack, folder: Path | None
    ) -> None:
        self._order, self._cut = order, cut
        self._shape, self._dtype = like.shape[1:], like.dtype
        self._row = math.prod(self._shape) * like.itemsize
        self._next = np.array(cut[:-1])  # where the next row of each block goes
        self._where = folder if folder is not None else Path(tempfile.gettempdir())
        with self._room():
            self._file: Any = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (files closes it)
            files.enter_context(self._file)

    def add(self, places: Indices, rows: Samples) -> None:
        """Append each row to those of its block."""
        assert (rows.shape[1:], rows.dtype) == (self._shape, self._dtype)
        block = np.searchsorted(self._cut, places, side="right") - 1
        together = np.argsort(block, kind="stable")
        rows, block = rows[together], block[together]
        starts = np.flatnonzero(np.diff(block, prepend=-1)).tolist()
        with self._room():
            for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
                index = block[start]
                self._file.seek(int(self._next[index]) * self._row)
                self._file.write(rows[start:stop].data)
                self._next[index] += stop - start

    def block(self, index: int) -> Samples:
        """The rows of a block, in the order drawn."""
        start, stop = self._cut[index], self._cut[index + 1]
        rows = np.empty((stop - start, *self._shape), self._dtype)
        arrived = np.argsort(self._order[start:stop])  # row number k of those that arrived is number arrived[k]
        done = 0
        with self._room():
            self._file.seek(start * self._row)
            for piece in read_rows(self._file, rows.shape, self._dtype):
                rows[arrived[done : done + len(piece)]] = piece
                done += len(piece)
        return rows

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"the temporary file of the import cannot be kept in {self._where} ({error.strerror}); make room there"
            ) from error
