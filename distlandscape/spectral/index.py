"""Index: how many eigenvalues are negative, counted on the quadrature of a density, with an error band."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.linalg import LinAlgError, LinAlgWarning, eigh_tridiagonal, hessenberg, solve
from scipy.special import betainc

from distlandscape.errors import InputError
from distlandscape.results import Index, SpectralDensity
from distlandscape.spectral.scale import power_of_two
from distlandscape.spectral.space import Array

RESOLUTION = 4e-6  # of ‖H‖, 30·eps in float32: eigenvalues this close to the border may lie on either side of it
FAR = 1e6  # of ‖H‖: a node further out spoils the others by rounding
NOTHING = 1e-12  # weight below which float32 start vectors tell nothing


def index(density: SpectralDensity, below: float = 0.0, level: float = 0.95) -> Index:
    """Number of eigenvalues below a border, 0 for the index of the Hessian, with an interval of the given level.

    Two things are unknown. The quadrature of a draw bounds its own measure below the border: of the rule with as many
    nodes that has one at the border, the weights below it are a lower bound, with its own an upper one, and no sharper
    ones follow from these moments (Chebyshev, Markov, Stieltjes; Akhiezer 1965, section 2.5; Golub & Meurant 2010,
    sections 2.6 and 6.2). And the measure of a draw is that of a random direction:
    with k of n eigenvalues below the border it is beta distributed with parameters k/2 and (n − k)/2. So the interval
    is that of all k for which the bounds, averaged over draws, are no surprise. Known eigenvalues are counted.

    Eigenvalues within 4·10⁻⁶ of ‖H‖ of the border count as undecided: for a Hessian with many zeros the band is
    wide, and a border of, say, −10⁻⁴ ‖H‖ asks a question that has an answer.

    Args:
        density: of the operator; ``dl.spectral_density(H, draws, steps)``.
        below: the border.
        level: of the interval.

    Returns:
        Count, interval and what would narrow it. Cost: no pass.

    Raises:
        InputError: a level that is no probability, or a border that is no number.
    """
    if not 0 < level < 1:
        raise InputError(f"level={level} must lie between 0 and 1; give, for example, 0.95")
    if not np.isfinite(below):
        raise InputError(f"below={below} must be a finite number; give, for example, 0 to count negative eigenvalues")
    unit = power_of_two(density.nodes)
    border, density, below = below, replace(density, nodes=density.nodes / unit), below / unit
    margin = RESOLUTION * float(np.abs(density.nodes).max())
    atoms = density.nodes[density.draw < 0]
    rest = density.dim - len(atoms)
    draws = [_draw(density, d) for d in range(density.draws)] if rest else []
    low, high = float(np.sum(atoms < below - margin)), float(np.sum(atoms <= below + margin))
    value, sure, possible = float(np.sum(atoms < below)), low, high
    if draws:
        middle, least, most = np.mean([_bounds(*draw, below, margin) for draw in draws], axis=0).tolist()
        value += rest * middle
        sure, possible = sure + rest * least, possible + rest * most
        tail = (1 - level) / 2
        low += _first(rest, lambda k: _above(k, rest, len(draws), least) >= tail)
        high += rest - _first(rest, lambda k: _above(k, rest, len(draws), 1 - most) >= tail)
    status = _status(possible - sure, high - low)
    value = min(max(value, low), high)  # a draw that gave the only negative eigenvalue little weight still saw one
    return Index(value, low, high, density.dim, possible - sure, density.draws, border, level, status)


def _draw(density: SpectralDensity, draw: int) -> tuple[Array, Array]:
    mine = density.draw == draw
    return density.nodes[mine], density.weights[mine] / density.weights[mine].sum()


def _bounds(nodes: Array, weights: Array, below: float, margin: float) -> tuple[float, float, float]:
    """A draw's measure below the border: likely value, lower and upper bound."""
    least, _ = _at_border(nodes, weights, below - margin)
    _, most = _at_border(nodes, weights, below + margin)
    total = np.cumsum(weights)
    likely = float(np.interp(below, nodes, total - weights / 2, left=0.0, right=1.0))
    return min(max(likely, least), most), least, most


def _at_border(nodes: Array, weights: Array, border: float) -> tuple[float, float]:
    """Weights below a border, without and with its own, of the rule with a node there.

    Householder's tridiagonalisation of the bordered diagonal gives back the recurrence of the rule; its last diagonal
    entry is changed so that the border is an eigenvalue (Golub 1973).
    """
    m = len(nodes)
    arrow = np.zeros((m + 1, m + 1))
    arrow[0, 1:] = arrow[1:, 0] = np.sqrt(weights)
    arrow[1:, 1:] = np.diag(nodes)
    T = hessenberg(arrow)[1:, 1:]
    alphas, betas = np.diag(T).copy(), np.abs(np.diag(T, -1))
    alphas[-1] = border
    if m > 1:
        last = np.zeros(m - 1)
        last[-1] = betas[-1] ** 2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LinAlgWarning)
            try:
                shift = solve(T[:-1, :-1] - border * np.eye(m - 1), last)[-1]
            except LinAlgError:
                return 0.0, 1.0
        if not abs(shift) < FAR * float(np.abs(nodes).max()):
            return 0.0, 1.0  # the border is a node of the smaller rule: there is none with a further node at it
        alphas[-1] += shift
    moved, vectors = eigh_tridiagonal(alphas, betas)
    total = np.minimum(np.cumsum(np.concatenate([[0.0], vectors[0] ** 2])), 1.0)  # rounding may add up to more
    at = int(np.argmin(np.abs(moved - border)))
    return float(total[at]), float(total[at + 1])


def _above(k: int, n: int, draws: int, bound: float) -> float:
    """Probability that k of n eigenvalues give a mean measure of at least ``bound`` over the draws.

    The mean of independent beta variables is taken for one of the same mean and, but for 1/n, the same variance.
    """
    if bound <= NOTHING:
        return 1.0
    if k in (0, n):
        return float(k == n)
    return float(1 - betainc(draws * k / 2, draws * (n - k) / 2, bound))


def _first(n: int, holds: Callable[[int], bool]) -> int:
    """Smallest k of 0…n for which a property holds that does so from some k on; n where it never does."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _status(open_by_quadrature: float, width: float) -> str:
    if width == 0:
        return "exact"
    larger = "steps" if open_by_quadrature > width / 2 else "draws"
    return f"of a band of {width:,.0f} eigenvalues the quadrature leaves {open_by_quadrature:,.0f} open: raise {larger}"
