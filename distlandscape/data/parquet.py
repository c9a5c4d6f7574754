"""``data.source=parquet``: a file, or a folder with train*.parquet and test*.parquet, read batch by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from distlandscape.data.arrays import Samples
from distlandscape.data.parquet_columns import check_table, images, is_image, table, values
from distlandscape.data.source import Request, Source, Streamed
from distlandscape.errors import InputError

IMAGES = ("image", "img")
MOST_ROWS = 2**16  # of a batch
BATCH = 2 * 2**20  # bytes of samples of a batch; decoding lists takes 16 times as much
# Otherwise whole row groups are read ahead, and held until the file is closed (pyarrow 25).
_FRUGAL: dict[str, Any] = {"pre_buffer": False, "buffer_size": 2**20}

Rows = Callable[[pa.RecordBatch, str], Samples]


def open_parquet(request: Request) -> Source:
    """Samples from a column ``x`` of lists or tensors, from a column of images, or from all other columns.

    Raises:
        InputError: not Parquet, no such target column, nulls, text, or rows of unequal length.
    """
    what = "a Parquet file, or a folder with train*.parquet and test*.parquet"
    path = request.required_path(what)
    if path.is_dir():
        files = sorted(path.glob(f"{request.split}*.parquet"))
        if not files:
            raise InputError(f"{path} has no {request.split}*.parquet; give {what}")
    else:
        request.train_only("give a folder with train*.parquet and test*.parquet")
        files = [path]
    schema = _schema(files)
    if request.target not in schema.names:
        raise InputError(f"{files[0]} has no column {request.target!r}; set data.target to one of {schema.names}")
    columns, rows, what = _samples(schema, request.target, str(files[0]))

    def targets(batch: pa.RecordBatch, where: str) -> Samples:
        return values(batch.column(request.target), f"{where}, column {request.target!r}")

    y = list(_read(files, [request.target], targets, MOST_ROWS))
    if not y:
        raise InputError(f"{path} holds no rows; give at least one sample")
    row = next(_read(files, columns, rows, 1))
    size = max(1, min(MOST_ROWS, BATCH // max(1, row.nbytes)))
    description = f"Parquet {path.name} ({what}, target {request.target}), {request.split} split"
    return Streamed(description, np.concatenate(y), lambda: _read(files, columns, rows, size))


def has_test(request: Request) -> bool:
    """Whether the folder has files test*.parquet."""
    path = request.required_path("a Parquet file or a folder of such files")
    return path.is_dir() and any(path.glob("test*.parquet"))


def _samples(schema: pa.Schema, target: str, where: str) -> tuple[list[str], Rows, str]:
    """The columns that hold the samples, what makes rows of them, and what they are in words."""
    # pandas stores its row labels as a column; they are no feature.
    names = [name for name in schema.names if name != target and not name.startswith("__index_level_")]
    if "x" in names:
        return ["x"], lambda batch, file: values(batch.column("x"), f"{file}, column 'x'"), "column x"
    image = next((name for name in IMAGES if name in names and is_image(schema.field(name).type)), None)
    if image is not None:
        return (
            [image],
            lambda batch, file: images(batch.column(image), f"{file}, column {image!r}"),
            f"images in {image}",
        )
    dtype = check_table(schema, names, where)
    return (
        names,
        lambda batch, file: table(batch, names, dtype, file),
        "1 column" if len(names) == 1 else f"{len(names)} columns",
    )


def _schema(files: list[Path]) -> pa.Schema:
    import pyarrow.parquet as pq

    first: pa.Schema | None = None
    for file in files:
        with _readable(file):
            schema = pq.read_schema(file)
        if first is None:
            first = schema
        if not schema.equals(first):
            raise InputError(f"{file} has other columns than {files[0]}; give files of one table")
    assert first is not None, "there is a file"
    if len(set(first.names)) < len(first.names):
        raise InputError(f"{files[0]} has several columns of one name; rename them")
    return first


def _read(files: list[Path], columns: list[str], rows: Rows, size: int) -> Iterator[Samples]:
    """What ``rows`` makes of each batch; all rows have one shape."""
    import pyarrow.parquet as pq

    shape = None
    for file in files:
        with _readable(file), pq.ParquetFile(file, page_checksum_verification=True, **_FRUGAL) as table:
            for batch in table.iter_batches(size, columns=columns):
                chunk = rows(batch, str(file))
                if shape is None:
                    shape = chunk.shape[1:]
                if chunk.shape[1:] != shape:
                    raise InputError(
                        f"{file}: rows of {columns[0]!r} have the shapes {shape} and {chunk.shape[1:]};"
                        " pad or cut them to one"
                    )
                yield chunk


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError, MemoryError):
        raise InputError(f"{file} is no Parquet file that can be read; write it again") from None
