"""What an algorithm tells the outside while it runs: progress, and enough to go on after a crash."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from distlandscape.spectral.space import Basis


@dataclass(frozen=True)
class Restart:
    """What a thick restart kept: the basis begins with K Ritz vectors.

    Attributes:
        number: of the restart, from 1.
        steps: taken before it.
        values: their K Ritz values.
        border: their K couplings to the vector that follows them.
        couplings: K rows of coefficients on the locked vectors.
        heights: of the vector that follows them, one a watched point: see ``spectral.share``.
        ended: those of each start whose Krylov space had ended, one list a watched point.
        closed: whether the Krylov space of the first start had ended.
    """

    number: int
    steps: int
    values: list[float]
    border: list[float]
    couplings: list[list[float]]
    heights: list[float]
    ended: list[list[float]]
    closed: bool


@dataclass
class Recurrence:
    """The numbers of a Lanczos run, m steps after its last restart; with its basis they are its whole state.

    Attributes:
        alphas: m diagonal entries.
        betas: m off-diagonal entries; the last couples to the vector after the m-th, 0 after a breakdown.
        couplings: m rows of coefficients on the locked vectors.
        bands: of a block run, m rows: the entries below the diagonal of each column of the projected operator, the
            last ones on the block that follows; it has no ``betas``.
        symmetry: largest Gram-Schmidt coefficient so far that vanishes for a symmetric operator.
        restart: the last one; None before the first.
    """

    alphas: list[float] = field(default_factory=list)
    betas: list[float] = field(default_factory=list)
    couplings: list[list[float]] = field(default_factory=list)
    bands: list[list[float]] = field(default_factory=list)
    symmetry: float = 0.0
    restart: Restart | None = None


class Journal(Protocol):
    """Keeps Lanczos runs, by name, and shows their progress."""

    def restore(self, name: str, basis: Basis) -> Recurrence | None:
        """Put the kept vectors behind those the basis already has, and return their recurrence; None if none."""

    def commit(self, name: str, basis: Basis, recurrence: Recurrence) -> None:
        """Called after every step; may keep the new state now or later."""

    def progress(self, name: str, step: int, note: str) -> None:
        """Called after every step with a few words for people."""


class Silent:
    """Keeps and shows nothing."""

    def restore(self, name: str, basis: Basis) -> Recurrence | None:
        """See Journal.restore."""
        return None

    def commit(self, name: str, basis: Basis, recurrence: Recurrence) -> None:
        """See Journal.commit."""

    def progress(self, name: str, step: int, note: str) -> None:
        """See Journal.progress."""


SILENT = Silent()
