"""The check for eigenvalues that a single start vector cannot see: further copies of a multiple eigenvalue.

Krylov vectors of one start hold one direction of each eigenspace, so a second copy shows up only through rounding.
A second run, from a random start in the orthogonal complement of the pairs found, sees it like any other.

All that is said of probabilities is said of that start, given the pairs. Where the run before began does not enter, as
long as nothing it was given depends on the vectors drawn here: see ``warm.fresh_seed``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distlandscape.results import Trust
from distlandscape.spectral.journal import Journal
from distlandscape.spectral.lanczos import Lanczos, Ritz
from distlandscape.spectral.sides import ACCEPTED, RESOLUTION, Edge, Side
from distlandscape.spectral.space import Array, Operator, Space, Vector
from distlandscape.spectral.stopping import due, residual_aims

CHECK = 2**61  # probe numbers of the check's start vectors


@dataclass
class Pairs:
    """Eigenpairs, descending.

    Attributes:
        values: (k,) eigenvalues.
        vectors: k orthonormal vectors.
        residuals: (k,) bounds on ‖Hv − λv‖ by the recurrence and the measured defect of its relation.
        inherited: (k,) the part of each that pairs found before leave in it: of those that the check found.
    """

    values: Array
    vectors: list[Vector]
    residuals: Array
    inherited: Array


@dataclass(frozen=True)
class Outcome:
    """What the check concluded and what it cost."""

    words: str
    probability: float | None
    passes: int


def add_missed_copies(
    operator: Operator,
    pairs: Pairs,
    trust: Trust,
    top: int,
    low: int,
    tol: float,
    limit: int,
    seed: int,
    journal: Journal,
    room: int | None = None,
) -> tuple[Pairs, Outcome]:
    """Look beyond both reported ends in the complement of ``pairs``; what is found takes its place among them.

    ``trust`` is the record of the run that found ``pairs``: its ‖H‖ is the scale of rounding, and the defect of its
    relation is added to the residuals here as it was there. What was seen beyond an end when the steps ran out takes
    its place too, with the residual it has: it proves that the pair it displaces was not the right one.

    A basis of bounded ``room`` is restarted: the bounds go on.
    """
    assert len(pairs.values) < operator.space.dim, "nothing can be missed by as many pairs as there are dimensions"
    passes, found, eps = 0, 0, operator.space.eps
    for round_ in range(limit):
        edges = [Edge.of(1.0, float(pairs.values[top - 1]), tol, eps, trust.norm)] if top else []
        edges += [Edge.of(-1.0, float(pairs.values[top]), tol, eps, trust.norm)] if low else []
        watched = [point for edge in edges for point in edge.points]
        name, locked = f"check-{round_}", pairs.vectors
        run = Lanczos(operator, limit, seed, CHECK + round_, locked, journal, name, room, watched=watched)
        verdict = _run_until_decided(run, edges, tol, trust.norm, journal)
        passes += run.steps
        if verdict.missed:
            found += len(verdict.missed)
            pairs = _merge(pairs, run, verdict, trust, tol, top, low)
        if not verdict.settled:
            words = f"{found} found and added, " if found else ""
            return pairs, Outcome(f"{words}check not finished after {passes} steps: raise max_steps", None, passes)
        if not verdict.missed:
            return pairs, concluded(found, passes, verdict.probability)
    return pairs, Outcome(
        f"{found} found and added, check not finished after {limit} rounds: raise max_steps", None, passes
    )


def concluded(found: int, passes: int, probability: float) -> Outcome:
    """The outcome of a check that has come to its end, with so many copies found before."""
    words = f"{found} found and added" if found else "none found"
    words += f" by {passes} products in the complement"
    if probability > ACCEPTED:
        beyond = f"{100 * RESOLUTION:g} % of ‖H‖ beyond"
        words += f", where the next eigenvalue inward converged: only what lies {beyond} is excluded"
        return Outcome(words, None, passes)
    return Outcome(words, probability, passes)


@dataclass(frozen=True)
class _Verdict:
    ritz: Ritz
    missed: list[int]
    probability: float
    settled: bool


def _run_until_decided(run: Lanczos, edges: list[Edge], tol: float, norm: float, journal: Journal) -> _Verdict:
    while True:
        if run.full or run.crowded or due(run.steps):
            ritz = run.ritz()
            sides = [Side(ritz, tol, run.operator.space.eps, norm, edge) for edge in edges]
            settled = all(side.decided(run) for side in sides)
            if settled or run.full:
                missed = {j for side in sides for j in side.beyond}
                return _Verdict(ritz, sorted(missed), max(side.probability for side in sides), settled)
            if run.crowded:
                counts = {side.edge.sign: max(1, len(side.beyond)) for side in sides}
                # Of what lies beyond only as much is kept as leaves room to go on.
                spare = (run.room - 1) // len(counts)
                run.make_room(*(min(counts.get(sign, 0), spare) for sign in (1.0, -1.0)))
        run.step()
        journal.progress(run.name, run.steps, "looking for missed copies")


def _merge(pairs: Pairs, run: Lanczos, verdict: _Verdict, trust: Trust, tol: float, top: int, low: int) -> Pairs:
    """Put what was missed in its place, drop what falls out of the reported ends."""
    ritz, missed, space = verdict.ritz, verdict.missed, run.operator.space
    defect, leaks = trust.relation * trust.norm, ritz.leaks[:, missed]
    found = Pairs(
        ritz.values[missed],
        list(run.ritz_vectors(ritz.vectors[:, missed])),
        np.hypot(ritz.residuals[missed], defect),
        np.linalg.norm(leaks, axis=0),
    )
    both = Pairs(
        np.concatenate([pairs.values, found.values]),
        pairs.vectors + found.vectors,
        np.concatenate([pairs.residuals, found.residuals]),
        np.concatenate([pairs.inherited, found.inherited]),
    )
    if np.any(found.inherited > residual_aims(found.values, tol, space.eps, trust.norm) / 2):
        both = _decoupled(both, leaks, np.hypot(ritz.outside[missed], defect), space)
    order = np.argsort(-both.values, kind="stable")
    kept = np.concatenate([order[:top], order[len(order) - low :]])
    return Pairs(both.values[kept], [both.vectors[i] for i in kept], both.residuals[kept], both.inherited[kept])


def _decoupled(both: Pairs, leaks: Array, outside: Array, space: Space) -> Pairs:
    """Rayleigh-Ritz in the span of the pairs found before and of those found beside them, coupled by ``leaks``.

    A residual ρ of a pair found before couples it to what is found in its complement, by at most ρ. With the coupling
    diagonalised only ρ²/gap of it stays. The rest of the residuals lies outside of the span, in directions that are not
    known, so it adds up by its absolute values.
    """
    known = len(both.values) - len(outside)
    projected = np.diag(both.values)
    projected[:known, known:], projected[known:, :known] = leaks, leaks.T
    values, mixing = np.linalg.eigh(projected)
    before, own = np.abs(mixing[:known].T) @ both.residuals[:known], np.abs(mixing[known:].T) @ outside
    # What a pair found before leaves in itself is its own; inherited is what it leaves in one that is another's.
    inherited = np.where(np.sum(mixing[known:] ** 2, axis=0) > 0.5, before, 0.0)
    return Pairs(values, list(space.combine(both.vectors, mixing.T)), before + own, inherited)
