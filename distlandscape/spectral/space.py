"""The protocols one Lanczos needs, so that it serves vectors in the driver and vectors sharded over workers.

A vector is opaque to the algorithms: a tensor, or a handle of slices that live elsewhere. Shapes: K vectors, M basis
vectors, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Vector = Any
Vectors = Any  # a sequence of K vectors; the driver's operators take and return a (K, P) tensor
ProbeKind = Literal["normal", "sign"]


class Pending(Protocol):
    """Files that are being written."""

    def result(self) -> dict[str, str]:
        """Wait for them; {file name: sha256}. OSError where they could not be written."""


class Basis(Protocol):
    """An ordered, growing set of orthonormal vectors."""

    @property
    def size(self) -> int:
        """Number of vectors held."""

    def orthogonalize(self, w: Vector) -> tuple[Vector, Array, float]:
        """Gram-Schmidt twice against the whole basis.

        Returns:
            The orthogonal part (working precision), the summed coefficients (M,), and the norm of that part.
        """

    def dots(self, w: Vector) -> Array:
        """(M,) inner products of ``w`` with every basis vector, in one sweep."""

    def append(self, w: Vector, scale: float) -> None:
        """Add ``scale · w``, rounded once to the precision vectors are kept in."""

    def __getitem__(self, index: int) -> Vector:
        """One basis vector."""

    def combine(self, coefficients: Array) -> Sequence[Vector]:
        """(K, M) coefficients to K vectors, for example Ritz vectors."""

    def compress(self, coefficients: Array) -> None:
        """Replace the first M − 1 vectors by (K, M − 1) combinations of them, keep the last one behind them."""

    def truncate(self, size: int) -> None:
        """Forget all but the first ``size`` vectors."""

    def save(self, folder: Path, start: int) -> Pending:
        """Begin to write vectors ``start``… to files, whole or absent, while the basis grows on."""

    def load(self, folder: Path, size: int) -> None:
        """Read the first ``size`` vectors back, bit for bit, whatever the sharding that wrote them."""


class Space(Protocol):
    """A vector space of fixed dimension; every reduction adds float64 partials in one fixed tree."""

    @property
    def dim(self) -> int:
        """P."""

    @property
    def eps(self) -> float:
        """Unit round-off of the precision vectors are kept in."""

    def random(self, seed: int, probe: int, kind: ProbeKind) -> Vector:
        """Entries are a pure function of (seed, probe, index): the same vector for every sharding."""

    def from_numpy(self, a: npt.ArrayLike) -> Vector:
        """(P,) array to a vector."""

    def to_numpy(self, v: Vector) -> npt.NDArray[Any]:
        """A vector to a (P,) array."""

    def dots(self, xs: Sequence[Vector], ys: Sequence[Vector]) -> Array:
        """(K, L) inner products in float64."""

    def combine(self, xs: Sequence[Vector], coefficients: Array) -> Sequence[Vector]:
        """(L, K) coefficients times K vectors: float64 inside, rounded once."""

    def basis(self, capacity: int) -> Basis:
        """An empty basis with room for ``capacity`` vectors."""


class Operator(Protocol):
    """A symmetric linear operator on a space; one ``apply`` is one pass over the data for all its vectors."""

    @property
    def space(self) -> Space:
        """The space it acts on."""

    def apply(self, vectors: Vectors) -> Vectors:
        """The operator times each of K vectors."""
