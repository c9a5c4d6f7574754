"""The block store: samples cut into B fixed blocks, as an Arrow file that workers map into memory.

A block is the unit of retry and of summation; the cut depends on N and B alone, never on the number of workers.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distlandscape.data.arrays import Indices, Samples, check_arrays, check_finite, stored_samples, stored_targets
from distlandscape.data.cut import block_bounds, chosen_blocks, default_blocks
from distlandscape.data.header import Header, check_batches
from distlandscape.data.ipc import UnsoundError, batch_lengths
from distlandscape.data.scaling import Scaling
from distlandscape.data.writer import start_digest, write_file, write_store
from distlandscape.errors import InputError
from distlandscape.files import NotRegularError, open_regular

__all__ = ["BlockStore", "Samples", "block_bounds", "default_blocks"]

LARGE = 128 * 2**20  # bytes of a file from which on used blocks are given back
_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    struct.error,
    pa.ArrowException,
)


class BlockStore:
    """N samples x (N, …) with targets y (N,) or (N, C), in B blocks of consecutive samples.

    Attributes:
        samples: N.
        blocks: B, a power of two.
        digest: sha256 of the cut, the types, the scaling and every byte of the samples.
        description: what the samples are, in words.
        scaling: how samples are to be scaled when they are used; None: as they are.
        split: "train" or "test", or None for arrays.
        path: the file, or None in memory.
    """

    def __init__(
        self, reader: pa.ipc.RecordBatchFileReader, path: Path | None = None, mapped: mmap.mmap | None = None
    ) -> None:
        self._reader, self.path = reader, path
        self._mapped = mapped if mapped is not None and len(mapped) > LARGE else None
        header = Header.of(reader.schema)
        self.samples: int = header.samples
        self.blocks: int = reader.num_record_batches
        self.digest: str = header.digest
        self.description: str = header.description
        self.scaling: Scaling | None = header.scaling
        self.split: str | None = header.split

    @classmethod
    def from_arrays(
        cls, x: npt.ArrayLike, y: npt.ArrayLike, blocks: int | None = None, description: str = "arrays"
    ) -> BlockStore:
        """Cut arrays, in the order given, into blocks held in memory.

        Raises:
            InputError: empty, unequal lengths, object or text arrays, NaN or inf, an impossible number of blocks.
        """
        x, y = np.asarray(x), np.asarray(y)
        check_arrays(x.dtype, x.shape, y.dtype, y.shape)
        check_finite("x", x)
        check_finite("y", y)
        count = chosen_blocks(len(x), blocks)
        rows, targets, cut = stored_samples(x), stored_targets(y), block_bounds(len(x), count)
        return cls.in_memory(
            lambda sink: write_store(sink, lambda i: rows[cut[i] : cut[i + 1]], targets, count, description)
        )

    @classmethod
    def in_memory(cls, write: Callable[[pa.NativeFile], object]) -> BlockStore:
        """The store that ``write`` puts into a sink."""
        sink = pa.BufferOutputStream()
        write(sink)
        return cls(pa.ipc.open_file(pa.BufferReader(sink.getvalue())))

    @classmethod
    def open(cls, path: str | Path) -> BlockStore:
        """Map a block store file into memory.

        Headers are checked here, a few bytes a block; ``intact`` reads the samples.

        Raises:
            InputError: missing, not a block store, or with compressed blocks, which ``write`` never makes.
        """
        file = Path(path).absolute()
        try:
            with open_regular(file) as stream:
                mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            lengths = batch_lengths(mapped)
            reader = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped)))
            check_batches(Header.of(reader.schema), reader, lengths)
            return cls(reader, file, mapped)
        except NotRegularError:
            raise
        except _DAMAGE as error:
            why = f" ({error})" if isinstance(error, UnsoundError) else ""
            raise InputError(f"{file} is not a block store that can be read{why}; import the data again") from None

    def write(self, path: str | Path) -> BlockStore:
        """Write the store to a file, whole, and open that."""
        file = Path(path)
        write_file(file, self.write_into)
        return BlockStore.open(file)

    def intact(self) -> bool:
        """Whether the samples still have the digest they were stored with; reads every byte."""
        cut = block_bounds(self.samples, self.blocks)
        try:
            x, y = self.block(0)
            shapes = [(self.samples, *array.shape[1:]) for array in (x, y)]
            digest = start_digest(cut, x.dtype, shapes[0], y.dtype, shapes[1], self.scaling)
            for column in (0, 1):
                for index in range(self.blocks):
                    digest.update(np.ascontiguousarray(self.block(index)[column]).data)
        except _DAMAGE:  # it can also sit between the samples
            return False
        return digest.hexdigest() == self.digest

    def block(self, index: int) -> tuple[Samples, Samples]:
        """Samples and targets of one block, views of the store (read-only).

        Of a large file the memory of blocks used before is given back; views of them stay valid.
        """
        batch = self._batch(index)
        return _array(batch.column("x")), _array(batch.column("y"))

    def take(self, indices: Indices) -> tuple[Samples, Samples]:
        """Copies of the samples and targets at some positions 0…N−1, in the order given."""
        starts = block_bounds(self.samples, self.blocks)
        which = np.searchsorted(starts, indices, side="right") - 1
        xs, ys = (np.empty((len(indices), *array.shape[1:]), array.dtype) for array in self.block(0))
        for index in np.unique(which).tolist():
            mine = which == index
            x, y = self.block(index)
            xs[mine], ys[mine] = (array[indices[mine] - starts[index]] for array in (x, y))
        return xs, ys

    def __reduce__(self) -> tuple[Callable[..., BlockStore], tuple[Any, ...]]:
        if self.path is not None:
            return _reopen, (str(self.path), self.digest)
        sink = pa.BufferOutputStream()
        self.write_into(sink)
        return _from_bytes, (sink.getvalue().to_pybytes(),)

    def _batch(self, index: int) -> pa.RecordBatch:
        if self._mapped is not None:
            self._mapped.madvise(mmap.MADV_DONTNEED)  # a clean page comes back from the file when it is looked at
        return self._reader.get_batch(index)

    def write_into(self, sink: str | pa.NativeFile) -> None:
        """Copy header and blocks to a file or stream of Arrow."""
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


def _from_bytes(content: bytes) -> BlockStore:
    return BlockStore(pa.ipc.open_file(pa.BufferReader(content)))
