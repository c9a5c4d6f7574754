"""Trace and Frobenius norm by Hutchinson's estimator, deflated by known eigenpairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from distlandscape.errors import InputError
from distlandscape.results import Eigenpairs, Estimate
from distlandscape.spectral.given import check_operator, check_pairs, check_whole
from distlandscape.spectral.known import known_vectors
from distlandscape.spectral.scale import check_scale, power_of_two
from distlandscape.spectral.space import Array, Operator, Vector
from distlandscape.spectral.xtrace import xtrace

PROBE = 2**62  # first probe number of the sign probes, apart from the start vectors of Lanczos runs
TOGETHER = 32  # probes of one pass; with more, the images would need more memory than a Krylov basis


def trace(
    H: Operator, probes: int = 16, seed: int = 0, *, method: str = "hutchinson", known: Eigenpairs | None = None
) -> Estimate:
    """Tr H with its standard error.

    Args:
        H: a symmetric operator.
        probes: number of products spent.
        seed: seed of the probes.
        method: "hutchinson", deflated by ``known`` (see ``trace_and_frobenius``), or "xtrace", which spends half of
            the products on finding the large eigenvalues by itself (see ``distlandscape.spectral.xtrace.xtrace``).
        known: eigenpairs of H found before; converged or not, they reduce the error without a bias.

    Returns:
        The trace of the mean over samples. Cost: ``probes`` products in one pass for every 32 of them; "xtrace" takes
        at least two passes.

    Raises:
        InputError: an unknown method, too few probes, or pairs of another dimension.
    """
    if method not in METHODS:
        raise InputError(f"method={method!r} is unknown; choose {' or '.join(map(repr, METHODS))}")
    return METHODS[method](H, probes, seed, known)


def frobenius_norm(H: Operator, probes: int = 16, seed: int = 0, *, known: Eigenpairs | None = None) -> Estimate:
    """‖H‖_F with its standard error (delta method on the square; Hutchinson 1990).

    Args:
        H: a symmetric operator.
        probes: number of products spent, at least 2.
        seed: seed of the probes.
        known: eigenpairs of H found before; converged or not, they reduce the error without a bias.

    Returns:
        The norm of the mean over samples. Cost: one pass for every 32 probes.

    Raises:
        InputError: fewer than 2 probes, or pairs of another dimension.
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
        Trace and Frobenius norm of the mean over samples. Cost: one pass for every 32 probes.

    Raises:
        InputError: fewer than 2 probes, or pairs of another dimension.
    """
    check_operator(H)
    check_pairs(known=known)
    known_values = np.empty(0) if known is None else known.eigenvalues
    known_residuals = np.empty(0) if known is None else known.residuals
    first, second = probe_moments(H, known_vectors(H.space, known), probes, seed)
    square = float(np.sum(known_values**2 + known_residuals**2)) + float(second.mean())
    norm = float(np.sqrt(square))
    square_error = _standard_error(second)
    cost = (probes, -(-probes // TOGETHER), seed, probes - 1)
    return (
        Estimate(float(known_values.sum() + first.mean()), _standard_error(first), *cost),
        Estimate(norm, square_error / (2 * norm) if norm else 0.0, *cost),
    )


def probe_moments(H: Operator, vectors: Sequence[Vector], probes: int, seed: int) -> tuple[Array, Array]:
    """z⊥ᵀHz⊥ and ‖Hz⊥‖² of each sign probe, z⊥ its part orthogonal to the orthonormal ``vectors``.

    Raises:
        InputError: fewer than 2 probes, or products too small or too large to be squared.
    """
    check_whole(probes=probes, seed=seed)
    if probes < 2:
        raise InputError(f"probes={probes}: at least 2 are needed for a standard error; raise it")
    space = H.space
    basis = space.basis(max(len(vectors), 1))
    for vector in vectors:
        basis.append(vector, 1.0)
    first: list[float] = []
    second: list[float] = []
    for start in range(0, probes, TOGETHER):
        rest: list[Vector] = []
        for probe in range(start, min(start + TOGETHER, probes)):
            z = space.random(seed, PROBE + probe, "sign")
            rest += space.combine([basis.orthogonalize(z)[0]], np.ones((1, 1))) if vectors else [z]
        images = H.apply(rest)
        # Off the diagonal stands what is not asked for, but one call is one trip to the workers.
        first += np.diag(space.dots(rest, images)).tolist()
        second += np.diag(space.dots(images, images)).tolist()
    check_scale(space, float(np.sqrt(max(second) / space.dim)), np.array(first) / space.dim)
    return np.array(first), np.array(second)


def _standard_error(samples: Array) -> float:
    unit = power_of_two(samples)  # the samples may be squares themselves
    return float(np.std(samples / unit, ddof=1) / np.sqrt(len(samples)) * unit)


def _hutchinson(H: Operator, probes: int, seed: int, known: Eigenpairs | None) -> Estimate:
    return trace_and_frobenius(H, probes, seed, known=known)[0]


METHODS: dict[str, Callable[[Operator, int, int, Eigenpairs | None], Estimate]] = {
    "hutchinson": _hutchinson,
    "xtrace": xtrace,
}
