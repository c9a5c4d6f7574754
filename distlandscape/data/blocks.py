"""The block store: samples cut into B fixed blocks, as an Arrow file that workers map into memory.

A block is the unit of retry and of summation; the cut depends on N and B alone, never on the number of workers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distlandscape.errors import InputError
from distlandscape.files import write_whole

Samples = npt.NDArray[Any]
DEFAULT_BLOCKS = 64
MIN_SAMPLES = 16  # per block, on average
_METADATA = b"distlandscape"


class BlockStore:
    """N samples x (N, …) with targets y (N,) or (N, C), in B blocks of consecutive samples.

    Attributes:
        samples: N.
        blocks: B, a power of two.
        digest: sha256 of the cut, the types and every byte of the samples.
        description: what the samples are, in words.
        path: the file, or None in memory.
    """

    def __init__(self, reader: pa.ipc.RecordBatchFileReader, path: Path | None) -> None:
        self._reader, self.path = reader, path
        header = json.loads(reader.schema.metadata[_METADATA])
        self.samples: int = header["samples"]
        self.blocks: int = reader.num_record_batches
        self.digest: str = header["digest"]
        self.description: str = header["description"]

    @classmethod
    def from_arrays(
        cls, x: npt.ArrayLike, y: npt.ArrayLike, blocks: int | None = None, description: str = "arrays"
    ) -> BlockStore:
        """Cut arrays, in the order given, into blocks held in memory.

        Raises:
            InputError: empty, unequal lengths, object or text arrays, NaN or inf, an impossible number of blocks.
        """
        sink = pa.BufferOutputStream()
        _write(sink, *_checked(x, y, blocks), description)
        return cls(pa.ipc.open_file(pa.BufferReader(sink.getvalue())), None)

    @classmethod
    def open(cls, path: str | Path) -> BlockStore:
        """Map a block store file into memory.

        Raises:
            InputError: missing, or not a block store.
        """
        file = Path(path).absolute()
        try:
            return cls(pa.ipc.open_file(pa.memory_map(str(file))), file)
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
        digest = _digest(cut, x.dtype, shapes[0], y.dtype, shapes[1])
        for column in (0, 1):
            for index in range(self.blocks):
                digest.update(np.ascontiguousarray(self.block(index)[column]).data)
        return digest.hexdigest() == self.digest

    def block(self, index: int) -> tuple[Samples, Samples]:
        """Samples and targets of one block, views of the store (read-only)."""
        batch = self._reader.get_batch(index)
        return _array(batch.column("x")), _array(batch.column("y"))

    def __reduce__(self) -> tuple[Callable[..., BlockStore], tuple[Any, ...]]:
        if self.path is not None:
            return _reopen, (str(self.path), self.digest)
        sink = pa.BufferOutputStream()
        self._copy(sink)
        return _from_bytes, (sink.getvalue().to_pybytes(),)

    def _copy(self, sink: str | pa.NativeFile) -> None:
        with pa.ipc.new_file(sink, self._reader.schema) as writer:
            for block in range(self.blocks):
                writer.write_batch(self._reader.get_batch(block))


def default_blocks(samples: int) -> int:
    """The largest power of two that is at most 64 and leaves blocks of 16 samples or more."""
    return 1 << max(0, min(DEFAULT_BLOCKS, samples // MIN_SAMPLES).bit_length() - 1)


def block_bounds(samples: int, blocks: int) -> list[int]:
    """B + 1 positions where the samples are cut; blocks differ by at most one sample."""
    return [index * samples // blocks for index in range(blocks + 1)]


def _checked(x: npt.ArrayLike, y: npt.ArrayLike, blocks: int | None) -> tuple[Samples, Samples, int]:
    x, y = np.asarray(x), np.asarray(y)
    for name, array in (("x", x), ("y", y)):
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise InputError(f"{name} has elements of type {array.dtype}; give float32, float64 or whole numbers")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(f"{name} holds NaN or infinite values; remove those samples")
    if x.ndim < 2 or y.ndim not in (1, 2):
        raise InputError(f"x must be (N, …) and y (N,) or (N, C), not {x.shape} and {y.shape}")
    if len(x) != len(y):
        raise InputError(f"x has {len(x)} samples and y has {len(y)}; give one target per sample")
    if not x.size or not y.size:
        raise InputError(f"the data set is empty: x is {x.shape} and y {y.shape}; give at least one sample")
    most = default_blocks(len(x)) if len(x) < DEFAULT_BLOCKS * MIN_SAMPLES else len(x) // MIN_SAMPLES
    if blocks is None:
        blocks = default_blocks(len(x))
    elif blocks < 1 or blocks & (blocks - 1):
        raise InputError(f"data.blocks={blocks} is not a power of two; choose 1, 2, 4, …")
    elif blocks > most:
        raise InputError(f"data.blocks={blocks} is too many for {len(x)} samples; choose at most {most}")
    if y.ndim == 1 and y.dtype.kind in "iub":
        y = y.astype(np.int64)
    x, y = (array.astype(np.uint8) if array.dtype == np.bool_ else array for array in (x, y))
    native = x.dtype.newbyteorder("=")
    return np.ascontiguousarray(x, dtype=native), np.ascontiguousarray(y, dtype=y.dtype.newbyteorder("=")), blocks


def _write(sink: pa.NativeFile, x: Samples, y: Samples, blocks: int, description: str) -> None:
    cut = block_bounds(len(x), blocks)
    header = {"samples": len(x), "description": description}
    digest = _digest(cut, x.dtype, x.shape, y.dtype, y.shape)
    digest.update(x.data)
    digest.update(y.data)
    header["digest"] = digest.hexdigest()
    fields = [pa.field("x", _column(x[:1]).type), pa.field("y", _column(y[:1]).type)]
    schema = pa.schema(fields, metadata={_METADATA: json.dumps(header).encode()})
    with pa.ipc.new_file(sink, schema) as writer:
        for start, stop in pairwise(cut):
            columns = [_column(x[start:stop]), _column(y[start:stop])]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _digest(cut: list[int], *types_and_shapes: np.dtype[Any] | tuple[int, ...]) -> hashlib._Hash:
    """The digest of a store, before its samples go in: first all x, then all y."""
    described = [part.str if isinstance(part, np.dtype) else list(part) for part in types_and_shapes]
    return hashlib.sha256(json.dumps([cut, *described]).encode())


def _column(array: Samples) -> pa.Array:
    if array.ndim == 1:
        return pa.array(array)
    return pa.FixedShapeTensorArray.from_numpy_ndarray(array)


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
    return BlockStore(pa.ipc.open_file(pa.BufferReader(content)), None)
