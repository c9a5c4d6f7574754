"""When a residual is small enough."""

from __future__ import annotations

import numpy as np

from distlandscape.spectral.space import Array

FLOOR = 30.0  # multiples of eps·‖H‖ below which rounding leaves no residual


def residual_bounds(values: Array, tol: float, eps: float, norm: float) -> Array:
    """Largest admissible ‖Hv − λv‖ of each value λ: tol·|λ|, floored at 30·eps·‖H‖."""
    return np.asarray(np.maximum(tol * np.abs(values), FLOOR * eps * norm))
