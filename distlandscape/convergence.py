"""When an eigenpair counts as converged: by the tolerance asked for, or by what rounding leaves.

Why it is decided so: docs/decisions/converged-at-rounding-level.md.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
FLOOR = 30.0  # multiples of eps·‖H‖ below which rounding leaves no residual
# Multiples of eps·‖H‖ that the recurrence of a run does not see. A product, what is stored of it, the basis vector it
# is made of and the Ritz vector in the end are each rounded to half an eps: 2 eps in all. A Ritz vector of m basis
# vectors adds up those of m steps, 2·√m where they are independent: 20 for a hundred steps that weigh alike.
ROUNDING = 20.0


def stated(bounds: Array, eps: float, norm: float) -> Array:
    """Residuals to state: those that follow from a recurrence, never less than rounding leaves, 20·eps·‖H‖."""
    return np.asarray(np.maximum(bounds, ROUNDING * eps * norm))


def convergence(
    values: Array, residuals: Array, tol: float, eps: float, norm: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which pairs have converged, and which others are lost in rounding.

    The residuals are ``stated`` ones. One within tol·|λ| is what was asked for. One within the floor only counts while
    it says something of λ: up to |λ|, and in float64, where nothing finer is at hand, also if λ is zero to rounding,
    |λ| + ‖Hv − λv‖ within the floor. In float32 such a value is either zero or one that float64 can tell from it.
    """
    sizes, floor = np.abs(values), FLOOR * eps * norm
    at_rounding = (residuals <= floor) & (residuals > tol * sizes)
    finest = eps <= np.finfo(np.float64).eps
    told = (residuals <= sizes) | (finest & (sizes + residuals <= floor))
    lost = at_rounding & ~told
    return (residuals <= np.maximum(tol * sizes, floor)) & ~lost, lost


def convergence_words(converged: bool, at_rounding: bool, relative: float) -> str:
    """Whether a pair converged, in a table for people: what rounding alone accepts is marked, with residual/|λ|."""
    if not converged:
        return "no"
    if not at_rounding:
        return "yes"
    return "zero to rounding" if relative > 1 else f"at rounding level, residual/|λ| {relative:.1g}"
