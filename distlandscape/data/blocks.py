"""The block store: samples cut into B fixed blocks, as an Arrow file that workers map into memory.

A block is the unit of retry and of summation; the cut depends on N and B alone, never on the number of workers.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distlandscape.data.rows import ArrayRows, Samples
from distlandscape.data.scaling import Scaling
from distlandscape.data.writer import METADATA, block_bounds, checked_targets, default_blocks, store_digest, write_rows
from distlandscape.errors import InputError
from distlandscape.files import write_whole

__all__ = ["BlockStore", "Samples", "block_bounds", "default_blocks"]

LARGE_BYTES = 2**27  # of a larger file, the pages of blocks that were used are given back


class BlockStore:
    """N samples x (N, …) with targets y (N,) or (N, C), in B blocks of consecutive samples.

    Attributes:
        samples: N.
        blocks: B, a power of two.
        digest: sha256 of the cut, the types, the scaling and every byte of the samples.
        description: what the samples are, in words.
        scaling: how stored values become inputs; None: they are inputs.
        split: "train" or "test" of the source.
        path: the file, or None in memory.
    """

    def __init__(self, reader: pa.ipc.RecordBatchFileReader, path: Path | None, pages: mmap.mmap | None = None) -> None:
        self._reader, self.path, self._pages = reader, path, pages
        header = json.loads(reader.schema.metadata[METADATA])
        self.samples: int = header["samples"]
        self.blocks: int = reader.num_record_batches
        self.digest: str = header["digest"]
        self.description: str = header["description"]
        self.split: str = header.get("split", "train")
        scaling = header.get("scaling")
        self.scaling = Scaling(tuple(scaling["shift"]), tuple(scaling["divisor"])) if scaling else None
        self._held: int | None = None

    @classmethod
    def from_arrays(
        cls, x: npt.ArrayLike, y: npt.ArrayLike, blocks: int | None = None, description: str = "arrays"
    ) -> BlockStore:
        """Cut arrays, in the order given, into blocks held in memory.

        Raises:
            InputError: empty, unequal lengths, object or text arrays, NaN or inf, an impossible number of blocks.
        """
        sink = pa.BufferOutputStream()
        x, y = np.asarray(x), checked_targets(np.asarray(y))
        write_rows(sink, ArrayRows(x), y, None, blocks, description)
        return cls.from_bytes(sink.getvalue())

    @classmethod
    def from_bytes(cls, content: pa.Buffer | bytes) -> BlockStore:
        """The store whose file has this content."""
        return cls(pa.ipc.open_file(pa.BufferReader(content)), None)

    @classmethod
    def open(cls, path: str | Path) -> BlockStore:
        """Map a block store file into memory.

        Raises:
            InputError: missing, or not a block store.
        """
        file = Path(path).absolute()
        try:
            with file.open("rb") as stream:
                pages = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            return cls(pa.ipc.open_file(pa.BufferReader(pa.py_buffer(pages))), file, pages)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            raise InputError(f"{file} is not a block store that can be read; import the data again") from None

    def write(self, path: str | Path) -> BlockStore:
        """Write the store to a file, whole, and open that."""
        file = Path(path)
        write_whole(file, lambda temporary: self._copy(str(temporary)))
        return BlockStore.open(file)

    def intact(self) -> bool:
        """Whether the samples still have the digest they were stored with; reads every byte."""
        cut = block_bounds(self.samples, self.blocks)
        x, y = self.block(0)
        shapes = [(self.samples, *x.shape[1:]), (self.samples, *y.shape[1:])]
        digest = store_digest(cut, x.dtype, shapes[0], y.dtype, shapes[1], self.scaling)
        for column in (0, 1):
            for index in range(self.blocks):
                digest.update(np.ascontiguousarray(self.block(index)[column]).data)
        return digest.hexdigest() == self.digest

    def block(self, index: int) -> tuple[Samples, Samples]:
        """Samples and targets of one block, views of the store (read-only)."""
        batch = self._batch(index)
        return _array(batch.column("x")), _array(batch.column("y"))

    def _batch(self, index: int) -> pa.RecordBatch:
        if self._pages is not None and len(self._pages) > LARGE_BYTES and index != self._held:
            self._pages.madvise(mmap.MADV_DONTNEED)  # older views stay valid: their pages are read again when needed
            self._held = index
        return self._reader.get_batch(index)

    def __reduce__(self) -> tuple[Callable[..., BlockStore], tuple[Any, ...]]:
        if self.path is not None:
            return _reopen, (str(self.path), self.digest)
        sink = pa.BufferOutputStream()
        self._copy(sink)
        return BlockStore.from_bytes, (sink.getvalue().to_pybytes(),)

    def _copy(self, sink: str | pa.NativeFile) -> None:
        with pa.ipc.new_file(sink, self._reader.schema) as writer:
            for block in range(self.blocks):
                writer.write_batch(self._batch(block))


def _array(column: pa.Array) -> Samples:
    tensors = isinstance(column, pa.FixedShapeTensorArray)
    array: Samples = column.to_numpy_ndarray() if tensors else column.to_numpy(zero_copy_only=True)
    return array


def _reopen(path: str, digest: str) -> BlockStore:
    store = BlockStore.open(path)
    if store.digest != digest:
        raise InputError(f"the block store {path} changed while the run used it; start the study again")
    return store
