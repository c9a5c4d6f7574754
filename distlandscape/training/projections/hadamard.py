"""The fast Walsh–Hadamard transform, as small matrix products that stay in cache."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

FACTOR = 4  # bits of index transformed by one product; 16×16 matrices were the fastest of 8 to 512 on a CPU
CACHED = 2**17  # entries transformed at a time


@functools.lru_cache(maxsize=32)
def _matrix(bits: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    matrix = torch.ones(1, 1, dtype=dtype, device=device)
    for _ in range(bits):
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)], 0)
    return matrix


def hadamard(rows: Tensor) -> Tensor:
    """H x of every row of (m, n), n a power of two; H has entries ±1, so H H = n·1 and H = Hᵀ.

    H is a Kronecker product of smaller ones, each a batched matrix product: n·16·log₁₆n multiplications a row instead
    of the butterfly's n·log₂n, but few passes over memory.
    """
    count, n = rows.shape
    bits = n.bit_length() - 1
    assert n == 1 << bits, f"a row must hold a power of two, not {n}"
    step = max(1, CACHED // n)
    if count > step:
        return torch.cat([hadamard(part) for part in torch.split(rows, step)])
    after = 1
    x = rows
    for size in _split(bits):
        matrix = _matrix(size, rows.dtype, rows.device)
        if after == 1:
            x = x.reshape(-1, len(matrix)) @ matrix
        else:
            x = torch.matmul(matrix, x.reshape(-1, len(matrix), after))
        after *= len(matrix)
    return x.reshape(count, n)


def _split(bits: int) -> list[int]:
    """Bits as a sum of nearly equal parts, the larger ones first."""
    parts = max(1, bits // FACTOR)
    return [bits // parts + (index < bits % parts) for index in range(parts)]
