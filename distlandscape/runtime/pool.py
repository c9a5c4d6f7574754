"""A pool of Ray actors; the driver owns the run, a lost or hung worker is replaced and its share done again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from distlandscape.errors import InputError, WorkerFailure
from distlandscape.objective import Objective
from distlandscape.runtime import session
from distlandscape.runtime.collective import Collective
from distlandscape.runtime.evaluate import BlockFunction, Sums, default_micro_batch
from distlandscape.runtime.local import check_sizes
from distlandscape.runtime.runner import Task
from distlandscape.runtime.tree import Subtree, finish, shares
from distlandscape.spectral.driver import TensorSpace
from distlandscape.spectral.space import Space

START_SECONDS = 180.0  # for all workers to come up
QUIET_SECONDS = 5.0  # without any result, after which workers are asked whether they live
PING_SECONDS = 10.0  # a worker that does not answer for so long is hung
TRANSPORTS = ("store", "collective")
ATTEMPTS = 4  # of one share, on as many workers


class Pool:
    """Workers that share the blocks of a data set, as a context manager.

    Without a cluster around it, a local Ray is started, bound to loopback, and ended with the pool. With transport
    "store" vectors are put into Ray's object store once a pass, every worker returns float64 sums of whole subtrees,
    and the driver finishes the tree: the same bits for any number of workers, and after any crash.

    Args:
        workers: number of actors.
        cpus_per_worker: CPUs reserved for each.
        gpus_per_worker: GPUs reserved for each.
        threads: torch threads of each; None: the CPUs it has. Equal bits are promised at equal threads.
        transport: "store": vectors in the driver; "collective": vectors and bases sharded over the workers.
        micro_batch: samples at a time; None: a fixed rule by device type.
        on_event: told in words when a worker was lost, hung or replaced; None: written to standard error.

    Raises:
        InputError: sizes below 1 or an unknown transport.
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
        on_event: Callable[[str], None] | None = None,
    ) -> None:
        if transport not in TRANSPORTS:
            raise InputError(f"transport {transport!r} is unknown; known: {', '.join(map(repr, TRANSPORTS))}")
        if workers < 1:
            raise InputError(f"workers={workers}: a pool needs at least 1; leave the pool out to run in this process")
        if not cpus_per_worker > 0 or not gpus_per_worker >= 0:
            raise InputError("cpus_per_worker must be positive and gpus_per_worker not negative")
        check_sizes(threads=threads, micro_batch=micro_batch)
        self.workers, self.transport = workers, transport
        self.threads = threads if threads is not None else max(1, int(cpus_per_worker))
        self._micro_batch = micro_batch
        self._resources = {"num_cpus": cpus_per_worker, "num_gpus": gpus_per_worker}
        self._on_event = on_event if on_event is not None else lambda text: print(text, file=sys.stderr)  # noqa: T201
        self._actors: list[Any] = []
        self._homes: list[tuple[str, int, str]] = []  # host, process and device of each worker
        self._objective: tuple[Objective, str, Any] | None = None
        self._owns_ray = False
        self._collective: Collective | None = None

    def __enter__(self) -> Pool:
        self._owns_ray = session.connect(self.workers * float(self._resources["num_cpus"]))
        try:
            self._actors = [self._new_actor() for _ in range(self.workers)]
            self._homes = self._wait_ready(self._actors)
            if self.transport == "collective":
                self._collective = Collective(self._actors, session.node_address(), self._ship, self._kill_hung)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import ray

        for actor in self._actors:
            ray.kill(actor)
        if self._collective is not None:
            self._collective.close()
        self._actors, self._homes, self._objective, self._collective = [], [], None, None
        if self._owns_ray:
            session.disconnect()

    @property
    def pids(self) -> list[int]:
        """Process of each worker."""
        return [pid for _, pid, _ in self._homes]

    @property
    def device(self) -> str:
        """Type of device the workers compute on."""
        return self._homes[0][2]

    @property
    def micro_batch(self) -> int:
        """Samples computed at a time."""
        return self._micro_batch or default_micro_batch(self.device)

    def map_blocks(self, objective: Objective, function: BlockFunction, arrays: Sequence[Any] = ()) -> Sums:
        """See Runner.map_blocks.

        Raises:
            WorkerFailure: the same share of blocks was lost four times.
        """
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        assert self._actors, "a Pool is used as a context manager: with Pool(…) as pool"
        key, shipped = self._ship(objective)
        references = [ray.put(a) if isinstance(a, np.ndarray) else a for a in arrays]
        dealt = shares(objective.data.blocks, self.workers)

        def submit(slot: int) -> Any:
            return self._actors[slot].run.remote(key, [shipped], function, dealt[slot], *references)

        pending = {submit(slot): slot for slot in range(len(dealt))}
        losses = [0] * len(dealt)
        nodes: list[tuple[Subtree, Sums]] = []
        while pending:
            done, _ = ray.wait(list(pending), num_returns=1, timeout=QUIET_SECONDS)
            if not done:
                self._kill_hung(sorted(set(pending.values())))
            for reference in done:
                slot = pending.pop(reference)
                try:
                    nodes += zip(dealt[slot], ray.get(reference), strict=True)
                except RayActorError:
                    losses[slot] += 1
                    share = dealt[slot]
                    last = share[-1].start + share[-1].size - 1
                    self._replace(slot, f"blocks {share[0].start}–{last} of {objective.data.blocks}", losses[slot])
                    pending[submit(slot)] = slot
                except RayTaskError as error:
                    raise error.cause or error from error  # no cause where it could not be sent
        return finish(nodes, _add_arrays)

    def recover(self) -> None:
        """Start all workers anew after a lost generation: survivors of a hang may wait in an exchange for ever."""
        import ray

        for actor in self._actors:
            ray.kill(actor)
        self._actors[:] = [self._new_actor() for _ in range(self.workers)]
        self._homes = self._wait_ready(self._actors)
        self._on_event(f"all {self.workers} workers were started anew")

    def space(self, objective: Objective) -> Space:
        """See Runner.space."""
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
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        assert self._actors, "a Pool is used as a context manager: with Pool(…) as pool"
        results: list[Any] = [None] * len(items)
        waiting, losses = list(range(len(items)))[::-1], [0] * len(items)
        running: dict[Any, tuple[int, int]] = {}  # slot and index of each task under way

        def send(slot: int) -> None:
            if waiting:
                index = waiting.pop()
                running[self._actors[slot].call.remote(function, items[index])] = (slot, index)

        for slot in range(self.workers):
            send(slot)
        while running:
            ended, _ = ray.wait(list(running), num_returns=1, timeout=QUIET_SECONDS)
            if not ended:
                self._kill_hung(sorted(slot for slot, _ in running.values()))
            for reference in ended:
                slot, index = running.pop(reference)
                try:
                    results[index] = ray.get(reference)
                except RayActorError:
                    losses[index] += 1
                    self._replace(slot, f"task {index + 1} of {len(items)}", losses[index])
                    waiting.append(index)
                except RayTaskError as error:
                    raise error.cause or error from error  # no cause where it could not be sent
                else:
                    if done is not None:
                        done(index, results[index])
                send(slot)
        return results

    def _ship(self, objective: Objective) -> tuple[str, Any]:
        """Put an objective into the store once; workers keep it under its key."""
        import ray

        if self._objective is None or self._objective[0] is not objective:
            reference = ray.put(objective)
            self._objective = (objective, reference.hex(), reference)
        return self._objective[1], self._objective[2]

    def _new_actor(self) -> Any:
        import ray

        from distlandscape.runtime.worker import BlockWorker

        options = {**self._resources, "concurrency_groups": {"control": 1}, "max_restarts": 0, "max_task_retries": 0}
        remote: Any = ray.remote  # its types do not know concurrency groups
        return remote(**options)(BlockWorker).remote(self.threads, self._micro_batch)

    def _wait_ready(self, actors: list[Any]) -> list[tuple[str, int, str]]:
        import ray

        pings = [actor.ping.remote() for actor in actors]
        _, missing = ray.wait(pings, num_returns=len(pings), timeout=START_SECONDS)
        if missing:
            free: Any = ray.available_resources()  # type: ignore[no-untyped-call]
            raise WorkerFailure(
                f"{len(missing)} of {len(pings)} workers did not start in {START_SECONDS:.0f} s; each needs"
                f" {self._resources}, the cluster has free {free}: ask for less or add nodes"
            )
        homes: list[tuple[str, int, str]] = ray.get(pings)
        return homes

    def _replace(self, slot: int, share: str, losses: int) -> None:
        if losses >= ATTEMPTS:
            raise WorkerFailure(
                f"{losses} workers died one after another on {share}; look for memory (lower runtime.micro_batch) or"
                " bad samples there, then resume"
            )
        self._on_event(f"worker {slot} (process {self._homes[slot][1]}) was lost; its {share} are done again")
        self._actors[slot] = self._new_actor()
        if self._collective is not None:
            self._collective.forget()
        (self._homes[slot],) = self._wait_ready([self._actors[slot]])

    def _kill_hung(self, slots: list[int]) -> None:
        """Ask the workers still computing for a sign of life; end those that give none."""
        import ray

        pings = {self._actors[slot].ping.remote(): slot for slot in slots}
        _, silent = ray.wait(list(pings), num_returns=len(pings), timeout=PING_SECONDS)
        for reference in silent:
            slot = pings[reference]
            host, pid, _ = self._homes[slot]
            self._on_event(f"worker {slot} (process {pid}) does not answer; it is ended")
            ray.kill(self._actors[slot])
            if host == socket.gethostname():  # a stopped process cannot follow Ray's request to exit
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.5)


def _add_arrays(left: Sums, right: Sums) -> Sums:
    return tuple(a + b for a, b in zip(left, right, strict=True))
