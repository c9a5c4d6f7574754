"""``data.source=parquet``: a file, or a folder with train*.parquet and test*.parquet, read batch by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from distlandscape.data.arrays import Samples
from distlandscape.data.parquet_columns import check_table, check_values, image_column, images, table, values
from distlandscape.data.source import Request, Source, Streamed
from distlandscape.errors import InputError
from distlandscape.files import open_regular
from distlandscape.limits import check_row
from distlandscape.parquet_sizes import MOST_ROWS, rows_for

IMAGES = ("image", "img")
BATCH = 2 * 2**20  # bytes of samples of a batch; decoding lists takes 16 times as much
# Otherwise whole row groups are read ahead, and held until the file is closed (pyarrow 25).
_FRUGAL: dict[str, Any] = {"pre_buffer": False, "buffer_size": 2**20}
# What pyarrow raises, of its own and of the Python below it, for files that are damaged.
_DAMAGE = (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError, KeyError, TypeError)

Rows = Callable[[pa.RecordBatch, str], Samples]


def open_parquet(request: Request) -> Source:
    """Samples from a column ``x`` of lists or tensors, from a column of images, or from all other columns.

    Raises:
        InputError: not Parquet, no such target column, nulls, text, rows of unequal length, or pages, lists or samples
            that are too large for what the file weighs.
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
    check_values(schema.field(request.target).type, f"{files[0]}, column {request.target!r}")

    def targets(batch: pa.RecordBatch, where: str) -> Samples:
        return values(batch.column(request.target), f"{where}, column {request.target!r}")

    size, labels = _rows_at_a_time(files, columns, rows), _rows_at_a_time(files, [request.target], targets)
    y = np.concatenate(list(_read(files, [request.target], targets, labels)))
    description = f"Parquet {path.name} ({what}, target {request.target}), {request.split} split"
    return Streamed(description, y, lambda: _read(files, columns, rows, size))


def has_test(request: Request) -> bool:
    """Whether the folder has files test*.parquet."""
    path = request.required_path("a Parquet file or a folder of such files")
    return path.is_dir() and any(path.glob("test*.parquet"))


def _samples(schema: pa.Schema, target: str, where: str) -> tuple[list[str], Rows, str]:
    """The columns that hold the samples, what makes rows of them, and what they are in words."""
    # pandas stores its row labels as a column; they are no feature.
    names = [name for name in schema.names if name != target and not name.startswith("__index_level_")]
    if "x" in names:
        check_values(schema.field("x").type, f"{where}, column 'x'")
        return ["x"], lambda batch, file: values(batch.column("x"), f"{file}, column 'x'"), "column x"
    found = {name: leaf for name in IMAGES if name in names and (leaf := image_column(schema.field(name))) is not None}
    if found:
        image, leaf = next(iter(found.items()))
        return (
            [leaf],
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
    first: pa.Schema | None = None
    for file in files:
        with _opened(file) as table:
            schema = table.schema_arrow
        if first is None:
            first = schema
        if not schema.equals(first):
            raise InputError(f"{file} has other columns than {files[0]}; give files of one table")
    assert first is not None, "there is a file"
    if len(set(first.names)) < len(first.names):
        raise InputError(f"{files[0]} has several columns of one name; rename them")
    return first


def _rows_at_a_time(files: list[Path], columns: list[str], rows: Rows) -> int:
    """How many rows to read at a time; raises InputError for what does not fit into memory so."""
    most = MOST_ROWS
    for file in files:
        with _opened(file) as table:
            most = min(most, rows_for(file, table, columns))
    first = next(_read(files, columns, rows, 1), None)
    if first is None:
        raise InputError(f"{files[0]} holds no rows; give at least one sample")
    check_row(f"{files[0]}, column {columns[0]!r}", first.shape, first.dtype)
    return max(1, min(most, BATCH // max(1, first.nbytes)))


def _read(files: list[Path], columns: list[str], rows: Rows, size: int) -> Iterator[Samples]:
    """What ``rows`` makes of each batch; all rows have one shape."""
    shape = None
    for file in files:
        with _opened(file) as table:
            for batch in table.iter_batches(size, columns=columns):
                if not len(batch):
                    continue
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
def _opened(file: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    try:
        open_regular(file).close()  # pyarrow opens by the name, and would wait for a pipe
        with pq.ParquetFile(file, page_checksum_verification=True, **_FRUGAL) as table:
            yield table
    except InputError:
        raise
    except _DAMAGE:
        raise InputError(f"{file} is no Parquet file that can be read; write it again") from None
