"""Writing a block store: one Arrow record batch a block, behind a header that names content and digest.

The samples are asked for twice, block by block: once for the digest, which the header holds, and once to be written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from distlandscape.data.arrays import Samples
from distlandscape.data.cut import block_bounds
from distlandscape.data.scaling import Scaling
from distlandscape.files import write_whole

METADATA = b"distlandscape"
Progress = Callable[[str], object]


def silent(_: str) -> None:
    """Tells nobody."""


def write_store(
    sink: str | pa.NativeFile,
    x_block: Callable[[int], Samples],
    y: Samples,
    blocks: int,
    description: str,
    *,
    scaling: Scaling | None = None,
    split: str | None = None,
    progress: Progress = silent,
) -> None:
    """Write targets y and the samples that ``x_block`` gives for each of the blocks, as they are to be stored."""
    samples, cut = len(y), block_bounds(len(y), blocks)
    row = x_block(0)[:1].copy()  # not a view, which would keep the whole block
    digest = start_digest(cut, row.dtype, (samples, *row.shape[1:]), y.dtype, y.shape, scaling)
    for index in range(blocks):
        progress(f"digest of block {index + 1} of {blocks}")
        digest.update(x_block(index).data)
    digest.update(y.data)
    header: dict[str, Any] = {"samples": samples, "description": description, "digest": digest.hexdigest()}
    if split is not None:
        header["split"] = split
    if scaling is not None:
        header["scaling"] = scaling.header()
    fields = [pa.field("x", _column(row).type), pa.field("y", _column(y[:1]).type)]
    schema = pa.schema(fields, metadata={METADATA: json.dumps(header).encode()})
    with pa.ipc.new_file(sink, schema) as writer:
        for index, (start, stop) in enumerate(pairwise(cut)):
            progress(f"writing block {index + 1} of {blocks}")
            writer.write_batch(pa.record_batch([_column(x_block(index)), _column(y[start:stop])], schema=schema))


def start_digest(
    cut: list[int],
    x_type: np.dtype[Any],
    x_shape: tuple[int, ...],
    y_type: np.dtype[Any],
    y_shape: tuple[int, ...],
    scaling: Scaling | None,
) -> hashlib._Hash:
    """The digest of a store, before its samples go in: first all x, then all y."""
    described: list[Any] = [cut, x_type.str, list(x_shape), y_type.str, list(y_shape)]
    if scaling is not None:
        described.append(scaling.header())
    return hashlib.sha256(json.dumps(described).encode())


def write_file(path: Path, write: Callable[[str], object]) -> None:
    """Let ``write`` make the file, which appears whole or, when that fails, not at all and without remains."""
    begun: list[Path] = []

    def begin(temporary: Path) -> None:
        begun.append(temporary)
        write(str(temporary))

    try:
        write_whole(path, begin, private=False)
    except BaseException:
        for temporary in begun:
            temporary.unlink(missing_ok=True)
        raise


def _column(array: Samples) -> pa.Array:
    if array.ndim == 1:
        return pa.array(array)
    # Arrow reads the order of axes off the strides, which mean nothing along an axis of length 1, as of grey images in
    # channels-last order; flat and in shape again they are those of rows.
    return pa.FixedShapeTensorArray.from_numpy_ndarray(array.ravel().reshape(array.shape))
