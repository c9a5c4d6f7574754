"""One generation of workers that exchange slices: point to point, so that no backend chooses an order of sums.

A generation is one membership of a process group. A group whose member died is never repaired: the workers that are
left join a new generation, under a new prefix of the same store.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor

from distlandscape.objective.failures import is_out_of_memory

dist: Any = torch.distributed  # its stores and groups are not among what it exports to type checkers
STEP_SECONDS = 120.0  # for one exchange; a peer that hangs for longer fails the generation


class GroupBroken(RuntimeError):
    """This generation is over: another rank has left it, or this one has."""


@dataclass(frozen=True)
class Membership:
    """Where a worker meets the others.

    Attributes:
        store: where the driver's store is: files on this machine that begin so, or "host:port".
        generation: number of the membership, new after every fault.
        rank: of this worker.
        world: number of workers.
    """

    store: str
    generation: int
    rank: int
    world: int


class Group:
    """The exchanges of one generation; every member calls them in the same order with tensors of agreed shapes."""

    def __init__(self, member: Membership, device: torch.device, address: str) -> None:
        timeout = timedelta(seconds=STEP_SECONDS)
        if member.store.startswith("/"):
            # A file a generation: a store that is dropped removes its file, which the next one must not lose.
            store = dist.FileStore(f"{member.store}-{member.generation}", member.world)
        else:
            host, _, port = member.store.rpartition(":")
            store = dist.TCPStore(host, int(port), is_master=False, timeout=timeout)
        prefixed = dist.PrefixStore(f"generation-{member.generation}", store)
        self.rank, self.world = member.rank, member.world
        self._together = device.type == "cuda"
        self._group: Any = _backend(prefixed, member, device, address, timeout)

    def swap(self, outgoing: Sequence[Sequence[Tensor]], incoming: Sequence[Sequence[Tensor]]) -> None:
        """Send the tensors of ``outgoing[r]`` to every other rank r, fill those of ``incoming[r]`` from it, in order.

        They are contiguous; empty ones are not sent.
        """
        group = self._group  # another thread may leave meanwhile
        if group is None:
            raise GroupBroken("this generation of workers has ended")
        try:
            self._exchange(group, outgoing, incoming)
        except RuntimeError as error:
            self.leave()
            if is_out_of_memory(error):
                raise
            raise GroupBroken(f"an exchange with the other workers failed: {error}") from error
        except BaseException:
            self.leave()
            raise

    @property
    def over(self) -> bool:
        """Whether this rank has left."""
        return self._group is None

    def leave(self) -> None:
        """End this rank's membership; the exchanges it is in are given up, from whatever thread this is called.

        Gloo's sockets close with the last reference, and no rank waits for this one. NCCL tells the others nothing, so
        each of them has to leave.
        """
        group, self._group = self._group, None
        if group is not None and self._together:
            group.abort()

    def _exchange(self, group: Any, outgoing: Sequence[Sequence[Tensor]], incoming: Sequence[Sequence[Tensor]]) -> None:
        works = []
        if self._together:
            # NCCL runs what two ranks exchange in the order it was asked for: alone, two sends wait for each other.
            group._start_coalescing()
        for offset in range(1, self.world):
            peer = (self.rank + offset) % self.world
            works += [group.send([t], peer, tag) for tag, t in enumerate(outgoing[peer]) if t.numel()]
        for offset in range(1, self.world):
            peer = (self.rank - offset) % self.world
            works += [group.recv([t], peer, tag) for tag, t in enumerate(incoming[peer]) if t.numel()]
        if self._together:
            whole = group._end_coalescing()
            works = [] if whole is None else [whole]  # NCCL has no work where nothing was sent
        for work in works:
            work.wait()

    def gather(self, own: Tensor, sizes: Sequence[int]) -> list[Tensor]:
        """The ranks' tensors (sizes[r], …), that of this rank included."""
        parts = [own if r == self.rank else own.new_empty((sizes[r], *own.shape[1:])) for r in range(self.world)]
        self.gather_into(own, parts)
        return parts

    def gather_into(self, own: Tensor, parts: Sequence[Tensor]) -> None:
        """Fill the other ranks' ``parts``; that of this rank holds ``own`` already, or is it."""
        self.swap([[own.contiguous()]] * self.world, [[part] for part in parts])


def serve_store(address: str) -> tuple[str, Any]:
    """Where all generations meet, and what has to be kept alive for it; made by the driver, which outlives workers.

    On one machine it is a file of the user's own: a TCPStore listens on all interfaces, whatever it is told.
    """
    if address.startswith("127."):
        folder = tempfile.TemporaryDirectory(prefix="distlandscape-")
        return str(Path(folder.name) / "store"), folder
    store = dist.TCPStore(address, 0, is_master=True, wait_for_workers=False)
    return f"{address}:{store.port}", store


def _backend(store: Any, member: Membership, device: torch.device, address: str, timeout: timedelta) -> Any:
    if device.type == "cuda":
        return dist.ProcessGroupNCCL(store, member.rank, member.world, timeout)
    options = dist.ProcessGroupGloo._Options()
    options._devices = [dist.ProcessGroupGloo.create_device(hostname=address)]  # else it picks an interface itself
    options._timeout = timeout
    return dist.ProcessGroupGloo(store, member.rank, member.world, options)
