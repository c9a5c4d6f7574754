"""The identities that define Lanczos: A Q − Q T − r eᵀ = 0 and QᵀQ = I, whatever the spectrum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distlandscape.spectral.driver import TensorSpace
from distlandscape.spectral.lanczos import BREAKDOWN, Lanczos
from distlandscape.spectral.sharded import ShardedSpace
from tests.spectral.helpers import BROKEN, DIM, DTYPES, SPECTRA, Array, Dense, eps, rotated, rows, run_lanczos, spaces


def check_identities(run: Lanczos, A: Array, dtype: torch.dtype, broken: bool) -> None:
    """Every column of the relation, and every inner product, to rounding."""
    Q, m, locked, r = rows(run.operator.space, run.basis), run.steps, run.locked, run.recurrence
    T = np.zeros((len(Q), m))
    T[:locked] = np.array(r.couplings).reshape(m, locked).T
    for j in range(m):
        T[locked + j, j] = r.alphas[j]
        if locked + j + 1 < len(Q):
            T[locked + j + 1, j] = r.betas[j]
        if j:
            T[locked + j - 1, j] = r.betas[j - 1]
    defect = np.linalg.norm(A @ Q[locked : locked + m].T - Q.T @ T, axis=0)
    scale = np.linalg.norm(A, 2)
    # The product is rounded once, the new vector once, both eps/2 ‖A‖ at most; what a breakdown drops comes on top.
    floor = (BREAKDOWN * np.sqrt(2) if broken else 0) + 4
    assert defect.max(initial=0) <= (floor * eps(dtype) + 200 * eps(torch.float64)) * scale
    assert np.abs(Q @ Q.T - np.eye(len(Q))).max() <= 4 * eps(dtype) + 10 * eps(torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("steps", [1, 25, DIM + 7])
def test_relation_and_orthonormality(name: str, dtype: torch.dtype, steps: int) -> None:
    A = rotated(SPECTRA[name])
    for space in (TensorSpace(DIM, dtype), ShardedSpace(DIM, 3, dtype)):
        operator = Dense(A, space)
        run = run_lanczos(operator, steps)
        assert run.steps == operator.passes == min(steps, DIM)
        assert run.exhausted == (steps >= DIM)
        assert run.basis.size == min(steps + 1, DIM)
        check_identities(run, A, dtype, name in BROKEN)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SPECTRA)
def test_relation_with_locked_vectors(name: str, dtype: torch.dtype) -> None:
    A = rotated(SPECTRA[name])
    for space in (TensorSpace(DIM, dtype), ShardedSpace(DIM, 3, dtype)):
        for locked in (5, DIM - 1):
            # Orthonormal, but no eigenvectors: the couplings are large.
            V = np.linalg.qr(np.random.default_rng(1).standard_normal((DIM, locked)))[0].T
            run = run_lanczos(Dense(A, space), 20, locked=[space.from_numpy(v) for v in V])
            assert run.steps == min(20, DIM - locked)
            check_identities(run, A, dtype, name in BROKEN)
            values = np.linalg.eigvalsh(A - A @ V.T @ V - V.T @ V @ A + V.T @ V @ A @ V.T @ V)
            ritz = run.ritz()
            assert ritz.values.max() <= values.max() + 100 * eps(dtype) * np.linalg.norm(A, 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SPECTRA)
def test_the_exhausted_space_gives_every_eigenvalue(name: str, dtype: torch.dtype) -> None:
    run = run_lanczos(Dense(rotated(SPECTRA[name]), dtype=dtype), DIM)
    exact = np.sort(SPECTRA[name])
    scale = max(np.abs(exact).max(), 1e-300)
    # Weyl: the defect of the relation, column by column rounding as above.
    allowed = ((BREAKDOWN * 2 if name in BROKEN else 0) + 4 * np.sqrt(DIM)) * eps(dtype) * scale
    assert np.abs(run.ritz().values - exact).max() <= allowed
    assert run.recurrence.betas[-1] == 0.0


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_tiny_spaces(dim: int) -> None:
    A = rotated(np.arange(dim) + 1.0)
    for dtype in DTYPES:
        for space in spaces(dim, dtype).values():
            run = run_lanczos(Dense(A, space), 10)
            check_identities(run, A, dtype, broken=False)
            np.testing.assert_allclose(run.ritz().values, np.arange(dim) + 1.0, atol=50 * eps(dtype) * dim)


def test_all_locked_is_refused() -> None:
    operator = Dense(np.eye(3))
    with pytest.raises(ValueError, match="3 locked vectors leave nothing"):
        Lanczos(operator, 5, 0, locked=[operator.space.from_numpy(e) for e in np.eye(3)])


@given(st.integers(2, 25), st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_ritz_pairs_are_what_they_say(dim: int, seed: int, steps: int, exponent: int) -> None:
    rng = np.random.default_rng(seed)
    A = rotated(rng.standard_normal(dim) ** 3 * 10.0**exponent, seed)
    operator = Dense(A)
    run = run_lanczos(operator, steps, seed=seed)
    ritz = run.ritz()
    Y = np.stack([operator.space.to_numpy(v) for v in run.ritz_vectors(ritz.vectors)])
    scale = np.linalg.norm(A, 2)
    true = np.linalg.norm(Y @ A - ritz.values[:, None] * Y, axis=1)
    assert np.abs(true - ritz.residuals).max() <= 200 * eps(torch.float64) * scale
    assert (np.diff(ritz.values) >= 0).all()
    assert run.norm <= scale * (1 + 1e-12)
    assert run.norm >= np.abs(ritz.values).max() / np.sqrt(3) * (1 - 1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_residuals_include_what_leaks_into_locked_vectors(dtype: torch.dtype) -> None:
    A = rotated(SPECTRA["outliers"])
    operator = Dense(A, dtype=dtype)
    V = np.linalg.qr(np.random.default_rng(1).standard_normal((DIM, 4)))[0].T
    run = run_lanczos(operator, 25, locked=[operator.space.from_numpy(v) for v in V])
    ritz = run.ritz()
    Y = np.stack([operator.space.to_numpy(v).astype(np.float64) for v in run.ritz_vectors(ritz.vectors)])
    true = np.linalg.norm(Y @ A - ritz.values[:, None] * Y, axis=1)
    assert np.abs(true - ritz.residuals).max() <= 100 * eps(dtype) * 10
    assert ritz.residuals.max() > 0.1  # the leaks are large here, so forgetting them would show


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_three_spaces_give_the_same_bits(dtype: torch.dtype) -> None:
    A = rotated(np.concatenate([np.linspace(0, 0.1, 690), np.linspace(1, 10, 10)]))
    seen = set()
    for space in spaces(700, dtype).values():
        r = run_lanczos(operator := Dense(A, space), 30).recurrence
        seen.add((tuple(r.alphas), tuple(r.betas), r.symmetry))
        assert operator.passes == 30
    assert len(seen) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_200_steps_with_10_outliers_make_no_copy_of_a_simple_eigenvalue(dtype: torch.dtype) -> None:
    outliers = np.linspace(1, 10, 10)
    A = rotated(np.concatenate([np.linspace(0, 0.05, 590), outliers]))
    for space in spaces(600, dtype).values():
        run = run_lanczos(Dense(A, space), 200)
        values = run.ritz().values
        above = values[values > 0.5]
        assert len(above) == 10  # without reorthogonalisation there would be twelve copies of the largest
        assert np.abs(above - outliers).max() <= 30 * eps(dtype) * 10
        Q = rows(space, run.basis).astype(np.longdouble)  # in double the check would see its own rounding
        assert np.abs(Q @ Q.T - np.eye(201)).max() <= 4 * eps(dtype)


def test_a_breakdown_goes_on_and_finds_the_copies() -> None:
    A = rotated(np.concatenate([np.full(4, 3.0), np.full(5, -2.0), np.zeros(31)]))
    operator = Dense(A)
    run = Lanczos(operator, 40, 0)
    for _ in range(3):
        run.step()
    assert run.closed  # one direction of each eigenspace
    np.testing.assert_allclose(run.ritz().values, [-2, 0, 3], atol=1e-13)
    for _ in range(12):
        run.step()
    values = run.ritz().values
    assert (np.abs(values - 3) < 1e-12).sum() == 4
    assert (np.abs(values + 2) < 1e-12).sum() == 5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_product_that_is_not_finite_is_named(bad: float) -> None:
    class Overflow(Dense):
        def product(self, v: Array) -> Array:
            return self.A @ v if self.passes < 3 else np.full_like(v, bad)

    run = Lanczos(Overflow(rotated(np.arange(20.0))), 10, 0)
    run.step()
    run.step()
    with pytest.raises(FloatingPointError, match="product of step 3 is not finite; check the weights"):
        run.step()
