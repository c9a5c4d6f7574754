"""Fewer points that draw the same picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distlandscape.report.tables import Array

STRETCHES = 1000  # of an axis; a screen shows no more
CELLS = 200  # rows or columns of a picture made of cells


def extremes(x: Array, y: Array) -> npt.NDArray[np.int64]:
    """Indices, ascending, of the smallest and the largest y in each of 1000 equal stretches of x.

    Where there are no more points than these could be, all are kept; so is the last one always.
    """
    if len(x) <= 2 * STRETCHES:
        return np.arange(len(x))
    stretch = np.minimum((x - x[0]) / (x[-1] - x[0]) * STRETCHES, STRETCHES - 1).astype(np.int64)
    order = np.lexsort((y, stretch))
    first = np.flatnonzero(np.diff(stretch[order], prepend=-1))
    last = np.append(first[1:], len(x)) - 1
    return np.unique(np.concatenate([order[first], order[last], [len(x) - 1]]))


def groups(count: int) -> list[slice]:
    """Runs of neighbours, at most 200, that rows or columns are averaged over."""
    size = -(-count // CELLS)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
