"""When to look at a run, and when a residual is small enough."""

from __future__ import annotations

import numpy as np

from distlandscape.convergence import FLOOR
from distlandscape.spectral.space import Array

BREAKDOWN = 30.0  # multiples of eps·‖H‖ below which what is left after Gram-Schmidt is rounding
# What runs go on to, so that what is found beside their pairs, and inherits from them, meets the floor.
AIM = FLOOR / 3


def residual_bounds(values: Array, tol: float, eps: float, norm: float) -> Array:
    """Residual of each value λ at which nothing is left to do: tol·|λ|, floored at 30·eps·‖H‖."""
    return np.asarray(np.maximum(tol * np.abs(values), FLOOR * eps * norm))


def residual_aims(values: Array, tol: float, eps: float, norm: float) -> Array:
    """The same with a floor of 10·eps·‖H‖, to which runs go on."""
    return np.asarray(np.maximum(tol * np.abs(values), AIM * eps * norm))


def residual_targets(values: Array, tol: float, eps: float, norm: float) -> Array:
    """The aims of wanted values, and less beside small ones.

    A pair of residual ρ leaves ρ²/gap in whatever is found beside it. So that this stays below a quarter of the
    smallest bound b, which matters where wanted values differ by more than a factor of tol, ρ has to meet √(b·|λ|)/2.
    """
    own = residual_aims(values, tol, eps, norm)
    least = float(own.min())
    return np.asarray(np.minimum(own, np.maximum(least, 0.5 * np.sqrt(least * np.abs(values)))))


def due(steps: int) -> bool:
    """Look at every step early, then ever more rarely: an eigenproblem of m steps should stay below a pass."""
    return steps > 0 and steps % (1 + steps // 50) == 0
