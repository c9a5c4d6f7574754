"""Spectral density by stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017; Lin, Saad & Yang 2016)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from distlandscape.errors import InputError
from distlandscape.results import Eigenpairs, SpectralDensity
from distlandscape.spectral.journal import SILENT, Journal
from distlandscape.spectral.lanczos import Lanczos, Ritz
from distlandscape.spectral.space import Array, Operator, Vector

ISOLATED = 1e-4  # residual over ‖H‖ at which a node from the end inward counts as an eigenvalue
DRAW = 2**59  # probe numbers of the draws: a draw must not start where the run did that found the known pairs
SIMPLE = 9.0  # largest weight·P a simple eigenvalue shows (χ² with one degree of freedom: 99.7 %)


def spectral_density(
    H: Operator,
    draws: int = 1,
    steps: int = 80,
    seed: int = 0,
    *,
    known: Eigenpairs | None = None,
    journal: Journal = SILENT,
) -> SpectralDensity:
    """Quadrature of the density of eigenvalues, (1/P) Σ δ(λ − λ_i).

    Most of a plain draw's error is the random weight it gives to outliers. So eigenvalues known one by one stand as
    atoms of weight 1/P, and the draws measure the orthogonal complement. Without ``known`` they are the outermost
    nodes of the first draw that converged; the further draws then run in their complement, and the first draw, which
    cannot see copies of its own outliers, is left out of the average when there are others.

    Args:
        H: a symmetric operator.
        draws: number of random start vectors, uniform on the sphere.
        steps: Lanczos steps a draw; resolution comes from steps, not draws.
        seed: seed of the draws.
        known: eigenpairs of H found before; the converged ones are used.
        journal: keeps the state and shows progress.

    Returns:
        Nodes and weights that sum to 1. Cost: draws × steps passes, fewer where a Krylov space ends before.

    Raises:
        InputError: draws or steps below 1, or pairs of another dimension.
        FloatingPointError: a product is not finite.
    """
    if draws < 1 or steps < 1:
        raise InputError(f"draws={draws} and steps={steps} must both be at least 1")
    space = H.space
    if known is not None and known.eigenvectors.shape[1] != space.dim:
        raise InputError(
            f"known pairs have {known.eigenvectors.shape[1]} entries, the operator {space.dim}; use its own"
        )
    atoms: Array = np.empty(0)
    locked: Sequence[Vector] = []
    measures: list[tuple[Array, Array]] = []
    passes = 0
    if known is not None and known.converged.any():
        atoms = known.eigenvalues[known.converged]
        locked = [space.from_numpy(v.numpy()) for v in known.eigenvectors[known.converged]]
    for draw in range(draws):
        if len(atoms) == space.dim:
            break
        run = _draw(H, steps, seed, draw, locked, journal)
        passes += run.steps
        ritz = run.ritz()
        if draw == 0 and known is None:
            outliers = _outliers(ritz, space.dim)
            atoms = ritz.values[outliers]
            locked = run.ritz_vectors(ritz.vectors[:, outliers]) if draws > 1 else []
            if draws > 1 and len(atoms):
                continue
            rest = np.setdiff1d(np.arange(len(ritz.values)), outliers)
            measures.append(_measure(ritz, rest))
        else:
            measures.append(_measure(ritz, np.arange(len(ritz.values))))
    return _assemble(atoms, measures, space.dim, steps, passes, seed)


def _draw(H: Operator, steps: int, seed: int, draw: int, locked: Sequence[Vector], journal: Journal) -> Lanczos:
    run = Lanczos(H, steps, seed, DRAW + draw, locked, journal, f"draw-{draw}")
    while not (run.full or run.closed):  # what follows a breakdown says nothing about the start vector's measure
        run.step()
        journal.progress(run.name, run.steps, f"draw {draw + 1}, step {run.steps} of {run.capacity}")
    return run


def _outliers(ritz: Ritz, dim: int) -> npt.NDArray[np.intp]:
    """Nodes from either end inward that are eigenvalues by themselves: converged, and of a simple one's weight."""
    norm = float(np.max(np.abs(ritz.values)))
    fit = (ritz.residuals <= ISOLATED * norm) & (ritz.vectors[0] ** 2 * dim <= SIMPLE)
    m = len(fit)
    if fit.all():  # every eigenvalue by itself, or, in a small space, distinct ones whose weights alone count copies
        return np.arange(m if m == dim else 0)
    upper, lower = int(np.argmin(fit[::-1])), int(np.argmin(fit))
    return np.concatenate([np.arange(lower), np.arange(m - upper, m)]).astype(np.intp)


def _measure(ritz: Ritz, nodes: npt.NDArray[np.intp]) -> tuple[Array, Array]:
    """Nodes and weights of a draw, restricted and normalised."""
    weights = ritz.vectors[0, nodes] ** 2
    return ritz.values[nodes], weights / max(weights.sum(), np.finfo(np.float64).tiny)


def _assemble(
    atoms: Array, measures: list[tuple[Array, Array]], dim: int, steps: int, passes: int, seed: int
) -> SpectralDensity:
    share = (dim - len(atoms)) / dim / max(len(measures), 1)
    nodes = np.concatenate([atoms, *(values for values, _ in measures)])
    weights = np.concatenate([np.full(len(atoms), 1 / dim), *(share * weights for _, weights in measures)])
    draw = np.concatenate([np.full(len(atoms), -1), *(np.full(len(v), d) for d, (v, _) in enumerate(measures))])
    order = np.argsort(nodes, kind="stable")
    return SpectralDensity(
        nodes[order], weights[order], draw[order].astype(np.int64), len(measures), steps, dim, passes, seed
    )
