"""Lanczos runs as the log of a run tells them: Ritz values and residual bounds from committed steps.

Shapes: M Ritz values, m steps since the last restart, R vectors that the M vectors couple to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distlandscape.report.tables import Array


@dataclass(frozen=True)
class Ritz:
    """Ritz values (M,) ascending, their residual bounds (M,), and the first components (M,) of their vectors."""

    values: Array
    residuals: Array
    first: Array


class Recurrence:
    """The steps of one Lanczos run since its last restart.

    Args:
        lines: its lines in the log, of one number of restarts, oldest first.
    """

    def __init__(self, lines: Sequence[dict[str, Any]]) -> None:
        self.restarts = int(lines[0]["restarts"])
        self._restart: dict[str, Any] | None = lines[0]["restart"]
        self._alphas, self._betas, self._couplings, self._bands = (
            [entry for line in lines for entry in line.get(name, [])]
            for name in ("alphas", "betas", "couplings", "bands")
        )

    @property
    def rank(self) -> int:
        """Vectors multiplied since the restart, m."""
        return len(self._alphas)

    @property
    def block(self) -> int:
        """Vectors multiplied in one step."""
        return max(len(self._bands[0]), 1) if self._bands else 1

    @property
    def before(self) -> int:
        """Steps before the restart."""
        return 0 if self._restart is None else int(self._restart["steps"])

    @property
    def locked(self) -> int:
        """Vectors that the run stays away from."""
        return len(self._couplings[0]) if self._couplings else 0

    @property
    def invariant(self) -> int | None:
        """Steps after which the Krylov space of the start vector ended; None where it did not."""
        return self._betas.index(0.0) + 1 if 0.0 in self._betas else None

    def steps(self, rank: int) -> int:
        """Steps taken when ``rank`` vectors had been multiplied, those before restarts included."""
        return self.before + -(-rank // self.block)

    def ritz(self, rank: int) -> Ritz:
        """As they were when ``rank`` vectors had been multiplied."""
        projected, outside = self._banded(rank) if self._bands else self._tridiagonal(rank)
        values, vectors = np.linalg.eigh(projected)
        return Ritz(values, np.linalg.norm(outside @ vectors, axis=0), vectors[0])

    def _tridiagonal(self, m: int) -> tuple[Array, Array]:
        """(M, M) the projected operator, bordered by what a restart kept, and (R, M) what leads out of the basis."""
        kept = self._restart["values"] if self._restart is not None else []
        K, M = len(kept), len(kept) + m
        T = np.diag([*kept, *self._alphas[:m]])
        if self._restart is not None:
            T[:K, K] = T[K, :K] = self._restart["border"]
        for j, beta in enumerate(self._betas[: m - 1], start=K):
            T[j, j + 1] = T[j + 1, j] = beta
        leaks = [*(self._restart["couplings"] if self._restart is not None else []), *self._couplings[:m]]
        last = np.zeros((1, M))
        last[0, -1] = self._betas[m - 1]
        return T, np.concatenate([last, np.array(leaks, dtype=float).reshape(M, -1).T])

    def _banded(self, M: int) -> tuple[Array, Array]:
        """The same of a block run."""
        reach = max(j + 1 + len(band) for j, band in enumerate(self._bands[:M]))
        columns = np.zeros((max(reach, M), M))
        for j in range(M):
            columns[j : j + 1 + len(self._bands[j]), j] = [self._alphas[j], *self._bands[j]]
        columns[:M] += np.tril(columns[:M], -1).T
        return columns[:M], columns[M:]


class LanczosRun:
    """One Lanczos run of a stage, restarts included.

    Args:
        lines: all its lines in the log, oldest first.
    """

    def __init__(self, lines: Sequence[dict[str, Any]]) -> None:
        self.stage, self.name = str(lines[0]["stage"]), str(lines[0]["name"])
        self.time = float(lines[-1]["time"])
        stretches: dict[int, list[dict[str, Any]]] = {}
        for line in lines:
            stretches.setdefault(line["restarts"], []).append(line)
        self.stretches = [Recurrence(stretches[number]) for number in sorted(stretches)]

    @property
    def steps(self) -> int:
        """Steps committed so far."""
        return self.stretches[-1].steps(self.stretches[-1].rank)

    def ritz(self) -> Ritz:
        """As of the last committed step."""
        return self.stretches[-1].ritz(self.stretches[-1].rank)


def lanczos_runs(events: Sequence[dict[str, Any]]) -> list[LanczosRun]:
    """All Lanczos runs of a log's ``steps`` events, in the order in which they last took a step."""
    lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for event in events:
        lines.setdefault((event["stage"], event["name"]), []).append(event)
    return sorted((LanczosRun(some) for some in lines.values()), key=lambda run: run.time)
