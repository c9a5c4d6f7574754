"""Headers of the pages of a Parquet file: how large each becomes, before anything is unpacked.

The footer's sizes are the writer's word, and the decoder goes by the headers that stand before the pages. They are in
Thrift's compact protocol (parquet-format, parquet.thrift, PageHeader), of which this reads what it needs.
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
_DEEPEST = 16


@dataclass(frozen=True)
class Page:
    """Sizes of one page in bytes, and how many values (of lists: entries, empty ones too) it holds."""

    packed: int
    unpacked: int
    values: int


def pages(file: BufferedReader, column: Any) -> Iterator[Page]:
    """The pages of a column chunk (``pyarrow.parquet.ColumnChunkMetaData``), its dictionary among them.

    Raises:
        ValueError: no headers of pages are where the footer says.
    """
    start = column.data_page_offset
    if column.dictionary_page_offset is not None and 0 < column.dictionary_page_offset < start:
        start = column.dictionary_page_offset
    end, left = start + column.total_compressed_size, column.num_values
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
        """Numbers and structs by their fields' ids; anything else is passed over."""
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
            return self._skip(self._varint())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            return self._list(depth)
        raise ValueError("no header of a page")  # maps are in none

    def _list(self, depth: int) -> None:
        head = self._byte()
        count, kind = head >> 4, head & 15
        if count == 15:
            count = self._varint()
        for _ in range(count):
            if kind in (_TRUE, _FALSE):
                self._skip(1)
            else:
                self._value(kind, depth + 1)

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
