"""A first, short check for missed copies: away from the pairs, and from the Ritz vectors next to them as well.

The check in the complement of the pairs is slow where the next eigenvalue inward is close to the edge. The run that
found the pairs knows its vector roughly. Let A be the operator in the complement of the pairs, y_j Ritz vectors of it
with values θ_j and residuals r_j, and B the compression of A to their complement. If A has an eigenvalue λ ≥ e, above
all θ_j, with eigenvector u, then |⟨u, y_j⟩| ≤ r_j / (e − θ_j), and the Rayleigh quotient of the rest of u shows that B
has an eigenvalue of at least e − δ,

    δ = Σ r_j² / (e − θ_j) / (1 − ε²),    ε² = Σ (r_j / (e − θ_j))² < 1.

So where B has none beyond e − δ, nothing is missed; δ is small of second order. Where B may have one, the other check
decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from distlandscape.spectral.copies import ACCEPTED, CHECK, Outcome, Pairs, hidden
from distlandscape.spectral.journal import Journal
from distlandscape.spectral.lanczos import Lanczos, Ritz
from distlandscape.spectral.space import Array, Operator, Vector

NEAR = CHECK + 2**60  # probe number of the start vector
MOST = 16  # neighbours at either end
STEPS = 20  # most passes; where more are to be expected, none is made
OVERLAP = 0.5  # largest ε²


@dataclass(frozen=True)
class Neighbours:
    """Ritz vectors next to the wanted ends, and by end (+1: the upper) the point e − δ that B must not reach."""

    vectors: Sequence[Vector]
    points: dict[float, float]


def choose(ritz: Ritz, top: int, low: int, dim: int) -> tuple[list[int], dict[float, float]]:
    """Ritz vectors inward of the ends without which the gap is widest, and the points e − δ; none if not worth it."""
    m = len(ritz.values)
    inner = list(range(low, m - top))
    edges = ({1.0: float(ritz.values[m - top])} if top else {}) | ({-1.0: float(ritz.values[low - 1])} if low else {})
    chosen: list[int] = []
    for sign, edge in edges.items():
        order = inner[::-1] if sign > 0 else inner
        values, residuals = sign * ritz.values[order], ritz.residuals[order]
        counts = range(1, min(MOST, len(order) - 1) + 1)
        gaps = [_point(sign * edge, values[:n], residuals[:n]) - values[n] for n in counts]
        chosen += order[: int(np.argmax([-np.inf, *gaps]))]
    chosen = sorted(set(chosen))
    rest = ritz.values[[j for j in inner if j not in chosen]]
    points = {s: s * _point(s * e, s * ritz.values[chosen], ritz.residuals[chosen]) for s, e in edges.items()}
    if not chosen or not len(rest) or any(_steps(s * p, s * rest, dim) > STEPS for s, p in points.items()):
        return [], {}
    return chosen, points


def _point(edge: float, values: Array, residuals: Array) -> float:
    """The point e − δ for the upper end; −∞ where ε² is too large."""
    distance = edge - values
    if np.any(distance <= 0):
        return -np.inf
    overlap = float(np.sum((residuals / distance) ** 2))
    return edge - float(np.sum(residuals**2 / distance)) / (1 - overlap) if overlap <= OVERLAP else -np.inf


def _steps(point: float, rest: Array, dim: int) -> float:
    """Steps to expect until nothing can be hidden at a point: growth of Chebyshev polynomials beyond the rest."""
    width, gap = float(np.ptp(rest)), point - float(rest.max())
    if not gap > 0:
        return np.inf
    return float(np.log(2 * dim / np.pi / ACCEPTED**2) / (2 * np.arccosh(1 + 2 * gap / width))) if width else 1.0


def short_check(
    operator: Operator, pairs: Pairs, near: Neighbours, seed: int, journal: Journal
) -> tuple[Outcome | None, int]:
    """The outcome where nothing can be missed, None where the other check has to decide; and the passes it took."""
    locked = [*pairs.vectors, *near.vectors]
    if not near.points or len(locked) >= operator.space.dim:
        return None, 0
    run = Lanczos(operator, STEPS, seed, NEAR, locked, journal, "check-near")
    while True:
        if run.steps:
            values = run.ritz().values
            if any(np.any(sign * values >= sign * point) for sign, point in near.points.items()):
                return None, run.steps
            probability = 0.0 if run.exhausted else max(hidden(run, point) for point in near.points.values())
            if probability <= ACCEPTED:
                words = f"none found by {run.steps} products in the complement"
                return Outcome(words, probability, run.steps), run.steps
        if run.full:
            return None, run.steps
        run.step()
        journal.progress(run.name, run.steps, "looking for missed copies")
