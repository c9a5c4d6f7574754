"""Extreme eigenpairs by Lanczos: stopped by residual, checked for missed copies, certified."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral

import numpy as np
import numpy.typing as npt

from distlandscape.convergence import convergence, stated
from distlandscape.errors import InputError
from distlandscape.results import Eigenpairs, Trust
from distlandscape.spectral.block import BlockLanczos
from distlandscape.spectral.certify import certify
from distlandscape.spectral.complement import exclude_copies
from distlandscape.spectral.copies import Pairs, add_missed_copies
from distlandscape.spectral.given import check_operator, check_pairs, check_real, check_whole
from distlandscape.spectral.journal import SILENT, Journal
from distlandscape.spectral.lanczos import Lanczos
from distlandscape.spectral.rows import SpaceRows
from distlandscape.spectral.space import Operator
from distlandscape.spectral.status import converged_words, status_words
from distlandscape.spectral.stopping import due, residual_bounds, residual_targets
from distlandscape.spectral.warm import fresh_seed, warm_vector
from distlandscape.spectral.watch import watched

MARGIN = 3  # vectors a restart needs beside the wanted ones


@watched
def top_eigenpairs(
    H: Operator,
    k: int | tuple[int, int] = 10,
    tol: float = 1e-3,
    which: str = "LA",
    *,
    max_steps: int | None = None,
    basis_size: int | None = None,
    block: int = 1,
    seed: int = 0,
    gather: bool = True,
    start: Eigenpairs | None = None,
    journal: Journal = SILENT,
) -> Eigenpairs:
    """Extreme eigenpairs of a symmetric operator, with residuals, stopped when each ‖Hv − λv‖ ≤ tol·|λ|.

    A single start vector sees one direction of every eigenspace, and a block of b start vectors sees b. So when the
    pairs have converged a second run in their orthogonal complement looks for copies; what it concluded is in
    ``trust``. Its start vector is drawn independently of those of the first run, whatever the block, so the
    probability it states holds for both alike.

    Args:
        H: a symmetric operator, for example ``dl.Hessian(objective)``.
        k: how many pairs; (largest, smallest) when ``which`` is "BE".
        tol: residual relative to |λ|, floored at 30·eps·‖H‖: pairs that only meet the floor are marked ``at_rounding``,
            and have not converged where they could as well be zero, unless they are to the rounding of float64.
        which: "LA" largest, "SA" smallest, "BE" both ends.
        max_steps: most Lanczos steps, of one pass and ``block`` vectors each; default (20·k + 200) / block, for as
            many vectors with any block.
        basis_size: most vectors kept beside the pairs that the check stays away from; at that many a thick restart
            keeps the Ritz vectors next to the wanted ends. None: all of them, which needs the fewest products.
        block: vectors multiplied in one pass of the first run, from 1 to P. More take fewer passes and more products,
            which pays where a pass takes long whatever it multiplies. The check takes one vector a pass.
        seed: seed of the random vectors.
        gather: whether the eigenvectors come to the driver; else they are ``SpaceRows`` and stay with the workers,
            where ``overlap``, ``confinement``, ``trace`` and ``spectral_density`` use them.
        start: eigenpairs of a nearby operator, for example of the checkpoint before: the run begins from the sum of
            their vectors and a random one. Few products are saved unless the operators are very near to each other.
            The probability in ``trust`` holds as without: it is one of the check, whose start stays random and is
            drawn from a seed of its own, which ``start`` did not depend on.
        journal: keeps the state for a resume and shows progress; left out, a call of more than 2 s shows its progress
            on one line of a terminal or notebook.

    Returns:
        Eigenvalues in descending order with eigenvectors (k, P); what did not converge is marked and ``status`` says
        what to do. Cost: one pass a step, which makes ``block`` products, one for the certificate, and the steps of
        the check.

    Raises:
        InputError: H is no operator; k, tol, which, max_steps, basis_size, block or seed are not usable, or ``start``
            is of another dimension or comes with a block.
        FloatingPointError: a product is not finite.

    Reference: Golub & Van Loan, Matrix Computations, ch. 10; Parlett, The Symmetric Eigenvalue Problem, ch. 13.
    """
    check_operator(H)
    check_pairs(start=start)
    check_real(tol=tol)
    optional = {"max_steps": max_steps, "basis_size": basis_size}
    check_whole(block=block, seed=seed, **{name: value for name, value in optional.items() if value is not None})
    top, low = _counts(k, which, H.space.dim)
    if not 0 < tol < 1:
        raise InputError(f"tol must lie between 0 and 1, not {tol}; it is relative to each |eigenvalue|; correct it")
    _check_block(block, basis_size, H.space.dim)
    if max_steps is not None and max_steps * block < top + low:
        raise InputError(f"max_steps={max_steps} is fewer than the {top + low} pairs asked for; raise max_steps")
    if basis_size is not None and basis_size < top + low + MARGIN:
        raise InputError(
            f"basis_size={basis_size} leaves no room to restart with {top + low} pairs; take {top + low + MARGIN} or"
            " more, or leave it out"
        )
    if start is not None and block > 1:
        raise InputError(
            f"start gives one vector to begin from, and block={block} needs as many; leave one of them out"
        )
    vectors = 20 * (top + low) + 200
    limit, check_limit = (-(-vectors // block), vectors) if max_steps is None else (max_steps, max_steps)
    fresh = fresh_seed(seed, start)
    run: Lanczos | BlockLanczos
    if block == 1:
        first = None if start is None else warm_vector(H.space, start, top, low, fresh)
        run = Lanczos(H, limit, fresh, journal=journal, name="main", room=basis_size, first=first)
    else:
        run = BlockLanczos(H, limit, block, fresh, journal, "main")
    pairs, trust = _until_converged(run, top, low, tol, journal)
    steps, whole = run.steps, run.exhausted
    passes = steps + 1
    good = pairs.residuals <= residual_bounds(pairs.values, tol, H.space.eps, trust.norm)
    outcome = None
    if not whole and good.all() and isinstance(run, Lanczos) and basis_size is None and not (top and low):
        chosen, sign = _select(run.rank, top, low), 1.0 if top else -1.0
        outcome, looked = exclude_copies(run, chosen, sign, tol, trust.norm, check_limit, journal)
        passes += looked
    del run  # and its basis
    if whole:
        trust = replace(trust, missed_copies="none possible: the basis spans the whole space", missed_probability=0.0)
    elif good.all():
        if outcome is None:
            pairs, outcome = add_missed_copies(H, pairs, trust, top, low, tol, check_limit, fresh, journal, basis_size)
            passes += outcome.passes
        trust = replace(trust, missed_copies=outcome.words, missed_probability=outcome.probability)
    residuals = stated(pairs.residuals, H.space.eps, trust.norm)
    converged, lost = convergence(pairs.values, residuals, tol, H.space.eps, trust.norm)
    rows = SpaceRows(H.space, pairs.vectors)
    return Eigenpairs(
        eigenvalues=pairs.values,
        eigenvectors=rows.gather() if gather else rows,
        residuals=residuals,
        converged=converged,
        top=top,
        status=status_words(pairs, converged, lost, trust, tol, H.space.eps, steps, outcome),
        steps=steps,
        passes=passes,
        tol=tol,
        seed=fresh,
        trust=trust,
    )


def _until_converged(
    run: Lanczos | BlockLanczos, top: int, low: int, tol: float, journal: Journal
) -> tuple[Pairs, Trust]:
    """Step until all wanted pairs have converged; the pairs, and what certifies them."""
    wanted, note = top + low, "no pair looked at yet"
    while True:
        crowded = isinstance(run, Lanczos) and run.crowded
        if run.full or crowded or (run.rank >= wanted and due(run.steps)):
            ritz = run.ritz()
            index = _select(len(ritz.values), top, low)
            norm = float(np.max(np.abs(ritz.values)))
            good = ritz.residuals[index] <= residual_targets(ritz.values[index], tol, run.operator.space.eps, norm)
            note = converged_words(good)
            if run.full or good.all():
                break
            if isinstance(run, Lanczos) and crowded:
                run.make_room(top, low)
        run.step()
        journal.progress("main", run.steps, note)
    trust = certify(run)
    # β|s| says nothing of rounding: the measured defect of the relation is added to it.
    residuals = np.hypot(ritz.residuals[index], trust.relation * trust.norm)
    vectors = list(run.ritz_vectors(ritz.vectors[:, index]))
    pairs = Pairs(ritz.values[index], vectors, residuals, np.zeros(len(index)))
    return pairs, trust


def _select(m: int, top: int, low: int) -> npt.NDArray[np.intp]:
    """Indices of the wanted ones among m ascending Ritz values, in descending order of value."""
    upper = np.arange(m - 1, m - 1 - top, -1)
    lower = np.arange(low - 1, -1, -1)
    return np.concatenate([upper, lower]).astype(np.intp)


def _counts(k: int | tuple[int, int], which: str, dim: int) -> tuple[int, int]:
    if which not in ("LA", "SA", "BE"):
        raise InputError(f"which={which!r} is unknown; choose 'LA' (largest), 'SA' (smallest) or 'BE' (both ends)")
    counts: tuple[int, ...] = k if isinstance(k, tuple) else (k,)
    if len(counts) != (2 if which == "BE" else 1) or not all(isinstance(n, Integral) for n in counts):
        raise InputError(
            f"k={k!r} does not fit which={which!r}: give two whole numbers (largest, smallest) with 'BE', else one"
        )
    top, low = counts[0] if which != "SA" else 0, counts[-1] if which != "LA" else 0
    if min(top, low) < 0 or top + low < 1:
        raise InputError(f"k={k!r} asks for no eigenpair; ask for at least one")
    if top + low > dim:
        raise InputError(f"k={k!r} asks for more eigenpairs than there are parameters ({dim}); lower k")
    return top, low


def _check_block(block: int, basis_size: int | None, dim: int) -> None:
    if not 1 <= block <= dim:
        raise InputError(
            f"block={block!r} must be a whole number from 1 to the number of parameters ({dim}); correct it"
        )
    if block > 1 and basis_size is not None:
        raise InputError(
            f"basis_size={basis_size} does not go with block={block}, which cannot restart; leave one of them out"
        )
