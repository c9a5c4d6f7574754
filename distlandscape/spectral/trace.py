"""Trace and Frobenius norm by Hutchinson's estimator, deflated by known eigenpairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distlandscape.errors import InputError
from distlandscape.results import Eigenpairs, Estimate
from distlandscape.spectral.space import Array, Operator, Vector

PROBE = 2**62  # first probe number of the estimators, apart from the start vectors of Lanczos runs


def trace(H: Operator, probes: int = 16, seed: int = 0, *, known: Eigenpairs | None = None) -> Estimate:
    """Tr H with its standard error.

    See ``trace_and_frobenius`` for arguments, cost and errors.
    """
    return trace_and_frobenius(H, probes, seed, known=known)[0]


def frobenius_norm(H: Operator, probes: int = 16, seed: int = 0, *, known: Eigenpairs | None = None) -> Estimate:
    """‖H‖_F with its standard error (delta method on the square).

    See ``trace_and_frobenius`` for arguments, cost and errors.
    """
    return trace_and_frobenius(H, probes, seed, known=known)[1]


def trace_and_frobenius(
    H: Operator, probes: int = 16, seed: int = 0, *, known: Eigenpairs | None = None
) -> tuple[Estimate, Estimate]:
    """Tr H and ‖H‖_F from the same products H z⊥ with sign probes z, Girard 1989, Hutchinson 1990.

    With orthonormal V and z⊥ = (I − VVᵀ) z, Tr H = Σ vᵀHv + E z⊥ᵀHz⊥ and ‖H‖_F² = Σ ‖Hv‖² + E ‖Hz⊥‖²: for
    eigenpairs the sums are Σλ and Σ(λ² + r²), and only what the pairs leave over is random.

    Args:
        H: a symmetric operator.
        probes: number of sign probes, at least 2 (one gives no standard error).
        seed: seed of the probes.
        known: eigenpairs of H found before; converged or not, they reduce the error without a bias.

    Returns:
        Trace and Frobenius norm of the mean over samples. Cost: the probes share passes.

    Raises:
        InputError: fewer than 2 probes, or pairs of another dimension.
    """
    known_values = np.empty(0) if known is None else known.eigenvalues
    known_residuals = np.empty(0) if known is None else known.residuals
    if known is not None and known.eigenvectors.shape[1] != H.space.dim:
        raise InputError(
            f"known pairs have {known.eigenvectors.shape[1]} entries, the operator {H.space.dim}; use its own"
        )
    vectors = [] if known is None else [H.space.from_numpy(v.numpy()) for v in known.eigenvectors]
    first, second = probe_moments(H, vectors, probes, seed)
    square = float(np.sum(known_values**2 + known_residuals**2)) + float(second.mean())
    norm = float(np.sqrt(square))
    square_error = _standard_error(second)
    return (
        Estimate(float(known_values.sum() + first.mean()), _standard_error(first), probes, probes, seed),
        Estimate(norm, square_error / (2 * norm) if norm else 0.0, probes, probes, seed),
    )


def probe_moments(H: Operator, vectors: Sequence[Vector], probes: int, seed: int) -> tuple[Array, Array]:
    """z⊥ᵀHz⊥ and ‖Hz⊥‖² of each sign probe, z⊥ its part orthogonal to the orthonormal ``vectors``.

    Raises:
        InputError: fewer than 2 probes.
    """
    if probes < 2:
        raise InputError(f"probes={probes}: at least 2 are needed for a standard error")
    space = H.space
    basis = space.basis(max(len(vectors), 1))
    for vector in vectors:
        basis.append(vector, 1.0)
    rest: list[Vector] = []
    for probe in range(probes):
        z, _, _ = basis.orthogonalize(space.random(seed, PROBE + probe, "sign"))
        rest += space.combine([z], np.ones((1, 1)))
    images = H.apply(rest)
    first = [float(space.dots([z], [image])[0, 0]) for z, image in zip(rest, images, strict=True)]
    second = [float(space.dots([image], [image])[0, 0]) for image in images]
    return np.array(first), np.array(second)


def _standard_error(samples: Array) -> float:
    return float(np.std(samples, ddof=1) / np.sqrt(len(samples)))
