"""From columns of a table to rows of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from distlandscape.data.arrays import Samples
from distlandscape.data.images import decode
from distlandscape.errors import InputError


def values(column: pa.Array, where: str) -> Samples:
    """One row a value: numbers (n,), lists of one length (n, F), tensors (n, …).

    Raises:
        InputError: nulls, anything but numbers, or lists of unequal lengths.
    """
    if isinstance(column.type, pa.FixedShapeTensorType):
        values(column.storage, where)
        tensors: Samples = column.to_numpy_ndarray()
        return tensors
    if column.null_count:
        raise InputError(f"{where} holds nulls; fill or remove those rows")
    if not _is_list(column.type):
        return _numbers(column, where)
    flat = _numbers(column.flatten(), where)
    lengths = {len(flat) // len(column)}
    if not pa.types.is_fixed_size_list(column.type):
        lengths = set(np.unique(column.value_lengths().to_numpy()).tolist())
    if len(lengths) > 1:
        raise InputError(
            f"{where} holds lists of {min(lengths)} to {max(lengths)} values; pad or cut them to one length"
        )
    return flat.reshape(len(column), -1) if len(flat) else np.empty((len(column), 0))


def check_values(kind: pa.DataType, where: str) -> None:
    """Raise InputError unless a column holds numbers, lists of numbers or tensors of numbers."""
    inner = kind.storage_type if isinstance(kind, pa.FixedShapeTensorType) else kind
    inner = inner.value_type if _is_list(inner) else inner
    if not _is_number(inner):
        raise InputError(f"{where} holds {inner}, no numbers; give whole or real numbers")


def check_table(schema: pa.Schema, names: list[str], where: str) -> np.dtype[Any]:
    """The type of a table of features: bytes if all are, else the real numbers that hold them all.

    Raises:
        InputError: no columns, or one that holds no numbers.
    """
    if not names:
        raise InputError(f"{where} has no columns beside the target; add samples")
    for name in names:
        if not _is_number(schema.field(name).type):
            raise InputError(
                f"{where}, column {name!r} holds {schema.field(name).type}, no numbers; remove it, or put the samples"
                " into a column 'x'"
            )
    types = [np.dtype(schema.field(name).type.to_pandas_dtype()) for name in names]
    return np.dtype(np.uint8) if set(types) == {np.dtype(np.uint8)} else np.result_type(np.float32, *types)


def table(batch: pa.RecordBatch, names: list[str], dtype: np.dtype[Any], where: str) -> Samples:
    """Columns of numbers side by side, (n, F)."""
    rows = np.empty((len(batch), len(names)), dtype)
    for place, name in enumerate(names):
        rows[:, place] = values(batch.column(name), f"{where}, column {name!r}")
    return rows


def image_column(column: pa.Field) -> str | None:
    """Where a column holds encoded images: binary itself, or a struct with binary ``bytes``; None: nowhere."""
    if pa.types.is_struct(column.type):
        place = column.type.get_field_index("bytes")
        inner = image_column(column.type.field(place)) if place >= 0 else None
        return None if inner is None else f"{column.name}.{inner}"
    binary = pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)
    return column.name if binary else None


def images(column: pa.Array, where: str) -> Samples:
    """Decoded images (n, C, H, W) of one shape.

    Raises:
        InputError: a row without an image, an image that cannot be read, or of another shape.
    """
    if pa.types.is_struct(column.type):
        column = column.flatten()[column.type.get_field_index("bytes")]
    if column.null_count:
        raise InputError(f"{where} has rows without an image; remove those rows")
    decoded: list[Samples] = []
    for content in column:
        image = decode(pa.BufferReader(content.as_buffer()), where)
        if decoded and image.shape != decoded[0].shape:
            shapes = sorted((image.shape, decoded[0].shape))
            raise InputError(f"{where} has images of the shapes {shapes[0]} and {shapes[1]}; make all images equal")
        decoded.append(image)
    return np.stack(decoded)


def _numbers(column: pa.Array, where: str) -> Samples:
    if not _is_number(column.type):
        raise InputError(f"{where} holds {column.type}, no numbers; give whole or real numbers")
    if column.null_count:
        raise InputError(f"{where} holds nulls; fill or remove those rows")
    numbers: Samples = column.to_numpy(zero_copy_only=False)
    return numbers


def _is_list(column: pa.DataType) -> bool:
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_kind(column) for is_kind in kinds)


def _is_number(column: pa.DataType) -> bool:
    return bool(pa.types.is_integer(column) or pa.types.is_floating(column) or pa.types.is_boolean(column))
