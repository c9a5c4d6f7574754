"""A gigabyte is imported, read and checked by a process that never holds more than a part of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from distlandscape.data import load_source
from tests.data import fabricate as make

N, SIDE = 320_000, 56
ROW = SIDE * SIDE
CEILING = 500e6

PROGRAM = """
import json, sys
import numpy as np
from distlandscape.data import load_source

def peak():
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])

store = load_source("idx", sys.argv[1], into=sys.argv[2])
imported = peak()
total, first, seen = 0, None, []
for index in range(store.blocks):
    x, y = store.block(index)
    total += int(x.sum(dtype=np.int64))
    first = (x, int(x.sum(dtype=np.int64))) if first is None else first
    marked = np.flatnonzero(x[:, 0, 0, 0])
    seen += [[int(x[i, 0, 0, 0]), int(x[i, 0, -1, -1]), int(y[i])] for i in marked]
swept = peak()
again = int(first[0].sum(dtype=np.int64)) == first[1]
intact, shape, size = store.intact(), store.block(0)[0].shape[1:], store.path.stat().st_size
print(json.dumps([imported, swept, peak(), total, sorted(seen), again, intact, shape, size]))
"""


@pytest.fixture
def gigabyte(tmp_path):
    """IDX files of a gigabyte, zeros (and hardly any disk) but for a few images; they are removed at once."""
    marked = {place: 1 + number for number, place in enumerate(range(7, N, N // 200))}
    images, labels = tmp_path / "train-images-idx3-ubyte", tmp_path / "train-labels-idx1-ubyte"
    with images.open("wb") as file:
        file.write(np.array([0x803, N, SIDE, SIDE], ">u4").tobytes())
        for place, value in marked.items():
            file.seek(16 + place * ROW)
            file.write(bytes([value]) * ROW)
    os.truncate(images, 16 + N * ROW)
    labels.write_bytes(np.array([0x801, N], ">u4").tobytes() + (np.arange(N) % 10).astype(np.uint8).tobytes())
    yield tmp_path, {value: place % 10 for place, value in marked.items()}
    for file in tmp_path.iterdir():
        file.unlink()


def test_a_gigabyte_needs_no_gigabyte(gigabyte):
    folder, labels = gigabyte
    command = [sys.executable, "-c", PROGRAM, str(folder), str(folder / "store.arrow")]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, timeout=170)
    assert (done.returncode, done.stderr) == (0, "")
    imported, swept, checked, total, seen, again, intact, shape, size = json.loads(done.stdout)
    assert size > 1e9
    assert (imported < CEILING, swept < CEILING, checked < CEILING) == (True, True, True), (imported, swept, checked)
    assert (again, intact, shape) == (True, True, [1, SIDE, SIDE])  # a view of a block outlives the blocks after it
    assert seen == sorted([value, value, label] for value, label in labels.items())
    assert total == ROW * sum(labels)


def test_parquet_is_not_read_ahead(tmp_path):
    """As pyarrow does if it may, and keeps every row group until the file is closed."""
    x = np.random.default_rng(0).integers(0, 256, (40_000, 1024), dtype=np.uint8)
    file = make.parquet(tmp_path / "t.parquet", 2500, x=make.fixed_lists(x), y=np.arange(len(x)) % 10)
    held = []
    before = pa.total_allocated_bytes()
    store = load_source("parquet", str(file), progress=lambda text: held.append((text, pa.total_allocated_bytes())))
    reading = [size - before for text, size in held if text.startswith("read")]
    assert len(reading) > 4
    assert max(reading) < 1.3 * x.nbytes  # 1.9 with reading ahead; most of it is a batch being decoded
    assert store.samples == len(x)
