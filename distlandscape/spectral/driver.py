"""Vectors as tensors in the driver: one slice that holds every segment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distlandscape.spectral.segments import Segments, tree_sum
from distlandscape.spectral.slices import Slice, SliceBasis, numbers
from distlandscape.spectral.space import Array, Pending, ProbeKind

CPU = torch.device("cpu")


class TensorSpace:
    """R^P with (P,) tensors of one dtype on one device as vectors."""

    def __init__(self, dim: int, dtype: torch.dtype = torch.float32, device: torch.device = CPU) -> None:
        cut = Segments(dim)
        self.dim, self.dtype, self.device = dim, dtype, device
        self.eps = float(torch.finfo(dtype).eps)
        self._slice = Slice(cut, range(cut.count), dtype, device)

    def random(self, seed: int, probe: int, kind: ProbeKind) -> Tensor:
        """See Space.random."""
        return self._slice.random(seed, probe, kind)

    def from_numpy(self, a: npt.ArrayLike) -> Tensor:
        """See Space.from_numpy."""
        return torch.tensor(np.asarray(a), dtype=self.dtype, device=self.device)

    def to_numpy(self, v: Tensor) -> npt.NDArray[Any]:
        """See Space.to_numpy."""
        return v.cpu().numpy()

    def dots(self, xs: Sequence[Tensor], ys: Sequence[Tensor]) -> Array:
        """See Space.dots."""
        return numbers(tree_sum(self._slice.dots(xs, ys)))

    def combine(self, xs: Sequence[Tensor], coefficients: Array) -> list[Tensor]:
        """See Space.combine."""
        return self._slice.combine(xs, coefficients)

    def basis(self, capacity: int) -> TensorBasis:
        """See Space.basis."""
        return TensorBasis(self._slice.basis(capacity))


class TensorBasis:
    """A basis held by the driver."""

    def __init__(self, rows: SliceBasis) -> None:
        self._rows = rows

    @property
    def size(self) -> int:
        """Number of vectors held."""
        return self._rows.size

    def orthogonalize(self, w: Tensor) -> tuple[Tensor, Array, float]:
        """See Basis.orthogonalize."""
        w = w.to(torch.float64, copy=True)
        total = torch.zeros(self.size, dtype=torch.float64, device=w.device)
        for _ in range(2):
            coefficients = tree_sum(self._rows.project(w))
            w = self._rows.subtract(w, coefficients)
            total += coefficients
        norm_squared = tree_sum(self._rows.owner.dots([w], [w]))[0, 0]
        return w, numbers(total), float(torch.sqrt(norm_squared))

    def dots(self, w: Tensor) -> Array:
        """See Basis.dots."""
        return numbers(tree_sum(self._rows.project(w)))

    def append(self, w: Tensor, scale: float) -> None:
        """See Basis.append."""
        self._rows.append(w, scale)

    def __getitem__(self, index: int) -> Tensor:
        return self._rows.row(range(self.size)[index])

    def combine(self, coefficients: Array) -> list[Tensor]:
        """See Basis.combine."""
        return self._rows.combine(coefficients)

    def compress(self, coefficients: Array) -> None:
        """See Basis.compress."""
        self._rows.compress(coefficients)

    def truncate(self, size: int) -> None:
        """See Basis.truncate."""
        self._rows.truncate(size)

    def save(self, folder: Path, start: int) -> Pending:
        """See Basis.save."""
        return self._rows.save(folder, start)

    def load(self, folder: Path, size: int) -> None:
        """See Basis.load."""
        load_rows(self._rows, folder, size)


def load_rows(rows: SliceBasis, folder: Path, size: int) -> None:
    """Fill a slice's basis with the first ``size`` vectors from all files of ``folder``."""
    ends: dict[int, int] = {}
    for file in sorted(folder.glob("vectors-*.safetensors")):
        start = int(file.name.split("-")[1])
        if start < size:
            ends[start] = start + rows.load(file, start)
    assert max(ends.values(), default=0) >= size, f"{folder} holds fewer than {size} vectors"
    rows.size = size
