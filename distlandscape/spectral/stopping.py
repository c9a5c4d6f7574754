"""When to look at a run, and when a residual is small enough."""

from __future__ import annotations

import numpy as np

from distlandscape.spectral.space import Array

BREAKDOWN = 30.0  # multiples of eps·‖H‖ below which what is left after Gram-Schmidt is rounding
FLOOR = 30.0  # multiples of eps·‖H‖ below which rounding leaves no residual


def residual_bounds(values: Array, tol: float, eps: float, norm: float) -> Array:
    """Largest admissible ‖Hv − λv‖ of each value λ: tol·|λ|, floored at 30·eps·‖H‖."""
    return np.asarray(np.maximum(tol * np.abs(values), FLOOR * eps * norm))


def due(steps: int) -> bool:
    """Look at every step early, then ever more rarely: an eigenproblem of m steps should stay below a pass."""
    return steps > 0 and steps % (1 + steps // 50) == 0
