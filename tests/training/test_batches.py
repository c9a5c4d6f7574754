"""The order of samples: without replacement, the same from any step on; and the samples themselves."""

from __future__ import annotations

from itertools import islice

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from distlandscape.data import BlockStore
from distlandscape.training.batches import batches
from distlandscape.training.rows import Rows


@given(samples=st.integers(1, 40), size=st.integers(1, 50), start=st.integers(0, 30), seed=st.integers(0, 2**63 - 1))
def test_a_late_start_goes_on_with_the_same_batches(samples, size, start, seed):
    whole = list(islice(batches(samples, size, seed), start + 5))
    late = list(islice(batches(samples, size, seed, start), 5))
    assert all(np.array_equal(a, b) for a, b in zip(whole[start:], late, strict=True))


def test_an_epoch_meets_each_sample_once_at_most():
    generator = np.random.Generator(np.random.Philox(3))
    epochs = [generator.permutation(10) for _ in range(2)]
    drawn = list(islice(batches(10, 4, 3), 4))
    assert [batch.tolist() for batch in drawn] == [list(e[i : i + 4]) for e in epochs for i in (0, 4)]


@given(samples=st.integers(1, 150), wide=st.booleans(), data=st.data())
@settings(max_examples=30, deadline=None)
def test_rows_are_those_of_the_arrays(samples, wide, data):
    x = np.arange(samples * 6, dtype=np.int16).reshape(samples, 2, 3)
    y = np.arange(samples * 2.0).reshape(samples, 2) if wide else np.arange(samples)
    positions = np.array(data.draw(st.lists(st.integers(0, samples - 1), min_size=1, max_size=9)))
    taken = Rows(BlockStore.from_arrays(x, y)).take(positions)
    for got, expected in zip(taken, (x[positions], y[positions]), strict=True):
        assert np.array_equal(got, expected)
        assert got.dtype == expected.dtype
