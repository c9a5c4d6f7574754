"""The check for eigenvalues that a single start vector cannot see: further copies of a multiple eigenvalue.

Krylov vectors of one start hold one direction of each eigenspace, so a second copy shows up only through rounding.
A second run, from a random start in the orthogonal complement of the pairs found, sees it like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distlandscape.spectral.journal import Journal
from distlandscape.spectral.lanczos import Lanczos, Ritz
from distlandscape.spectral.space import Array, Operator, Vector
from distlandscape.spectral.stopping import residual_bounds

CHECK = 2**41  # probe numbers of the check's start vectors
ACCEPTED = 1e-3  # probability of a missed copy at which the check is content


@dataclass
class Pairs:
    """Eigenpairs, descending."""

    values: Array
    vectors: list[Vector]
    residuals: Array


@dataclass(frozen=True)
class Outcome:
    """What the check concluded and what it cost."""

    words: str
    probability: float | None
    passes: int


def add_missed_copies(
    operator: Operator, pairs: Pairs, top: int, low: int, tol: float, limit: int, seed: int, journal: Journal
) -> tuple[Pairs, Outcome]:
    """Look beyond both reported ends in the complement of ``pairs``; what is found takes its place among them."""
    passes, found = 0, 0
    for round_ in range(limit):
        if len(pairs.values) >= operator.space.dim:
            break
        name = f"check-{round_}"
        run = Lanczos(operator, limit, seed, CHECK + round_, pairs.vectors, journal, name)
        verdict = _run_until_decided(run, pairs, top, low, tol, journal)
        passes += run.steps
        if verdict is None:
            return pairs, Outcome(f"check not finished after {run.steps} steps: raise max_steps", None, passes)
        if not verdict.missed:
            words = f"{found} found and added" if found else "none found"
            words += f" by {passes} products in the complement"
            if verdict.probability > ACCEPTED:
                return pairs, Outcome(f"{words}, where the next eigenvalue inward converged", None, passes)
            return pairs, Outcome(words, verdict.probability, passes)
        found += len(verdict.missed)
        pairs = _merge(pairs, run, verdict, top, low)
    return pairs, Outcome(f"{found} found and added; the basis spans the whole space", 0.0, passes)


@dataclass(frozen=True)
class _Verdict:
    ritz: Ritz
    missed: list[int]
    probability: float


def _run_until_decided(run: Lanczos, pairs: Pairs, top: int, low: int, tol: float, journal: Journal) -> _Verdict | None:
    norm = float(np.max(np.abs(pairs.values)))
    while True:
        if run.steps:
            ritz = run.ritz()
            good = ritz.residuals <= residual_bounds(ritz.values, tol, run.operator.space.eps, norm)
            edges = [pairs.values[top - 1]] if top else []
            edges += [-pairs.values[top]] if low else []
            slacks = residual_bounds(np.array(edges), tol, run.operator.space.eps, norm)
            sides = []
            if top:
                sides.append(_Side(ritz.values[::-1], good[::-1], edges[0], slacks[0]))
            if low:
                sides.append(_Side(-ritz.values, good, edges[-1], slacks[-1]))
            if all(side.decided(run) for side in sides):
                last = len(ritz.values) - 1
                missed = {last - j for j in sides[0].beyond} if top else set()
                missed |= set(sides[-1].beyond) if low else set()
                return _Verdict(ritz, sorted(missed), max(side.probability for side in sides))
            journal.progress(run.name, run.steps, "looking for missed copies")
        if run.full:
            return None
        run.step()


class _Side:
    """One end of the spectrum, turned so that larger is further out."""

    def __init__(self, values: Array, good: npt.NDArray[np.bool_], edge: float, slack: float) -> None:
        self.values, self.good, self.edge = values, good, edge
        self.beyond = [int(j) for j in np.flatnonzero(values > edge + slack)]
        self.probability = 0.0

    def decided(self, run: Lanczos) -> bool:
        """Copies beyond the edge have converged, or none is there: improbable, or the next value inward converged."""
        if self.beyond:
            return bool(self.good[self.beyond].all())
        if not run.exhausted:
            self.probability = self._hidden(run)
        return self.probability <= ACCEPTED or bool(self.good[0])

    def _hidden(self, run: Lanczos) -> float:
        """Bound on the probability that an eigenvalue at the edge has not shown after m steps.

        An eigenvector of weight ω in the start lifts the largest Ritz value θ above
        (ω T² λ + (1−ω) θ_min)/(ω T² + 1 − ω), with T the Chebyshev polynomial of degree m−1 on [θ_min, θ] at λ. So a
        hidden one has ω < (θ−θ_min)/((λ−θ) T²), and a random start in P dimensions has P(ω < x) ≤ √(2Px/π)
        (Kuczyński & Woźniakowski 1992, in the form for a known edge).
        """
        top, bottom = float(self.values[0]), float(self.values[-1])
        gap, spread = self.edge - top, top - bottom
        if gap <= 0 or run.steps < 2:
            return 1.0
        if spread <= 0:
            return 0.0
        log_t = (run.steps - 1) * np.arccosh(1 + 2 * gap / spread) - np.log(2)
        log_omega = np.log(spread / gap) - 2 * log_t
        return float(min(1.0, np.exp(0.5 * (np.log(2 * run.operator.space.dim / np.pi) + log_omega))))


def _merge(pairs: Pairs, run: Lanczos, verdict: _Verdict, top: int, low: int) -> Pairs:
    """Put what was missed in its place, drop what falls out of the reported ends."""
    ritz, missed = verdict.ritz, verdict.missed
    values = np.concatenate([pairs.values, ritz.values[missed]])
    residuals = np.concatenate([pairs.residuals, ritz.residuals[missed]])
    vectors = [*pairs.vectors, *run.ritz_vectors(ritz.vectors[:, missed])]
    order = np.argsort(-values, kind="stable")
    kept = np.concatenate([order[:top], order[len(order) - low :]])
    return Pairs(values[kept], [vectors[i] for i in kept], residuals[kept])
