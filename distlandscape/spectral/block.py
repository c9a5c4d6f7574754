"""Block Lanczos with full reorthogonalisation: one pass over the data serves b directions of the Krylov space.

Golub & Underwood, The block Lanczos method for computing eigenvalues, Mathematical Software III (1977) 361; one vector
at a time, so that the projected operator is banded: Ruhe, Math. Comp. 33 (1979) 680.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distlandscape.spectral.journal import SILENT, Journal, Recurrence
from distlandscape.spectral.lanczos import FRESH, Ritz
from distlandscape.spectral.scale import check_scale
from distlandscape.spectral.space import Array, Operator, Vector
from distlandscape.spectral.stopping import BREAKDOWN


class BlockLanczos:
    """One block run, stepped by its caller; a step costs one pass, which multiplies b vectors.

    The basis holds M vectors whose products were taken and, behind them, the block to go on with: b vectors, fewer
    only where the space ends. The products of a block are orthogonalised one after another against all there is, so
    each adds a column to the projected operator T (M, M), which is symmetric with half-bandwidth b. A direction that
    breaks down (its remainder at rounding level) is dropped and a random one orthogonal to all before takes its place:
    the block keeps its width until the space is exhausted.

    An eigenspace of dimension up to b is seen whole, because the b random starts have independent projections on it.
    b start vectors cover a space of b·steps dimensions, but polynomials of degree ``steps`` only: a pair takes fewer
    passes than with b = 1, and more products.

    Args:
        operator: symmetric operator.
        capacity: most steps to be taken.
        block: b, from 1 to P.
        seed: seed of the start vectors, probes 0 … b − 1.
        journal: keeps the state, after each step.
        name: the run's name in the journal.
    """

    locked = 0  # vectors to stay orthogonal to: there are none, unlike in Lanczos

    def __init__(
        self,
        operator: Operator,
        capacity: int,
        block: int,
        seed: int,
        journal: Journal = SILENT,
        name: str = "block",
    ) -> None:
        self.operator, self.block, self.seed, self.journal, self.name = operator, block, seed, journal, name
        dim = operator.space.dim
        assert 1 <= block <= dim, "a block has at least one vector, and at most as many as there are dimensions"
        self.capacity = min(capacity, -(-dim // block))
        self.basis = operator.space.basis(min(block * (self.capacity + 1), dim))
        restored = journal.restore(name, self.basis)
        if restored is None:
            self.recurrence = Recurrence()
            for probe in range(block):
                self._append_fresh(probe)
        else:
            self.recurrence = restored

    @property
    def rank(self) -> int:
        """Dimension of the projected operator, M."""
        return len(self.recurrence.alphas)

    @property
    def steps(self) -> int:
        """Steps taken: only the last block of an exhausted space may be narrower than b."""
        return -(-self.rank // self.block)

    @property
    def exhausted(self) -> bool:
        """True when the basis spans the whole space: the Ritz values are the eigenvalues."""
        return self.rank >= self.operator.space.dim

    @property
    def full(self) -> bool:
        """True when no further step can be taken."""
        return self.steps >= self.capacity or self.exhausted

    @property
    def norm(self) -> float:
        """Scale of ‖H‖: the largest ‖Hq‖ of the vectors multiplied so far."""
        return float(np.max(np.linalg.norm(self._columns(), axis=0), initial=0.0))

    def step(self) -> None:
        """Extend the basis by a block; one pass.

        Raises:
            FloatingPointError: a product is not finite.
            InputError: one is too small or too large to be squared.
        """
        r, space, scale, step = self.recurrence, self.operator.space, self.norm, self.steps + 1
        block = range(self.rank, self.basis.size)
        for j, product in zip(block, self.operator.apply([self.basis[j] for j in block]), strict=True):
            w, coefficients, beta = self.basis.orthogonalize(product)
            check_scale(space, beta, np.array([*coefficients, scale]))
            if not np.isfinite(beta):
                raise FloatingPointError(
                    f"a product of step {step} is not finite; check the weights and the data for overflow"
                )
            scale = max(scale, float(np.hypot(np.linalg.norm(coefficients), beta)))
            r.symmetry = max(r.symmetry, float(np.max(np.abs(coefficients[:j] - self._row(j)), initial=0.0)))
            r.alphas.append(float(coefficients[j]))
            r.bands.append([float(c) for c in coefficients[j + 1 :]])
            if self.basis.size == space.dim:
                continue  # nothing is outside the whole space: what is left is rounding
            if beta <= BREAKDOWN * space.eps * scale:
                r.bands[-1].append(0.0)
                self._append_fresh(FRESH * self.basis.size)
            else:
                r.bands[-1].append(beta)
                self.basis.append(w, 1.0 / beta)
        self.journal.commit(self.name, self.basis, r)

    def projected(self) -> Array:
        """(M, M) the operator projected on the basis, banded."""
        return self._columns()[: self.rank]

    def image(self, coefficients_M: Array) -> Array:
        """Coefficients, on all vectors of the basis, of H times a combination of the M vectors."""
        return np.asarray(self._columns() @ coefficients_M)

    def ritz(self) -> Ritz:
        """Ritz values, vectors and residual bounds ‖B s‖ of the steps so far; no pass.

        B couples the last block to the one behind it, and s are the coefficients of a Ritz vector on the last block.
        """
        columns = self._columns()
        values, vectors = np.linalg.eigh(columns[: self.rank])
        return Ritz(values, vectors, np.linalg.norm(columns[self.rank :] @ vectors, axis=0), np.empty((0, self.rank)))

    def ritz_vectors(self, coefficients_MK: Array) -> Sequence[Vector]:
        """K combinations of the M vectors, given by columns."""
        padded = np.zeros((coefficients_MK.shape[1], self.basis.size))
        padded[:, : self.rank] = coefficients_MK.T
        return self.basis.combine(padded)

    def _columns(self) -> Array:
        """(size, M) coefficients of the M products on the basis: T, and below it what leads to the block behind."""
        r = self.recurrence
        columns = np.zeros((self.basis.size, self.rank))
        for j, (alpha, band) in enumerate(zip(r.alphas, r.bands, strict=True)):
            columns[j : j + 1 + len(band), j] = [alpha, *band]
        columns[: self.rank] += np.tril(columns[: self.rank], -1).T
        return columns

    def _row(self, j: int) -> Array:
        """(j,) what symmetry lets one expect of product j on the vectors before its own."""
        expected = np.zeros(j)
        for i in range(max(0, j - self.block), j):
            band = self.recurrence.bands[i]
            if j - i <= len(band):
                expected[i] = band[j - i - 1]
        return expected

    def _append_fresh(self, probe: int) -> None:
        w, _, norm = self.basis.orthogonalize(self.operator.space.random(self.seed, probe, "normal"))
        self.basis.append(w, 1.0 / norm)
