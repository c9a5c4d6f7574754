"""The curvature in random planes, exactly: the d × d matrix AᵀHA from d products.

Shapes: P parameters, d dimension of the largest plane, k eigenpairs known before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from distlandscape.errors import InputError
from distlandscape.results import Eigenpairs, Estimate
from distlandscape.spectral.given import check_operator, check_pairs, check_whole
from distlandscape.spectral.known import known_vectors
from distlandscape.spectral.scale import check_scale, power_of_two
from distlandscape.spectral.space import Array, Operator, Vector

PLANE = 2**58  # first probe number of the vectors that span a plane
TOGETHER = 32  # products of one pass


@dataclass(frozen=True, eq=False)
class PlaneCurvature:
    """What d products with normal vectors say of an operator.

    Attributes:
        matrix: (d, d) AᵀHA for A the orthonormalised vectors in their order, so that leading blocks are smaller planes.
        asymmetry: largest |difference| of mirrored entries over the largest |entry| before they were averaged.
        trace: Tr H, of the mean over samples, from the same products.
        frobenius: ‖H‖_F from the same products.
        ratio: Tr H/‖H‖_F with its jackknife error; nan for H = 0.
    """

    matrix: Array
    asymmetry: float
    trace: Estimate
    frobenius: Estimate
    ratio: Estimate

    def curvatures(self, plane: int) -> Array:
        """Eigenvalues (plane,) in the plane of the first vectors, ascending."""
        return np.asarray(np.linalg.eigvalsh(self.matrix[:plane, :plane]))


def plane_curvature(H: Operator, plane: int, seed: int = 0, *, known: Eigenpairs | None = None) -> PlaneCurvature:
    """The curvature of H in a uniformly random plane, with trace and norm from the same products.

    For normal x, E xᵀHx = Tr H and E ‖Hx‖² = ‖H‖_F² (Hutchinson 1990). With ``known`` pairs V, Λ of H, converged or
    not, only R = H − VΛVᵀ is estimated: Tr H = Σλ + Tr R, and ‖H‖_F² = Σλ² + ‖R‖_F² because VᵀHV = Λ. Cost: one pass
    for every 32 dimensions; memory of d vectors, and of the known ones.

    Raises:
        InputError: a plane of fewer than 2 dimensions, or of more than H has; pairs of another dimension.
    """
    check_operator(H)
    check_pairs(known=known)
    check_whole(plane=plane, seed=seed)
    if not 2 <= plane <= H.space.dim:
        raise InputError(f"plane={plane} must be from 2 to the number of parameters, {H.space.dim}; correct it")
    space = H.space
    vectors: list[Vector] = [space.random(seed, PLANE + i, "normal") for i in range(plane)]
    # Not the vectors but the small matrix is made orthonormal: with X Xᵀ = L Lᵀ, A = L⁻¹ X.
    gram, raw, squares = space.dots(vectors, vectors), np.empty((plane, plane)), np.empty(plane)
    values, pairs = np.empty(0) if known is None else known.eigenvalues, known_vectors(space, known)
    taken = np.zeros((2, plane))  # of xᵀHx and of ‖Hx‖²
    for start in range(0, plane, TOGETHER):
        stop = min(start + TOGETHER, plane)
        images = H.apply(vectors[start:stop])
        raw[:, start:stop] = space.dots(vectors, images)
        squares[start:stop] = np.diag(space.dots(images, images))
        if pairs:
            along, onto = space.dots(pairs, vectors[start:stop]), space.dots(pairs, images)
            taken[0, start:stop] = values @ along**2
            taken[1, start:stop] = values @ (2 * along * onto) - values**2 @ along**2
    check_scale(space, float(np.sqrt(squares.max() / space.dim)), np.diag(raw) / space.dim)
    L = np.linalg.cholesky(gram)
    half = solve_triangular(L, raw, lower=True)
    matrix = solve_triangular(L, half.T, lower=True).T
    largest = float(np.abs(matrix).max())
    asymmetry = float(np.abs(matrix - matrix.T).max()) / largest if largest else 0.0
    first, squares = np.diag(raw) - taken[0], np.maximum(squares - taken[1], 0)  # rounding, where R = 0
    passes, trace, square = -(-plane // TOGETHER), float(values.sum()), float(np.square(values).sum())
    norm, unit = float(np.sqrt(square + squares.mean())), power_of_two(squares)

    def estimate(value: float, stderr: float) -> Estimate:
        return Estimate(value, stderr, plane, passes, seed, plane - 1)

    return PlaneCurvature(
        (matrix + matrix.T) / 2,
        asymmetry,
        estimate(trace + float(first.mean()), float(first.std(ddof=1) / np.sqrt(plane))),
        estimate(norm, float((squares / unit).std(ddof=1) / np.sqrt(plane)) * unit / (2 * norm) if norm else 0.0),
        estimate(*_ratio(trace + first, square + squares)),
    )


def _ratio(first: Array, squares: Array) -> tuple[float, float]:
    """Mean of ``first`` over the root of the mean of ``squares``, and its jackknife error."""
    if not squares.any():
        return float("nan"), float("nan")
    n = len(first)
    left_out = (first.sum() - first) / (n - 1) / np.sqrt((squares.sum() - squares) / (n - 1))
    error = np.sqrt((n - 1) * np.mean((left_out - left_out.mean()) ** 2))
    return float(first.mean() / np.sqrt(squares.mean())), float(error)
