"""The cut of a vector: a function of P alone, whole, a power of two."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distlandscape.spectral.segments import ALIGN, MAX_SEGMENTS, MIN_SEGMENTS, Segments, tree_sum

DIMS = st.integers(1, 3_000) | st.integers(1, 200_000_000)


@given(DIMS)
def test_segments_cover_every_entry_once_in_order(dim: int) -> None:
    cut = Segments(dim)
    bounds = [cut.bounds(s) for s in range(cut.count)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == dim
    assert all(a <= b for a, b in bounds)
    assert all(left[1] == right[0] for left, right in itertools.pairwise(bounds))


@given(DIMS)
def test_count_is_a_power_of_two_and_lengths_are_aligned(dim: int) -> None:
    cut = Segments(dim)
    assert cut.count.bit_count() == 1
    assert MIN_SEGMENTS <= cut.count <= MAX_SEGMENTS
    assert cut.length % ALIGN == 0
    assert all(cut.bounds(s)[0] in (s * cut.length, dim) for s in range(cut.count))


@given(DIMS, st.integers(1, 2 * MAX_SEGMENTS))
def test_slices_share_all_segments_whatever_their_number(dim: int, slices: int) -> None:
    cut = Segments(dim)
    shared = [s for i in range(slices) for s in cut.share(slices, i)]
    assert shared == list(range(cut.count))
    assert cut == Segments(dim)  # nothing but P decides


@pytest.mark.parametrize(("dim", "count", "length"), [(1, 4, 16), (65, 4, 32), (2047, 4, 512), (5000, 8, 640)])
def test_known_cuts(dim: int, count: int, length: int) -> None:
    assert (Segments(dim).count, Segments(dim).length) == (count, length)


@given(st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_tree_sum_adds_neighbours_first(levels: int, seed: int) -> None:
    partials = np.random.default_rng(seed).standard_normal((2**levels, 3)) * 10.0 ** np.arange(-8, 9, 8)

    def naive(lo: int, hi: int) -> np.ndarray:
        return partials[lo] if hi - lo == 1 else naive(lo, (lo + hi) // 2) + naive((lo + hi) // 2, hi)

    assert tree_sum(torch.from_numpy(partials)).numpy().tobytes() == naive(0, 2**levels).tobytes()
