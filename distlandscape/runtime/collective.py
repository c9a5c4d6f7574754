"""The driver's side of the collective transport: the space, its generation, and programs sent to all ranks alike."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from typing import Any

import torch

from distlandscape.errors import GenerationLost
from distlandscape.objective import Objective
from distlandscape.runtime.group import Membership, serve_store
from distlandscape.runtime.shard_space import ShardSpace
from distlandscape.runtime.shards import Command, PeerFailed

QUIET_SECONDS = 5.0  # without any result, after which workers are asked whether they live
Ship = Callable[[Objective], tuple[str, Any]]  # an objective into the object store -> its key and reference


class Collective:
    """Spaces sharded over actors; one is alive at a time.

    Args:
        actors: the workers, in the order of their ranks.
        host: address the driver's store listens on.
        ship: hands an objective to the workers.
        end_hung: asks workers for a sign of life and ends those that give none.
    """

    def __init__(self, actors: list[Any], host: str, ship: Ship, end_hung: Callable[[list[int]], None]) -> None:
        self._actors, self._ship, self._end_hung = actors, ship, end_hung
        self._where, self._kept = serve_store(host)
        self._generation = 0
        self._lock = threading.RLock()  # two threads sending programs in different orders would give wrong sums
        self._space: ShardSpace | None = None
        self._objective: Objective | None = None

    def space(self, objective: Objective) -> ShardSpace:
        """The space of an objective's vectors; another one of equal size and type keeps the vectors that are there.

        Raises:
            GenerationLost: a worker is gone.
        """
        with self._lock:
            dim, dtype = objective.parameters, objective.dtype
            if self._space is None or (self._space.dim, self._space.dtype) != (dim, dtype):
                self._objective = objective
                self._space = self._joined(dim, dtype)
            elif self._objective is not objective:
                self._space.flush()  # what was recorded belongs to the objective before
                self._objective = objective
            return self._space

    def _joined(self, dim: int, dtype: torch.dtype) -> ShardSpace:
        self._generation += 1
        world = len(self._actors)
        members = [Membership(self._where, self._generation, rank, world) for rank in range(world)]
        self._all([a.join.remote(m, dim, dtype) for a, m in zip(self._actors, members, strict=True)])
        return ShardSpace(dim, dtype, world, self._send)

    def _send(self, program: list[Command]) -> list[list[Any]]:
        with self._lock:
            assert self._objective is not None, "a space comes with an objective"
            key, reference = self._ship(self._objective)
            return self._all([actor.run_program.remote(key, [reference], program) for actor in self._actors])

    def _all(self, references: list[Any]) -> list[Any]:
        """Results of all ranks, once none is left running.

        Raises:
            GenerationLost: a worker is gone or was hung; its slices are lost, and with them the generation.
        """
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        pending = dict(zip(references, range(len(references)), strict=True))
        results: list[Any] = [None] * len(references)
        lost: list[int] = []
        errors: list[Exception] = []
        while pending:
            ended, _ = ray.wait(list(pending), num_returns=1, timeout=QUIET_SECONDS)
            if not ended:
                self._end_hung(sorted(pending.values()))
            for reference in ended:
                rank = pending.pop(reference)
                try:
                    results[rank] = ray.get(reference)
                except RayActorError:
                    lost.append(rank)
                except RayTaskError as error:
                    errors.append(error.cause or error)  # no cause where it could not be sent
        if lost:
            self.forget()
            raise GenerationLost(f"worker {lost[0]} of the collective transport was lost, and its slices with it")
        if errors:
            raise next((error for error in errors if not isinstance(error, PeerFailed)), errors[0])
        return results

    def close(self) -> None:
        """Remove the store; the workers are gone."""
        if isinstance(self._kept, tempfile.TemporaryDirectory):
            self._kept.cleanup()

    def forget(self) -> None:
        """Begin a new generation at the next use: vectors of this one are gone."""
        self._space = self._objective = None
