"""The header of a block store: what it says of the samples, and whether that can be."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa

from distlandscape.data.cut import block_bounds
from distlandscape.data.ipc import UnsoundError
from distlandscape.data.scaling import Scaling
from distlandscape.data.writer import METADATA

MOST_BYTES = 64 * 2**20  # a scaling has two numbers for each channel
_ABSENT = type(None)


@dataclass(frozen=True)
class Header:
    """See ``BlockStore``."""

    samples: int
    digest: str
    description: str
    scaling: Scaling | None
    split: str | None

    @classmethod
    def of(cls, schema: pa.Schema) -> Header:
        """Read the header of a store's schema.

        Raises:
            UnsoundError: it holds something else than a header does.
            KeyError, TypeError, ValueError, RecursionError: it is none.
        """
        content = schema.metadata[METADATA]
        if len(content) > MOST_BYTES:
            raise UnsoundError(f"its header has more than {MOST_BYTES:,} bytes")
        header = json.loads(content)
        samples, digest, description = header["samples"], header["digest"], header["description"]
        split = header.get("split")
        if type(samples) is not int or samples < 1:
            raise UnsoundError("its header counts no samples")
        if not (isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest)):
            raise UnsoundError("its header has no digest")
        if not (isinstance(description, str) and isinstance(split, str | _ABSENT)):
            raise UnsoundError("its header describes nothing")
        return cls(samples, digest, description, Scaling.from_header(header.get("scaling")), split)


def check_batches(header: Header, reader: pa.ipc.RecordBatchFileReader, lengths: list[int]) -> None:
    """Look at types and sizes of all blocks; no sample is read.

    Raises:
        UnsoundError: they are not those of the samples that the header counts.
        pyarrow.ArrowInvalid: a block is longer than its bytes.
    """
    if reader.schema.names != ["x", "y"] or not all(_is_column(field.type) for field in reader.schema):
        raise UnsoundError("its columns are not samples x and targets y")
    blocks = len(lengths)
    if blocks < 1 or blocks & (blocks - 1) or blocks > header.samples or blocks != reader.num_record_batches:
        raise UnsoundError(f"it has {blocks} blocks")
    cut = block_bounds(header.samples, blocks)
    if lengths != [stop - start for start, stop in pairwise(cut)]:
        raise UnsoundError(f"its blocks are not those of {header.samples} samples")
    for index in range(blocks):
        reader.get_batch(index).validate()


def _is_column(kind: Any) -> bool:
    """Whether a column holds numbers, or tensors of them that are not empty."""
    if isinstance(kind, pa.FixedShapeTensorType):
        return all(size > 0 for size in kind.shape) and _is_number(kind.value_type)
    return _is_number(kind)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
