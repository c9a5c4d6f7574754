"""Extreme eigenpairs against dense ones, on rotated matrices whose spectra are awkward."""

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
from distlandscape.spectral import confinement, eigenpairs, overlap, spectral_density, top_eigenpairs, trace
from distlandscape.spectral.stopping import BREAKDOWN
from tests.spectral.helpers import DTYPES, Array, Dense, MemoryJournal, check_verdicts, eps, rotated, spaces

TOL = 1e-8


def wanted(values: Array, k: int | tuple[int, int], which: str) -> Array:
    """The eigenvalues asked for, in the order of the result."""
    descending = np.sort(values)[::-1]
    top, low = k if isinstance(k, tuple) else ((k, 0) if which == "LA" else (0, k))
    return np.concatenate([descending[:top], descending[len(descending) - low :]])


def check(
    operator: Dense, pairs: Eigenpairs, exact: Array, tol: float, broken: bool = False, restarted: bool = False
) -> None:
    """Values, true residuals, orthonormality, order, passes.

    ``broken``: a breakdown may have dropped 30·√2·eps ‖A‖; ``restarted``: every thick restart rotates the basis.
    """
    roundings = 40 if restarted else 10
    e = eps(operator.space.dtype)  # type: ignore[attr-defined]
    norm = np.linalg.norm(operator.A, 2)
    check_verdicts(pairs, e, norm)
    # A residual r puts an eigenvalue within r; the pair is accepted at max(tol |λ|, 30 eps ‖A‖).
    allowed = np.maximum(tol * np.abs(exact), FLOOR * e * norm)
    assert (np.abs(pairs.eigenvalues - exact) <= 2 * allowed).all()
    V = pairs.eigenvectors.double().numpy()
    assert V.shape == (len(exact), operator.space.dim)
    true = np.linalg.norm(V @ operator.A - pairs.eigenvalues[:, None] * V, axis=1)
    # Bounds hold but for the rounding of the Ritz vector itself and of the products along the eigenvalue of norm ‖A‖,
    # up to 13 eps ‖A‖ (seen with "triple at the top"); pairs are accepted at 30 eps ‖A‖.
    assert (true <= pairs.residuals + (10 + roundings + broken * BREAKDOWN * np.sqrt(2)) * e * norm).all()
    assert np.abs(V @ V.T - np.eye(len(V))).max() <= 2 * FLOOR * e
    assert (np.diff(pairs.eigenvalues) <= 0).all()
    assert pairs.passes == operator.passes
    assert pairs.trust.orthogonality <= roundings * e
    assert pairs.trust.relation <= (roundings + broken * BREAKDOWN * np.sqrt(2)) * e
    assert pairs.trust.symmetry <= (roundings + broken * BREAKDOWN * np.sqrt(2)) * e
    assert pairs.trust.norm <= norm * (1 + roundings * e)


@st.composite
def problems(draw: st.DrawFn, widths: list[float]) -> tuple[Array, int | tuple[int, int], str]:
    """A spectrum of groups: spread, clustered, or repeated values of either sign and any scale; and a question."""
    groups = []
    for _ in range(draw(st.integers(1, 5))):
        size, centre = draw(st.integers(1, 12)), draw(st.sampled_from([-100.0, -10.0, -1.0, 0.0, 0.5, 3.0, 50.0]))
        groups.append(centre + draw(st.sampled_from(widths)) * np.linspace(0, 1, size))
    values = np.concatenate(groups)
    which = draw(st.sampled_from(["LA", "SA", "BE"]))
    n = len(values)
    if which != "BE":
        return values, draw(st.integers(1, n)), which
    top = draw(st.integers(0, n - 1))
    return values, (top, draw(st.integers(0 if top else 1, n - top))), which


