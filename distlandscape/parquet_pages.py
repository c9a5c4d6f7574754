"""Headers of the pages of a Parquet file: how large each becomes, before anything is unpacked.

The footer's sizes are the writer's word, and the decoder goes by the headers that stand before the pages. Both are in
Thrift's compact protocol (parquet-format, parquet.thrift: FileMetaData, PageHeader), of which this reads what it needs.
pyarrow could be asked for the columns of a row group, but ends the process where their entry is damaged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

_WINDOW = 2**12  # bytes read for a header, more where it is longer
_LONGEST = 2**24  # bytes of a header, as for Arrow
_DATA, _DATA_V2 = 5, 8  # fields of a page's header
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(13)
_BYTE_ARRAY = 6  # the physical type of texts and bytes
_DEEPEST = 16


@dataclass(frozen=True)
class Page:
    """Sizes of one page in bytes, and how many values (of lists: entries, empty ones too) it holds."""

    packed: int
    unpacked: int
    values: int


@dataclass(frozen=True)
class Chunk:
    """A column's part of a row group: its name, whether it holds texts or bytes, where it stands, values counted."""

    path: str
    texts: bool
    start: int
    size: int
    values: int


def row_groups(file: BufferedReader) -> Iterator[list[Chunk]]:
    """The columns of each row group, in the order of the schema, as the footer has them.

    Raises:
        ValueError: no Parquet file, or a damaged or encrypted footer.
    """
    size = os.fstat(file.fileno()).st_size
    end = os.pread(file.fileno(), 8, max(0, size - 8))
    length = int.from_bytes(end[:4], "little")
    if end[4:] != b"PAR1" or length + 8 > size:
        raise ValueError("no footer")
    try:
        groups = _Compact(os.pread(file.fileno(), length, size - 8 - length)).struct().get(4)
    except IndexError:
        raise ValueError("its footer is cut off") from None
    for group in _listed(groups):
        yield [_chunk(column) for column in _listed(group.get(1) if isinstance(group, dict) else None)]


def _listed(found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise ValueError("its footer has no row groups")
    return found


def _chunk(column: Any) -> Chunk:
    entry = column.get(3) if isinstance(column, dict) else None
    if not isinstance(entry, dict) or not all(isinstance(part, bytes) for part in _listed(entry.get(3))):
        raise ValueError("its footer lacks an entry of a column")
    start = _count(entry, 9)
    if 0 < (dictionary := entry.get(11) or 0) < start:
        start = dictionary
    path = b".".join(entry[3]).decode()
    return Chunk(path, entry.get(1) == _BYTE_ARRAY, start, _count(entry, 7), _count(entry, 5))


def pages(file: BufferedReader, column: Chunk) -> Iterator[Page]:
    """The pages of a column chunk, its dictionary among them.

    Raises:
        ValueError: no headers of pages are where the footer says.
    """
    start = column.start
    end, left = start + column.size, column.values
    while start < end and left > 0:
        header, size = _header(file, start)
        data = header.get(_DATA) or header.get(_DATA_V2) or {1: 0}
        packed, unpacked, values = _count(header, 3), _count(header, 2), _count(data, 1)
        yield Page(packed, unpacked, values)
        start += size + packed
        left -= values


def _count(fields: Any, number: int) -> int:
    found = fields.get(number) if isinstance(fields, dict) else None
    if not isinstance(found, int) or found < 0:
        raise ValueError("a page's header has no sizes")
    return found


def _header(file: BufferedReader, start: int) -> tuple[dict[int, Any], int]:
    """The fields of the header at a place, and its length."""
    window = _WINDOW
    while True:
        content = os.pread(file.fileno(), window, start)
        reader = _Compact(content)
        try:
            header = reader.struct()
        except IndexError:
            if len(content) < window or window >= _LONGEST:
                raise ValueError("a page's header is cut off") from None
            window *= 16
            continue
        return header, reader.at


class _Compact:
    """Thrift's compact protocol; raises IndexError where the content ends, ValueError where it is something else."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.at = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Values by their fields' ids: numbers, bytes, structs and lists; truth values and fractions are left out."""
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while kind := self._byte():
            number = number + (kind >> 4) if kind >> 4 else self._integer()
            fields[number] = self._value(kind & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return None
        if kind == _BYTE:
            return self._skip(1)
        if kind in (_I16, _I32, _I64):
            return self._integer()
        if kind == _DOUBLE:
            return self._skip(8)
        if kind == _BINARY:
            length = self._varint()
            self._skip(length)
            return self._content[self.at - length : self.at]
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            return self._list(depth)
        raise ValueError("no such type is in a Parquet file")  # maps

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count, kind = head >> 4, head & 15
        if count == 15:
            count = self._varint()
        if count > len(self._content):
            raise IndexError
        return [self._value(_BYTE if kind in (_TRUE, _FALSE) else kind, depth + 1) for _ in range(count)]

    def _byte(self) -> int:
        self.at += 1
        return self._content[self.at - 1]

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self._content):
            raise IndexError

    def _varint(self) -> int:
        result = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            result |= (byte & 127) << shift
            if byte < 128:
                return result
        raise ValueError("a number of a page's header is too long")

    def _integer(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)
