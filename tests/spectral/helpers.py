"""Dense operators on any space, rotated symmetric matrices, and a journal that keeps everything in memory."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from distlandscape.convergence import FLOOR
from distlandscape.results import Eigenpairs
from distlandscape.spectral import top_eigenpairs
from distlandscape.spectral.block import BlockLanczos
from distlandscape.spectral.driver import TensorSpace
from distlandscape.spectral.journal import SILENT, Journal, Recurrence
from distlandscape.spectral.lanczos import Lanczos
from distlandscape.spectral.sharded import ShardedSpace
from distlandscape.spectral.space import Basis, Space, Vector
from distlandscape.studies.journal import RunJournal

DIM = 60
SPECTRA = {
    "spread": np.linspace(-1, 1, DIM),
    "outliers": np.concatenate([np.linspace(0, 0.1, DIM - 10), np.linspace(1, 10, 10)]),
    "negative": -np.geomspace(100, 0.01, DIM),
    "identity": np.ones(DIM),
    "zero": np.zeros(DIM),
    "rank 1": np.concatenate([[5.0], np.zeros(DIM - 1)]),
    "rank 3": np.concatenate([[5.0, -3.0, 1.0], np.zeros(DIM - 3)]),
    "three levels": np.repeat([-1.0, 0.5, 2.0], DIM // 3),
}
BROKEN = {"identity", "zero", "rank 1", "rank 3", "three levels"}  # the Krylov space of a start vector ends early

Array = npt.NDArray[np.float64]
DTYPES = [torch.float32, torch.float64]


class Stop(Exception):
    """Raised by an operator at a chosen pass: the stand-in for a crash."""


class Dense:
    """A matrix as an operator on any space: float64 inside, rounded once. Counts its passes, fails at a chosen one."""

    def __init__(self, A: npt.ArrayLike, space: Space | None = None, dtype: torch.dtype = torch.float64) -> None:
        self.A = np.asarray(A, dtype=np.float64)
        self.space = space if space is not None else TensorSpace(len(self.A), dtype)
        self.passes = 0
        self.fail_at: int | None = None

    def apply(self, vectors: Sequence[Vector]) -> list[Vector]:
        self.passes += 1
        if self.passes == self.fail_at:
            raise Stop
        return [self.space.from_numpy(self.product(self.space.to_numpy(v).astype(np.float64))) for v in vectors]

    def product(self, v: Array) -> Array:
        return self.A @ v


def spaces(dim: int, dtype: torch.dtype) -> dict[str, Space]:
    """The same space three times: in the driver, and cut into two and three slices."""
    return {
        "driver": TensorSpace(dim, dtype),
        "two slices": ShardedSpace(dim, 2, dtype),
        "three slices": ShardedSpace(dim, 3, dtype),
    }


def rotated(values: npt.ArrayLike, seed: int = 0) -> Array:
    """A symmetric matrix with these eigenvalues and random eigenvectors."""
    values = np.asarray(values, dtype=np.float64)
    normal = np.random.default_rng(seed).standard_normal((len(values), len(values)))
    Q, R = np.linalg.qr(normal)
    Q = Q * np.sign(np.diag(R))
    A = (Q * values) @ Q.T
    return np.asarray((A + A.T) / 2)


COPIES = rotated(np.concatenate([np.full(3, 9.0), [6.0], np.full(2, 5.0), np.linspace(-1, 1, 204), np.full(2, -5.0)]))


def eps(dtype: torch.dtype) -> float:
    return float(torch.finfo(dtype).eps)


def rows(space: Space, basis: Basis) -> Array:
    """All vectors of a basis as float64 rows."""
    return np.stack([space.to_numpy(basis[j]).astype(np.float64) for j in range(basis.size)])


def nothing_known(dim: int) -> Eigenpairs:
    """A pair that has not converged: a density that is given it takes no atoms, and counts every draw."""
    pairs = top_eigenpairs(Dense(np.eye(dim)), 1)
    return replace(pairs, converged=np.zeros(1, dtype=bool))


def check_verdicts(pairs: Eigenpairs, e: float, norm: float) -> None:
    """All converged, but for what float32 cannot tell from zero, and the status says so."""
    lost = ~pairs.converged
    if not lost.any():
        assert pairs.status == "converged"
        return
    assert e == eps(torch.float32)
    sizes = np.abs(pairs.eigenvalues)
    assert (sizes < pairs.residuals)[lost].all()
    assert (pairs.residuals[lost] <= FLOOR * e * norm).all()
    assert f"; {lost.sum()} cannot be told from zero in float32, residual above |eigenvalue|:" in pairs.status
    assert pairs.status.endswith("measure in float64 (objective.dtype=float64)")


def run_block(operator: Any, steps: int, block: int, seed: int = 0, journal: Journal = SILENT) -> BlockLanczos:
    run = BlockLanczos(operator, steps, block, seed, journal)
    while not run.full:
        run.step()
    return run


def run_lanczos(operator: Any, steps: int, **options: Any) -> Lanczos:
    run = Lanczos(operator, steps, options.pop("seed", 0), **options)
    while not run.full:
        run.step()
    return run


class MemoryJournal:
    """Keeps every committed step in memory; what a later commit adds never reaches the earlier ones."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.kept: dict[str, tuple[list[npt.NDArray[Any]], Recurrence]] = {}
        self.restored: list[str] = []
        self.notes: list[tuple[str, int, str]] = []

    def restore(self, name: str, basis: Basis) -> Recurrence | None:
        self._held = basis.size
        if name not in self.kept:
            return None
        vectors, recurrence = self.kept[name]
        for vector in vectors:
            basis.append(self.space.from_numpy(vector), 1.0)
        self.restored.append(name)
        return copy.deepcopy(recurrence)

    def commit(self, name: str, basis: Basis, recurrence: Recurrence) -> None:
        vectors = [self.space.to_numpy(basis[j]).copy() for j in range(self._held, basis.size)]
        self.kept[name] = (vectors, copy.deepcopy(recurrence))

    def progress(self, name: str, step: int, note: str) -> None:
        self.notes.append((name, step, note))


class Punctual(RunJournal):
    """Has every step on disk before the next begins, so that a test knows what is there."""

    def commit(self, name: str, basis: Basis, recurrence: Recurrence) -> None:
        super().commit(name, basis, recurrence)
        self._wait()
