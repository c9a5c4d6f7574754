"""What one worker does in a pass: its blocks, micro-batch by micro-batch, summed in float64 along the tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distlandscape import stopping
from distlandscape.curvature.forward import require_forward_mode
from distlandscape.curvature.product import Product
from distlandscape.data.blocks import Samples, block_bounds
from distlandscape.errors import InputError, OutOfMemory, WorkerFailure
from distlandscape.objective import Batch, Objective
from distlandscape.objective.failures import brief, is_out_of_memory
from distlandscape.objective.switches import measuring
from distlandscape.runtime.device import is_lost
from distlandscape.runtime.kept import Kept
from distlandscape.runtime.placed import Placed
from distlandscape.runtime.plan import ProductPlan
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


class PeerFailed(RuntimeError):
    """Another rank failed; its error says why."""


class Evaluator:
    """Computes subtree sums; re-uses its buffers, because fresh large ones cost more than the additions.

    Args:
        device: where everything is computed.
        micro_batch: samples at a time; None: a fixed rule by device type.
        plan: how products are computed; other functions of a block are not touched by it.
        threads: torch threads while a pass runs; None leaves the process as it is.
    """

    def __init__(
        self,
        device: torch.device,
        micro_batch: int | None = None,
        plan: ProductPlan | None = None,
        threads: int | None = None,
    ) -> None:
        self.device, self.threads = device, threads
        self.cancelled = False  # set by another thread: nobody waits for the pass any more
        self.plan = plan if plan is not None else ProductPlan()
        self.kept = Kept(device, self.plan.memory)
        self._placed = Placed(device, self.kept.forget)  # linearisations are of the former copy
        self._checked: tuple[Objective, Product] | None = None
        self.micro_batch = micro_batch or default_micro_batch(device.type)
        self._free: list[Totals] = []
        self._scratch: dict[torch.Size, Tensor] = {}

    def subtree_sums(
        self, objective: Objective, function: BlockFunction, arrays: Sequence[Any], subtrees: Sequence[Subtree]
    ) -> list[Sums]:
        """The function's sums over each subtree, one tuple of float64 arrays a subtree.

        Every argument in ``arrays`` that is a numpy array is handed on as a tensor on the device.

        Raises:
            InputError: a product that is not finite, with the samples where it arose; a method that does not fit the
                net; a memory budget below one sample.
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
        with measuring(self.device, objective.dtype, self.threads):
            try:
                objective = self._placed(objective)
                tensors = [self._tensor(a) if isinstance(a, np.ndarray) else a for a in arrays]
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                raise OutOfMemory(1) from error  # no smaller micro-batch makes room for model and vectors
            if isinstance(function, Product):
                self._prepare(objective, function, tensors[1:])
            return [self._subtree_total(objective, function, tensors, subtree) for subtree in subtrees]

    def forget(self) -> None:
        """Give up the objective, and the memory held for it."""
        self.kept.forget()
        self._placed.forget()
        self._checked = None

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

    def _prepare(self, objective: Objective, product: Product, arguments: Sequence[Any]) -> None:
        if self.plan.method == "kept":
            self.kept.claim(objective, product, self.micro_batch)
        checked = self._checked
        known = checked is not None and checked[0] is objective and checked[1] == product
        if self.plan.method == "forward_over_reverse" and not known:
            require_forward_mode(objective, product, *arguments)
            self._checked = (objective, product)

    def _block_sum(self, objective: Objective, function: BlockFunction, arrays: Sequence[Any], block: int) -> Totals:
        x, y = objective.data.block(block)
        total: Totals | None = None
        for start in range(0, len(x), self.micro_batch):
            stopping.look()
            if self.cancelled:
                raise PeerFailed("another worker failed in this pass")
            try:
                part = self._part(objective, function, arrays, block, start, (x, y))
                total = self._added(total, part)
            except (MemoryError, RuntimeError) as error:
                if "torch.use_deterministic_algorithms" in str(error):
                    raise InputError(
                        f"an operation of the model has no deterministic kernel on this device ({brief(error)}); call"
                        " torch.use_deterministic_algorithms(True, warn_only=True) or replace the operation"
                    ) from error
                if not is_out_of_memory(error):
                    raise
                samples = min(self.micro_batch, len(x) - start)
                raise OutOfMemory(samples) from None  # its traceback would keep the tensors alive
            except InputError as error:
                cause = error.__cause__
                if cause is not None and is_lost(self.device):  # a device at fault, not the model that ran there
                    raise cause from None
                raise
        assert total is not None, "a block holds at least one sample"
        # A sum is finite only where all it is of are: one number to look at, and one reading pass, a block.
        if isinstance(function, Product) and not torch.stack([t.sum() for t in total]).isfinite().all():
            self._raise_not_finite(objective, function, arrays, block)
        return total

    def _part(
        self,
        objective: Objective,
        function: BlockFunction,
        arrays: Sequence[Any],
        block: int,
        start: int,
        samples: tuple[Samples, Samples],
    ) -> Totals:
        """Sums of one micro-batch by the method of the plan; samples are not even read where it is kept."""

        def batch() -> Batch:
            x, y = (array[start : start + self.micro_batch] for array in samples)
            inputs, targets = objective.tensors(x, y, self.device, channels_last=self.plan.channels_last)
            first = block_bounds(objective.data.samples, objective.data.blocks)[block]
            return Batch(inputs, targets, first + start)

        if isinstance(function, Product) and self.plan.method == "kept":
            return self.kept.products((block, start), batch, arrays)
        if isinstance(function, Product) and self.plan.method == "forward_over_reverse":
            return function.forward(objective, batch(), *arrays)
        return function(objective, batch(), *arrays)

    def _raise_not_finite(self, objective: Objective, product: Product, arrays: Sequence[Any], block: int) -> None:
        """Compute the block's micro-batches again to name the first that is not finite."""
        samples = objective.data.block(block)
        first, last = block_bounds(objective.data.samples, objective.data.blocks)[block : block + 2]
        for start in range(0, len(samples[0]), self.micro_batch):
            part = self._part(objective, product, arrays, block, start, samples)
            if not all(bool(tensor.isfinite().all()) for tensor in part):
                first, last = first + start, min(first + start + self.micro_batch, last)
                break
        raise InputError(
            f"a product with the operator is not finite in block {block}, micro-batch of samples {first}…{last - 1};"
            " look at the weights and these samples, and for a square root, norm or logarithm at 0 in model or loss"
        )

    def _added(self, total: Totals | None, part: Totals) -> Totals:
        """The sums of a block so far, with those of one more micro-batch."""
        if total is None:
            total = self._buffers(part)
            for tensor, value in zip(total, part, strict=True):
                tensor.copy_(value)
        else:
            for tensor, value in zip(total, part, strict=True):
                tensor += self._widened(value)
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
