"""Lanczos with full reorthogonalisation (two sweeps of classical Gram-Schmidt), Golub & Van Loan, Alg. 10.3.1.

Thick restart: Wu & Simon, SIAM J. Matrix Anal. Appl. 22 (2000) 602.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal

from distlandscape.spectral import share
from distlandscape.spectral.journal import SILENT, Journal, Recurrence, Restart
from distlandscape.spectral.scale import check_scale
from distlandscape.spectral.space import Array, Basis, Operator, Vector
from distlandscape.spectral.stopping import BREAKDOWN

SPARE = 0.4  # share of the room beside the wanted Ritz vectors that a restart keeps filled with the next ones
FRESH = 2**32  # probe numbers of the vectors that continue after a breakdown: FRESH·(vectors so far) + probe


@dataclass(frozen=True)
class Ritz:
    """Eigen-decomposition of the projected operator, ascending.

    Attributes:
        values: (M,) Ritz values.
        vectors: (M, M) column j holds the coefficients of Ritz vector j on the basis.
        outside: (M,) β |s_m|, the part of ‖H y − θ y‖ that further steps make smaller.
        leaks: (locked, M) coefficients of H y on the locked vectors, which no further step changes.
    """

    values: Array
    vectors: Array
    outside: Array
    leaks: Array

    @property
    def residuals(self) -> Array:
        """(M,) ‖H y − θ y‖."""
        return np.asarray(np.sqrt(self.outside**2 + np.sum(self.leaks**2, axis=0)))


class Lanczos:
    """One Lanczos run, stepped by its caller; cost of a step: one pass.

    The first vectors of the basis are ``locked`` ones the run stays orthogonal to, so it sees
    (I − VVᵀ) H (I − VVᵀ). Behind them it holds the K Ritz vectors of the last restart (none before the first) and the
    m vectors since, M = K + m in all, and the one to go on with, unless the space is exhausted. A breakdown (β at
    rounding level) continues with a random vector orthogonal to all before.

    Args:
        operator: symmetric operator.
        capacity: most steps to be taken.
        seed: seed of the start vector.
        probe: number of the start vector.
        locked: orthonormal vectors to stay away from.
        journal: keeps the state.
        name: the run's name in the journal.
        room: most vectors held beside the locked ones and the last; at that many ``crowded`` asks for a restart.
        first: the start vector, of any norm; None: the random one of ``seed`` and ``probe``.
        watched: points at which ``share`` bounds the start vector's components, restarts or not.
        behind: a basis to go on in, with room for ``capacity`` + 1 more; all its vectors are locked. Instead of
            ``locked``, whose vectors are copied.
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
        room: int | None = None,
        first: Vector = None,
        watched: Sequence[float] = (),
        behind: Basis | None = None,
    ) -> None:
        self.watched = tuple(watched)
        self.operator, self.seed, self.probe, self.journal, self.name = operator, seed, probe, journal, name
        space = operator.space
        self.locked = len(locked) if behind is None else behind.size
        rest = space.dim - self.locked
        self.room = min(capacity if room is None else room, rest)
        # Restarts lose what they drop: with less room than there are dimensions more steps than those may be of use.
        self.capacity = capacity if self.room < rest else min(capacity, rest)
        if behind is None:
            self.basis = space.basis(self.locked + min(self.capacity, self.room) + 1)
            for vector in locked:
                self.basis.append(vector, 1.0)
        else:
            self.basis = behind
        if self.capacity < 1:
            raise ValueError(f"{self.locked} locked vectors leave nothing of a space of dimension {space.dim}")
        restored = journal.restore(name, self.basis)
        if restored is None:
            self.recurrence = Recurrence()
            self._append_normed(space.random(seed, probe, "normal") if first is None else first)
        else:
            self.recurrence = restored

    @property
    def kept(self) -> int:
        """Ritz vectors of the last restart, K."""
        return len(self.recurrence.restart.values) if self.recurrence.restart else 0

    @property
    def rank(self) -> int:
        """Dimension of the projected operator, M."""
        return self.kept + len(self.recurrence.alphas)

    @property
    def steps(self) -> int:
        """Steps taken, those before restarts included."""
        before = self.recurrence.restart.steps if self.recurrence.restart else 0
        return before + len(self.recurrence.alphas)

    @property
    def exhausted(self) -> bool:
        """True when the basis spans the whole space: the Ritz values are the eigenvalues."""
        return self.locked + self.rank >= self.operator.space.dim

    @property
    def crowded(self) -> bool:
        """True when there is no room for a further step before a restart."""
        return self.rank >= self.room and not self.full

    @property
    def full(self) -> bool:
        """True when no further step can be taken."""
        return self.steps >= self.capacity or self.exhausted

    @property
    def closed(self) -> bool:
        """True when the Krylov space of the start vector has ended, by a breakdown or with the space itself."""
        r = self.recurrence
        return 0.0 in r.betas or (r.restart is not None and r.restart.closed)

    @property
    def norm(self) -> float:
        """Scale of ‖H‖: the largest row norm of the projected operator T, between ‖T‖/√3 and ‖T‖."""
        r = self.recurrence
        a, b = np.abs(r.alphas), np.abs(r.betas)
        rows = a**2 + b**2 + np.concatenate([[0.0], b[:-1] ** 2]) if len(a) else np.empty(0)
        if r.restart:
            rows = np.concatenate([rows, np.square(r.restart.values) + np.square(r.restart.border)])
        return float(np.sqrt(np.max(rows, initial=0.0)))

    def step(self, product: Vector = None) -> None:
        """Extend the basis by one vector; one pass, none where the product with the last basis vector is given.

        Raises:
            FloatingPointError: the product is not finite.
            InputError: it is too small or too large to be squared.
        """
        r = self.recurrence
        w = self.operator.apply([self.basis[-1]])[0] if product is None else product
        w, coefficients, beta = self.basis.orthogonalize(w)
        check_scale(self.operator.space, beta, np.array([*coefficients, self.norm]))
        if not np.isfinite(beta):
            raise FloatingPointError(
                f"the product of step {self.steps + 1} is not finite; check the weights and the data for overflow"
            )
        own = coefficients[self.locked :]
        r.alphas.append(float(own[-1]))
        r.couplings.append([float(c) for c in coefficients[: self.locked]])
        expected = np.zeros(len(own) - 1)
        if r.betas:
            expected[-1] = r.betas[-1]
        elif r.restart:
            expected[:] = r.restart.border
        if len(expected):
            r.symmetry = max(r.symmetry, float(np.max(np.abs(own[:-1] - expected))))
        r.betas.append(beta)
        scale = float(np.sqrt(self.norm**2 + np.sum(coefficients**2)))
        if self.exhausted:
            r.betas[-1] = 0.0
        elif beta <= BREAKDOWN * self.operator.space.eps * scale:
            r.betas[-1] = 0.0
            probe = FRESH * (self.locked + self.steps) + self.probe
            self._append_normed(self.operator.space.random(self.seed, probe, "normal"))
        else:
            self.basis.append(w, 1.0 / beta)
        self.journal.commit(self.name, self.basis, r)

    def make_room(self, top: int, low: int) -> None:
        """Thick restart: keep the wanted outermost Ritz vectors and the ones next to them; no pass."""
        # Divide and conquer: eigenvectors by relatively robust representations, the default of scipy, are orthogonal to
        # some hundred eps only, and every restart would add to that.
        r, (values, S) = self.recurrence, np.linalg.eigh(self.projected())
        spare = int(SPARE * (self.rank - top - low))
        more = spare if not low else 0 if not top else spare // 2
        index = np.r_[0 : low + spare - more, self.rank - top - more : self.rank]
        vectors = S[:, index]
        mixing = np.zeros((self.locked + len(index), self.locked + self.rank))
        mixing[: self.locked, : self.locked] = np.eye(self.locked)
        mixing[self.locked :, self.locked :] = vectors.T
        before, bounds = r.restart, [share.heights(self, point) for point in self.watched]
        restart = Restart(
            number=before.number + 1 if before else 1,
            steps=self.steps,
            values=values[index].tolist(),
            border=(r.betas[-1] * vectors[-1]).tolist(),
            couplings=(vectors.T @ self.couplings).tolist(),
            ended=[totals[:-1] for totals, _ in bounds],
            heights=[last for _, last in bounds],
            closed=self.closed,
        )
        self.basis.compress(mixing)
        self.recurrence = Recurrence(symmetry=r.symmetry, restart=restart)

    @property
    def couplings(self) -> Array:
        """(M, locked) coefficients of H q on the locked vectors."""
        r = self.recurrence
        return np.array([*(r.restart.couplings if r.restart else []), *r.couplings]).reshape(self.rank, self.locked)

    def projected(self) -> Array:
        """(M, M) the operator projected on the basis: diagonal on the kept Ritz vectors, with a border, tridiagonal."""
        r, K = self.recurrence, self.kept
        T = np.diag([*(r.restart.values if r.restart else []), *r.alphas])
        if r.restart and r.alphas:
            T[:K, K] = T[K, :K] = r.restart.border
        for j, beta in enumerate(r.betas[:-1], start=K):
            T[j, j + 1] = T[j + 1, j] = beta
        return T

    def image(self, coefficients_M: Array) -> Array:
        """Coefficients, on all vectors of the basis, of H times a combination of the M vectors."""
        start, stop = self.locked, self.locked + self.rank
        image = np.zeros(self.basis.size)
        image[:start] = self.couplings.T @ coefficients_M
        image[start:stop] = self.projected() @ coefficients_M
        image[stop:] = self.recurrence.betas[-1] * coefficients_M[-1]
        return image

    def ritz(self) -> Ritz:
        """Ritz values, vectors and residual bounds of the steps so far; no pass."""
        r = self.recurrence
        if self.kept:
            values, vectors = np.linalg.eigh(self.projected())
        else:
            values, vectors = eigh_tridiagonal(np.array(r.alphas), np.array(r.betas[:-1]))
        return Ritz(values, vectors, np.abs(r.betas[-1] * vectors[-1]), self.couplings.T @ vectors)

    def ritz_vectors(self, coefficients_MK: Array) -> Sequence[Vector]:
        """K combinations of the M vectors, given by columns."""
        padded = np.zeros((coefficients_MK.shape[1], self.basis.size))
        padded[:, self.locked : self.locked + self.rank] = coefficients_MK.T
        return self.basis.combine(padded)

    def _append_normed(self, vector: Vector) -> None:
        w, _, norm = self.basis.orthogonalize(vector)
        self.basis.append(w, 1.0 / norm)
