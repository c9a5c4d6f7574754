"""The short check for missed copies: its inequality, and that it never overlooks one."""

from __future__ import annotations

import numpy as np
import pytest

from distlandscape.spectral import top_eigenpairs
from distlandscape.spectral.copies import ACCEPTED, Pairs
from distlandscape.spectral.journal import SILENT
from distlandscape.spectral.neighbours import STEPS, Neighbours, _point, choose, short_check
from tests.spectral.helpers import Dense, rotated, run_lanczos

HIDDEN = 5.0  # the eigenvalue of which a single start vector sees one direction


def test_what_is_left_of_a_hidden_eigenvector_shows() -> None:
    """Beyond e − δ, in the complement of Ritz vectors that have something of it."""
    rng = np.random.default_rng(0)
    sharp = 0
    for _ in range(300):
        dim = int(rng.integers(4, 12))
        values = np.concatenate([[HIDDEN], rng.uniform(-2, 4, dim - 1)])
        A = rotated(values, int(rng.integers(1000)))
        _, U = np.linalg.eigh(A)
        Y = np.linalg.qr(U[:, -3:-1] + rng.uniform(0, 0.3) * rng.standard_normal((dim, 2)))[0]
        theta, W = np.linalg.eigh(Y.T @ A @ Y)
        Y = Y @ W
        point = _point(HIDDEN, theta, np.linalg.norm(A @ Y - Y * theta, axis=0))
        if np.isfinite(point):
            left = np.linalg.eigvalsh(A - Y @ Y.T @ A - A @ Y @ Y.T + Y * theta @ Y.T)[-1]
            assert left >= point - 1e-9
            sharp += left < HIDDEN - 1e-3
    assert sharp > 50  # else nothing was put to the test


def test_a_hidden_copy_is_called_none_no_more_often_than_allowed() -> None:
    """A run that found one copy of two, as single start vectors do before rounding shows the other."""
    made = missed = 0
    for seed in range(120):
        sign = 1.0 if seed % 2 else -1.0
        inner = np.random.default_rng(seed).uniform(-1, 1, 60)
        operator = Dense(rotated(sign * np.concatenate([[9, 7, HIDDEN, HIDDEN, 3.5, 3, 2.5], inner]), seed))
        run = run_lanczos(operator, 13, seed=seed)
        ritz = run.ritz()
        ends = np.argsort(-sign * ritz.values)[:3]
        assert ritz.values[ends] == pytest.approx(sign * np.array([9, 7, HIDDEN]), abs=1e-3)
        pairs = Pairs(ritz.values[ends], list(run.ritz_vectors(ritz.vectors[:, ends])), ritz.residuals[ends])
        chosen, points = choose(ritz, 3 if sign > 0 else 0, 0 if sign > 0 else 3, operator.space.dim)
        near = Neighbours(run.ritz_vectors(ritz.vectors[:, chosen]) if chosen else [], points)
        outcome, passes = short_check(operator, pairs, near, seed, SILENT)
        missed += outcome is not None
        made += passes > 0
    assert made > 90  # else nothing was put to the test
    assert missed <= 2  # more has a probability of 2.6e-4 where each has ACCEPTED


def test_it_is_shorter_where_the_next_eigenvalue_is_near() -> None:
    values = np.concatenate([[9, 7, HIDDEN, 4.6, 4.2], np.random.default_rng(0).uniform(-1, 1, 400)])
    operator = Dense(rotated(values))
    pairs = top_eigenpairs(operator, 3, 1e-3)
    assert pairs.eigenvalues == pytest.approx([9, 7, HIDDEN], rel=1e-5)
    assert pairs.trust.missed_probability <= ACCEPTED
    assert "none found" in pairs.trust.missed_copies
    assert pairs.passes - pairs.steps - 1 <= 9


def test_none_is_made_where_it_would_be_long() -> None:
    values = np.linspace(1, 0, 300)  # no gap anywhere
    operator = Dense(rotated(values))
    run = run_lanczos(operator, 40)
    assert choose(run.ritz(), 3, 0, 300) == ([], {})
    before = operator.passes
    assert short_check(operator, Pairs(np.ones(0), [], np.zeros(0)), Neighbours([], {}), 0, SILENT) == (None, 0)
    assert operator.passes == before
    assert STEPS < 300
