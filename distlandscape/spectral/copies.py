"""The check for eigenvalues that a single start vector cannot see: further copies of a multiple eigenvalue.

Krylov vectors of one start hold one direction of each eigenspace, so a second copy shows up only through rounding.
A second run, from a random start in the orthogonal complement of the pairs found, sees it like any other.

All that is said of probabilities is said of that start, given the pairs. Where the run before began does not enter, as
long as nothing it was given depends on the vectors drawn here: see ``warm.fresh_seed``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distlandscape.results import Trust
from distlandscape.spectral.journal import Journal
from distlandscape.spectral.lanczos import BREAKDOWN, Lanczos, Ritz
from distlandscape.spectral.space import Array, Operator, Vector
from distlandscape.spectral.stopping import due, residual_bounds

CHECK = 2**61  # probe numbers of the check's start vectors
ACCEPTED = 1e-3  # probability of a missed copy at which the check is content
USEFUL = 0.5  # what a run in a bounded basis must multiply the probability by, for another one to be worth it
RESOLUTION = 1e-2  # of ‖H‖ beyond the edge: what lies further out is excluded at that probability in any case


@dataclass
class Pairs:
    """Eigenpairs, descending."""

    values: Array
    vectors: list[Vector]
    residuals: Array


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

    A basis of bounded ``room`` ends a run before it is conclusive. Then another one begins from a start vector of its
    own: what is hidden from all is as improbable as the product of their probabilities.
    """
    assert len(pairs.values) < operator.space.dim, "nothing can be missed by as many pairs as there are dimensions"
    passes, found, prior = 0, 0, 1.0
    for round_ in range(limit):
        name = f"check-{round_}"
        run = Lanczos(operator, limit, seed, CHECK + round_, pairs.vectors, journal, name, room)
        verdict = _run_until_decided(run, pairs, top, low, tol, trust.norm, journal, prior)
        passes += run.steps
        if verdict.missed:
            found += len(verdict.missed)
            pairs = _merge(pairs, run, verdict, trust.relation * trust.norm, top, low)
            prior = 1.0
        elif run.crowded and not verdict.settled and verdict.probability <= USEFUL * prior and passes < limit:
            prior = verdict.probability
            continue
        if not verdict.settled:
            words = f"{found} found and added, " if found else ""
            remedy = "basis_size" if run.crowded else "max_steps"
            return pairs, Outcome(f"{words}check not finished after {passes} steps: raise {remedy}", None, passes)
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
        return Outcome(f"{words}, where the next eigenvalue inward converged", None, passes)
    return Outcome(words, probability, passes)


@dataclass(frozen=True)
class _Verdict:
    ritz: Ritz
    missed: list[int]
    probability: float
    settled: bool


def _run_until_decided(
    run: Lanczos, pairs: Pairs, top: int, low: int, tol: float, norm: float, journal: Journal, prior: float
) -> _Verdict:
    eps = run.operator.space.eps
    edges = {1.0: float(pairs.values[top - 1])} if top else {}
    edges |= {-1.0: float(pairs.values[top])} if low else {}
    while True:
        if run.full or run.crowded or due(run.steps):
            ritz = run.ritz()
            good = ritz.residuals <= residual_bounds(ritz.values, tol, eps, norm)
            slack = {sign: float(residual_bounds(np.array([edge]), tol, eps, norm)[0]) for sign, edge in edges.items()}
            sides = [Side(ritz, good, sign, edge, slack[sign], norm, prior) for sign, edge in edges.items()]
            settled = all(side.decided(run) for side in sides)
            if settled or run.full or (run.crowded and not any(side.beyond for side in sides)):
                missed = {j for side in sides for j in side.beyond}
                return _Verdict(ritz, sorted(missed), max(side.probability for side in sides), settled)
            if run.crowded:
                counts = {side.sign: max(1, len(side.beyond)) for side in sides}
                run.make_room(counts.get(1.0, 0), counts.get(-1.0, 0))
        run.step()
        journal.progress(run.name, run.steps, "looking for missed copies")