@given(problems([0.0, 0.1, 5.0]), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_against_dense_eigenvalues(problem: tuple[Array, Any, str], seed: int) -> None:
    values, k, which = problem
    operator = Dense(rotated(values, seed % 1000))
    pairs = top_eigenpairs(operator, k, TOL, which, seed=seed)
    exact = wanted(np.linalg.eigvalsh(operator.A), k, which)
    assert pairs.top == (k[0] if isinstance(k, tuple) else k if which == "LA" else 0)
    assert pairs.trust.missed_probability is None or pairs.trust.missed_probability <= 1e-3
    if pairs.converged.all():
        check(operator, pairs, exact, TOL, broken=True)
    else:
        # A copy of a small eigenvalue whose residual is what a far larger one, converged in its own measure, leaks.
        assert "found and added" in pairs.trust.missed_copies
        check_marked(operator, pairs, exact, 0.0)


@given(problems([0.0, 1e-3, 1e-6, 1e-8]), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_narrow_clusters_are_right_to_their_width(problem: tuple[Array, Any, str], seed: int) -> None:
    """Pairs inside such a cluster are combinations, and a copy within its width may go unnoticed."""
    values, k, which = problem
    operator = Dense(rotated(values, seed % 1000))
    pairs = top_eigenpairs(operator, k, TOL, which, seed=seed)
    check_marked(operator, pairs, wanted(np.linalg.eigvalsh(operator.A), k, which), 1e-3)


def check_marked(operator: Dense, pairs: Eigenpairs, exact: Array, width: float) -> None:
    """Values to the width of clusters and the tolerance of the largest; residuals hold; marks and status agree."""
    norm = np.linalg.norm(operator.A, 2)
    assert (np.abs(pairs.eigenvalues - exact) <= width + 2 * TOL * norm).all()
    V = pairs.eigenvectors.numpy()
    true = np.linalg.norm(V @ operator.A - pairs.eigenvalues[:, None] * V, axis=1)
    assert (true <= pairs.residuals + (10 + BREAKDOWN * np.sqrt(2)) * eps(torch.float64) * norm).all()
    assert (pairs.status == "converged") == pairs.converged.all()
    if not pairs.converged.all():
        assert "raise max_steps or loosen tol" in pairs.status


SPECTRA = {
    # 200 values each: an eigenproblem of the whole space is not within reach of the default number of steps.
    "double at the top": [np.full(2, 10.0), [7.0, 5.0], np.linspace(-1, 1, 196)],
    "triple at the top": [np.full(3, 10.0), [7.0], np.linspace(-1, 1, 196)],
    "double inside": [[10.0], np.full(2, 7.0), [5.0], np.linspace(-1, 1, 196)],
    "triple inside and at both ends": [
        np.full(3, 9.0), np.full(3, 6.0), [4.0], np.linspace(-1, 1, 188), [-4.0], np.full(2, -5.0), np.full(2, -8.0)
    ],
    "double at the low end": [[3.0, 2.0], np.linspace(-1, 1, 196), np.full(2, -4.0)],
    "double edge": [[9.0, 8.0], np.full(3, 7.0), np.linspace(-1, 1, 190), np.full(3, -3.0), [-6.0, -7.0]],
    "mostly negative": [[2.0, 1.9, 1.5, 1.2], -np.geomspace(0.1, 100, 196)],
    "all negative": [[-0.5, -1.0, -1.5, -2.0, -3.0], -np.linspace(5, 90, 191), [-93.0, -95.0, -97.0, -100.0]],
    "identity": [np.ones(200)],
    "zero": [np.zeros(200)],
    "low rank": [[5.0, 4.0, 3.0, -2.0], np.zeros(196)],
    "projector": [np.ones(120), np.zeros(80)],
    "two far apart and a cluster": [[1e6, 1.001, 1.0], np.linspace(0, 0.5, 196), [-1e-3]],
}  # fmt: skip

BROKEN = {"identity", "zero", "low rank", "projector", "two far apart and a cluster"}


@pytest.mark.parametrize(
    ("k", "which", "dtype"),
    [(5, "LA", torch.float64), ((5, 4), "BE", torch.float64), ((5, 4), "BE", torch.float32), (3, "SA", torch.float32)],
)
@pytest.mark.parametrize("name", SPECTRA)
def test_multiplicities_and_signs(name: str, k: Any, which: str, dtype: torch.dtype) -> None:
    values = np.concatenate([np.asarray(part) for part in SPECTRA[name]])
    tol = 1e-9 if dtype == torch.float64 else 1e-5
    operator = Dense(rotated(values), dtype=dtype)
    pairs = top_eigenpairs(operator, k, tol, which, max_steps=199)
    check(operator, pairs, wanted(values, k, which), tol, broken=name in BROKEN)
    assert "not finished" not in pairs.trust.missed_copies


@pytest.mark.parametrize("seed", range(8))
def test_negative_dominated_top_means_largest_not_largest_in_magnitude(seed: int) -> None:
    operator = Dense(rotated(np.concatenate([[0.5, 0.3], np.linspace(-0.1, 0.1, 100), -np.linspace(1, 50, 20)]), seed))
    pairs = top_eigenpairs(operator, 2, TOL, seed=seed)
    np.testing.assert_allclose(pairs.eigenvalues, [0.5, 0.3], atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_three_spaces_give_the_same_bits(dtype: torch.dtype) -> None:
    A = rotated(np.concatenate([np.full(3, 9.0), [6.0, 5.0], np.linspace(-1, 1, 590), np.full(2, -4.0)]))
    seen = set()
    for space in spaces(597, dtype).values():
        pairs = top_eigenpairs(Dense(A, space), (5, 2), 1e-5, "BE")
        arrays = [pairs.eigenvalues, pairs.eigenvectors.numpy(), pairs.residuals]
        seen.add((*(a.tobytes() for a in arrays), pairs.passes, pairs.status, str(pairs.trust)))
    assert len(seen) == 1
    assert np.allclose(pairs.eigenvalues, [9, 9, 9, 6, 5, -4, -4], atol=1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_tiny_spaces_and_k_equal_to_p(dim: int, dtype: torch.dtype) -> None:
    values = np.array([3.0, 3.0, -7.0, 0.0, 1.0])[:dim]
    for k, which in [(1, "LA"), (1, "SA"), (dim, "LA"), (dim, "SA"), ((dim - 1, 1), "BE")]:
        operator = Dense(rotated(values), dtype=dtype)
        pairs = top_eigenpairs(operator, k, 1e-5, which)
        # From two dimensions on 3 is double: a start sees one direction of it, and what is left then is dropped.
        check(operator, pairs, wanted(values, k, which), 1e-5, broken=dim > 1)


def test_k_equal_to_p_with_full_multiplicity() -> None:
    operator = Dense(np.eye(40))
    pairs = top_eigenpairs(operator, 40, TOL)
    check(operator, pairs, np.ones(40), TOL)


def test_what_did_not_converge_is_marked_with_a_remedy() -> None:
    values = np.concatenate([[50.0, 20.0], np.linspace(0, 1, 298)])
    operator = Dense(rotated(values))
    pairs = top_eigenpairs(operator, 6, TOL, max_steps=15)
    assert pairs.converged.tolist() == [True, True, False, False, False, False]
    assert pairs.status == "2 of 6 pairs converged in 15 steps: raise max_steps or loosen tol"
    assert pairs.steps == 15
    assert pairs.passes == operator.passes == 16
    assert pairs.trust.missed_copies == "not checked"
    V = pairs.eigenvectors.numpy()
    true = np.linalg.norm(V @ operator.A - pairs.eigenvalues[:, None] * V, axis=1)
    assert (np.abs(true - pairs.residuals) <= 1e-12).all()
    assert (pairs.residuals[2:] > TOL).all()
    raised = top_eigenpairs(Dense(operator.A), 6, TOL, max_steps=300)
    assert raised.status == "converged"  # the remedy works


def test_residuals_of_unconverged_pairs_bracket_an_eigenvalue() -> None:
    values = np.linspace(0, 1, 200)
    pairs = top_eigenpairs(Dense(rotated(values)), 10, TOL, max_steps=40)
    assert not pairs.converged.all()
    distance = np.abs(pairs.eigenvalues[:, None] - values[None]).min(1)
    assert (distance <= pairs.residuals + 1e-14).all()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0,), {}, "asks for no eigenpair"),
        ((-1,), {}, "asks for no eigenpair"),
        (((0, 0), 1e-3, "BE"), {}, "asks for no eigenpair"),
        (((3, -1), 1e-3, "BE"), {}, "asks for no eigenpair"),
        ((21,), {}, "more eigenpairs than there are parameters .20."),
        (((11, 10), 1e-3, "BE"), {}, "more eigenpairs"),
        ((2.5,), {}, "whole number"),
        (((1, 2, 3), 1e-3, "BE"), {}, "whole numbers"),
        (((2.0, 1), 1e-3, "BE"), {}, "whole numbers"),
        (("3",), {}, "whole number"),
        ((3, 1e-3, "BE"), {}, "two whole numbers .largest, smallest."),
        (((2, 1),), {}, "does not fit which='LA'"),
        ((3, 1e-3, "LM"), {}, "which='LM' is unknown"),
        ((3, 0.0), {}, "tol must lie between 0 and 1"),
        ((3, -1e-3), {}, "tol must lie between 0 and 1"),
        ((3, 1.0), {}, "tol must lie between 0 and 1"),
        ((3, float("nan")), {}, "tol must lie between 0 and 1"),
        ((3,), {"max_steps": 2}, "raise max_steps"),
        ((3,), {"max_steps": 0}, "raise max_steps"),
    ],
)
def test_bad_input(arguments: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    operator = Dense(np.eye(20))
    with pytest.raises(InputError, match=message):
        top_eigenpairs(operator, *arguments, **options)
    assert operator.passes == 0


def test_progress_and_table() -> None:
    operator = Dense(rotated(np.concatenate([[9.0, 8.0], np.linspace(-1, 1, 100), [-5.0]])))
    journal = MemoryJournal(operator.space)
    pairs = top_eigenpairs(operator, (2, 1), 1e-6, "BE", journal=journal)
    notes = [(name, step) for name, step, _ in journal.notes]
    assert ("main", pairs.steps) in notes
    assert any(name == "check-0" for name, _ in notes)
    table = pairs.to_table().to_pydict()
    assert table["end"] == ["top", "top", "lowest"]
    assert table["index"] == [0, 1, 0]
    assert table["eigenvalue"] == pairs.eigenvalues.tolist()


def test_equal_seeds_give_equal_bits_and_other_seeds_other_vectors() -> None:
    A = rotated(np.concatenate([[9.0, 8.0], np.linspace(-1, 1, 200)]))
    a, b, c = (top_eigenpairs(Dense(A), 2, 1e-4, seed=seed) for seed in (3, 3, 4))
    assert a.eigenvectors.numpy().tobytes() == b.eigenvectors.numpy().tobytes()
    assert a.eigenvectors.numpy().tobytes() != c.eigenvectors.numpy().tobytes()


@pytest.mark.parametrize(("k", "which", "basis_size"), [(5, "LA", 8), (10, "LA", 15), ((6, 4), "BE", 15), (3, "SA", 7)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_thick_restarts_find_the_same_pairs(
    k: Any, which: str, basis_size: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a basis of little more than k vectors; products and vectors held are counted."""
    values = np.concatenate([np.linspace(-0.3, 1, 380), [1.5, 2, 3, 4, 5, 7, 9, 12, 15, 20], [-1, -2, -4, -8]])
    tol = 1e-8 if dtype == torch.float64 else 1e-4
    A = rotated(values)
    # Both look for copies beside the pairs: a bounded basis has no Krylov space to look beside.
    monkeypatch.setattr(eigenpairs, "exclude_copies", lambda *_: (None, 0))
    free = top_eigenpairs(Dense(A, dtype=dtype), k, tol, which)
    operator = Dense(A, dtype=dtype)
    pairs = top_eigenpairs(operator, k, tol, which, basis_size=basis_size)
    check(operator, pairs, wanted(values, k, which), tol, restarted=True)
    assert pairs.steps > basis_size
    assert pairs.steps <= 2.5 * free.steps
    assert pairs.passes <= 2.5 * free.passes  # the check too knows when to stop


@given(problems([0.0, 0.1, 5.0]), st.integers(0, 2**32 - 1), st.integers(3, 12))
@settings(max_examples=60, deadline=None)
def test_thick_restarts_against_dense_eigenvalues(problem: tuple[Array, Any, str], seed: int, spare: int) -> None:
    values, k, which = problem
    operator = Dense(rotated(values, seed % 1000))
    count = sum(k) if isinstance(k, tuple) else k
    pairs = top_eigenpairs(operator, k, TOL, which, seed=seed, basis_size=count + spare)
    exact = wanted(np.linalg.eigvalsh(operator.A), k, which)
    if pairs.status == "converged":
        assert np.abs(pairs.eigenvalues - exact).max() <= 1e-7 * max(1.0, np.abs(values).max())
    V = pairs.eigenvectors.numpy()
    true = np.linalg.norm(V @ operator.A - pairs.eigenvalues[:, None] * V, axis=1)
    assert (true <= pairs.residuals + 1e-12 * max(1.0, np.abs(values).max())).all()


def test_a_small_basis_takes_more_steps_than_there_are_dimensions() -> None:
    """Restarts lose what they drop; 4 of 120 crowded eigenvalues in 9 vectors, and zeros beside 8 others in 7."""
    crowded = np.concatenate([np.random.default_rng(0).uniform(0, 1, 116), 1 + np.arange(1, 5) * 1e-3])
    for values, seed, k, which, room in (
        (crowded, 0, 4, "LA", 9),
        (np.concatenate([np.linspace(1, 3, 8), np.zeros(12)]), 3, 4, "SA", 7),
    ):
        operator = Dense(rotated(values, seed))
        pairs = top_eigenpairs(operator, k, which=which, basis_size=room)
        assert pairs.status == "converged"
        assert pairs.steps > len(values)
        check(operator, pairs, wanted(values, k, which), pairs.tol, restarted=True)
        short = top_eigenpairs(operator, k, which=which, basis_size=room, max_steps=len(values))
        assert f"in {len(values)} steps" in short.status
        assert ": raise max_steps" in short.status  # which helps


def test_too_small_a_basis_is_refused() -> None:
    with pytest.raises(InputError, match="basis_size=7 leaves no room to restart with 5 pairs; take 8 or more"):
        top_eigenpairs(Dense(rotated(np.arange(50.0))), 5, basis_size=7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_vectors_may_stay_in_their_space(dtype: torch.dtype) -> None:
    """Overlaps, confinement, trace and density are the same whether they were gathered or not."""
    A = rotated(np.concatenate([np.linspace(0, 1, 200), [5, 6, 7]]))
    for space in spaces(203, dtype).values():
        operator = Dense(A, space)
        there = top_eigenpairs(operator, 3, 1e-4, gather=False)
        here = top_eigenpairs(operator, 3, 1e-4)
        assert there.eigenvectors.shape == (3, 203)
        assert torch.equal(there.eigenvectors.gather(), here.eigenvectors)
        assert torch.equal(there.eigenvectors[:2].gather(), here.eigenvectors[:2])
        g = torch.randn(203, dtype=dtype, generator=torch.Generator().manual_seed(0))
        assert confinement(g, there.eigenvectors) == pytest.approx(confinement(g, here.eigenvectors), rel=1e-12)
        assert overlap(there.eigenvectors, there.eigenvectors) == pytest.approx(1, abs=1e-5)
        for V, W in ((there, here), (here, there)):
            assert overlap(V.eigenvectors, W.eigenvectors) == pytest.approx(1, abs=1e-5)
        assert trace(operator, 4, known=there) == trace(operator, 4, known=here)
        a, b = (spectral_density(operator, 1, 10, known=known) for known in (there, here))
        assert np.array_equal(a.nodes, b.nodes)
