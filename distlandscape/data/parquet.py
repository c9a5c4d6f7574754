"""Parquet tables: a column x of lists, or images, or all numeric columns beside the target."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from distlandscape.data.images import decoded
from distlandscape.data.request import Request, Table
from distlandscape.data.rows import Samples, staged
from distlandscape.errors import InputError

BATCH = 1024  # rows read together
IMAGES = ("image", "img")


def parquet(request: Request) -> Table:
    """A file, or a folder with train*.parquet and test*.parquet; samples are unpacked a batch at a time."""
    files = _files(request)
    targets: list[Samples] = []

    def parts() -> Iterator[Samples]:
        for file in files:
            for batch in _batches(file):
                targets.append(_target(batch, request.target, file))
                yield _samples(batch, request.target, file)

    try:
        x = staged(parts(), request.scratch / "x", request.progress)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{files[0]} cannot be read as Parquet ({error}); write it again") from None
    names = ", ".join(file.name for file in files[:3]) + (", …" if len(files) > 3 else "")
    return Table(x, np.concatenate(targets), f"Parquet {names}, target {request.target}")


def _files(request: Request) -> list[Path]:
    path = request.existing("a Parquet file, or a folder with train*.parquet and test*.parquet")
    if path.is_dir():
        files = sorted(path.glob(f"{request.split}*.parquet"))
        if not files and request.split == "test":
            raise request.no_test_split(f"put test.parquet into {path}")
        if not files:
            raise InputError(f"{path} has no {request.split}*.parquet; give a Parquet file or such a folder")
        return files
    if request.split == "test":
        raise request.no_test_split("give a folder with train.parquet and test.parquet")
    return [path]


def _batches(file: Path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(file, memory_map=False) as table:
        yield from table.iter_batches(batch_size=BATCH)


def _target(batch: pa.RecordBatch, target: str, file: Path) -> Samples:
    if target not in batch.schema.names:
        raise InputError(f"{file} has no column {target!r} (it has {batch.schema.names}); set data.target")
    return _dense(batch.column(target), target, file)


def _samples(batch: pa.RecordBatch, target: str, file: Path) -> Samples:
    names = [name for name in batch.schema.names if name != target]
    if "x" in names:
        x = _dense(batch.column("x"), "x", file)
        return x[:, None] if x.ndim == 1 else x
    for name in IMAGES:
        if name in names and pa.types.is_struct(batch.schema.field(name).type):
            return _decoded(batch.column(name), name, file)
    if not names:
        raise InputError(f"{file} has no column beside the target {target!r}; give samples")
    return np.stack([_dense(batch.column(name), name, file) for name in names], 1)


def _decoded(column: pa.Array, name: str, file: Path) -> Samples:
    images: list[Any] = [row["bytes"] if isinstance(row, dict) else None for row in column.to_pylist()]
    if not all(isinstance(image, bytes) for image in images):
        raise InputError(f"column {name!r} of {file} has rows without image bytes; embed the images in the file")
    arrays = [decoded(image, f"in column {name!r} of {file}", True) for image in images]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise InputError(f"images in column {name!r} of {file} have shapes {sorted(shapes)}; make them equal")
    return np.stack(arrays)


def _dense(column: pa.Array, name: str, file: Path) -> Samples:
    """Numbers (n,), or (n, …) where the column holds lists of equal length."""
    if isinstance(column, pa.FixedShapeTensorArray):
        array: Samples = column.to_numpy_ndarray()
        return array
    shape: list[int] = [len(column)]
    values: Any = column
    while _is_list(values.type):
        _require_no_nulls(values, name, file)
        lengths = pc.unique(pc.list_value_length(values)).to_pylist()
        if len(lengths) != 1:
            raise InputError(f"rows of column {name!r} of {file} differ in length; make them equal")
        shape.append(lengths[0])
        values = values.flatten()
    _require_no_nulls(values, name, file)
    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type) or pa.types.is_boolean(values.type)):
        raise InputError(f"column {name!r} of {file} holds {values.type}, not numbers; leave it out or encode it")
    dense: Samples = values.to_numpy(zero_copy_only=False).reshape(shape)
    return dense


def _require_no_nulls(values: Any, name: str, file: Path) -> None:
    if values.null_count:
        raise InputError(f"column {name!r} of {file} has missing values; fill or remove those rows")


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
