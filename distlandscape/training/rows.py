"""The samples of a mini-batch, gathered from the blocks of the store."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distlandscape.data.blocks import BlockStore, Samples


class Rows:
    """Samples and targets of a store by position; the blocks are views, of a file they are no memory of this process.

    Unlike ``BlockStore.take`` it keeps the views: looking up all blocks anew for each batch takes longer than a step
    of a small network.
    """

    def __init__(self, data: BlockStore) -> None:
        self._blocks = [data.block(index) for index in range(data.blocks)]
        self._starts = np.cumsum([0, *(len(y) for _, y in self._blocks[:-1])])

    def take(self, positions: npt.NDArray[np.int64]) -> tuple[Samples, Samples]:
        """Copies of the samples and targets at ``positions`` 0…N−1, in their order."""
        which = np.searchsorted(self._starts, positions, side="right") - 1
        places = list(zip(which.tolist(), (positions - self._starts[which]).tolist(), strict=True))
        x, y = (np.stack([self._blocks[block][part][row] for block, row in places]) for part in (0, 1))
        return x, y
