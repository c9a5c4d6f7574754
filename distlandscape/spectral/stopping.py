"""When to look at a run, and when a residual is small enough."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distlandscape.spectral.space import Array

BREAKDOWN = 30.0  # multiples of eps·‖H‖ below which what is left after Gram-Schmidt is rounding
FLOOR = 30.0  # multiples of eps·‖H‖ below which rounding leaves no residual
AIM = (
    FLOOR / 3
)  # what a run goes on to, so that what is found beside its pairs, and inherits from them, meets the floor


def residual_bounds(values: Array, tol: float, eps: float, norm: float) -> Array:
    """Residual of each value λ at which nothing is left to do: tol·|λ|, floored at 30·eps·‖H‖."""
    return np.asarray(np.maximum(tol * np.abs(values), FLOOR * eps * norm))


def convergence(
    values: Array, residuals: Array, tol: float, eps: float, norm: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which pairs have converged, and which others are lost in rounding.

    A residual within tol·|λ| is what was asked for. One within the floor only counts while it says something of λ: up
    to |λ|, and in float64, where nothing finer is at hand, also if λ is zero to rounding, |λ| + ‖Hv − λv‖ within the
    floor. In float32 such a value is either zero or one that float64 can tell from it.
    """
    sizes, floor = np.abs(values), FLOOR * eps * norm
    at_rounding = (residuals <= floor) & (residuals > tol * sizes)
    finest = eps <= np.finfo(np.float64).eps
    told = (residuals <= sizes) | (finest & (sizes + residuals <= floor))
    lost = at_rounding & ~told
    return (residuals <= np.maximum(tol * sizes, floor)) & ~lost, lost


def residual_targets(values: Array, tol: float, eps: float, norm: float) -> Array:
    """The residual of each value at which a run ends: tol·|λ|, floored at 10·eps·‖H‖, and less beside small values.

    A pair of residual ρ leaves ρ²/gap in whatever is found beside it. So that this stays below a quarter of the
    smallest bound b, which matters where wanted values differ by more than a factor of tol, ρ has to meet √(b·|λ|)/2.
    """
    own = np.maximum(tol * np.abs(values), AIM * eps * norm)
    least = float(own.min())
    return np.asarray(np.minimum(own, np.maximum(least, 0.5 * np.sqrt(least * np.abs(values)))))


def due(steps: int) -> bool:
    """Look at every step early, then ever more rarely: an eigenproblem of m steps should stay below a pass."""
    return steps > 0 and steps % (1 + steps // 50) == 0
