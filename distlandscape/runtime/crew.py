"""The workers of a pool: as many as wanted where the cluster has room for them, fewer for a while where it has not."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distlandscape.errors import InputError, WorkerFailure
from distlandscape.runtime import waiting
from distlandscape.runtime.cluster import adds_nodes, amounts, has_lost_nodes, places
from distlandscape.runtime.presence import ended, require_ray
from distlandscape.runtime.session import is_connected

if TYPE_CHECKING:
    from ray.exceptions import RayActorError

START_SECONDS = 180.0  # for workers to come up where none is there to go on
AUTOSCALED_SECONDS = 1800.0  # the same where a machine may have to be rented and to boot first
NOTICE_SECONDS = 10.0  # of waiting for workers, after which one is told why
GRACE_SECONDS = 10.0  # that a group waits for the replacement of a lost worker before it goes on with fewer
PING_SECONDS = 10.0  # a worker that does not answer for so long is hung
STILLBORN = 4  # workers that died before they answered, one after another, until the pool gives up


@dataclass(frozen=True, eq=False)
class Member:
    """A worker that answered: its actor, and where it lives."""

    actor: Any
    number: int
    host: str
    pid: int
    node: str
    device: str


class Crew:
    """Keeps ``wanted`` workers alive: a lost one is replaced as soon as the cluster has room.

    Args:
        wanted: number of workers.
        resources: "num_cpus" and "num_gpus" of each.
        grouped: reserve room for all together, as near to each other as may be; else spread them over the nodes.
        arguments: of the actor.
        tell: told in words what happens to workers.
    """

    def __init__(
        self,
        wanted: int,
        resources: dict[str, float],
        grouped: bool,
        arguments: Sequence[Any],
        tell: Callable[[str], None],
    ) -> None:
        self.wanted, self.members = wanted, list[Member]()
        self._resources, self._grouped, self._arguments, self._tell = resources, grouped, arguments, tell
        self._coming: dict[Any, tuple[Any, int]] = {}  # first ping -> actor and number, of those not yet there
        self._group: Any = None
        self._stillborn = 0
        self._patience = START_SECONDS

    def start(self) -> None:
        """Bring all workers up.

        Raises:
            InputError: the cluster, were it idle, has no room for them, lost no node, and adds none by itself.
            WorkerFailure: others keep the room, or workers die as they start.
        """
        grows = adds_nodes()
        self._patience = AUTOSCALED_SECONDS if grows else START_SECONDS
        if not grows and not has_lost_nodes():  # which somebody may be about to replace
            self._require_places()
        if self._grouped:
            self._reserve()
        for number in range(self.wanted):
            self._call_up(number)
        self.wait(self.wanted, NOTICE_SECONDS)
        if len(self.members) < self.wanted:
            self._tell(self._waiting(self.wanted - len(self.members)))
            self.wait(self.wanted, self._patience - NOTICE_SECONDS)
        if len(self.members) < self.wanted:
            raise WorkerFailure(self._short_of_room(self.wanted - len(self.members)))

    def close(self) -> None:
        """End all workers."""
        import ray

        actors = [*(member.actor for member in self.members), *(actor for actor, _ in self._coming.values())]
        group, self.members, self._coming, self._group = self._group, [], {}, None
        if is_connected() and not ended():  # else they ended with it, and to ask for it takes a minute
            for actor in actors:
                ray.kill(actor)
            if group is not None:
                ray.util.remove_placement_group(group)

    @property
    def coming(self) -> list[Any]:
        """References that are ready when a further worker is; hand them to ``admit``."""
        return list(self._coming)

    def admit(self, ready: Sequence[Any] = ()) -> list[Member]:
        """Take in workers that came up; those of ``ready``, or whoever is there by now.

        Raises:
            InputError: a worker cannot use the GPU that is reserved for it.
            WorkerFailure: workers die before they are ready.
        """
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        if not self._coming:
            return []
        if not ready:
            ready, _ = ray.wait(self.coming, num_returns=len(self._coming), timeout=0)
        new = []
        for reference in ready:
            actor, number = self._coming.pop(reference)
            try:
                host, pid, node, device = ray.get(reference)
            except RayActorError as error:
                self._stillborn += 1
                if self._stillborn >= STILLBORN:
                    raise WorkerFailure(f"workers die before they are ready: {error}") from error
                self._call_up(number)
                continue
            except RayTaskError as error:
                raise error.cause or error from error
            self._stillborn = 0
            new.append(Member(actor, number, host, pid, node, device))
        self.members = sorted([*self.members, *new], key=lambda member: member.number)
        return new

    def wait(self, count: int, seconds: float) -> None:
        """Wait until ``count`` workers are there, or the time is over."""
        end = time.monotonic() + seconds
        while len(self.members) < count and self._coming and (left := end - time.monotonic()) > 0:
            self.admit(waiting.wait(self.coming, 1, left))

    def require_one(self) -> None:
        """Wait until some worker is there.

        Raises:
            WorkerFailure: the cluster had no room for one.
        """
        self.wait(1, self._patience)
        if not self.members:
            raise WorkerFailure(self._short_of_room(self.wanted))

    def lose(self, member: Member, error: RayActorError, what: str) -> bool:
        """Call up a replacement for a worker; whether its own work may be to blame.

        It is not where the machine was taken away or cannot be reached, which Ray calls unavailable long before it
        takes the node for dead; a worker that dies on a machine that stands is called dead at once.

        Raises:
            WorkerFailure: it ended with all of this process's Ray.
        """
        import ray
        from ray.exceptions import ActorDiedError

        require_ray()

        blamed = isinstance(error, ActorDiedError) and not error.preempted
        if member in self.members:
            ray.kill(member.actor)
            self.members.remove(member)
            self._call_up(member.number)
            where = f"process {member.pid} on {member.host}" if blamed else f"{member.host} is gone"
            self._tell(f"worker {member.number} ({where}) was lost; {what}")
        return blamed

    def end_hung(self, members: Sequence[Member]) -> None:
        """Ask workers that still compute for a sign of life; end those that give none."""
        import ray

        pings = {member.actor.ping.remote(): member for member in members}
        answered = waiting.wait(list(pings), len(pings), PING_SECONDS)
        silent = [member for reference, member in pings.items() if reference not in answered]
        for member in silent:
            self._tell(f"worker {member.number} (process {member.pid}) does not answer; it is ended")
            ray.kill(member.actor)
            if member.host == socket.gethostname():  # a stopped process cannot follow Ray's request to exit
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member.pid, signal.SIGKILL)
        if silent:
            time.sleep(0.5)  # until their calls have failed

    def _call_up(self, number: int) -> None:
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        from distlandscape.runtime.worker import BlockWorker

        options: dict[str, Any] = {
            **self._resources,
            "concurrency_groups": {"control": 2},
            "max_restarts": 0,
            "max_task_retries": 0,
            "scheduling_strategy": PlacementGroupSchedulingStrategy(self._group, number) if self._group else "SPREAD",
        }
        remote: Any = ray.remote  # its types do not know concurrency groups
        actor = remote(**options)(BlockWorker).remote(*self._arguments)
        self._coming[actor.ping.remote()] = (actor, number)

    def _reserve(self) -> None:
        import ray

        bundle = {"CPU": self._resources["num_cpus"], "GPU": self._resources["num_gpus"]}
        bundle = {name: amount for name, amount in bundle.items() if amount}
        self._group = ray.util.placement_group([bundle] * self.wanted, strategy="PACK")
        if waiting.until(self._group.wait, NOTICE_SECONDS):
            return
        self._tell(self._waiting(self.wanted))
        if not waiting.until(self._group.wait, self._patience - NOTICE_SECONDS):
            raise WorkerFailure(self._short_of_room(self.wanted))

    def _require_places(self) -> None:
        room = places(self._resources)
        if room < self.wanted:
            raise InputError(
                f"the Ray this process belongs to has room for {room} of {self.wanted} workers that need"
                f" {self._needs()} each, even when nothing else runs there; ask for fewer or smaller workers, or give"
                " it more (ray.init(num_cpus=...), ray start --num-cpus, or further nodes)"
            )

    def _waiting(self, missing: int) -> str:
        return (
            f"{missing} of {self.wanted} workers are not up yet: each needs {self._needs()}, free are {self._free()};"
            f" waiting up to {self._patience:.0f} s for room there"
        )

    def _short_of_room(self, missing: int) -> str:
        return (
            f"{missing} of {self.wanted} workers did not start in {self._patience:.0f} s; each needs {self._needs()},"
            f" the cluster has free {self._free()}: ask for less, end what else runs there, or add nodes"
        )

    def _needs(self) -> str:
        return amounts({"CPU": self._resources["num_cpus"], "GPU": self._resources["num_gpus"]})

    def _free(self) -> str:
        import ray

        free: Any = ray.available_resources()  # type: ignore[no-untyped-call]
        return amounts({"CPU": free.get("CPU", 0.0), "GPU": free.get("GPU", 0.0)})
