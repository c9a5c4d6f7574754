"""The driver's side of the collective transport: the space, its generation, and programs sent to all ranks alike."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import torch

from distlandscape.errors import GenerationLost, OutOfMemory
from distlandscape.objective import Objective
from distlandscape.runtime import waiting
from distlandscape.runtime.crew import GRACE_SECONDS, Crew, Member
from distlandscape.runtime.dealing import QUIET_SECONDS
from distlandscape.runtime.evaluate import PeerFailed
from distlandscape.runtime.group import GroupBroken, Membership, serve_store
from distlandscape.runtime.shard_space import ShardSpace
from distlandscape.runtime.shards import Command, Retry

STRANDED_SECONDS = 3.0  # for all ranks to end once one has failed, before those that have not are asked to leave
LEAVE_SECONDS = 10.0  # for them to do so, in the middle of a product or of an exchange, before they are killed
Ship = Callable[[Objective], tuple[str, Any]]  # an objective into the object store -> its key and reference
Product = tuple[Objective, Any, tuple[Any, ...]]  # arguments of map_blocks


class Collective:
    """Spaces sharded over a crew; one is alive at a time.

    Args:
        crew: the workers; their order is that of the ranks of a generation.
        host: address the driver's store listens on.
        ship: hands an objective to the workers.
        micro_batch: samples at a time, now.
        smaller: told that memory ran out; makes the micro-batch smaller.
    """

    def __init__(
        self,
        crew: Crew,
        host: str,
        ship: Ship,
        micro_batch: Callable[[], int],
        smaller: Callable[[OutOfMemory], None],
    ) -> None:
        self._crew, self._ship, self._micro_batch, self._smaller = crew, ship, micro_batch, smaller
        self._where, self._kept = serve_store(host)
        self._generation = 0
        self._ranks: list[Member] = []  # of the generation that is alive
        self._lock = threading.RLock()  # two threads sending programs in different orders would give wrong sums
        self._space: ShardSpace | None = None
        self._objective: Objective | None = None
        self._product: tuple[Objective, Any, int, tuple[Any, ...]] | None = None

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

    @property
    def renewal(self) -> bool:
        """Whether workers came up that have no share in the generation that is alive."""
        self._crew.admit()
        return self._space is not None and len(self._crew.members) > len(self._ranks)

    def recover(self) -> Product | None:
        """Have workers for a new generation; returns the last product, on zeros, as arguments of ``map_blocks``."""
        with self._lock:
            self._forget()
            self._crew.wait(self._crew.wanted, GRACE_SECONDS)
            self._crew.require_one()
            if self._product is None:
                return None
            objective, function, count, others = self._product
            zeros = torch.zeros(count, objective.parameters, dtype=objective.dtype, device="cpu")
            return objective, function, (zeros.numpy(), *others)

    def close(self) -> None:
        """Remove the store; the workers are gone."""
        if isinstance(self._kept, tempfile.TemporaryDirectory):
            self._kept.cleanup()

    def _joined(self, dim: int, dtype: torch.dtype) -> ShardSpace:
        self._crew.admit()
        self._crew.require_one()
        self._generation += 1
        self._ranks = list(self._crew.members)
        world = len(self._ranks)
        members = [Membership(self._where, self._generation, rank, world) for rank in range(world)]
        self._all([m.actor.join.remote(ship, dim, dtype) for m, ship in zip(self._ranks, members, strict=True)])
        return ShardSpace(dim, dtype, world, self._send, self._saved)

    def _send(self, program: list[Command]) -> list[list[Any]]:
        with self._lock:
            assert self._objective is not None, "a space comes with an objective"
            key, reference = self._ship(self._objective)
            for name, *arguments in program:
                if name == "products":
                    function, others, vectors, _, _ = arguments
                    self._product = (self._objective, function, len(vectors), others)
            first = 0
            while True:
                call = (key, [reference], program, self._micro_batch(), first)
                try:
                    return self._all([member.actor.run_program.remote(*call) for member in self._ranks])
                except Retry as retry:
                    self._smaller(OutOfMemory(retry.samples))
                    first = retry.position

    def _saved(self, ticket: int) -> dict[str, str]:
        """Not under the lock: it waits for the disk, while the next program runs."""
        from ray.exceptions import RayActorError, RayTaskError

        try:
            parts = waiting.get([member.actor.saved.remote(ticket) for member in self._ranks])
        except RayActorError as error:
            raise GenerationLost("a worker was lost that was writing its slices") from error
        except RayTaskError as error:
            raise error.cause or error from error
        return {name: digest for part in parts for name, digest in part.items()}

    def _all(self, references: list[Any]) -> list[Any]:
        """Results of all ranks, once none is left running.

        Raises:
            GenerationLost: a worker is gone or was hung; its slices are lost, and with them the generation.

        Ranks that fail alike have agreed on it, and all of them end. One that fails alone leaves, or is gone: gloo
        tells the others, NCCL does not, and one that computes learns of it late; so those are asked to leave as well.
        """
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        pending = dict(zip(references, range(len(references)), strict=True))
        results: list[Any] = [None] * len(references)
        lost: dict[int, bool] = {}  # whether the work may be to blame, by rank
        errors: list[Exception] = []
        failed_at = asked_at = float("inf")
        killed: set[int] = set()
        while pending:
            patient = QUIET_SECONDS if failed_at == float("inf") else STRANDED_SECONDS
            ended = waiting.wait(list(pending), 1, patient)
            if not ended and failed_at == float("inf"):
                self._crew.end_hung([self._ranks[rank] for rank in pending.values()])
            for reference in ended:
                rank = pending.pop(reference)
                try:
                    results[rank] = ray.get(reference)
                except RayActorError as error:
                    words = "its slices are gone, the last commit is not"
                    lost[rank] = self._crew.lose(self._ranks[rank], error, words)
                    failed_at = min(failed_at, time.monotonic())
                except RayTaskError as error:
                    errors.append(error.cause or error)  # no cause where it could not be sent
                    failed_at = min(failed_at, time.monotonic())
            now = time.monotonic()
            if pending and asked_at < now - LEAVE_SECONDS:
                for rank in set(pending.values()) - killed:
                    ray.kill(self._ranks[rank].actor)
                    killed.add(rank)
            elif pending and failed_at < now - STRANDED_SECONDS and asked_at == float("inf"):
                asked_at = now
                for rank in pending.values():
                    self._ranks[rank].actor.leave.remote()
        broken = any(isinstance(error, GroupBroken) for error in errors)
        if lost or broken:
            self._forget()
        own = [error for error in errors if not isinstance(error, (PeerFailed, GroupBroken))]
        if own and set(lost) <= killed:
            raise own[0]
        if lost:
            numbers = ", ".join(str(self._ranks[rank].number) for rank in sorted(lost))
            raise GenerationLost(f"worker {numbers} of the collective transport was lost", any(lost.values()))
        if broken:
            raise GenerationLost("a worker has left the others of the collective transport", False)
        if errors:
            raise errors[0]
        return results

    def _forget(self) -> None:
        """Begin a new generation at the next use: vectors of this one are gone."""
        self._space = self._objective = None
