"""The actor: a pure, idempotent function of (objective, function, vectors, block ids), so any call can be repeated."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
import torch

from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.objective.switches import full_precision
from distlandscape.runtime.device import default_device, is_lost
from distlandscape.runtime.evaluate import BlockFunction, Evaluator, Sums
from distlandscape.runtime.group import Membership
from distlandscape.runtime.memory import Trimmer
from distlandscape.runtime.plan import ProductPlan
from distlandscape.runtime.session import node_address
from distlandscape.runtime.shards import Command, Shards
from distlandscape.runtime.tree import Subtree


class BlockWorker:
    """Computes subtree sums; keeps the last objective it was handed, nothing else."""

    def __init__(self, threads: int, plan: ProductPlan | None) -> None:
        self._threads = threads
        self._unfit: InputError | None = None  # raised by the first ping: a constructor's error would look like a death
        try:
            device = default_device()
        except InputError as error:
            self._unfit, device = error, torch.device("cpu")
        self._evaluator = Evaluator(device, plan=plan)
        self._objective: tuple[str, Objective] | None = None
        self._shards: Shards | None = None
        self._trim = Trimmer()

    def run(
        self,
        key: str,
        objective: Sequence[ray.ObjectRef[Objective]],
        function: BlockFunction,
        subtrees: Sequence[Subtree],
        micro_batch: int,
        *arrays: Any,
    ) -> list[Sums]:
        """Sums over subtrees; the objective comes as a reference in a list, fetched when ``key`` is new."""
        torch.set_num_threads(self._threads)  # holds for the calling thread only, and actors change theirs
        self._evaluator.micro_batch, self._evaluator.cancelled = micro_batch, False
        with self._ended_by_faults():
            sums = self._evaluator.subtree_sums(self._hold(key, objective), function, arrays, subtrees)
        self._trim()
        return sums

    def join(self, member: Membership, dim: int, dtype: torch.dtype) -> None:
        """Become a member of a generation that holds vectors of ``dim`` entries; what was held before is forgotten."""
        self._shards = None
        self._shards = Shards(member, dim, dtype, self._evaluator.device, node_address())

    def run_program(
        self,
        key: str,
        objective: Sequence[ray.ObjectRef[Objective]],
        program: Sequence[Command],
        micro_batch: int,
        first: int,
    ) -> list[Any]:
        """Commands on sharded vectors, from the ``first``; every rank is sent the same program."""
        torch.set_num_threads(self._threads)
        self._evaluator.micro_batch, self._evaluator.cancelled = micro_batch, False
        assert self._shards is not None, "join comes before"
        with self._ended_by_faults():
            results = self._shards.run(program, self._hold(key, objective), self._evaluator, first)
        self._trim()
        return results

    @ray.method(concurrency_group="control")
    def leave(self) -> None:
        """Give up the generation and what is computed or waited for in it: another rank is gone."""
        self._evaluator.cancelled = True
        if self._shards is not None:
            self._shards.group.leave()

    @ray.method(concurrency_group="control")
    def saved(self, ticket: int) -> dict[str, str]:
        """Wait until the files of a save are whole; {name: sha256}."""
        assert self._shards is not None, "join comes before"
        return self._shards.saved(ticket)

    def _hold(self, key: str, objective: Sequence[ray.ObjectRef[Objective]]) -> Objective:
        """The objective, fetched when ``key`` is new."""
        if self._objective is None or self._objective[0] != key:
            self._objective = None  # before the next one arrives: two would not fit
            self._evaluator.forget()
            self._objective = (key, ray.get(objective[0]))
        return self._objective[1]

    def call(self, function: Callable[[Any], Any], item: Any) -> Any:
        """One task of map_tasks."""
        torch.set_num_threads(self._threads)
        with self._ended_by_faults(), full_precision(self._evaluator.device):
            return function(item)

    @contextlib.contextmanager
    def _ended_by_faults(self) -> Iterator[None]:
        """End this process where its GPU reported a fault, which only a new one gets rid of; that one does the work."""
        try:
            yield
        except Exception:
            if is_lost(self._evaluator.device):
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)  # whatever else would run at an exit may wait for the GPU
            raise

    @ray.method(concurrency_group="control")
    def ping(self) -> tuple[str, int, str, str]:
        """Host, process, node and type of device: answered by another thread than the one that computes.

        Raises:
            InputError: torch cannot use the GPU that is reserved for this worker.
        """
        if self._unfit is not None:
            raise self._unfit
        node = ray.get_runtime_context().get_node_id()
        return socket.gethostname(), os.getpid(), node, self._evaluator.device.type
