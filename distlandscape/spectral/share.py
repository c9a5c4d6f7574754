"""How little of a start vector can lie along an eigenvector that no Ritz value has shown: Christoffel's bound.

The vectors of a Lanczos basis are p_k(H) times the start vector, with the orthonormal polynomials of its measure, which
has the mass ω at an eigenvalue μ. No measure has a larger mass at a point than its Christoffel function 1/Σ p_k(μ)²
(Szegő, Orthogonal Polynomials, §3.4), and beyond all Ritz values that falls outwards.

A thick restart rotates the vectors: beside the one that follows them, at which the polynomial is p, the kept Ritz
vectors of values θ and couplings b have p b / (μ − θ). So p at the points of interest is all that has to be carried
over, and the bound goes on.

A breakdown ends the measure of the start vector. The run goes on from a fresh one, drawn independently of all before
and orthogonal to an invariant subspace: that one has a measure and a bound of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from distlandscape.spectral.space import Array
from distlandscape.spectral.stopping import BREAKDOWN

if TYPE_CHECKING:
    from distlandscape.spectral.lanczos import Lanczos

NEAR = 1e3  # multiples of eps·‖H‖ between a kept Ritz value and a point below which nothing is concluded there


def log_share(run: Lanczos, point: float) -> float:
    """Logarithm of a bound on the squared component of the start vector on an eigenvector of eigenvalue ``point``.

    Only the recurrence up to a breakdown belongs to the start vector; what was dropped there is at most of the size
    that counts as a breakdown. After a restart the point must be one that the run watches.
    """
    return log_shares(run, point)[0]


def log_shares(run: Lanczos, point: float) -> list[float]:
    """The same of every start vector of the run, one more after each breakdown; the last one's may still fall."""
    return [min(0.0, -total) for total in heights(run, point)[0]]


def log_probability(run: Lanczos, point: float) -> float:
    """Logarithm of a bound on the probability that all starts have so little of an eigenvector at ``point``.

    A random start in P dimensions has P(ω < x) ≤ √(2Px/π) =: p, so a small bound is improbable whatever the step at
    which it is read. Of n independent ones all have p ≤ a with a probability of aⁿ at most. To ask it of 1, 2, 3, …
    starts is to ask more often, so that of n counts 4ⁿ/3-fold: all together err as often as one alone may,
    Σ 3/4ⁿ = 1. The first counts 4/3-fold even where no other follows, since it is not known before that none will.
    """
    return together(np.array(log_shares(run, point)), run.operator.space.dim)


def together(log_shares_N: Array, dim: int) -> float:
    """Logarithm of that bound from those of N starts in so many dimensions."""
    logs = np.minimum(0.0, 0.5 * (np.log(2 * dim / np.pi) + log_shares_N))
    counts = np.arange(1, len(logs) + 1)
    return float(min(0.0, *(counts * np.maximum.accumulate(logs) + counts * np.log(4) - np.log(3))))


def heights(run: Lanczos, point: float) -> tuple[list[float], float]:
    """Logarithms of Σ p_k² of each start, and of the last one's last p_k²; those of 0 where nothing can be said."""
    r = run.recurrence
    eps, norm = run.operator.space.eps, run.norm
    dropped = max(2 * BREAKDOWN * eps * norm, float(np.finfo(np.float64).tiny))
    ended: list[float] = []
    scale, current, total, pull = 0.0, 1.0, 1.0, 0.0  # pull: what the vectors before it take from the next one
    if r.restart:
        at = run.watched.index(point)
        ended, scale = list(r.restart.ended[at]), r.restart.heights[at]
        distances, border = point - np.array(r.restart.values), np.array(r.restart.border)
        if np.any(np.abs(distances) <= NEAR * eps * norm):
            scale = -np.inf
        else:
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
            ended.append(scale + float(np.log(total)))
            scale, current, total, pull = 0.0, 1.0, 1.0, 0.0
    last = scale + 2 * float(np.log(abs(current))) if current else -np.inf
    return [*ended, scale + float(np.log(total))], last
