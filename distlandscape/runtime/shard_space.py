"""The driver's side of sharded vectors: handles, and a program of commands that calls returning numbers flush.

About one call to the workers a Lanczos step. Shapes: K vectors, M basis vectors, P parameters.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from distlandscape.runtime.shards import Command
from distlandscape.spectral.segments import Segments
from distlandscape.spectral.space import Array, Pending, ProbeKind

Saved = Callable[[int], dict[str, str]]  # number of a save -> the files of all ranks, once they are whole
Send = Callable[[list[Command]], list[list[Any]]]  # a program to every rank -> answers of each rank


class Handle:
    """A vector whose slices live in the workers; they are forgotten when the last handle goes."""

    __slots__ = ("_space", "index")

    def __init__(self, space: ShardSpace, index: int) -> None:
        self._space, self.index = space, index

    def __del__(self) -> None:
        self._space.garbage.append(self.index)


class _Saving:
    """Files the workers are writing."""

    def __init__(self, saved: Saved, ticket: int) -> None:
        self._saved, self._ticket = saved, ticket

    def result(self) -> dict[str, str]:
        """See Pending.result."""
        return self._saved(self._ticket)


class ShardSpace:
    """R^P spread over the workers by segments."""

    def __init__(self, dim: int, dtype: torch.dtype, world: int, send: Send, saved: Saved) -> None:
        self.dim, self.dtype, self.world = dim, dtype, world
        self.eps = float(torch.finfo(dtype).eps)
        cut = Segments(dim)
        shares = [cut.share(world, rank) for rank in range(world)]
        self._bounds = [(cut.bounds(s.start)[0], cut.bounds(s.stop - 1)[1]) if len(s) else (0, 0) for s in shares]
        self._send, self._saved, self._program = send, saved, list[Command]()
        self._numbers = itertools.count()
        self.garbage: list[int] = []

    def handle(self) -> Handle:
        """A new vector, to be filled by a command."""
        return Handle(self, next(self._numbers))

    def record(self, name: str, *arguments: Any) -> None:
        """Put a command behind the others."""
        self._program.append((name, *arguments))

    def ask(self, name: str, *arguments: Any) -> list[Any]:
        """Send the program, this command at its end; returns what each rank answers to it."""
        program = [*self._program, (name, *arguments)]
        self._program = []
        if self.garbage:
            program.append(("drop", self.garbage))
            self.garbage = []
        return [answers[-1] if answers else None for answers in self._send(program)]

    def flush(self) -> None:
        """Send what was recorded."""
        if self._program:
            program, self._program = self._program, []
            self._send(program)

    def random(self, seed: int, probe: int, kind: ProbeKind) -> Handle:
        """See Space.random."""
        out = self.handle()
        self.record("random", out.index, seed, probe, kind)
        return out

    def from_numpy(self, a: npt.ArrayLike) -> Handle:
        """See Space.from_numpy."""
        whole, out = np.asarray(a), self.handle()
        self.record("put", out.index, [np.ascontiguousarray(whole[a:b]) for a, b in self._bounds])
        return out

    def to_numpy(self, v: Handle) -> npt.NDArray[Any]:
        """See Space.to_numpy."""
        return np.concatenate(self.ask("get", v.index))

    def dots(self, xs: Sequence[Handle], ys: Sequence[Handle]) -> Array:
        """See Space.dots."""
        answer: Array = self.ask("dots", [x.index for x in xs], [y.index for y in ys])[0]
        return answer

    def combine(self, xs: Sequence[Handle], coefficients: Array) -> list[Handle]:
        """See Space.combine."""
        outs = [self.handle() for _ in coefficients]
        self.record("combine", [o.index for o in outs], [x.index for x in xs], coefficients)
        return outs

    def save(self, basis: int, folder: Path, start: int) -> Pending:
        """See Basis.save; the workers begin at once."""
        ticket = next(self._numbers)
        self.record("save", ticket, basis, str(folder), start)
        self.flush()
        return _Saving(self._saved, ticket)

    def basis(self, capacity: int) -> ShardBasis:
        """See Space.basis."""
        return ShardBasis(self, next(self._numbers), capacity)


class ShardBasis:
    """A basis spread over the workers."""

    def __init__(self, space: ShardSpace, number: int, capacity: int) -> None:
        self._space, self._number, self.size = space, number, 0
        space.record("basis", number, capacity)

    def __del__(self) -> None:
        self._space.record("drop_basis", self._number)

    def orthogonalize(self, w: Handle) -> tuple[Handle, Array, float]:
        """See Basis.orthogonalize."""
        out = self._space.handle()
        coefficients, norm = self._space.ask("orthogonalize", self._number, out.index, w.index)[0]
        return out, coefficients, norm

    def dots(self, w: Handle) -> Array:
        """See Basis.dots."""
        answer: Array = self._space.ask("project", self._number, w.index)[0]
        return answer

    def append(self, w: Handle, scale: float) -> None:
        """See Basis.append."""
        self._space.record("append", self._number, w.index, scale)
        self.size += 1

    def __getitem__(self, index: int) -> Handle:
        out = self._space.handle()
        self._space.record("row", self._number, out.index, range(self.size)[index])
        return out

    def combine(self, coefficients: Array) -> list[Handle]:
        """See Basis.combine."""
        outs = [self._space.handle() for _ in coefficients]
        self._space.record("basis_combine", self._number, [o.index for o in outs], coefficients)
        return outs

    def compress(self, coefficients: Array) -> None:
        """See Basis.compress."""
        self._space.record("compress", self._number, coefficients)
        self.size = len(coefficients) + 1

    def truncate(self, size: int) -> None:
        """See Basis.truncate."""
        self._space.record("truncate", self._number, size)
        self.size = size

    def save(self, folder: Path, start: int) -> Pending:
        """See Basis.save."""
        return self._space.save(self._number, folder, start)

    def load(self, folder: Path, size: int) -> None:
        """See Basis.load."""
        self._space.record("load", self._number, str(folder), size)
        self.size = size
