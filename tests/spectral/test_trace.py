"""Trace and Frobenius norm: against a naive twin, unbiased, covered, better when deflated.

Matrices are rotated throughout: on a diagonal one sign probes have no variance at all.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from distlandscape.errors import InputError
from distlandscape.results import Eigenpairs
from distlandscape.spectral import frobenius_norm, top_eigenpairs, trace, trace_and_frobenius
from distlandscape.spectral.probes import probe_entries
from distlandscape.spectral.trace import PROBE, probe_moments
from tests.spectral.helpers import DTYPES, Dense, eps, rotated, spaces

VALUES = np.concatenate([np.linspace(-1, 1, 57), [4.0, 7.0, -5.0]])
A = rotated(VALUES)
TRACE, NORM = float(VALUES.sum()), float(np.linalg.norm(VALUES))


def known_pairs(max_steps: int | None = None) -> Eigenpairs:
    return top_eigenpairs(Dense(A), (2, 1), 1e-8, "BE", max_steps=max_steps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("deflated", [False, True])
def test_against_a_naive_twin(deflated: bool, dtype: torch.dtype) -> None:
    known = known_pairs() if deflated else None
    V = known.eigenvectors.numpy() if known else np.empty((0, 60))
    values = known.eigenvalues if known else np.empty(0)
    first, second = [], []
    for probe in range(9):
        z = probe_entries(2, PROBE + probe, "sign", 0, 60)
        z = z - V.T @ (V @ z)
        first.append(values.sum() + z @ A @ z)
        second.append((values**2).sum() + (A @ z) @ (A @ z))
    results = set()
    for space in spaces(60, dtype).values():
        operator = Dense(A, space)
        tr, norm = trace_and_frobenius(operator, 9, 2, known=known)
        results.add((tr, norm))
        assert operator.passes == 1  # the probes share a pass
        allowed = 20 * eps(dtype) * 7 * 60
        assert tr.value == pytest.approx(np.mean(first), abs=allowed)
        assert tr.stderr == pytest.approx(np.std(first, ddof=1) / 3, abs=allowed)
        assert norm.value == pytest.approx(np.sqrt(np.mean(second)), abs=allowed)
        assert norm.stderr == pytest.approx(np.std(second, ddof=1) / 3 / (2 * norm.value), abs=allowed)
        assert (tr.probes, tr.passes, tr.seed, tr.degrees) == (9, 1, 2, 8)
        assert trace(operator, 9, 2, known=known) == tr
        assert frobenius_norm(operator, 9, 2, known=known) == norm
    assert len(results) == 1


@pytest.mark.parametrize("case", ["plain", "deflated", "deflated by pairs that have not converged"])
def test_unbiased_and_covered(case: str) -> None:
    known = {"plain": None, "deflated": known_pairs(), "deflated by pairs that have not converged": known_pairs(5)}[
        case
    ]
    if case.endswith("converged"):
        assert known is not None
        assert not known.converged.any()
    runs, probes = 60, 12
    estimates = [trace_and_frobenius(Dense(A), probes, seed, known=known) for seed in range(runs)]
    quantile = student.ppf(0.975, probes - 1)
    for number, exact in ((0, TRACE), (1, NORM)):
        values = np.array([e[number].value for e in estimates])
        errors = np.array([e[number].stderr for e in estimates])
        covered = int((np.abs(values - exact) <= quantile * errors).sum())
        # Binomial(60, 0.95): 57 ± 1.7; fewer than 50 has a probability below 1e-3.
        assert covered >= 50
        assert np.abs(values - exact).max() > 0
        assert abs(values.mean() - exact) <= 4 * values.std() / np.sqrt(runs) + 0.01 * number * NORM
        assert 0.75 < errors.mean() / values.std(ddof=1) < 1.35  # the standard error is neither small nor large
    if case == "plain":
        assert covered < 60  # an interval that never misses is no 95 % interval


def test_deflation_reduces_the_error() -> None:
    plain = trace_and_frobenius(Dense(A), 64, 1)
    deflated = trace_and_frobenius(Dense(A), 64, 1, known=known_pairs())
    # What is left has ‖·‖_F² = 57/3 of 57/3 + 90.
    assert deflated[0].stderr < 0.55 * plain[0].stderr
    assert deflated[1].stderr < 0.55 * plain[1].stderr


def test_everything_known_leaves_no_error() -> None:
    known = top_eigenpairs(Dense(A), 60, 1e-8)
    tr, norm = trace_and_frobenius(Dense(A), 4, known=known)
    assert tr.value == pytest.approx(TRACE, abs=1e-11)
    assert norm.value == pytest.approx(NORM, abs=1e-11)
    assert max(tr.stderr, norm.stderr) <= 1e-12


def test_moments_of_a_rotated_matrix_have_the_known_variance() -> None:
    """Var zᵀAz = 2 (‖A‖_F² − Σ a_ii²) for signs: zero on a diagonal matrix, which is why none is used here."""
    first, second = probe_moments(Dense(A), [], 1000, 3)
    expected = 2 * (NORM**2 - np.sum(np.diag(A) ** 2))
    assert first.var(ddof=1) == pytest.approx(expected, rel=0.2)
    assert abs(first.mean() - TRACE) <= 4 * np.sqrt(expected / 1000)
    assert abs(second.mean() - NORM**2) <= 4 * second.std() / np.sqrt(1000)
    diagonal, _ = probe_moments(Dense(np.diag(VALUES)), [], 10, 3)
    assert diagonal.std() <= 1e-13


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_tiny_spaces(dim: int) -> None:
    B = rotated(np.arange(1.0, dim + 1))
    tr, norm = trace_and_frobenius(Dense(B), 400)
    assert abs(tr.value - np.trace(B)) <= 4 * tr.stderr + 1e-12
    assert abs(norm.value - np.linalg.norm(B)) <= 4 * norm.stderr + 1e-12


def test_the_zero_operator() -> None:
    tr, norm = trace_and_frobenius(Dense(np.zeros((9, 9))), 4)
    assert (tr.value, tr.stderr, norm.value, norm.stderr) == (0, 0, 0, 0)


def test_seeds_repeat() -> None:
    assert trace(Dense(A), 4, 7) == trace(Dense(A), 4, 7)
    assert trace(Dense(A), 4, 7) != trace(Dense(A), 4, 8)


def test_bad_input() -> None:
    operator = Dense(A)
    for probes in (1, 0, -3):
        with pytest.raises(InputError, match="at least 2 are needed for a standard error"):
            trace(operator, probes)
    foreign = top_eigenpairs(Dense(np.eye(10)), 2)
    with pytest.raises(InputError, match="known pairs have 10 entries, the operator 60"):
        frobenius_norm(operator, 4, known=foreign)
    assert operator.passes == 0
