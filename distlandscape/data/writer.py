"""Writes a block store one block at a time: a sweep over the samples for the digest, another for the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from distlandscape.data.rows import Indices, Rows, Samples
from distlandscape.data.scaling import Scaling
from distlandscape.errors import InputError

DEFAULT_BLOCKS = 64
MIN_SAMPLES = 16  # per block, on average
METADATA = b"distlandscape"


def default_blocks(samples: int) -> int:
    """The largest power of two that is at most 64 and leaves blocks of 16 samples or more."""
    return 1 << max(0, min(DEFAULT_BLOCKS, samples // MIN_SAMPLES).bit_length() - 1)


def block_bounds(samples: int, blocks: int) -> list[int]:
    """B + 1 positions where the samples are cut; blocks differ by at most one sample."""
    return [index * samples // blocks for index in range(blocks + 1)]


def checked_targets(y: Samples) -> Samples:
    """Targets in the type they are stored in: labels as int64, the rest in native byte order.

    Raises:
        InputError: elements that are no numbers, NaN or inf.
    """
    _require_numbers("y", y.dtype)
    _require_finite("y", y)
    if y.ndim == 1 and y.dtype.kind in "iub":
        return y.astype(np.int64)
    return np.ascontiguousarray(y, dtype=_stored(y.dtype))


def write_rows(
    sink: pa.NativeFile,
    x: Rows,
    y: Samples,
    order: Indices | None,
    blocks: int | None,
    description: str,
    scaling: Scaling | None = None,
    split: str = "train",
    progress: Callable[[str], None] = lambda text: None,
) -> None:
    """Write samples and their targets, in the order given (None: as they come), cut into blocks.

    Raises:
        InputError: empty, unequal lengths, elements that are no numbers, NaN or inf, an impossible number of blocks.
    """
    _require_numbers("x", x.dtype)
    if len(x.shape) < 2 or y.ndim not in (1, 2):
        raise InputError(f"x must be (N, …) and y (N,) or (N, C), not {x.shape} and {y.shape}")
    if x.shape[0] != len(y):
        raise InputError(f"x has {x.shape[0]} samples and y has {len(y)}; give one target per sample")
    order = np.arange(len(y)) if order is None else order
    samples, dtype = len(order), _stored(x.dtype)
    if not samples or 0 in x.shape[1:] or 0 in y.shape[1:]:
        raise InputError(f"the data set is empty: x is {x.shape} and y {y.shape}; give at least one sample")
    y = np.ascontiguousarray(y[order])
    cut = block_bounds(samples, _checked_blocks(blocks, samples))

    def parts(what: str) -> Iterator[Samples]:
        for start, stop in pairwise(cut):
            progress(f"{what}: {stop:,} of {samples:,} samples")
            yield np.ascontiguousarray(x.take(order[start:stop]), dtype=dtype)

    digest = store_digest(cut, dtype, (samples, *x.shape[1:]), y.dtype, y.shape, scaling)
    for part in parts("checked"):
        _require_finite("x", part)
        digest.update(part.data)
    digest.update(y.data)
    header: dict[str, Any] = {"samples": samples, "description": description, "digest": digest.hexdigest()}
    if scaling is not None:
        header["scaling"] = {"shift": scaling.shift, "divisor": scaling.divisor}
    if split != "train":
        header["split"] = split
    fields = [pa.field("x", _column(np.empty((1, *x.shape[1:]), dtype)).type), pa.field("y", _column(y[:1]).type)]
    schema = pa.schema(fields, metadata={METADATA: json.dumps(header).encode()})
    with pa.ipc.new_file(sink, schema) as writer:
        for (start, stop), part in zip(pairwise(cut), parts("written"), strict=True):
            writer.write_batch(pa.record_batch([_column(part), _column(y[start:stop])], schema=schema))


def store_digest(
    cut: list[int],
    x_dtype: np.dtype[Any],
    x_shape: tuple[int, ...],
    y_dtype: np.dtype[Any],
    y_shape: tuple[int, ...],
    scaling: Scaling | None,
) -> hashlib._Hash:
    """The digest of a store, before its samples go in: first all x, then all y."""
    described: list[Any] = [cut, x_dtype.str, list(x_shape), y_dtype.str, list(y_shape)]
    if scaling is not None:
        described.append([list(scaling.shift), list(scaling.divisor)])
    return hashlib.sha256(json.dumps(described).encode())


def _checked_blocks(blocks: int | None, samples: int) -> int:
    most = default_blocks(samples) if samples < DEFAULT_BLOCKS * MIN_SAMPLES else samples // MIN_SAMPLES
    if blocks is None:
        return default_blocks(samples)
    if blocks < 1 or blocks & (blocks - 1):
        raise InputError(f"data.blocks={blocks} is not a power of two; choose 1, 2, 4, …")
    if blocks > most:
        raise InputError(f"data.blocks={blocks} is too many for {samples} samples; choose at most {most}")
    return blocks


def _require_numbers(name: str, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise InputError(f"{name} has elements of type {dtype}; give float32, float64 or whole numbers")


def _require_finite(name: str, array: Samples) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{name} holds NaN or infinite values; remove those samples")


def _stored(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.uint8) if dtype == np.bool_ else dtype.newbyteorder("=")


def _column(array: Samples) -> pa.Array:
    if array.ndim == 1:
        return pa.array(array)
    return pa.FixedShapeTensorArray.from_numpy_ndarray(array)
