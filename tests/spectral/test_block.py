"""Block Lanczos: its relation, its pairs against dense ones, copies without a check, breakdown, resume, equal bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distlandscape.convergence import FLOOR
from distlandscape.errors import InputError
from distlandscape.results import Eigenpairs
from distlandscape.spectral import top_eigenpairs
from distlandscape.spectral.block import BlockLanczos
from distlandscape.spectral.certify import certify
from distlandscape.spectral.driver import TensorSpace
from distlandscape.spectral.sharded import ShardedSpace
from distlandscape.spectral.stopping import BREAKDOWN
from tests.spectral.helpers import (
    BROKEN,
    COPIES,
    DIM,
    DTYPES,
    SPECTRA,
    Array,
    Dense,
    check_verdicts,
    eps,
    rotated,
    rows,
    run_block,
    run_lanczos,
    spaces,
)


def check_run(run: BlockLanczos, A: Array, dtype: torch.dtype, broken: bool) -> None:
    """A Q = Q̄ T̄ with T̄ banded and symmetric, Q̄ orthonormal, and every Ritz pair what it says, to rounding."""
    Q, M, b = rows(run.operator.space, run.basis), run.rank, run.block
    columns = run.image(np.eye(M))
    T = run.projected()
    assert np.array_equal(columns[:M], T)
    assert np.array_equal(T, T.T)
    assert not np.triu(T, b + 1).any()
    scale = np.linalg.norm(A, 2)
    # As for a single vector: two roundings, and on top what a breakdown drops.
    rounding = ((BREAKDOWN * np.sqrt(2) if broken else 0) + 4) * eps(dtype) + 200 * eps(torch.float64)
    assert np.linalg.norm(A @ Q[:M].T - Q.T @ columns, axis=0).max() <= rounding * scale
    assert np.abs(Q @ Q.T - np.eye(len(Q))).max() <= 4 * eps(dtype) + 10 * eps(torch.float64)
    assert run.recurrence.symmetry <= rounding * scale
    assert run.norm <= scale * (1 + 10 * eps(dtype))
    ritz = run.ritz()
    Y = np.stack([run.operator.space.to_numpy(v) for v in run.ritz_vectors(ritz.vectors)]).astype(np.float64)
    true = np.linalg.norm(Y @ A - ritz.values[:, None] * Y, axis=1)
    assert np.abs(true - ritz.residuals).max() <= np.sqrt(M) * rounding * scale


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize(("block", "steps"), [(2, 1), (3, 8), (7, 100), (31, 100), (60, 100)])
def test_relation_and_ritz_pairs(name: str, dtype: torch.dtype, block: int, steps: int) -> None:
    """To the end of the space, where the last block is narrower: 60 = 8·7 + 4 = 31 + 29."""
    A = rotated(SPECTRA[name])
    for space in (TensorSpace(DIM, dtype), ShardedSpace(DIM, 3, dtype)):
        operator = Dense(A, space)
        run = run_block(operator, steps, block)
        check_run(run, A, dtype, name in BROKEN)
        assert run.steps == operator.passes == min(steps, -(-DIM // block))
        assert run.rank == min(steps * block, DIM)
        assert run.basis.size == min((steps + 1) * block, DIM)
        assert run.exhausted == (steps * block >= DIM)
        if run.exhausted:
            exact = np.linalg.eigvalsh(A)
            allowed = (BREAKDOWN * 2 + 4) * np.sqrt(DIM) * eps(dtype) * np.linalg.norm(A, 2)
            assert np.abs(run.ritz().values - exact).max() <= allowed
            assert not run.ritz().residuals.any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SPECTRA)
def test_a_block_of_one_is_lanczos_to_the_bit(name: str, dtype: torch.dtype) -> None:
    A = rotated(SPECTRA[name])
    single, block = run_lanczos(Dense(A, dtype=dtype), 25), run_block(Dense(A, dtype=dtype), 25, 1)
    assert block.recurrence.alphas == single.recurrence.alphas
    assert [band[0] for band in block.recurrence.bands] == single.recurrence.betas
    assert block.recurrence.symmetry == single.recurrence.symmetry
    assert rows(block.operator.space, block.basis).tobytes() == rows(single.operator.space, single.basis).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("multiplicity", [2, 3])
def test_a_wide_enough_block_sees_every_copy_without_the_check(multiplicity: int, dtype: torch.dtype) -> None:
    """Few enough steps that rounding shows a single vector no second copy."""
    values = np.concatenate([np.full(multiplicity, 9.0), np.linspace(-2, 2, 200), np.full(multiplicity, -8.0)])
    A, tol = rotated(values), 1e-2
    seen = {}
    for block in (1, 2, 3, 4):
        run = run_block(Dense(A, dtype=dtype), 8, block)
        ritz = run.ritz()
        good = ritz.residuals <= tol * np.abs(ritz.values)
        seen[block] = [int((good & (np.abs(ritz.values - value) < tol)).sum()) for value in (9.0, -8.0)]
    assert seen == {block: [min(block, multiplicity)] * 2 for block in seen}


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_check_adds_what_a_narrow_block_missed(dtype: torch.dtype) -> None:
    """Multiplicity 5 and b = 2: the check goes on where the block saw two copies."""
    values = np.concatenate([np.full(5, 9.0), [7.0, 6.5], np.linspace(-1, 1, 200)])
    operator = Dense(rotated(values), dtype=dtype)
    pairs = top_eigenpairs(operator, 4, 1e-3, block=2)
    np.testing.assert_allclose(pairs.eigenvalues, 9.0, atol=1e-3)
    assert pairs.trust.missed_copies.startswith("2 found and added")
    wide = top_eigenpairs(Dense(operator.A, dtype=dtype), 4, 1e-3, block=5)
    assert wide.trust.missed_copies.startswith("none found")


def test_the_check_draws_its_start_independently_of_the_block() -> None:
    """Its bound holds for a start independent of the pairs: no vector of it serves as a start of the block."""
    drawn: dict[str, set[int]] = {}

    class Watched(TensorSpace):
        def random(self, seed: int, probe: int, kind: Any) -> torch.Tensor:
            drawn[current].add(probe)
            return super().random(seed, probe, kind)

    for current, block in (("one", 1), ("four", 4)):
        drawn[current] = set()
        top_eigenpairs(Dense(COPIES, Watched(len(COPIES), torch.float64)), 3, 1e-6, block=block)
    assert {p for p in drawn["four"] if p < 2**32} == {0, 1, 2, 3}
    assert min(p for p in drawn["four"] if p >= 2**32) == 2**61


@given(st.integers(2, 30), st.integers(0, 2**32 - 1), st.integers(2, 8), st.integers(0, 3), st.sampled_from([1, 5, 30]))
@settings(max_examples=80, deadline=None)
def test_eigenvalues_of_random_matrices(dim: int, seed: int, block: int, exponent: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    G = rng.standard_normal((dim, min(rank, dim)))
    A = 10.0**exponent * (G * rng.choice([-1.0, 1.0], G.shape[1])) @ G.T
    A = (A + A.T) / 2
    run = run_block(Dense(A), dim, min(block, dim), seed)
    check_run(run, A, torch.float64, broken=True)
    allowed = 100 * np.sqrt(dim) * eps(torch.float64) * np.linalg.norm(A, 2)
    assert np.abs(run.ritz().values - np.linalg.eigvalsh(A)).max() <= allowed


def check_pairs(operator: Dense, pairs: Eigenpairs, exact: Array, tol: float) -> None:
    e = eps(operator.space.dtype)  # type: ignore[attr-defined]
    norm = np.linalg.norm(operator.A, 2)
    rounding = (20 + BREAKDOWN * np.sqrt(2)) * e
    check_verdicts(pairs, e, norm)
    assert (np.abs(pairs.eigenvalues - exact) <= 2 * np.maximum(tol * np.abs(exact), FLOOR * e * norm)).all()
    V = pairs.eigenvectors.double().numpy()
    true = np.linalg.norm(V @ operator.A - pairs.eigenvalues[:, None] * V, axis=1)
    assert (true <= pairs.residuals + rounding * norm).all()
    assert np.abs(V @ V.T - np.eye(len(V))).max() <= 2 * FLOOR * e
    assert pairs.passes == operator.passes
    assert max(pairs.trust.relation, pairs.trust.symmetry, pairs.trust.orthogonality) <= rounding


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("k", "which"), [(6, "LA"), (3, "SA"), ((5, 3), "BE")])
@pytest.mark.parametrize("block", [2, 5])
@pytest.mark.parametrize("name", ["copies", *SPECTRA])
def test_pairs_against_dense_ones(name: str, block: int, k: Any, which: str, dtype: torch.dtype) -> None:
    A = COPIES if name == "copies" else rotated(SPECTRA[name])
    operator, tol = Dense(A, dtype=dtype), 1e-9 if dtype == torch.float64 else 1e-5
    top, low = k if isinstance(k, tuple) else (k, 0) if which == "LA" else (0, k)
    exact = np.linalg.eigvalsh(A)[::-1]
    pairs = top_eigenpairs(operator, k, tol, which, block=block)
    check_pairs(operator, pairs, np.concatenate([exact[:top], exact[len(exact) - low :]]), tol)
    assert "not finished" not in pairs.trust.missed_copies


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_tiny_spaces_with_every_block(dim: int) -> None:
    """Blocks as wide as the space, and such that 2b exceeds it."""
    A = rotated(np.arange(dim) - 1.0)
    for dtype in DTYPES:
        for block in range(1, dim + 1):
            for space in spaces(dim, dtype).values():
                operator = Dense(A, space)
                pairs = top_eigenpairs(operator, dim, 1e-5, block=block)
                check_pairs(operator, pairs, np.arange(dim)[::-1] - 1.0, 1e-5)
                assert pairs.steps == -(-dim // block)
                assert pairs.trust.missed_probability == 0.0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("block", [2, 3])
def test_one_two_and_three_shards_give_the_same_bits(block: int, dtype: torch.dtype) -> None:
    seen = set()
    for space in spaces(len(COPIES), dtype).values():
        pairs = top_eigenpairs(Dense(COPIES, space), (4, 2), 1e-5, "BE", block=block)
        arrays = (pairs.eigenvalues, pairs.eigenvectors.numpy(), pairs.residuals)
        seen.add((*(a.tobytes() for a in arrays), pairs.passes, pairs.status, str(pairs.trust)))
    assert len(seen) == 1


def test_max_steps_counts_passes() -> None:
    operator = Dense(rotated(np.concatenate([[50.0, 20.0], np.linspace(0, 1, 298)])))
    pairs = top_eigenpairs(operator, 6, 1e-8, block=2, max_steps=8)
    assert pairs.status == "2 of 6 pairs converged in 8 steps: raise max_steps or loosen tol"
    assert pairs.steps == 8
    assert pairs.passes == operator.passes == 9
    assert top_eigenpairs(Dense(operator.A), 6, 1e-1, block=3, max_steps=2).steps == 2  # as many vectors as pairs
    with pytest.raises(InputError, match="raise max_steps"):
        top_eigenpairs(Dense(operator.A), 6, block=2, max_steps=2)


def test_by_default_as_many_vectors_with_any_block() -> None:
    values = -np.geomspace(1e-9, 1, 900)  # too flat at its upper end for any number of steps
    for block in (1, 3, 4):
        assert top_eigenpairs(Dense(np.diag(values)), 1, 1e-9, block=block).steps == -(-220 // block)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": 0}, r"block=0 must be a whole number from 1 to the number of parameters \(20\)"),
        ({"block": -1}, "whole number from 1"),
        ({"block": 21}, "whole number from 1"),
        ({"block": 2.0}, "block=2.0 must be a whole number"),
        ({"block": "2"}, "block='2' must be a whole number"),
        ({"block": 2, "basis_size": 15}, "basis_size=15 does not go with block=2, .* leave one of them out"),
    ],
)
def test_bad_input(options: dict[str, Any], message: str) -> None:
    operator = Dense(np.eye(20))
    with pytest.raises(InputError, match=message):
        top_eigenpairs(operator, 3, **options)
    assert operator.passes == 0


def test_a_product_that_is_not_finite_is_named() -> None:
    class Overflow(Dense):
        def product(self, v: Array) -> Array:
            return self.A @ v if self.passes < 3 else np.full_like(v, np.nan)

    with pytest.raises(FloatingPointError, match="a product of step 3 is not finite; check the weights"):
        run_block(Overflow(rotated(np.arange(20.0))), 5, 3)


@pytest.mark.parametrize("size", [1e-2, 1e-6])
def test_an_antisymmetric_part_is_detected(size: float) -> None:
    """Within a block, where both halves of T are computed, and between blocks."""
    G = np.random.default_rng(0).standard_normal(COPIES.shape)
    B = (G - G.T) / np.linalg.norm(G - G.T, 2) * size * 9
    for steps in (1, 5):
        trust = certify(run_block(Dense(COPIES + B), steps, 4))
        scale = size * 9 / trust.norm  # few steps have not seen all of ‖A‖
        assert 0.02 * scale < trust.symmetry <= 2 * scale
        assert 0.02 * scale < trust.relation <= 4 * scale


@pytest.mark.parametrize("loss", [1e-3, 1e-6])
def test_lost_orthogonality_shows_at_its_own_size(loss: float) -> None:
    run = run_block(Dense(COPIES), 6, 3)
    for segment in run.basis._rows._rows:  # type: ignore[attr-defined]
        segment[3] += loss * segment[1]
    assert 0.02 * loss < certify(run).orthogonality < 2 * loss
