"""What one worker holds of sharded vectors: slices under numbers, slices of bases, and commands on them.

A program is a list of commands, run in order by every worker alike; the answers of those that return numbers come back
as one list. Numbers are the same on every rank: each gathers all float64 partials and adds them in the fixed tree.
Vectors never leave the device in a step: all that comes to the host passes through ``numbers``, and is small.
Shapes: S segments, M basis vectors, K vectors, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from distlandscape.errors import OutOfMemory, WorkerFailure
from distlandscape.objective import Objective
from distlandscape.objective.failures import brief, is_out_of_memory
from distlandscape.runtime.device import is_lost
from distlandscape.runtime.evaluate import BlockFunction, Evaluator, PeerFailed, Totals
from distlandscape.runtime.group import Group, GroupBroken, Membership
from distlandscape.runtime.tree import Subtree, finish, shares
from distlandscape.spectral.driver import load_rows
from distlandscape.spectral.segments import Segments, tree_sum
from distlandscape.spectral.slices import Slice, SliceBasis, numbers
from distlandscape.spectral.space import Array

T = TypeVar("T")
Command = tuple[Any, ...]  # name of a method of Shards, its arguments


class Retry(RuntimeError):
    """The command at ``position`` ran out of memory, with so many samples at a time."""

    def __init__(self, position: int, samples: int) -> None:
        super().__init__(position, samples)
        self.position, self.samples = position, samples


class Shards:
    """This rank's slices of every vector and basis of a space.

    Args:
        member: the generation to join.
        dim: P.
        dtype: of vectors.
        device: where slices and products live.
        address: of this worker's machine, to be reached at by the others.
    """

    def __init__(self, member: Membership, dim: int, dtype: torch.dtype, device: torch.device, address: str) -> None:
        self.group = Group(member, device, address)
        self.cut = Segments(dim)
        self.slices = [Slice(self.cut, self.cut.share(member.world, r), dtype, device) for r in range(member.world)]
        self.own, self.device, self.dtype = self.slices[member.rank], device, dtype
        self.vectors: dict[int, Tensor] = {}
        self.bases: dict[int, SliceBasis] = {}
        self._saves: dict[int, Future[dict[str, str]]] = {}
        self._answers: list[Any] = []
        self._alike = False  # whether all ranks have stopped before the same command
        self._buffers: dict[str, Tensor] = {}

    def run(self, program: Sequence[Command], objective: Objective, evaluator: Evaluator, first: int = 0) -> list[Any]:
        """Do the commands from the ``first``; returns the answers of all that are not None.

        Raises:
            Retry: memory ran out in a product, on some rank; all have stopped before the same command, which may be
                done again: those before it are not idempotent.
            PeerFailed: another rank raised, and all have stopped before the same command.
            GroupBroken: another rank has left the generation.
            WorkerFailure: memory ran out elsewhere.
        """
        self._alike = False
        try:
            return self._run(program, objective, evaluator, first)
        except Exception as error:
            broken = self.group.over
            if not self._alike and not is_lost(self.device):
                self.group.leave()  # the others wait for this rank, or soon will
            if broken and not isinstance(error, GroupBroken):
                raise GroupBroken("this generation of workers has ended") from error
            if is_out_of_memory(error):
                raise WorkerFailure(
                    f"the vectors of a measurement do not fit into the memory of a worker ({brief(error)}); take more"
                    " workers, or a smaller basis_size or block"
                ) from error
            raise

    def _run(self, program: Sequence[Command], objective: Objective, evaluator: Evaluator, first: int) -> list[Any]:
        self._answers = self._answers if first else []
        for position, (name, *arguments) in enumerate(program):
            if position < first:
                continue
            if name == "products":
                try:
                    self.products(objective, evaluator, *arguments)
                except OutOfMemory as error:
                    raise Retry(position, error.samples) from error
            else:
                answer = getattr(self, f"do_{name}")(*arguments)
                if answer is not None:
                    self._answers.append(answer)
        return self._answers

    def do_random(self, out: int, seed: int, probe: int, kind: Any) -> None:
        """Make a probe."""
        self.vectors[out] = self.own.random(seed, probe, kind)

    def do_put(self, out: int, pieces: Sequence[Any]) -> None:
        """Take this rank's piece of a vector the driver cut up."""
        piece = torch.from_numpy(np.array(pieces[self.group.rank]))
        self.vectors[out] = piece.to(device=self.device, dtype=self.dtype)

    def do_get(self, index: int) -> np.ndarray[Any, Any]:
        """This rank's slice."""
        return self.vectors[index].cpu().numpy()

    def do_drop(self, indices: Sequence[int]) -> None:
        """Forget vectors."""
        for index in indices:
            self.vectors.pop(index, None)

    def do_dots(self, xs: Sequence[int], ys: Sequence[int]) -> Array:
        """(K, L) inner products."""
        return numbers(self._sum(self.own.dots([self.vectors[x] for x in xs], [self.vectors[y] for y in ys])))

    def do_combine(self, outs: Sequence[int], xs: Sequence[int], coefficients: Array) -> None:
        """Linear combinations of vectors."""
        made = self.own.combine([self.vectors[x] for x in xs], coefficients)
        self.vectors |= dict(zip(outs, made, strict=True))

    def do_basis(self, basis: int, capacity: int) -> None:
        """An empty basis."""
        self.bases[basis] = self.own.basis(capacity)

    def do_drop_basis(self, basis: int) -> None:
        """Forget a basis."""
        self.bases.pop(basis, None)

    def do_orthogonalize(self, basis: int, out: int, w: int) -> tuple[Array, float]:
        """Gram-Schmidt twice; the float64 remainder becomes vector ``out``."""
        rows, remainder = self.bases[basis], self.vectors[w].to(torch.float64, copy=True)
        total = torch.zeros(rows.size, dtype=torch.float64, device=self.device)
        for _ in range(2):
            coefficients = self._sum(rows.project(remainder))
            remainder = rows.subtract(remainder, coefficients)
            total += coefficients
        self.vectors[out] = remainder
        norm = torch.sqrt(self._sum(self.own.dots([remainder], [remainder]))[0, 0])
        return numbers(total), float(numbers(norm))

    def do_project(self, basis: int, w: int) -> Array:
        """(M,) inner products with a basis."""
        return numbers(self._sum(self.bases[basis].project(self.vectors[w])))

    def do_append(self, basis: int, w: int, scale: float) -> None:
        """One more basis vector."""
        self.bases[basis].append(self.vectors[w], scale)

    def do_row(self, basis: int, out: int, index: int) -> None:
        """A basis vector as a vector."""
        self.vectors[out] = self.bases[basis].row(index)

    def do_basis_combine(self, basis: int, outs: Sequence[int], coefficients: Array) -> None:
        """Ritz vectors."""
        self.vectors |= dict(zip(outs, self.bases[basis].combine(coefficients), strict=True))

    def do_compress(self, basis: int, coefficients: Array) -> None:
        """See SliceBasis.compress."""
        self.bases[basis].compress(coefficients)

    def do_truncate(self, basis: int, size: int) -> None:
        """See SliceBasis.truncate."""
        self.bases[basis].truncate(size)

    def do_save(self, ticket: int, basis: int, folder: str, start: int) -> None:
        """Begin to write this rank's slice of new basis vectors."""
        self._saves[ticket] = self.bases[basis].save(Path(folder), start)

    def saved(self, ticket: int) -> dict[str, str]:
        """Wait for the files of a save; {name: sha256}."""
        return self._saves.pop(ticket).result()

    def do_load(self, basis: int, folder: str, size: int) -> None:
        """Read basis vectors back, whoever wrote them."""
        load_rows(self.bases[basis], Path(folder), size)

    def products(
        self,
        objective: Objective,
        evaluator: Evaluator,
        function: BlockFunction,
        arguments: Sequence[Any],
        vectors: Sequence[int],
        outs: Sequence[int],
        decay: float,
    ) -> None:
        """One pass: gather the vectors, sum this rank's blocks, finish the block tree for this rank's slice."""
        shape = (len(vectors), self.cut.dim)
        V_KP = self._agreed(lambda: self._buffer("whole", shape, self.dtype))
        for row, v in zip(V_KP, vectors, strict=True):
            row[self.own.start : self.own.stop] = self.vectors[v]
            self.group.gather_into(self.vectors[v], [row[part.start : part.stop] for part in self.slices])
        dealt = shares(objective.data.blocks, self.group.world)
        mine = dealt[self.group.rank] if self.group.rank < len(dealt) else []

        def local() -> tuple[list[Totals], list[list[Tensor]], list[list[Tensor]]]:
            sums = evaluator.subtree_totals(objective, function, (V_KP, *arguments), mine)
            return sums, self._outgoing([s for (s,) in sums]), self._incoming(dealt, len(vectors))

        totals, outgoing, incoming = self._agreed(local)
        nodes = self._exchange(dealt, outgoing, incoming)
        total = finish(nodes, Tensor.add_).div_(objective.samples)
        if decay:
            total += decay * V_KP[:, self.own.start : self.own.stop]
        if numbers(~torch.isfinite(total).all()):
            raise FloatingPointError("a product with the operator is not finite; look at the weights and the data")
        for out, row in zip(outs, total, strict=True):
            self.vectors[out] = row.to(self.dtype, copy=True)
        evaluator.release(totals)  # their memory was a part of what was added up

    def _agreed(self, work: Callable[[], T]) -> T:
        """The result of this rank's own work, once all ranks have one: else all fail alike, and none waits for ever."""
        failure: Exception | None = None
        result: T | None = None
        try:
            result = work()
        except Exception as error:
            failure = error
        flag = torch.tensor([float(failure is not None)], device=self.device)
        flags = self.group.gather(flag, [1] * self.group.world)
        self._alike = bool(numbers(torch.cat(flags)).any())
        if failure is not None:
            raise failure
        if self._alike:
            raise PeerFailed("another worker failed in this pass")
        return cast(T, result)

    def _outgoing(self, sums: list[Tensor]) -> list[list[Tensor]]:
        """This rank's sums, cut to the slice of each rank."""
        return [[s[:, part.start : part.stop].contiguous() for s in sums] for part in self.slices]

    def _incoming(self, dealt: list[list[Subtree]], K: int) -> list[list[Tensor]]:
        """Room for the sums of each other rank, cut to this one's slice; memory that is used again."""
        length = self.own.stop - self.own.start
        incoming = []
        for rank in range(self.group.world):
            count = len(dealt[rank]) if rank < len(dealt) and rank != self.group.rank else 0
            incoming.append(list(self._buffer(f"from {rank}", (count, K, length), torch.float64)))
        return incoming

    def _exchange(
        self, dealt: list[list[Subtree]], outgoing: list[list[Tensor]], incoming: list[list[Tensor]]
    ) -> list[tuple[Subtree, Tensor]]:
        """Every subtree's sum, cut to this rank's slice."""
        self.group.swap(outgoing, incoming)
        incoming[self.group.rank] = outgoing[self.group.rank]
        return [
            (s, t) for share, arrived in zip(dealt, incoming, strict=False) for s, t in zip(share, arrived, strict=True)
        ]

    def _buffer(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Memory of that name, used again while the shape stays: fresh pages cost more than what is put into them."""
        kept = self._buffers.get(name)
        if kept is None or kept.shape != shape:
            kept = self._buffers[name] = torch.empty(shape, dtype=dtype, device=self.device)
        return kept

    def _sum(self, partials: Tensor) -> Tensor:
        """Partials (S, …) of all ranks, added in the fixed tree over all segments."""
        sizes = [len(part.segments) for part in self.slices]
        return tree_sum(torch.cat(self.group.gather(partials, sizes)))
