"""Mini-batches without replacement, a pure function of seed and step, taken from a block store."""

from __future__ import annotations

import numpy as np

from distlandscape.data.blocks import BlockStore, Samples


class Batches:
    """Batches of ``size`` samples, epoch after epoch; what is left of an epoch below one batch is dropped there.

    Args:
        data: the samples; only the rows of a batch are copied.
        size: samples in a batch, at most N.
        seed: of the permutations, one an epoch.
    """

    def __init__(self, data: BlockStore, size: int, seed: int) -> None:
        self._data, self._size = data, size
        self._generator = np.random.Generator(np.random.Philox(seed))
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    def batch(self, step: int) -> tuple[Samples, Samples]:
        """Samples and targets of step ``step``; steps are asked for in order, from any first one on."""
        epoch, position = divmod(step, self._data.samples // self._size)
        while self._epoch < epoch:
            self._order = self._generator.permutation(self._data.samples)
            self._epoch += 1
        return self._data.take(self._order[position * self._size : (position + 1) * self._size])
