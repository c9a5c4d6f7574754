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


class AllRows:
    """Samples and targets in the memory of this process, as they are stored; what many short trainings draw from."""

    def __init__(self, x: Samples, y: Samples) -> None:
        self.x, self.y = x, y

    @classmethod
    def of(cls, data: BlockStore) -> AllRows:
        """All of a store."""
        x, y = (np.concatenate(column) for column in zip(*map(data.block, range(data.blocks)), strict=True))
        return cls(x, y)

    def __len__(self) -> int:
        return len(self.x)

    def take(self, positions: npt.NDArray[np.int64]) -> tuple[Samples, Samples]:
        """Copies of the samples and targets at ``positions`` (…), of shapes (…, *shape)."""
        return self.x[positions], self.y[positions]
