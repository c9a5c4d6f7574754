"""What one worker does in a pass: its blocks, micro-batch by micro-batch, summed in float64 along the tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distlandscape.data.blocks import block_bounds
from distlandscape.errors import OutOfMemory, WorkerFailure
from distlandscape.objective import Batch, Objective
from distlandscape.runtime.tree import Subtree, TreeSum

BlockFunction = Callable[..., tuple[Tensor, ...]]  # (objective, batch, *arrays) -> sums over the micro-batch
Sums = tuple[npt.NDArray[np.float64], ...]
Totals = tuple[Tensor, ...]  # the same on the device

MICRO_BATCH = {"cpu": 256, "cuda": 1024}  # larger ones fall out of a CPU's cache and gain nothing on a GPU


def default_micro_batch(device: str) -> int:
    """The fixed rule by device type."""
    return MICRO_BATCH.get(device, MICRO_BATCH["cuda"])


def halved(error: OutOfMemory) -> int:
    """The micro-batch to go on with.

    Raises:
        WorkerFailure: it was one sample already.
    """
    if error.samples <= 1:
        raise WorkerFailure(
            "one sample at a time does not fit into memory; give each worker more of it (fewer workers a machine), or"
            " take a smaller model"
        ) from error
    return error.samples // 2


class Evaluator:
    """Computes subtree sums; re-uses its buffers, because fresh large ones cost more than the additions."""

    def __init__(self, device: torch.device, micro_batch: int | None = None) -> None:
        self.device = device
        self.micro_batch = micro_batch or default_micro_batch(device.type)
        self._free: list[Totals] = []
        self._scratch: dict[torch.Size, Tensor] = {}

    def subtree_sums(
        self, objective: Objective, function: BlockFunction, arrays: Sequence[Any], subtrees: Sequence[Subtree]
    ) -> list[Sums]:
        """The function's sums over each subtree, one tuple of float64 arrays a subtree.

        Every argument in ``arrays`` that is a numpy array is handed on as a tensor on the device.
        """
        sums = []
        for subtree in subtrees:
            (total,) = self.subtree_totals(objective, function, arrays, [subtree])
            sums.append(tuple(tensor.cpu().numpy().copy() for tensor in total))
            self.release([total])
        return sums

    def subtree_totals(
        self, objective: Objective, function: BlockFunction, arrays: Sequence[Any], subtrees: Sequence[Subtree]
    ) -> list[Totals]:
        """The same as tensors that stay on the device; give them back with ``release`` once they are used."""
        objective.model.to(self.device)
        tensors = [self._tensor(a) if isinstance(a, np.ndarray) else a for a in arrays]
        return [self._subtree_total(objective, function, tensors, subtree) for subtree in subtrees]

    def release(self, totals: Sequence[Totals]) -> None:
        """Take buffers back."""
        self._free += totals

    def _subtree_total(
        self, objective: Objective, function: BlockFunction, arrays: Sequence[Any], subtree: Subtree
    ) -> Totals:
        tree: TreeSum[Totals] = TreeSum(self._add)
        for block in range(subtree.start, subtree.start + subtree.size):
            tree.push(1, self._block_sum(objective, function, arrays, block))
        return tree.result()

    def _block_sum(self, objective: Objective, function: BlockFunction, arrays: Sequence[Any], block: int) -> Totals:
        x, y = objective.data.block(block)
        first = block_bounds(objective.data.samples, objective.data.blocks)[block]
        total: Totals | None = None
        for start in range(0, len(x), self.micro_batch):
            stop = start + self.micro_batch
            batch = Batch(*objective.tensors(x[start:stop], y[start:stop], self.device), first + start)
            try:
                part = function(objective, batch, *arrays)
            except (MemoryError, RuntimeError) as error:
                if not _lacks_memory(error):
                    raise
                raise OutOfMemory(len(batch.x)) from None  # its traceback would keep the tensors alive
            if total is None:
                total = self._buffers(part)
                for tensor, value in zip(total, part, strict=True):
                    tensor.copy_(value)
            else:
                for tensor, value in zip(total, part, strict=True):
                    tensor += self._widened(value)
        assert total is not None, "a block holds at least one sample"
        return total

    def _buffers(self, like: Totals) -> Totals:
        for index, buffers in enumerate(self._free):
            if [b.shape for b in buffers] == [v.shape for v in like]:
                return self._free.pop(index)
        self._free.clear()  # another function's shapes: give their memory back
        return tuple(torch.empty(v.shape, dtype=torch.float64, device=self.device) for v in like)

    def _widened(self, value: Tensor) -> Tensor:
        """``value`` in float64, in scratch: adding float32 into float64 directly is several times slower."""
        if value.shape not in self._scratch:
            self._scratch = {value.shape: torch.empty(value.shape, dtype=torch.float64, device=self.device)}
        return self._scratch[value.shape].copy_(value)

    def _add(self, left: Totals, right: Totals) -> Totals:
        for a, b in zip(left, right, strict=True):
            a += b
        self._free.append(right)
        return left

    def _tensor(self, array: npt.NDArray[Any]) -> Tensor:
        # A copy: arrays out of an object store are read-only, and their alignment is not ours to choose.
        return torch.from_numpy(np.array(array)).to(self.device)


def _lacks_memory(error: Exception) -> bool:
    """Torch's CPU allocator has no exception of its own."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "DefaultCPUAllocator" in str(error)
