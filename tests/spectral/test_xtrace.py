"""XTrace: against leave-one-out written down literally, unbiased, covered, exact where it should be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distlandscape.errors import InputError
from distlandscape.results import Eigenpairs
from distlandscape.spectral import top_eigenpairs, trace
from distlandscape.spectral.probes import probe_entries
from distlandscape.spectral.xtrace import NORMAL, STATUS, xtrace
from tests.spectral.helpers import DTYPES, Array, Dense, eps, rotated, spaces

# Values that decay, of both signs: the case in which the authors' error estimate is too small.
STEEP = np.where(np.arange(90) % 3 == 0, -1, 1) * 0.8 ** np.minimum(np.arange(90), 40)
LEVEL = np.where(np.arange(90) % 3 == 0, -1, 1) * np.linspace(0.5, 1, 90)
NET = np.concatenate([np.geomspace(20, 1, 6), [-4.0], 0.05 * LEVEL])
SPECTRA = {"steep": STEEP, "level": LEVEL, "outliers and bulk": NET}


def literal(A: Array, tests: Array, V: Array) -> Array:
    """One estimate a column: orthonormal basis of the others' images, projectors as matrices, no update formula."""
    dim, outside = len(A), np.eye(len(A)) - V.T @ V
    singles = []
    for i in range(tests.shape[1]):
        Q, _ = np.linalg.qr(outside @ A @ np.delete(tests, i, axis=1))
        left = outside - Q @ Q.T
        u = left @ tests[:, i]
        free = dim - len(V) - Q.shape[1]
        singles.append(np.trace(V @ A @ V.T) + np.trace(Q.T @ A @ Q) + free * (u @ A @ u) / (u @ u))
    return np.array(singles)


def pairs(A: Array, max_steps: int | None = None) -> Eigenpairs:
    return top_eigenpairs(Dense(A), (2, 1), 1e-8, "BE", max_steps=max_steps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", ["plain", "known", "known, not converged"])
def test_against_leave_one_out_written_down(case: str, dtype: torch.dtype) -> None:
    A = rotated(NET)
    known = {"plain": None, "known": pairs(A), "known, not converged": pairs(A, 4)}[case]
    V = known.eigenvectors.numpy() if known else np.empty((0, len(A)))
    tests = np.stack([probe_entries(3, NORMAL + i, "normal", 0, len(A)) for i in range(6)], axis=1)
    tests -= V.T @ (V @ tests)
    value = literal(A, tests, V).mean()
    fewer = [literal(A, np.delete(tests, i, axis=1), V).mean() for i in range(6)]
    stderr = np.sqrt(5 / 6 * np.sum((fewer - np.mean(fewer)) ** 2))
    results = set()
    for space in spaces(len(A), dtype).values():
        operator = Dense(A, space)
        found = xtrace(operator, 12, 3, known)
        results.add(found)
        assert operator.passes == found.passes == 2
        allowed = 400 * eps(dtype) * np.abs(NET).sum()
        assert found.value == pytest.approx(value, abs=allowed)
        assert found.stderr == pytest.approx(stderr, abs=allowed)
        assert (found.probes, found.degrees, found.status) == (12, 5, STATUS)
        assert trace(operator, 12, 3, method="xtrace", known=known) == found
    assert len(results) == 1


@pytest.mark.parametrize("name", SPECTRA)
def test_unbiased_and_covered(name: str) -> None:
    operator, exact, runs = Dense(rotated(SPECTRA[name])), float(SPECTRA[name].sum()), 60
    found = [xtrace(operator, 16, seed) for seed in range(runs)]
    values, errors = np.array([e.value for e in found]), np.array([e.stderr for e in found])
    assert abs(values.mean() - exact) <= 4 * values.std() / np.sqrt(runs)
    covered = sum(low <= exact <= high for low, high in (e.interval() for e in found))
    assert covered >= 52  # binomial(60, 0.95): fewer has a probability below 1e-2; the error errs on the large side
    assert (errors**2).mean() > 0.8 * values.var()  # so this holds with room: 35 % is two sigma of a variance
    assert np.sqrt((errors**2).mean()) < 5 * values.std()  # 4.3 where the columns just outnumber the outliers


def test_the_spread_of_the_single_estimates_would_be_too_small() -> None:
    """Why the jackknife: the same seeds, judged by the authors' error estimate."""
    A, covered, runs = rotated(STEEP), 0, 60
    for seed in range(runs):
        tests = np.stack([probe_entries(seed, NORMAL + i, "normal", 0, len(A)) for i in range(8)], axis=1)
        singles = literal(A, tests, np.empty((0, len(A))))
        covered += abs(singles.mean() - STEEP.sum()) <= 2 * singles.std(ddof=1) / np.sqrt(8)
    assert covered < 54


def test_better_than_hutchinson_where_values_decay() -> None:
    operator, exact = Dense(rotated(STEEP)), STEEP.sum()
    errors = {m: [(trace(operator, 32, s, method=m).value - exact) ** 2 for s in range(20)] for m in METHODS}
    assert np.mean(errors["xtrace"]) < 0.05 * np.mean(errors["hutchinson"])


METHODS = ("hutchinson", "xtrace")


@given(st.integers(1, 40), st.integers(0, 8), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_exact_where_the_images_hold_all_of_it(dim: int, rank: int, seed: int) -> None:
    values = np.zeros(dim)
    values[: min(rank, dim)] = np.random.default_rng(seed).uniform(-2, 2, min(rank, dim))
    found = xtrace(Dense(rotated(values, seed)), 18, seed)
    assert found.value == pytest.approx(values.sum(), abs=1e-9)
    if min(rank, dim) < 8:  # of nine columns; rounding may hide that the last one alone depends on the others
        assert found.stderr == 0
        assert (found.degrees, found.status) == (None, "")


def test_everything_known() -> None:
    A = rotated(np.arange(5.0))
    operator = Dense(A)
    known = top_eigenpairs(operator, 5, 1e-8)
    before = operator.passes
    assert xtrace(operator, known=known).value == pytest.approx(10)
    assert operator.passes == before


def test_bad_input() -> None:
    operator = Dense(np.eye(9))
    for probes in (4, 7, 0, -2):
        with pytest.raises(InputError, match="xtrace needs an even number of at least 6"):
            trace(operator, probes, method="xtrace")
    with pytest.raises(InputError, match=r"method='hutch' is unknown; choose 'hutchinson' or 'xtrace'"):
        trace(operator, method="hutch")
    with pytest.raises(InputError, match="known pairs have 10 entries, the operator 9"):
        xtrace(operator, known=top_eigenpairs(Dense(np.eye(10)), 2))
    assert operator.passes == 0
