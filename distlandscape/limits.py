"""How much a file may become when it is read: bounded from its header, before anything is unpacked.

What has to be in memory at one time is bounded by what the file itself weighs, so that who sends a bomb has to send a
large file: data of ordinary kinds are packed 2 to 50 times, zeros a thousand times and more.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from distlandscape.errors import InputError

ROW = 64 * 2**20  # bytes of one sample
FREE = 32 * 2**20  # bytes that may be packed as densely as they will
RATIO = 100  # bytes unpacked for each packed one, above that
PER_SAMPLE = 64  # bytes of memory that a sample costs beside its content: its target, and its places in the order drawn


def check_row(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise InputError for samples (N, …) that are too large one by one; ``name`` says what of which file they are."""
    size = math.prod(shape[1:]) * dtype.itemsize
    if size > ROW:
        raise InputError(f"{name} has {size:,} bytes a sample, and samples have {ROW:,} at most; cut or shrink them")


def check_unpacked(name: str, unpacked: int, packed: int, remedy: str) -> None:
    """Raise InputError for what becomes much larger when it is unpacked than ordinary data do."""
    if unpacked > max(FREE, RATIO * packed):
        raise InputError(
            f"{name} takes {unpacked:,} bytes of memory unpacked and {packed:,} packed, more than {RATIO} times as"
            f" many; {remedy}"
        )


def memory_of(samples: int, row: int) -> int:
    """Bytes that samples of ``row`` bytes each count as."""
    return samples * max(row, PER_SAMPLE)
