"""A sharpness that rescaling layers does not change; on an abstract operator."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distlandscape.errors import InputError
from distlandscape.results import Estimate
from distlandscape.spectral.given import check_operator, check_whole
from distlandscape.spectral.scale import check_scale
from distlandscape.spectral.space import Operator

PROBE = 3 * 2**61  # first probe number, apart from those of Lanczos runs and of Hutchinson's estimator


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
    check_operator(H)
    check_whole(probes=probes, seed=seed)
    space, theta = H.space, np.asarray(theta_P)
    if probes < 2:
        raise InputError(f"probes={probes}: at least 2 are needed for a standard error; raise it")
    if theta.shape != (space.dim,):
        raise InputError(
            f"theta has shape {theta.shape}, the operator needs ({space.dim},); give that of its objective"
        )
    signs = (space.to_numpy(space.random(seed, PROBE + index, "sign")) for index in range(probes))
    vectors = [space.from_numpy(theta * z) for z in signs]
    samples = np.diag(space.dots(vectors, H.apply(vectors)))
    check_scale(space, 0.0, samples / space.dim)
    stderr = float(np.std(samples, ddof=1) / np.sqrt(probes))
    return Estimate(float(samples.mean()), stderr, probes, 1, seed, probes - 1)
