"""Spectral density by stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017; Lin, Saad & Yang 2016)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from distlandscape.convergence import FLOOR
from distlandscape.errors import InputError
from distlandscape.results import Eigenpairs, SpectralDensity
from distlandscape.spectral.given import check_operator, check_pairs, check_real, check_whole
from distlandscape.spectral.journal import SILENT, Journal
from distlandscape.spectral.known import known_vectors
from distlandscape.spectral.lanczos import Lanczos, Ritz
from distlandscape.spectral.lockstep import advance, group_size
from distlandscape.spectral.space import Array, Operator, Space, Vector
from distlandscape.spectral.watch import watched

ISOLATED = 1e-4  # residual over ‖H‖ at which a node from the end inward counts as an eigenvalue
DRAW = 2**59  # probe numbers of the draws: a draw must not start where the run did that found the known pairs
SIMPLE = 9.0  # largest weight·P a simple eigenvalue shows (χ² with one degree of freedom: 99.7 %)


@watched
def spectral_density(
    H: Operator,
    draws: int = 1,
    steps: int = 80,
    seed: int = 0,
    *,
    target: float | None = None,
    max_draws: int = 32,
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
        draws: number of random start vectors, uniform on the sphere; with a target, how many to begin with.
        steps: Lanczos steps a draw; resolution comes from steps, not draws.
        seed: seed of the draws.
        target: add draws until the Wasserstein error the draws leave, relative to the range of the eigenvalues
            (``SpectralDensity.error``), is at most this; ``status`` says whether it was reached.
        max_draws: most draws with a target.
        known: eigenpairs of H found before; the converged ones are used.
        journal: keeps the state and shows progress; left out, a call of more than 2 s shows its progress on one line of
            a terminal or notebook.

    Returns:
        Nodes and weights that sum to 1. Cost: draws advance side by side, as many as fit into 2 GiB of basis vectors,
        so the first draw takes ``steps`` passes where nothing is known, and every group of further ones as many.

    Raises:
        InputError: H is no operator; draws, steps, seed, target or max_draws are not usable, or pairs of another
            dimension.
        FloatingPointError: a product is not finite.
    """
    check_operator(H)
    check_pairs(known=known)
    check_whole(draws=draws, steps=steps, seed=seed, max_draws=max_draws)
    _check(draws, steps, target, max_draws)
    space = H.space
    chosen = None if known is None else known.converged
    locked: Sequence[Vector] = known_vectors(space, known, chosen)
    atoms: Array = np.empty(0) if known is None else known.eigenvalues[known.converged]
    measures: list[tuple[Array, Array]] = []
    wanted = draws if target is None else max(draws, 2)
    drawn = passes = 0
    if known is None:
        (run,), passes = _draw(H, steps, seed, range(1), [], journal)
        ritz = run.ritz()
        outliers = _outliers(ritz, space.dim)
        atoms = ritz.values[outliers]
        if wanted == 1 or not len(atoms):
            measures.append(_measure(ritz, np.setdiff1d(np.arange(len(ritz.values)), outliers)))
        if wanted > 1:
            locked = run.ritz_vectors(ritz.vectors[:, outliers])
        drawn = 1
        del run  # and its basis
    together = group_size(space, len(locked) + steps + 1)
    while len(atoms) < space.dim:
        while drawn < wanted:
            group = range(drawn, min(drawn + together, wanted))
            runs, cost = _draw(H, steps, seed, group, locked, journal)
            measures += [_measure(ritz, np.arange(len(ritz.values))) for ritz in (run.ritz() for run in runs)]
            drawn, passes = group.stop, passes + cost
        density = _assemble(atoms, measures, space, steps, passes, seed)
        if target is None:
            return density
        wanted = _wanted(density, drawn, target, max_draws)
        if wanted == drawn:
            return replace(density, status=_status(density.error(), target, drawn))
    whole = _assemble(atoms, measures, space, steps, passes, seed)
    return whole if target is None else replace(whole, status="converged")


def _check(draws: int, steps: int, target: float | None, max_draws: int) -> None:
    if draws < 1 or steps < 1:
        raise InputError(f"draws={draws} and steps={steps} must both be at least 1; raise them")
    if target is None:
        return
    check_real(target=target)
    if not 0 < target < 1:
        raise InputError(
            f"target={target} must lie between 0 and 1; it is relative to the range of the eigenvalues; correct it"
        )
    if max_draws < max(draws, 3):
        raise InputError(
            f"max_draws={max_draws} leaves no room to reach a target from draws={draws}; give at least {max(draws, 3)}"
        )


def _draw(
    H: Operator, steps: int, seed: int, draws: range, locked: Sequence[Vector], journal: Journal
) -> tuple[list[Lanczos], int]:
    """Some draws side by side, and their passes; what follows a breakdown says nothing about a start's measure."""
    runs = [Lanczos(H, steps, seed, DRAW + draw, locked, journal, f"draw-{draw}") for draw in draws]
    return runs, advance(runs, journal)


def _wanted(density: SpectralDensity, drawn: int, target: float, max_draws: int) -> int:
    """How many draws to have next: the error falls with their root; at most twice as many as there are."""
    error, count = density.error(), density.draws
    if error <= target:
        return drawn
    missing = 1 if count < 2 else math.ceil(count * (error / target) ** 2) - count
    return min(max_draws, drawn + max(1, min(missing, count)))


def _status(error: float, target: float, drawn: int) -> str:
    if error <= target:
        return "converged"
    draws = "1 draw" if drawn == 1 else f"{drawn} draws"
    return f"the error after {draws} is {error:.2g} of the range, above {target:g}: raise max_draws or the target"


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
    atoms: Array, measures: list[tuple[Array, Array]], space: Space, steps: int, passes: int, seed: int
) -> SpectralDensity:
    """One measure of atoms and draws. Where all nodes lie within rounding of each other, they are one value."""
    dim = space.dim
    share = (dim - len(atoms)) / dim / max(len(measures), 1)
    nodes = np.concatenate([atoms, *(values for values, _ in measures)])
    weights = np.concatenate([np.full(len(atoms), 1 / dim), *(share * weights for _, weights in measures)])
    draw = np.concatenate([np.full(len(atoms), -1), *(np.full(len(v), d) for d, (v, _) in enumerate(measures))])
    if np.ptp(nodes) <= FLOOR * space.eps * np.abs(nodes).max():
        nodes = np.full(len(nodes), np.median(nodes))
    order = np.argsort(nodes, kind="stable")
    return SpectralDensity(
        nodes[order], weights[order], draw[order].astype(np.int64), len(measures), steps, dim, passes, seed
    )
