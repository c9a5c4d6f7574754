"""An in-process sharded twin: vectors as handles of slices, to hold the protocol to its word without any actor."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distlandscape.spectral.driver import CPU, load_rows
from distlandscape.spectral.segments import Segments, tree_sum
from distlandscape.spectral.slices import Slice, SliceBasis, numbers
from distlandscape.spectral.space import Array, Pending, ProbeKind


class Handle:
    """A vector whose slices live in several holders; all an algorithm may do with it is pass it on."""

    __slots__ = ("parts",)

    def __init__(self, parts: list[Tensor]) -> None:
        self.parts = parts


class ShardedSpace:
    """R^P cut into ``slices`` consecutive groups of segments."""

    def __init__(self, dim: int, slices: int, dtype: torch.dtype = torch.float32) -> None:
        cut = Segments(dim)
        self.dim, self.dtype = dim, dtype
        self.eps = float(torch.finfo(dtype).eps)
        self.slices = [Slice(cut, cut.share(slices, i), dtype, CPU) for i in range(slices)]

    def random(self, seed: int, probe: int, kind: ProbeKind) -> Handle:
        """See Space.random."""
        return Handle([part.random(seed, probe, kind) for part in self.slices])

    def from_numpy(self, a: npt.ArrayLike) -> Handle:
        """See Space.from_numpy."""
        whole = torch.tensor(np.asarray(a), dtype=self.dtype)
        return Handle([whole[part.start : part.stop].clone() for part in self.slices])

    def to_numpy(self, v: Handle) -> npt.NDArray[Any]:
        """See Space.to_numpy."""
        return torch.cat(v.parts).numpy()

    def dots(self, xs: Sequence[Handle], ys: Sequence[Handle]) -> Array:
        """See Space.dots."""
        partials = [part.dots([x.parts[i] for x in xs], [y.parts[i] for y in ys]) for i, part in enumerate(self.slices)]
        return numbers(tree_sum(torch.cat(partials)))

    def combine(self, xs: Sequence[Handle], coefficients: Array) -> list[Handle]:
        """See Space.combine."""
        return _handles([part.combine([x.parts[i] for x in xs], coefficients) for i, part in enumerate(self.slices)])

    def basis(self, capacity: int) -> ShardedBasis:
        """See Space.basis."""
        return ShardedBasis([part.basis(capacity) for part in self.slices])


class ShardedBasis:
    """A basis whose every vector is spread over the slices."""

    def __init__(self, parts: list[SliceBasis]) -> None:
        self._parts = parts

    @property
    def size(self) -> int:
        """Number of vectors held."""
        return self._parts[0].size

    def orthogonalize(self, w: Handle) -> tuple[Handle, Array, float]:
        """See Basis.orthogonalize."""
        tensors = [tensor.to(torch.float64, copy=True) for tensor in w.parts]
        total = torch.zeros(self.size, dtype=torch.float64)
        for _ in range(2):
            partials = [rows.project(tensor) for rows, tensor in zip(self._parts, tensors, strict=True)]
            coefficients = tree_sum(torch.cat(partials))
            tensors = [rows.subtract(tensor, coefficients) for rows, tensor in zip(self._parts, tensors, strict=True)]
            total += coefficients
        squares = [rows.owner.dots([tensor], [tensor]) for rows, tensor in zip(self._parts, tensors, strict=True)]
        return Handle(tensors), numbers(total), float(torch.sqrt(tree_sum(torch.cat(squares))[0, 0]))

    def dots(self, w: Handle) -> Array:
        """See Basis.dots."""
        partials = [rows.project(tensor) for rows, tensor in zip(self._parts, w.parts, strict=True)]
        return numbers(tree_sum(torch.cat(partials)))

    def append(self, w: Handle, scale: float) -> None:
        """See Basis.append."""
        for rows, tensor in zip(self._parts, w.parts, strict=True):
            rows.append(tensor, scale)

    def __getitem__(self, index: int) -> Handle:
        row = range(self.size)[index]
        return Handle([rows.row(row) for rows in self._parts])

    def combine(self, coefficients: Array) -> list[Handle]:
        """See Basis.combine."""
        return _handles([rows.combine(coefficients) for rows in self._parts])

    def compress(self, coefficients: Array) -> None:
        """See Basis.compress."""
        for rows in self._parts:
            rows.compress(coefficients)

    def truncate(self, size: int) -> None:
        """See Basis.truncate."""
        for rows in self._parts:
            rows.truncate(size)

    def save(self, folder: Path, start: int) -> Pending:
        """See Basis.save."""
        return _Together([rows.save(folder, start) for rows in self._parts])

    def load(self, folder: Path, size: int) -> None:
        """See Basis.load."""
        for rows in self._parts:
            load_rows(rows, folder, size)


class _Together:
    """The files of all slices."""

    def __init__(self, parts: list[Future[dict[str, str]]]) -> None:
        self._parts = parts

    def result(self) -> dict[str, str]:
        """See Pending.result."""
        return {name: digest for part in self._parts for name, digest in part.result().items()}


def _handles(parts: list[list[Tensor]]) -> list[Handle]:
    """Turn per-slice lists of K tensors into K handles."""
    return [Handle(list(pieces)) for pieces in zip(*parts, strict=True)]
