"""How large a Parquet file becomes, looked up in its footer and in the headers of its pages before it is decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from distlandscape.errors import InputError
from distlandscape.files import open_regular
from distlandscape.limits import FREE, PER_SAMPLE, check_unpacked
from distlandscape.parquet_pages import pages, row_groups

MOST_ROWS = 2**16  # at one time
VALUE = 8  # bytes that a number of a list takes while it is decoded
STREAMED = 2**30  # bytes that a table may become in any case
DENSEST = 1000  # bytes for each packed one, above that: columns of few values are packed some hundred times


def read_table(file: Path) -> pa.Table:
    """A whole table.

    Raises:
        InputError: no regular file, or one that becomes far larger than it is.
        pyarrow.ArrowException, OSError, ValueError: it is damaged.
    """
    import pyarrow.parquet as pq

    open_regular(file).close()  # pyarrow opens by the name, and would wait for a pipe
    with pq.ParquetFile(file) as table:
        batches, unpacked = [], 0
        for batch in table.iter_batches(rows_for(file, table)):
            unpacked += batch.nbytes
            check_unpacked(f"the table {file}", unpacked, file.stat().st_size, "make it again")
            batches.append(batch)
        return pa.Table.from_batches(batches, table.schema_arrow).combine_chunks()


def rows_for(file: Path, table: Any, columns: list[str] | None = None) -> int:
    """How many rows of some columns (None: all) of an open ``ParquetFile`` fit into memory at one time.

    A page is unpacked as a whole, a text may be as long as its page, and a list as long as all lists of its row group.

    Raises:
        InputError: more rows, a larger page or longer lists than the file's size makes likely.
        ValueError: no headers of pages are where the footer says.
    """
    metadata, size = table.metadata, file.stat().st_size
    check_unpacked(f"the rows of {file}", metadata.num_rows * PER_SAMPLE, size, "write it without compression")
    largest = total = 0
    with open_regular(file) as stream:
        for chunks in row_groups(stream):
            if len(chunks) != metadata.num_columns:
                raise ValueError("a row group has other columns than the schema")
            for place, column in enumerate(chunks):
                if not _wanted(column.path, columns):
                    continue
                packed = unpacked = values = 0
                for page in pages(stream, column):
                    check_unpacked(f"a page of {file}", page.unpacked, page.packed, "write it without compression")
                    packed, unpacked, values = packed + page.packed, max(unpacked, page.unpacked), values + page.values
                value = max(VALUE, unpacked) if column.texts else VALUE
                if value > VALUE:
                    largest = max(largest, value)
                if metadata.schema.column(place).max_repetition_level:
                    check_unpacked(
                        f"a row group of {file}", values * value, packed, "write it with a smaller row_group_size"
                    )
                total += values * VALUE
    if total > max(STREAMED, DENSEST * size):
        raise InputError(
            f"{file} has {size:,} bytes and becomes {total:,}, more than {DENSEST} times as many; write it without"
            " compression and dictionaries"
        )
    return max(1, min(MOST_ROWS, FREE // max(1, largest)))


def _wanted(path: str, columns: list[str] | None) -> bool:
    return columns is None or any(path == name or path.startswith(f"{name}.") for name in columns)