class Side:
    """One end of the spectrum: the upper for ``sign`` +1, the lower for −1."""

    def __init__(
        self,
        ritz: Ritz,
        good: npt.NDArray[np.bool_],
        sign: float,
        edge: float,
        slack: float,
        norm: float,
        prior: float,
    ) -> None:
        self.prior = prior
        self.good, self.sign, self.edge = good, sign, edge
        self.beyond = [int(j) for j in np.flatnonzero(sign * (ritz.values - edge) > slack)]
        self.outermost = int(np.argmax(sign * ritz.values))
        self.outermost_value = float(ritz.values[self.outermost])
        self.margin = max(slack, RESOLUTION * norm) or 1.0  # the zero operator has no scale
        self.probability = 0.0

    def decided(self, run: Lanczos) -> bool:
        """Copies beyond the edge have converged, or none is there.

        Either one at the edge would have shown by now, or the next value inward converged and one clearly further out
        would have shown: convergence alone can be that of a start vector that happens to lie in the bulk.
        """
        if self.beyond:
            return run.exhausted or bool(self.good[self.beyond].all())
        if run.exhausted:
            return True
        self.probability = self._hidden(run, self.edge)
        if self.probability <= ACCEPTED:
            return True
        return bool(self.good[self.outermost]) and self._hidden(run, self.edge + self.sign * self.margin) <= ACCEPTED

    def _hidden(self, run: Lanczos, point: float) -> float:
        """Bound on the probability that an eigenvalue at ``point`` or further out has not shown so far."""
        if self.sign * (point - self.outermost_value) <= 0:
            return self.prior
        bound = np.exp(0.5 * (np.log(2 * run.operator.space.dim / np.pi) + log_share(run, point)))
        return self.prior * float(min(1.0, bound))


def log_share(run: Lanczos, point: float) -> float:
    """Logarithm of a bound on the squared component ω of the start vector on an eigenvector of eigenvalue ``point``.

    The measure of the start vector has mass ω there, and no measure has a larger mass at a point than its Christoffel
    function, 1/Σ p_k² with the orthonormal polynomials p_0 … p_m of the recurrence (Szegő, Orthogonal Polynomials,
    §3.4); beyond all Ritz values it falls outwards. A random start in P dimensions has P(ω < x) ≤ √(2Px/π), so a small
    bound is improbable whatever the step at which it is read. Only the recurrence up to the first breakdown or restart
    belongs to the start vector; what was dropped there is at most of the size that counts as a breakdown.
    """
    alphas, betas = run.first_stretch
    dropped = max(2 * BREAKDOWN * run.operator.space.eps * run.norm, float(np.finfo(np.float64).tiny))
    previous, current, total, log_scale, before = 0.0, 1.0, 1.0, 0.0, 0.0
    for alpha, beta in zip(alphas, betas, strict=True):
        after = beta or dropped
        previous, current = current, ((point - alpha) * current - before * previous) / after
        if abs(current) > 1e100:
            log_scale += 2 * float(np.log(abs(current)))
            previous, total, current = previous / current, total / current / current, 1.0
        total += current**2
        before = after
        if not beta:
            break
    return -(float(np.log(total)) + log_scale)


def _merge(pairs: Pairs, run: Lanczos, verdict: _Verdict, defect: float, top: int, low: int) -> Pairs:
    """Put what was missed in its place, drop what falls out of the reported ends."""
    ritz, missed = verdict.ritz, verdict.missed
    values = np.concatenate([pairs.values, ritz.values[missed]])
    residuals = np.concatenate([pairs.residuals, np.hypot(ritz.residuals[missed], defect)])
    vectors = [*pairs.vectors, *run.ritz_vectors(ritz.vectors[:, missed])]
    order = np.argsort(-values, kind="stable")
    kept = np.concatenate([order[:top], order[len(order) - low :]])
    return Pairs(values[kept], [vectors[i] for i in kept], residuals[kept])
