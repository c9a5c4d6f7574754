"""Lanczos with full reorthogonalisation (two sweeps of classical Gram-Schmidt), Golub & Van Loan, Alg. 10.3.1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal

from distlandscape.spectral.journal import SILENT, Journal, Recurrence
from distlandscape.spectral.space import Array, Operator, Vector

BREAKDOWN = 30.0  # multiples of eps·‖H‖ below which what is left after Gram-Schmidt is rounding
FRESH = 2**32  # probe numbers of the vectors that continue after a breakdown: FRESH·(vectors so far) + probe


@dataclass(frozen=True)
class Ritz:
    """Eigen-decomposition of the projected operator, ascending.

    Attributes:
        values: (m,) Ritz values.
        vectors: (m, m) column j holds the coefficients of Ritz vector j on the basis.
        residuals: (m,) ‖H y − θ y‖ = β |s_m|, with what leaks into the locked vectors.
    """

    values: Array
    vectors: Array
    residuals: Array


class Lanczos:
    """One Lanczos run, stepped by its caller; cost of a step: one pass.

    The first vectors of the basis are ``locked`` ones the run stays orthogonal to, so it sees
    (I − VVᵀ) H (I − VVᵀ). After m steps the basis holds q_1 … q_{m+1} behind them, unless the space is exhausted.
    A breakdown (β at rounding level) continues with a random vector orthogonal to all before.

    Args:
        operator: symmetric operator.
        capacity: most steps to be taken.
        seed: seed of the start vector.
        probe: number of the start vector.
        locked: orthonormal vectors to stay away from.
        journal: keeps the state.
        name: the run's name in the journal.
    """

    def __init__(
        self,
        operator: Operator,
        capacity: int,
        seed: int,
        probe: int = 0,
        locked: Sequence[Vector] = (),
        journal: Journal = SILENT,
        name: str = "lanczos",
    ) -> None:
        self.operator, self.seed, self.probe, self.journal, self.name = operator, seed, probe, journal, name
        space = operator.space
        self.locked = len(locked)
        self.capacity = min(capacity, space.dim - self.locked)
        self.basis = space.basis(self.locked + self.capacity + 1)
        for vector in locked:
            self.basis.append(vector, 1.0)
        if self.capacity < 1:
            raise ValueError(f"{self.locked} locked vectors leave nothing of a space of dimension {space.dim}")
        restored = journal.restore(name, self.basis)
        if restored is None:
            self.recurrence = Recurrence()
            self._append_fresh(probe)
        else:
            self.recurrence = restored

    @property
    def steps(self) -> int:
        """Steps taken, m."""
        return len(self.recurrence.alphas)

    @property
    def exhausted(self) -> bool:
        """True when the basis spans the whole space: the Ritz values are the eigenvalues."""
        return self.locked + self.steps >= self.operator.space.dim

    @property
    def full(self) -> bool:
        """True when no further step can be taken."""
        return self.steps >= self.capacity

    @property
    def closed(self) -> bool:
        """True when the Krylov space of the start vector has ended, by a breakdown or with the space itself."""
        return 0.0 in self.recurrence.betas

    @property
    def norm(self) -> float:
        """Scale of ‖H‖: the largest row norm of the projected operator T, between ‖T‖/√3 and ‖T‖."""
        a = np.abs(self.recurrence.alphas)
        b = np.abs(self.recurrence.betas)
        if not len(a):
            return 0.0
        return float(np.sqrt(np.max(a**2 + b**2 + np.concatenate([[0.0], b[:-1] ** 2]))))

    def step(self, product: Vector = None) -> None:
        """Extend the basis by one vector; one pass, none where the product with the last basis vector is given."""
        r = self.recurrence
        w = self.operator.apply([self.basis[-1]])[0] if product is None else product
        w, coefficients, beta = self.basis.orthogonalize(w)
        if not np.isfinite(beta):
            raise FloatingPointError(
                f"the product of step {self.steps + 1} is not finite; check the weights and the data for overflow"
            )
        own = coefficients[self.locked :]
        r.alphas.append(float(own[-1]))
        r.couplings.append([float(c) for c in coefficients[: self.locked]])
        expected = np.zeros(len(own) - 1)
        if len(expected):
            expected[-1] = r.betas[-1]
            r.symmetry = max(r.symmetry, float(np.max(np.abs(own[:-1] - expected))))
        r.betas.append(beta)
        scale = float(np.sqrt(self.norm**2 + np.sum(coefficients**2)))
        if self.exhausted:
            r.betas[-1] = 0.0
        elif beta <= BREAKDOWN * self.operator.space.eps * scale:
            r.betas[-1] = 0.0
            self._append_fresh(FRESH * self.basis.size + self.probe)
        else:
            self.basis.append(w, 1.0 / beta)
        self.journal.commit(self.name, self.basis, r)

    def ritz(self) -> Ritz:
        """Ritz values, vectors and residual bounds of the steps so far; no pass."""
        r = self.recurrence
        values, vectors = eigh_tridiagonal(np.array(r.alphas), np.array(r.betas[:-1]))
        outside = r.betas[-1] * vectors[-1]
        leaks = np.array(r.couplings).reshape(self.steps, self.locked).T @ vectors
        return Ritz(values, vectors, np.sqrt(outside**2 + np.sum(leaks**2, axis=0)))

    def ritz_vectors(self, coefficients_mK: Array) -> Sequence[Vector]:
        """K combinations of q_1 … q_m, given by columns."""
        padded = np.zeros((coefficients_mK.shape[1], self.basis.size))
        padded[:, self.locked : self.locked + self.steps] = coefficients_mK.T
        return self.basis.combine(padded)

    def _append_fresh(self, probe: int) -> None:
        w, _, norm = self.basis.orthogonalize(self.operator.space.random(self.seed, probe, "normal"))
        self.basis.append(w, 1.0 / norm)
