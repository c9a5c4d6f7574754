"""Passes in this process, without Ray."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from distlandscape import stopping
from distlandscape.display import counted
from distlandscape.errors import OutOfMemory, WorkerFailure
from distlandscape.objective import Objective
from distlandscape.objective.failures import brief
from distlandscape.objective.switches import full_precision, using_threads
from distlandscape.runtime.device import default_device, is_lost
from distlandscape.runtime.evaluate import BlockFunction, Evaluator, Sums, halved
from distlandscape.runtime.plan import ProductPlan
from distlandscape.runtime.runner import Task, to_standard_error
from distlandscape.runtime.sizes import check_plan, check_sizes
from distlandscape.runtime.tree import Subtree
from distlandscape.spectral.driver import TensorSpace
from distlandscape.spectral.space import Space


class LocalRunner:
    """Computes every block in this process, on its GPU if it has one.

    Args:
        threads: torch threads while a pass runs or a task; None: those of the process.
        micro_batch: samples at a time; None: a fixed rule by device type.
        plan: how products are computed; None: kept as far as memory allows.
        on_event: told in words when the micro-batch had to be smaller; default: written to standard error.

    Raises:
        InputError: threads or micro_batch that are no whole number of at least 1, or a plan that is none.
    """

    workers = 0
    transport = "local"

    def __init__(
        self,
        threads: int | None = None,
        micro_batch: int | None = None,
        *,
        plan: ProductPlan | None = None,
        on_event: Callable[[str], None] = to_standard_error,
    ) -> None:
        check_sizes(threads=threads, micro_batch=micro_batch)
        check_plan(plan)
        self._on_event = on_event
        self._evaluator = Evaluator(default_device(), micro_batch, plan, threads)

    def __repr__(self) -> str:
        return f"in this process, {counted(self.threads, 'thread')}"

    @property
    def threads(self) -> int:
        """Threads of a pass."""
        return self._evaluator.threads or torch.get_num_threads()

    @property
    def device(self) -> str:
        """Type of device the products run on."""
        return self._evaluator.device.type

    @property
    def micro_batch(self) -> int:
        """Samples computed at a time."""
        return self._evaluator.micro_batch

    def map_blocks(self, objective: Objective, function: BlockFunction, arrays: Sequence[Any] = ()) -> Sums:
        """See Runner.map_blocks."""
        while True:
            try:
                return self._evaluator.subtree_sums(objective, function, arrays, [Subtree(0, objective.data.blocks)])[0]
            except OutOfMemory as error:
                self._evaluator.micro_batch = halved(error)
                self._on_event(f"{error}; the pass starts again with a micro-batch of {self.micro_batch}")
            except RuntimeError as error:
                if not is_lost(self._evaluator.device):
                    raise
                raise WorkerFailure(
                    f"the GPU reported a fault ({brief(error)}), after which this process cannot use it; start the"
                    " program again, or resume the run"
                ) from error

    def recover(self, repeated: bool = False) -> None:
        """See Runner.recover; there is nothing to lose here."""

    renewal = False

    def space(self, objective: Objective) -> Space:
        """See Runner.space."""
        return TensorSpace(objective.parameters, objective.dtype)

    def map_tasks(
        self, function: Task, items: Sequence[Any], done: Callable[[int, Any], None] | None = None
    ) -> list[Any]:
        """See Runner.map_tasks."""
        results = []
        for index, item in enumerate(items):
            stopping.look()
            with using_threads(self._evaluator.threads), full_precision(self._evaluator.device):
                results.append(function(item))
            if done is not None:
                done(index, results[-1])
        return results
