"""XTrace: a trace estimate in which every product serves both to find large eigenvalues and to estimate the rest."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular

from distlandscape.errors import InputError
from distlandscape.results import Eigenpairs, Estimate
from distlandscape.spectral.given import check_operator, check_pairs, check_whole
from distlandscape.spectral.known import known_vectors
from distlandscape.spectral.scale import check_scale
from distlandscape.spectral.space import Array, Operator, Vector
from distlandscape.spectral.stopping import BREAKDOWN

NORMAL = 2**63  # first probe number of the test vectors
STATUS = "the standard error is a jackknife's, which errs on the large side"


def xtrace(H: Operator, probes: int = 16, seed: int = 0, known: Eigenpairs | None = None) -> Estimate:
    """Tr H by XTrace with normal test vectors, Epperly, Tropp & Webber 2024, section 2 and its variance reduction.

    Half of the products are Y = HΩ. Each of the k columns of Ω gives one unbiased estimate: the trace within the
    range of the other columns of Y, plus the column's own quadratic form outside of it, rescaled to the dimension
    there. The estimate is their mean. The authors take the spread of the k values for the error, as if they were
    independent; with a few large eigenvalues that is too small (intervals of 95 % cover 77 %). So the error is the
    jackknife's over the k estimates from k − 1 columns, which costs no product and is too large rather than too small
    (Efron & Stein 1981): by 1.05 where all eigenvalues weigh alike, by 1.5 to 4 where a few outweigh the rest.

    Where the columns of Y become dependent or fill the space, their range is all of H and the trace is exact; the error
    is then 0, or too large where rounding hides that the last column depends on the others.

    Args:
        H: a symmetric operator.
        probes: number of products, an even number from 6 on; k is half of it.
        seed: seed of the test vectors.
        known: eigenpairs of H found before; H is then estimated on their orthogonal complement.

    Returns:
        The trace of the mean over samples. Cost: two passes, each for k vectors.

    Raises:
        InputError: an odd number of probes or fewer than 6, or pairs of another dimension.
    """
    check_operator(H)
    check_pairs(known=known)
    check_whole(probes=probes, seed=seed)
    if probes < 6 or probes % 2:
        raise InputError(
            f"probes={probes}: xtrace needs an even number of at least 6, half of them test vectors; correct it"
        )
    count, space = probes // 2, H.space
    locked = known_vectors(space, known)
    outside = 0.0 if known is None else float(known.eigenvalues.sum())
    rest = space.dim - len(locked)
    if not rest:
        return Estimate(outside, 0.0, 0, 0, seed)
    basis = space.basis(len(locked) + count)
    for vector in locked:
        basis.append(vector, 1.0)
    tests = [basis.orthogonalize(space.random(seed, NORMAL + i, "normal"))[0] for i in range(count)]
    tests = list(space.combine(tests, np.eye(count)))
    images = H.apply(tests)
    forms = np.diag(space.dots(tests, images)).copy()
    squares = np.diag(space.dots(tests, tests)).copy()
    # Where a test vector happens to lie across the range, its image is small but not the rounding in it.
    scale = float(np.sqrt(np.max(np.diag(space.dots(images, images)))))
    check_scale(space, scale / np.sqrt(space.dim), forms / space.dim)
    R = np.zeros((count, count))
    rank = 0
    for i, image in enumerate(images):
        w, coefficients, norm = basis.orthogonalize(image)
        R[:rank, i] = coefficients[len(locked) :]
        if norm <= BREAKDOWN * space.eps * scale:
            break
        R[rank, i] = norm
        basis.append(w, 1.0 / norm)
        rank += 1
    inner, W = _inside(H, [basis[len(locked) + j] for j in range(rank)], tests)
    if rank < count or rank == rest:
        return Estimate(outside + float(np.trace(inner)), 0.0, count + rank, 1 + (rank > 0), seed)
    value = outside + float(np.mean(_leave_one_out(R, inner, W, forms, squares, rest)))
    fewer = [_without(i, R, inner, W, forms, squares, rest) for i in range(count)]
    stderr = float(np.sqrt((count - 1) * np.var(fewer)))
    return Estimate(value, stderr, probes, 2, seed, count - 1, STATUS)


def _inside(H: Operator, Q: list[Vector], tests: list[Vector]) -> tuple[Array, Array]:
    """QᵀHQ and QᵀΩ."""
    if not Q:
        return np.zeros((0, 0)), np.zeros((0, len(tests)))
    inner = H.space.dots(Q, H.apply(Q))
    return (inner + inner.T) / 2, H.space.dots(Q, tests)


def _leave_one_out(R: Array, inner: Array, W: Array, forms: Array, squares: Array, rest: int) -> Array:
    """(k,) the estimate each column gives; its projector is Q(I − ssᵀ)Qᵀ, s the unit column of R⁻ᵀ.

    Args:
        R: (k, k) QᵀY.
        inner: (k, k) QᵀHQ.
        W: (k, k) QᵀΩ.
        forms: (k,) ωᵀHω.
        squares: (k,) |ω|².
        rest: dimension of the space that Ω is drawn from.
    """
    k = len(R)
    S = solve_triangular(R, np.eye(k), trans="T")
    S /= np.linalg.norm(S, axis=0)
    X = W - S * np.sum(S * W, axis=0)  # coordinates of each ω within the range of the others
    inside = np.trace(inner) - np.sum(S * (inner @ S), axis=0)
    form = forms - 2 * np.sum(X * R, axis=0) + np.sum(X * (inner @ X), axis=0)
    square = squares - np.sum(X**2, axis=0)
    return np.asarray(inside + form * (rest - k + 1) / square)


def _without(i: int, R: Array, inner: Array, W: Array, forms: Array, squares: Array, rest: int) -> float:
    """The estimate that the other columns alone would have given."""
    keep = np.arange(len(R)) != i
    turn, triangle = np.linalg.qr(R[:, keep])
    parts = (triangle, turn.T @ inner @ turn, turn.T @ W[:, keep], forms[keep], squares[keep])
    return float(np.mean(_leave_one_out(*parts, rest)))
