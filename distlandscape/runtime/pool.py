"""A pool of Ray actors; the driver owns the run, a lost or hung worker is replaced and its share done again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np

from distlandscape.data.blocks import block_bounds
from distlandscape.display import counted
from distlandscape.errors import InputError, OutOfMemory
from distlandscape.objective import Objective
from distlandscape.runtime import session
from distlandscape.runtime.collective import Collective
from distlandscape.runtime.crew import Crew
from distlandscape.runtime.dealing import Job, deal
from distlandscape.runtime.evaluate import BlockFunction, Sums, default_micro_batch, halved
from distlandscape.runtime.plan import ProductPlan
from distlandscape.runtime.presence import require_ray
from distlandscape.runtime.runner import Task, to_standard_error
from distlandscape.runtime.sizes import check_plan, check_pool, check_sizes
from distlandscape.runtime.tree import Subtree, finish, shares
from distlandscape.spectral.driver import TensorSpace
from distlandscape.spectral.space import Space


class Pool:
    """Workers that share the blocks of a data set, as a context manager.

    Without a cluster around it, a local Ray is started, bound to loopback, and ended with the pool. With transport
    "store" vectors are put into Ray's object store once a pass, every worker returns float64 sums of whole subtrees,
    and the driver finishes the tree: the same bits for any number of workers, and after any crash.

    Args:
        workers: number of actors; where nodes are lost the pool goes on with fewer, and takes up new ones.
        cpus_per_worker: CPUs reserved for each.
        gpus_per_worker: GPUs reserved for each, at most 1; 0: they compute on CPUs.
        threads: torch threads of each; None: the CPUs it has. Equal bits are promised at equal threads.
        transport: "store": vectors in the driver; "collective": vectors and bases sharded over the workers.
        micro_batch: samples at a time; None: a fixed rule by device type.
        plan: how products are computed; None: kept as far as memory allows. The more workers, the more data is kept.
        on_event: told in words when a worker was lost, hung or replaced; default: written to standard error.

    Raises:
        InputError: sizes that are no whole numbers of at least 1, an unknown transport, a plan that is none, a
            RAY_ADDRESS that cannot be joined, a cluster too small for the workers, a GPU that is reserved and torch
            cannot use, a pool that is entered twice, or anything computed before it is entered, after it is left, or
            once its Ray was shut down.
        WorkerFailure: workers cannot be started, or keep dying on the same blocks.
    """

    def __init__(
        self,
        workers: int = 2,
        cpus_per_worker: float = 1,
        gpus_per_worker: float = 0,
        threads: int | None = None,
        transport: str = "store",
        *,
        micro_batch: int | None = None,
        plan: ProductPlan | None = None,
        on_event: Callable[[str], None] = to_standard_error,
    ) -> None:
        check_pool(workers, cpus_per_worker, gpus_per_worker, transport)
        check_sizes(threads=threads, micro_batch=micro_batch)
        check_plan(plan)
        self.workers, self.transport = workers, transport
        self.threads = threads if threads is not None else max(1, int(cpus_per_worker))
        self._micro_batch = micro_batch
        self._resources = {"num_cpus": cpus_per_worker, "num_gpus": gpus_per_worker}
        self._on_event = on_event
        self._objective: tuple[Objective, str, Any] | None = None
        self._uses_session = self._entered = False
        self._device = "cpu"
        self._crew = Crew(workers, self._resources, transport == "collective", (self.threads, plan), self._on_event)
        self._collective: Collective | None = None

    def __repr__(self) -> str:
        workers, threads = counted(self.workers, "worker"), counted(self.threads, "thread")
        return f"Pool({workers}, {threads} each, transport {self.transport!r})"

    def __enter__(self) -> Pool:
        if self._entered:
            raise InputError("this Pool is entered already; compute with it inside of its block, or make a second Pool")
        self._uses_session = session.connect(self.workers * float(self._resources["num_cpus"]))
        self._entered = True
        try:
            self._crew.start()
            self._device = self._crew.members[0].device
            if self.transport == "collective":
                self._collective = Collective(
                    self._crew, session.node_address(), self._ship, lambda: self.micro_batch, self._smaller
                )
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.ExitStack() as stack:  # each whatever becomes of those before: last in, first out
            if self._uses_session:
                stack.callback(session.disconnect)
            if self._collective is not None:
                stack.callback(self._collective.close)
            stack.callback(self._crew.close)
            self._entered = self._uses_session = False
            self._objective = self._collective = None

    @property
    def pids(self) -> list[int]:
        """Process of each worker there is."""
        return [member.pid for member in self._crew.members]

    @property
    def device(self) -> str:
        """Type of device the workers compute on."""
        return self._device

    @property
    def micro_batch(self) -> int:
        """Samples computed at a time."""
        return self._micro_batch or default_micro_batch(self.device)

    def map_blocks(self, objective: Objective, function: BlockFunction, arrays: Sequence[Any] = ()) -> Sums:
        """See Runner.map_blocks.

        Raises:
            WorkerFailure: the same blocks were lost four times, or one sample does not fit into memory.
        """
        self._require_entered()
        import ray

        key, shipped = self._ship(objective)
        references = [ray.put(a) if isinstance(a, np.ndarray) else a for a in arrays]
        while True:
            self._crew.require_one()
            work = _Pass(objective, (key, [shipped], function), (self.micro_batch, *references))
            try:
                deal(self._crew, [work.job(share) for share in shares(objective.data.blocks, len(self._crew.members))])
                return finish(work.nodes, _add_arrays)
            except OutOfMemory as error:
                self._smaller(error)

    def recover(self, repeated: bool = False) -> None:
        """See Runner.recover."""
        self._require_entered()
        if self._collective is not None:
            product = self._collective.recover()
            if repeated and product is not None:
                self.map_blocks(*product)  # a block that kills every worker is named

    @property
    def renewal(self) -> bool:
        """See Runner.renewal."""
        self._require_entered()
        return self._collective is not None and self._collective.renewal

    def space(self, objective: Objective) -> Space:
        """See Runner.space."""
        self._require_entered()
        if self._collective is not None:
            return self._collective.space(objective)
        return TensorSpace(objective.parameters, objective.dtype)

    def map_tasks(
        self, function: Task, items: Sequence[Any], done: Callable[[int, Any], None] | None = None
    ) -> list[Any]:
        """See Runner.map_tasks; a worker has one task at a time, the next is sent as soon as it is free.

        Raises:
            WorkerFailure: the same task was lost four times.
        """
        self._require_entered()
        results: list[Any] = [None] * len(items)

        def take(index: int, result: Any) -> None:
            results[index] = result
            if done is not None:
                done(index, result)

        def send(index: int, actor: Any) -> Any:
            return actor.call.remote(function, items[index])

        self._crew.require_one()
        names = [f"task {index + 1} of {len(items)}" for index in range(len(items))]
        deal(self._crew, [Job(name, partial(send, index), partial(take, index)) for index, name in enumerate(names)])
        return results

    def _require_entered(self) -> None:
        """Nothing is put into a store that is not there: Ray would start one by itself, open to the network."""
        if not self._entered:
            raise InputError(
                "this Pool has no workers, as it is not entered or was left; use it as `with Pool(...) as pool:` and"
                " compute inside of the block"
            )
        if not session.is_connected():
            raise InputError(
                "this Pool has no workers any more, as Ray was shut down inside of its block; leave ray.shutdown() out,"
                " or call it after the block"
            )
        require_ray()

    def _smaller(self, error: OutOfMemory) -> None:
        """Go on with half the micro-batch, everywhere."""
        self._micro_batch = halved(error)
        self._on_event(f"{error}; the pass starts again with a micro-batch of {self._micro_batch}")

    def _ship(self, objective: Objective) -> tuple[str, Any]:
        """Put an objective into the store once; workers keep it under its key."""
        self._require_entered()
        import ray

        if self._objective is None or self._objective[0] is not objective:
            reference = ray.put(objective)
            self._objective = (objective, reference.hex(), reference)
        return self._objective[1], self._objective[2]


class _Pass:
    """Jobs of one pass and what came of them.

    No job refers to itself by a closure: such a cycle would keep the vectors of each pass in the object store until
    Python's collector of cycles runs.

    Attributes:
        nodes: the sums of each subtree that is done.
    """

    def __init__(self, objective: Objective, before: tuple[Any, ...], after: tuple[Any, ...]) -> None:
        self._objective, self._before, self._after = objective, before, after
        self.nodes: list[tuple[Subtree, Sums]] = []

    def job(self, share: list[Subtree]) -> Job:
        name = _in_words(self._objective, share)
        return Job(name, partial(self._send, share), partial(self._take, share), partial(self._blocks, share))

    def _send(self, share: list[Subtree], actor: Any) -> Any:
        return actor.run.remote(*self._before, share, *self._after)

    def _take(self, share: list[Subtree], sums: list[Sums]) -> None:
        self.nodes.extend(zip(share, sums, strict=True))

    def _blocks(self, share: list[Subtree]) -> list[Job]:
        single = [self.job([Subtree(b, 1)]) for s in share for b in range(s.start, s.start + s.size)]
        return single if len(single) > 1 else []


def _in_words(objective: Objective, share: Sequence[Subtree]) -> str:
    """A run of blocks with the samples they hold."""
    first, last = share[0].start, share[-1].start + share[-1].size - 1
    bounds = block_bounds(objective.data.samples, objective.data.blocks)
    blocks = f"block {first}" if first == last else f"blocks {first}–{last}"
    return f"{blocks} of {objective.data.blocks} (samples {bounds[first]}–{bounds[last + 1] - 1})"


def _add_arrays(left: Sums, right: Sums) -> Sums:
    return tuple(a + b for a, b in zip(left, right, strict=True))
