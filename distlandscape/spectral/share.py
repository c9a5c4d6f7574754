"""How little of a start vector can lie along an eigenvector that no Ritz value has shown: Christoffel's bound.

The vectors of a Lanczos basis are p_k(H) times the start vector, with the orthonormal polynomials of its measure, which
has the mass ω at an eigenvalue μ. No measure has a larger mass at a point than its Christoffel function 1/Σ p_k(μ)²
(Szegő, Orthogonal Polynomials, §3.4), and beyond all Ritz values that falls outwards.

A thick restart rotates the vectors: beside the one that follows them, at which the polynomial is p, the kept Ritz
vectors of values θ and couplings b have p b / (μ − θ). So p at the points of interest is all that has to be carried
over, and the bound goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from distlandscape.spectral.stopping import BREAKDOWN

if TYPE_CHECKING:
    from distlandscape.spectral.lanczos import Lanczos

NEAR = 1e3  # multiples of eps·‖H‖ between a kept Ritz value and a point below which nothing is concluded there


def log_share(run: Lanczos, point: float) -> float:
    """Logarithm of a bound on the squared component of the start vector on an eigenvector of eigenvalue ``point``.

    A random start in P dimensions has P(ω < x) ≤ √(2Px/π), so a small bound is improbable whatever the step at which it
    is read. Only the recurrence up to a breakdown belongs to the start vector; what was dropped there is at most of the
    size that counts as a breakdown. After a restart the point must be one that the run watches.
    """
    return min(0.0, -_logs(run, point)[0])


def height(run: Lanczos, point: float) -> float:
    """What a restart carries over: log p(μ)² of the vector to go on with; the whole sum's once the run is closed."""
    total, last = _logs(run, point)
    return total if run.closed else last


def _logs(run: Lanczos, point: float) -> tuple[float, float]:
    """Logarithms of Σ p_k² and of the last p_k²; those of 0 where nothing can be said."""
    r = run.recurrence
    eps, norm = run.operator.space.eps, run.norm
    dropped = max(2 * BREAKDOWN * eps * norm, float(np.finfo(np.float64).tiny))
    scale, current, total, pull = 0.0, 1.0, 1.0, 0.0  # pull: what the vectors before it take from the next one
    if r.restart:
        scale = r.restart.heights[run.watched.index(point)]
        if r.restart.closed:
            return scale, -np.inf
        distances, border = point - np.array(r.restart.values), np.array(r.restart.border)
        if scale == -np.inf or np.any(np.abs(distances) <= NEAR * eps * norm):
            return -np.inf, -np.inf
        total += float(np.sum((border / distances) ** 2))
        pull = float(np.sum(border**2 / distances))
    for alpha, beta in zip(r.alphas, r.betas, strict=True):
        after = beta or dropped
        current, pull = ((point - alpha) * current - pull) / after, after * current
        if abs(current) > 1e100:
            scale += 2 * float(np.log(abs(current)))
            pull, total, current = pull / current, total / current / current, 1.0
        total += current**2
        if not beta:
            break
    last = scale + 2 * float(np.log(abs(current))) if current else -np.inf
    return scale + float(np.log(total)), last
