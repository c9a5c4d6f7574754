"""The fixed binary tree over block index, in which every sum over data is taken.

Level 0 holds the B blocks, a node at level l covers 2^l aligned blocks. Float addition is not associative: because the
tree never depends on who computes which block, neither does a single bit of the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, order=True)
class Subtree:
    """An aligned node: blocks start … start + size − 1, size a power of two that divides start."""

    start: int
    size: int


def cover(first: int, last: int) -> list[Subtree]:
    """The fewest aligned subtrees that make up blocks first … last − 1, in order."""
    subtrees = []
    while first < last:
        size = first & -first if first else 1 << (last - first).bit_length()
        while size > last - first:
            size //= 2
        subtrees.append(Subtree(first, size))
        first += size
    return subtrees


def shares(blocks: int, workers: int) -> list[list[Subtree]]:
    """Blocks dealt out evenly as runs of aligned subtrees, one list a worker (empty lists left out)."""
    cuts = [worker * blocks // workers for worker in range(workers + 1)]
    return [cover(a, b) for a, b in pairwise(cuts) if b > a]


class TreeSum(Generic[T]):
    """Adds leaves that arrive in order, holding at most one partial sum a level.

    Args:
        add: adds its second argument into its first and returns that.
    """

    def __init__(self, add: Callable[[T, T], T]) -> None:
        self._add = add
        self._stack: list[tuple[int, T]] = []

    def push(self, size: int, value: T) -> None:
        """Take in a node of ``size`` blocks; merge siblings as soon as both are there."""
        self._stack.append((size, value))
        while len(self._stack) > 1 and self._stack[-1][0] == self._stack[-2][0]:
            size, right = self._stack.pop()
            _, left = self._stack.pop()
            self._stack.append((2 * size, self._add(left, right)))

    def result(self) -> T:
        """The sum over the one subtree that all leaves made up."""
        assert len(self._stack) == 1, "the leaves did not make up one aligned subtree"
        return self._stack.pop()[1]


def finish(nodes: Iterable[tuple[Subtree, T]], add: Callable[[T, T], T]) -> T:
    """Sum over the whole tree from the sums of disjoint subtrees that cover it."""
    tree = TreeSum(add)
    for subtree, value in sorted(nodes, key=lambda node: node[0]):
        tree.push(subtree.size, value)
    return tree.result()
