"""The check for missed copies in the complement of a whole Krylov space: fewer steps where there are none.

A run holds H Q = Q T + β q e_mᵀ. Let V be the Ritz vectors that were asked for, W the other ones, with Ritz values θ_j
and last components s_j, so that Q spans both. In the complement of V, H consists of diag(θ), of the coupling β q sᵀ and
of its restriction to the complement of Q. Beyond a point p that lies outside all θ it has, by the additivity of inertia
(Haynsworth, Linear Algebra Appl. 1 (1968) 73), exactly as many eigenvalues as the Schur complement

    S = (I − QQᵀ) H (I − QQᵀ) + c q qᵀ,    c = Σ_j β² s_j² / (p − θ_j).

So a bound on what is hidden from a random start in the complement of Q, made with S at p, is one on what V misses
there. (p − S)⁻¹ is a block of the inverse in the complement of V: the spectrum of S lies within the one that a search
beside V alone has to cover, and what W stands for is gone from its end.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distlandscape.spectral.copies import CHECK, Outcome, concluded
from distlandscape.spectral.journal import Journal
from distlandscape.spectral.lanczos import Lanczos, Ritz
from distlandscape.spectral.sides import Edge, Side
from distlandscape.spectral.space import Vectors
from distlandscape.spectral.stopping import due


def exclude_copies(
    run: Lanczos, chosen: npt.NDArray[np.intp], sign: float, tol: float, norm: float, limit: int, journal: Journal
) -> tuple[Outcome | None, int]:
    """Look for eigenvalues beyond the innermost of the chosen Ritz values of a run without restarts; ends that run.

    Args:
        run: whose chosen pairs have converged. Its basis is taken over: only what was made of it before stays usable.
        chosen: indices of them among its Ritz values, which lie at one end of the spectrum.
        sign: of that end: +1 the upper, −1 the lower.
        tol: residual relative to each |λ|.
        norm: ‖H‖.
        limit: most steps.
        journal: keeps the state.

    Returns:
        What it concluded, None where only a search beside the chosen pairs can tell: something shows beyond the edge,
        the edge is not alone there or the steps ran out; and the passes it took.
    """
    ritz, eps = run.ritz(), run.operator.space.eps
    edge = Edge.of(sign, float((sign * ritz.values[chosen]).min() * sign), tol, eps, norm)
    schur = SchurComplement.of(run, ritz, np.setdiff1d(np.arange(run.rank), chosen), edge.value)
    room = min(limit, run.capacity - run.steps)
    if schur is None or room < 1:
        return None, 0
    run.basis.truncate(run.rank)
    check = Lanczos(schur, room, run.seed, CHECK, journal=journal, name="complement", behind=run.basis)
    while True:
        if check.full or due(check.steps):
            side = Side(check.ritz(), tol, eps, norm, edge)
            if side.beyond:
                return None, check.steps
            if side.decided(check):
                return concluded(0, check.steps, side.probability), check.steps
            if check.full:
                return None, check.steps
        check.step()
        journal.progress(check.name, check.steps, "looking for missed copies")


class SchurComplement:
    """S of this file on the complement of Q, where its caller has to stay; one pass of H a pass."""

    def __init__(self, run: Lanczos, weight: float) -> None:
        self._operator, self.space, self.weight = run.operator, run.operator.space, weight
        self._last, self._next = run.basis[run.rank - 1], run.basis[run.rank]
        self._beta = run.recurrence.betas[-1]

    @classmethod
    def of(cls, run: Lanczos, ritz: Ritz, others: npt.NDArray[np.intp], edge: float) -> SchurComplement | None:
        """With all Ritz values but the chosen ones eliminated at the edge; None where one of them lies there too."""
        distances = edge - ritz.values[others]
        squares = np.square(run.recurrence.betas[-1] * ritz.vectors[-1, others])
        if not np.all(np.abs(distances) > run.operator.space.eps * run.norm):
            return None
        return cls(run, float(np.sum(squares / distances)))

    def apply(self, vectors: Vectors) -> Vectors:
        """S times each vector of the complement: there QᵀHv is β (qᵀv) e_m."""
        shares = self.space.dots([self._next], vectors)[0]
        turns = [np.array([[1.0, self.weight * share, -self._beta * share]]) for share in shares]
        return [
            self.space.combine([product, self._next, self._last], turn)[0]
            for product, turn in zip(self._operator.apply(vectors), turns, strict=True)
        ]
