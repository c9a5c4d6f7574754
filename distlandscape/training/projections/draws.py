"""Random numbers that are a pure function of (seed, stream, index), in the quantities a projection needs.

The raw words are Philox's (4×64, Salmon et al. 2011). Streams are apart from those of spectral vectors, whose numbers
have a bit from the 59th up.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distlandscape.spectral.probes import raw_words

NORMAL, SIGN, INDEX, CHOICE = (2**58 + kind * 2**40 for kind in range(4))  # first stream of each use
SEGMENT = 2**15  # numbers made at a time: vectorised logarithms may round differently at the end of an array


def generator(seed: int, stream: int) -> np.random.Generator:
    """A generator of its own for what has no index, such as a permutation."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream], dtype=np.uint64)))


def normals(seed: int, stream: int, start: int, stop: int) -> Tensor:
    """Standard normals start…stop of a stream, float32; equal bits wherever the range is cut.

    Box–Muller from the two halves of a word, several times faster than in float64; with 32-bit uniforms no number is
    beyond 6.8.
    """
    first = start - start % SEGMENT
    made = torch.empty(-(-(stop - first) // SEGMENT) * SEGMENT)
    for place in range(0, len(made), SEGMENT):
        words = raw_words(seed, stream, (first + place) // 2, (first + place + SEGMENT) // 2)
        _box_muller(words, made[place : place + SEGMENT])
    return made[start - first : stop - first]


def _box_muller(words: npt.NDArray[np.uint64], out: Tensor) -> None:
    halves = words.astype("<u8").view("<u4").reshape(-1, 2).astype(np.float32)
    uniform = torch.from_numpy(halves).add_(0.5).mul_(2.0**-32)  # above 0, at most 1
    radius = uniform[:, 0].contiguous().log_().mul_(-2.0).sqrt_()
    angle = uniform[:, 1].contiguous().mul_(2.0 * math.pi)
    pairs = out.view(2, -1)
    torch.mul(radius, angle.cos(), out=pairs[0])
    torch.mul(radius, angle.sin(), out=pairs[1])


def signs(seed: int, stream: int, count: int) -> Tensor:
    """Signs ±1 (count,), int8: the bits of the stream's first words."""
    words = raw_words(seed, stream, 0, -(-count // 64))
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), count=count, bitorder="little")
    return torch.from_numpy(bits.astype(np.int8) * 2 - 1)
