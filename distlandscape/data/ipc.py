"""What an Arrow file says of its record batches, read before Arrow itself reads them.

A batch may be compressed, and Arrow then unpacks it when it is asked for: a megabyte may become terabytes. Batches of
a block store never are, nor are there dictionaries in it. Footer and headers are flatbuffers (Arrow's File.fbs,
Message.fbs), of which this reads the few fields it needs; offsets beyond the file raise struct.error.
"""

from __future__ import annotations

import mmap
import struct

_MAGIC = b"ARROW1"
_CONTINUATION = b"\xff\xff\xff\xff"
_RECORD_BATCH = 3
_Content = mmap.mmap | memoryview


class UnsoundError(ValueError):
    """A file says of itself what cannot be."""


def batch_lengths(content: _Content) -> list[int]:
    """Rows of each record batch of an Arrow file.

    Raises:
        UnsoundError: it is none, holds dictionaries or compressed batches, or a batch does not lie within it.
        struct.error: it is cut off.
    """
    if content[:6] != _MAGIC or content[-6:] != _MAGIC:
        raise UnsoundError("no Arrow file")
    end = len(content) - 10
    (size,) = struct.unpack_from("<i", content, end)
    footer = _root(content, end - size)
    dictionaries, batches = (_field(content, footer, number) for number in (2, 3))
    if dictionaries is not None and _vector(content, dictionaries)[1]:
        raise UnsoundError("it holds dictionaries")
    if batches is None:
        return []
    start, count = _vector(content, batches)
    if count * 24 > size:
        raise UnsoundError("its footer is cut off")
    return [_length(content, *struct.unpack_from("<qi4xq", content, start + 24 * index)) for index in range(count)]


def _length(content: _Content, offset: int, header: int, body: int) -> int:
    """Rows of the record batch whose header and body stand at a place."""
    if min(offset, header, body) < 0 or offset + header + body > len(content):
        raise UnsoundError("a batch does not lie within the file")
    message = _root(content, offset + (8 if content[offset : offset + 4] == _CONTINUATION else 4))
    kind, batch = (_field(content, message, number) for number in (1, 2))
    if kind is None or batch is None or content[kind] != _RECORD_BATCH:
        raise UnsoundError("a block is no record batch")
    batch = _target(content, batch)
    if _field(content, batch, 3) is not None:
        raise UnsoundError("a batch is compressed")
    place = _field(content, batch, 0)
    return 0 if place is None else int(struct.unpack_from("<q", content, place)[0])


def _root(content: _Content, start: int) -> int:
    if start < 0:
        raise UnsoundError("an offset is negative")
    return _target(content, start)


def _target(content: _Content, place: int) -> int:
    """Where the offset at a place leads."""
    return place + int(struct.unpack_from("<I", content, place)[0])


def _field(content: _Content, table: int, number: int) -> int | None:
    """Where a field of a table stands; None where it has its default."""
    (back,) = struct.unpack_from("<i", content, table)
    if table - back < 0:
        raise UnsoundError("an offset is negative")
    (size,) = struct.unpack_from("<H", content, table - back)
    if 4 + 2 * number >= size:
        return None
    (offset,) = struct.unpack_from("<H", content, table - back + 4 + 2 * number)
    return table + offset if offset else None


def _vector(content: _Content, place: int) -> tuple[int, int]:
    """Where the elements of a vector stand, and how many there are."""
    start = _target(content, place)
    return start + 4, int(struct.unpack_from("<I", content, start)[0])
