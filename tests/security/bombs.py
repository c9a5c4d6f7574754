"""Files that are small and become huge, made without their content ever being in memory."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

PIECE = 2**20


def _zeros(start: bytes, size: int, wrap: int) -> bytes:
    """Something and then so many zeros, deflated; ``wrap`` as zlib has it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wrap)
    head = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(bytes(PIECE)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + piece * (size // PIECE) + packer.compress(bytes(size % PIECE)) + packer.flush()


def npz(file: Path, x: tuple[int, ...], y: tuple[int, ...], way: int = zipfile.ZIP_DEFLATED) -> Path:
    """Arrays of zero bytes of these shapes; checksums of large ones are wrong."""
    members, directory = b"", b""
    for name, shape in ((b"x.npy", x), (b"y.npy", y)):
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
        size = int(np.prod(shape))
        content = _zeros(head.getvalue(), size, -15)
        checksum = zlib.crc32(head.getvalue() + bytes(size)) if size < PIECE else 0
        sizes = (len(content), len(head.getvalue()) + size)
        if way == zipfile.ZIP_STORED:  # it says so, and holds nothing
            content, sizes = head.getvalue(), (sizes[1], sizes[1])
        common = struct.pack("<HHHHHLLLHH", 20, 0, way, 0, 0, checksum, *sizes, len(name), 0)
        directory += b"PK\1\2" + struct.pack("<H", 20) + common + struct.pack("<HHHLL", 0, 0, 0, 0, len(members)) + name
        members += b"PK\3\4" + common + name + content
    end = struct.pack("<HHHHLLH", 0, 0, 2, 2, len(directory), len(members), 0)
    file.write_bytes(members + directory + b"PK\5\6" + end)
    return file


def idx(folder: Path, count: int, side: int) -> Path:
    """Images and labels of zeros, deflated; the checksums are wrong."""
    folder.mkdir()
    for name, sizes in (("images-idx3", (count, side, side)), ("labels-idx1", (count,))):
        head = struct.pack(f">{1 + len(sizes)}I", 0x800 + len(sizes), *sizes)
        (folder / f"train-{name}-ubyte.gz").write_bytes(_zeros(head, int(np.prod(sizes)), 31))
    return folder


def parquet(file: Path, **options: object) -> Path:
    """A table of columns given by name; what is no option of ``write_table`` is one."""
    columns = {name: options.pop(name) for name in list(options) if name in ("x", "y", "image")}
    pq.write_table(pa.table(columns), file, **options)
    return file


def one_long_list(file: Path, length: int) -> Path:
    """A row of one number, and one of very many that are all alike."""
    offsets = pa.array([0, 1, 1 + length], pa.int32())
    x = pa.ListArray.from_arrays(offsets, pa.array(np.zeros(1 + length, np.uint8)))
    return parquet(file, x=x, y=[0, 1], compression="zstd")


def repeated_image(file: Path, rows: int, padding: int) -> Path:
    """Small pictures, and the same one again and again with much behind it, which the file holds once."""
    small = io.BytesIO()
    Image.new("L", (1, 1)).save(small, "PNG")
    values = pa.array([small.getvalue(), small.getvalue() + bytes(padding)], pa.binary())
    indices = pa.array([0] + [1] * (rows - 1), pa.int32())
    image = pa.DictionaryArray.from_arrays(indices, values)
    return parquet(file, image=image, y=np.zeros(rows, int), compression="zstd", store_schema=False)


def png(file: Path, side: int) -> Path:
    """A whole picture of black pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", _zeros(b"", side * (3 * side + 1), 15))
        + chunk(b"IEND", b"")
    )
    return file


def store(file: Path, rows: int, header: str) -> Path:
    """A block store whose only block is compressed."""
    x = pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((rows, 64), np.uint8))
    schema = pa.schema([pa.field("x", x.type), pa.field("y", pa.int64())], metadata={"distlandscape": header.encode()})
    batch = pa.record_batch([x, pa.array(np.zeros(rows, np.int64))], schema=schema)
    with pa.ipc.new_file(file, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    return file


def weights(file: Path, content: bytes) -> Path:
    """An archive as torch.save makes it, around any pickle."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("w/data.pkl", content)
        archive.writestr("w/version", "3\n")
        archive.writestr("w/byteorder", "little")
    return file


class _Bytes:
    def __init__(self, size: int) -> None:
        self.size = size

    def __reduce__(self) -> tuple[object, ...]:
        return bytearray, (self.size,)


def bytearray_of(size: int) -> bytes:
    """A pickle that asks for so many bytes."""
    return pickle.dumps({"weight": _Bytes(size)}, protocol=2)


def copies_of_text(length: int, times: int) -> bytes:
    """A pickle that encodes one text again and again, by references to it."""
    text = b"X" + struct.pack("<I", length) + b"a" * length + b"q\1"
    return b"\x80\2](" + text + b"X\6\0\0\0latin1q\2c_codecs\nencode\nq\3" + b"h\3h\1h\2\x86R" * times + b"e."


def copies_of_tuple(length: int, times: int) -> bytes:
    """A pickle that makes a ``torch.Size`` of one tuple again and again."""
    return b"\x80\2]((" + b"K\1" * length + b"tq\1ctorch\nSize\nq\3" + b"h\3h\1\x85R" * times + b"e."
