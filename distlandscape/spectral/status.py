"""What kept eigenpairs from converging, and the remedy for each cause."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distlandscape.convergence import FLOOR
from distlandscape.results import Trust
from distlandscape.spectral.copies import Outcome, Pairs
from distlandscape.spectral.stopping import residual_bounds


def status_words(
    pairs: Pairs,
    converged: npt.NDArray[np.bool_],
    lost: npt.NDArray[np.bool_],
    trust: Trust,
    tol: float,
    eps: float,
    steps: int,
    outcome: Outcome | None,
) -> str:
    """The word converged, or how many did and for each cause how many did not, with what to do.

    Args:
        pairs: the pairs reported.
        converged: which of them converged.
        lost: which others rounding alone accepts, without telling them from zero.
        trust: of the run that found them.
        tol: asked for.
        eps: of the precision.
        steps: that the run took.
        outcome: of the check for missed copies; None where there was none.
    """
    if converged.all():
        return "converged"
    bounds = residual_bounds(pairs.values, tol, eps, trust.norm)
    noisy = ~converged & ~lost & (trust.relation * trust.norm > bounds)
    inherited = ~converged & ~lost & ~noisy & (pairs.inherited > bounds)
    slow = ~converged & ~lost & ~noisy & ~inherited
    single = eps > np.finfo(np.float64).eps
    causes = []
    if slow.any():
        check = "" if outcome is None else f" and {outcome.passes} of the check"
        causes.append(f" in {steps} steps{check}: raise max_steps or loosen tol")
    if lost.any():
        dtype = "float32" if single else "float64"
        told = f"; {int(lost.sum())} cannot be told from zero in {dtype}, residual above |eigenvalue|: "
        remedy = "measure in float64 (objective.dtype=float64)"
        least = f"beside ‖H‖ = {trust.norm:.2g} rounding leaves nothing below {FLOOR * eps * trust.norm:.1g}"
        causes.append(told + (remedy if single else least))
    if noisy.any():
        remedy = "measure in float64 (objective.dtype=float64) or loosen tol" if single else "loosen tol"
        causes.append(f"; {int(noisy.sum())} no better than products repeat, to {trust.relation:.1g} of ‖H‖: {remedy}")
    if inherited.any():
        causes.append(f"; {int(inherited.sum())} found beside pairs of larger residuals, which they inherit: lower tol")
    return converged_words(converged) + "".join(causes)


def converged_words(good: npt.NDArray[np.bool_]) -> str:
    """How many of how many."""
    return f"{int(good.sum())} of {len(good)} pair{'' if len(good) == 1 else 's'} converged"
