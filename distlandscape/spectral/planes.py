"""Curvature in random planes, and a trace that rescaling layers does not change; on an abstract operator."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distlandscape.errors import InputError
from distlandscape.results import Estimate
from distlandscape.spectral.space import Array, Operator

PROBE = 3 * 2**61  # first probe number of both, apart from those of Lanczos runs and of Hutchinson's estimator


def plane_curvatures(H: Operator, plane: int, seed: int = 0) -> Array:
    """(d,) eigenvalues of VᵀHV, ascending, V an orthonormal basis of a uniformly random d-plane.

    Args:
        H: a symmetric operator.
        plane: d.
        seed: of the plane.

    Returns:
        Curvatures of the mean over samples. Cost: d products in one pass.

    Raises:
        InputError: d is not between 1 and P.
    """
    space = H.space
    if not 1 <= plane <= space.dim:
        raise InputError(f"plane={plane}: a plane has between 1 and {space.dim} dimensions; correct it")
    basis = space.basis(plane)
    for index in range(plane):
        w, _, norm = basis.orthogonalize(space.random(seed, PROBE + index, "normal"))
        basis.append(w, 1 / norm)
    vectors = [basis[index] for index in range(plane)]
    inside = space.dots(vectors, H.apply(vectors))
    return np.asarray(np.linalg.eigvalsh(0.5 * (inside + inside.T)), dtype=np.float64)


def rescaled_trace(H: Operator, theta_P: npt.ArrayLike, probes: int = 16, seed: int = 0) -> Estimate:
    """Σ_i θ_i² H_ii with its standard error: a sharpness that does not depend on the scales of a ReLU net's layers.

    Multiplying one layer by α and another by 1/α leaves such a function as it is and turns H into D⁻¹HD⁻¹, θ into Dθ;
    Σ θ_i² H_ii stays. It is Tr ΘHΘ, Θ = diag θ, from sign probes.

    Args:
        H: a symmetric operator.
        theta_P: (P,) the point at which H is taken.
        probes: number of sign probes.
        seed: of the probes.

    Returns:
        The value for the mean over samples. Cost: ``probes`` products in one pass.

    Raises:
        InputError: fewer than 2 probes, or θ of another length.
    """
    space, theta = H.space, np.asarray(theta_P)
    if probes < 2:
        raise InputError(f"probes={probes}: at least 2 are needed for a standard error")
    if theta.shape != (space.dim,):
        raise InputError(f"theta has shape {theta.shape}, the operator needs ({space.dim},)")
    signs = (space.to_numpy(space.random(seed, PROBE + index, "sign")) for index in range(probes))
    vectors = [space.from_numpy(theta * z) for z in signs]
    samples = np.diag(space.dots(vectors, H.apply(vectors)))
    stderr = float(np.std(samples, ddof=1) / np.sqrt(probes))
    return Estimate(float(samples.mean()), stderr, probes, 1, seed, probes - 1)
