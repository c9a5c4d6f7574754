"""The block tree: how blocks are dealt out, and that no deal changes a bit of a sum."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distlandscape.runtime.tree import Subtree, TreeSum, cover, finish, shares


def add(left, right):
    return left + right


def blocks_of(subtrees):
    return [block for tree in subtrees for block in range(tree.start, tree.start + tree.size)]


def naive(leaves):
    """The tree by its definition: halves first."""
    if len(leaves) == 1:
        return leaves[0]
    middle = len(leaves) // 2
    return naive(leaves[:middle]) + naive(leaves[middle:])


def fewest(first, last):
    """The least number of aligned subtrees, by dynamic programming."""
    best = {last: 0}
    for start in range(last - 1, first - 1, -1):
        sizes = [1 << j for j in range(10) if start % (1 << j) == 0 and start + (1 << j) <= last]
        best[start] = 1 + min(best[start + size] for size in sizes)
    return best[first]


@given(ends=st.tuples(st.integers(0, 200), st.integers(0, 200)))
def test_cover_is_aligned_complete_and_minimal(ends):
    first, last = sorted(ends)
    subtrees = cover(first, last)
    assert blocks_of(subtrees) == list(range(first, last))
    for tree in subtrees:
        assert tree.size & (tree.size - 1) == 0
        assert tree.start % tree.size == 0
    assert len(subtrees) == fewest(first, last)


@given(level=st.integers(0, 8), workers=st.integers(1, 300))
def test_shares_are_even_and_complete(level, workers):
    blocks = 2**level
    dealt = shares(blocks, workers)
    assert [block for share in dealt for block in blocks_of(share)] == list(range(blocks))
    assert len(dealt) == min(blocks, workers)
    sizes = [len(blocks_of(share)) for share in dealt]
    assert max(sizes) - min(sizes) <= 1


def test_powers_of_two_return_one_subtree_each():
    for workers in (1, 2, 4, 8, 64):
        assert [len(share) for share in shares(64, workers)] == [1] * workers
    assert sum(len(share) for share in shares(64, 3)) == 11


@given(level=st.integers(0, 7), seed=st.integers(0, 2**32 - 1))
def test_same_bits_for_any_number_of_workers(level, seed):
    blocks = 2**level
    rng = np.random.default_rng(seed)
    # Magnitudes over 16 decades: any other order of addition shows.
    leaves = list(rng.standard_normal((blocks, 5)) * 10.0 ** rng.integers(-8, 8, (blocks, 5)))
    expected = naive(leaves)
    for workers in range(1, 10):
        nodes = []
        for share in shares(blocks, workers):
            for subtree in share:
                tree = TreeSum(add)
                for block in blocks_of([subtree]):
                    tree.push(1, leaves[block])
                nodes.append((subtree, tree.result()))
        random.Random(seed).shuffle(nodes)  # results come back in any order
        assert finish(nodes, add).tobytes() == expected.tobytes()


def test_another_order_of_addition_would_show():
    rng = np.random.default_rng(0)
    leaves = list(rng.standard_normal((64, 50)) * 10.0 ** rng.integers(-8, 8, (64, 50)))
    assert naive(leaves).tobytes() != sum(leaves[1:], start=leaves[0]).tobytes()


def test_holds_one_partial_sum_a_level():
    tree = TreeSum(add)
    most = 0
    for block in range(64):
        tree.push(1, block)
        most = max(most, len(tree._stack))
    assert most <= 6
    assert tree.result() == sum(range(64))


def test_an_incomplete_tree_is_no_sum():
    with pytest.raises(AssertionError, match="one aligned subtree"):
        finish([(Subtree(0, 2), 1), (Subtree(2, 1), 1)], add)
