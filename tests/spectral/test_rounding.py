"""What rounding leaves: pairs accepted by its floor alone, zeros of a low rank, plain spectra, extreme scales."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from distlandscape.convergence import FLOOR, convergence, convergence_words
from distlandscape.errors import InputError
from distlandscape.results import Trust
from distlandscape.spectral import frobenius_norm, index, spectral_density, top_eigenpairs, trace
from distlandscape.spectral.copies import Outcome, Pairs
from distlandscape.spectral.plane import plane_curvature
from distlandscape.spectral.sharpness import rescaled_trace
from distlandscape.spectral.status import status_words
from tests.spectral.helpers import DTYPES, Array, Dense, eps, rotated

LOW_RANK = np.concatenate([np.linspace(1, 3, 8), np.zeros(492)])
TWO_LEVELS = np.repeat([0.7, 0.1], [100, 400])
FAR_ABOVE = np.concatenate([[1e6], np.linspace(0.1, 0.9, 300)])
SPECTRUM = np.concatenate([np.linspace(-1, 1, 60), [5.0, 8.0]])


@pytest.mark.parametrize(
    ("value", "residual", "single", "verdict"),
    [
        (2.0, 1e-3, True, "yes"),
        (2.0, 1e-2, True, "at rounding level, residual/|λ| 0.005"),
        (2.0, 1e-2, False, "at rounding level, residual/|λ| 0.005"),
        (0.56, 0.57, True, "no"),  # in float32 it may as well be zero
        (0.4, 0.57, True, "no"),
        (0.4, 0.57, False, "zero to rounding"),
        (0.6, 0.9, False, "no"),  # below the floor only by itself
        (0.0, 0.5, True, "no"),
        (0.0, 0.5, False, "zero to rounding"),
        (0.0, 0.0, True, "yes"),
        (2.0, 1.1, False, "no"),
    ],
)
def test_what_the_floor_accepts(value: float, residual: float, single: bool, verdict: str) -> None:
    """The floor is 1, tol 10⁻³."""
    e = eps(torch.float32 if single else torch.float64)
    values, residuals = np.array([value]), np.array([residual])
    good, lost = convergence(values, residuals, 1e-3, e, 1 / FLOOR / e)
    ratio = residual / value if value else np.inf
    assert convergence_words(bool(good[0]), bool(good[0] and residual > 1e-3 * value), ratio) == verdict
    assert lost[0] == (verdict == "no" and residual <= 1)


def test_a_value_that_float32_cannot_tell_from_zero_has_not_converged() -> None:
    for seed in range(5):
        pairs = top_eigenpairs(Dense(rotated(FAR_ABOVE, seed), dtype=torch.float32), 3, seed=seed)
        below = pairs.residuals > np.abs(pairs.eigenvalues)
        assert not (pairs.converged & below).any()
        assert np.array_equal(pairs.at_rounding, [False, *~below[1:]])
        told = f"; {below.sum()} cannot be told from zero in float32, residual above |eigenvalue|: measure in float64"
        assert (told in pairs.status) == below.any()
        shown = repr(pairs)
        for row in pairs.to_table().to_pylist():
            if row["at_rounding"]:
                assert f"at rounding level, residual/|λ| {row['relative']:.1g}" in shown
    finer = top_eigenpairs(Dense(rotated(FAR_ABOVE), dtype=torch.float64), 3)
    assert finer.status == "converged"  # the remedy works
    np.testing.assert_allclose(finer.eigenvalues[1:], [0.9, 0.9 - 0.8 / 299], rtol=1e-3)
    assert not finer.at_rounding.any()


@pytest.mark.parametrize("basis_size", [None, 12])
@pytest.mark.parametrize("tol", [1e-3, 1e-12])
@pytest.mark.parametrize("seed", range(3))
def test_zeros_of_a_low_rank_are_right_answers_in_float64(seed: int, tol: float, basis_size: int | None) -> None:
    """Five of 492 zeros, of which the start vector sees one: the check finds the others, and ends."""
    operator = Dense(rotated(LOW_RANK, seed))
    pairs = top_eigenpairs(operator, 5, tol, "SA", seed=seed, basis_size=basis_size)
    floor = FLOOR * eps(torch.float64) * 3
    assert pairs.status == "converged"
    assert (np.abs(pairs.eigenvalues) + pairs.residuals <= floor).all()
    V = pairs.eigenvectors.numpy()
    assert (np.linalg.norm(V @ operator.A - pairs.eigenvalues[:, None] * V, axis=1) <= floor).all()
    assert np.abs(V @ V.T - np.eye(5)).max() <= FLOOR * eps(torch.float64)
    assert operator.passes == pairs.passes <= 50
    assert "not finished" not in pairs.trust.missed_copies
    marks = pairs.marks()
    zero = pairs.residuals > np.abs(pairs.eigenvalues)
    assert repr(pairs).count("zero to rounding") == zero.sum() > 0
    assert marks["converged"] == [True] * 5
    assert (np.array(marks["at_rounding"]) >= zero).all()


def test_the_same_zeros_in_float32_name_the_remedy() -> None:
    operator = Dense(rotated(LOW_RANK), dtype=torch.float32)
    pairs = top_eigenpairs(operator, 5, 1e-3, "SA")
    assert np.abs(pairs.eigenvalues).max() <= FLOOR * eps(torch.float32) * 3
    lost = pairs.residuals > np.abs(pairs.eigenvalues)
    assert lost.any()
    assert np.array_equal(pairs.converged, ~lost)
    assert pairs.status.endswith("measure in float64 (objective.dtype=float64)")
    assert operator.passes <= 60
    assert "not finished" not in pairs.trust.missed_copies


@pytest.mark.parametrize(("k", "which"), [(5, "SA"), ((3, 5), "BE")])
@pytest.mark.parametrize("seed", range(3))
def test_pairs_of_the_tolerance_leave_nothing_in_the_zeros_found_beside_them(seed: int, k: Any, which: str) -> None:
    """Eight zeros below a dense bulk: the pairs that the check locks are exact to tol·|λ| only, far above the floor."""
    operator = Dense(rotated(np.concatenate([np.linspace(1, 3, 142), np.zeros(8)]), seed))
    pairs = top_eigenpairs(operator, k, 1e-3, which, seed=seed)
    assert pairs.status == "converged"
    assert np.abs(pairs.eigenvalues[-5:]).max() <= FLOOR * eps(torch.float64) * 3
    V = pairs.eigenvectors.numpy()
    true = np.linalg.norm(V @ operator.A - pairs.eigenvalues[:, None] * V, axis=1)
    assert (true <= pairs.residuals + 10 * eps(torch.float64) * 3).all()


@pytest.mark.parametrize("dim", [100, 1000])
@pytest.mark.parametrize("k", [1, 10])
def test_a_multiple_of_the_identity_is_settled_by_a_few_products(k: int, dim: int) -> None:
    """One start alone leaves √(2·P/π)·60·eps/1 % in float32: further ones are independent of it."""
    operator = Dense(rotated(np.full(dim, 0.1)), dtype=torch.float32)
    pairs = top_eigenpairs(operator, k)
    assert pairs.status == "converged"
    np.testing.assert_allclose(pairs.eigenvalues, 0.1, rtol=FLOOR * eps(torch.float32))
    assert operator.passes == pairs.passes <= k + 6
    assert pairs.trust.missed_copies.startswith("none found")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", ["LA", "SA"])
def test_two_levels_are_settled_by_a_few_products(which: str, dtype: torch.dtype) -> None:
    operator = Dense(rotated(TWO_LEVELS), dtype=dtype)
    pairs = top_eigenpairs(operator, 10, which=which)
    assert pairs.status == "converged"
    np.testing.assert_allclose(pairs.eigenvalues, 0.7 if which == "LA" else 0.1, rtol=1e-5)
    assert operator.passes == pairs.passes <= 30
    assert "not finished" not in pairs.trust.missed_copies


def test_the_status_names_the_steps_that_were_taken() -> None:
    operator = Dense(rotated(np.linspace(1, 2, 300)))
    pairs = top_eigenpairs(operator, 3, 1e-10, max_steps=30)
    assert pairs.status == "0 of 3 pairs converged in 30 steps: raise max_steps or loosen tol"


def test_the_status_names_every_cause_with_its_remedy() -> None:
    """λ = 9 converged; 5 short of steps in the check, 2 short by what it inherits, 10⁻⁸ lost in rounding."""
    found = Pairs(np.array([9, 5, 2, 1e-8]), [], np.array([1e-5, 0.1, 0.1, 1e-6]), np.array([0, 0, 0.09, 0]))
    for dtype in DTYPES:
        norm = 9 * eps(torch.float32) / eps(dtype)  # a floor of the same size
        good, lost = convergence(found.values, found.residuals, 1e-3, eps(dtype), norm)
        trust = Trust(0.0, 0.0, 0.0, norm)
        words = status_words(found, good, lost, trust, 1e-3, eps(dtype), 12, Outcome("", None, 60))
        count = 1 + (dtype == torch.float64)  # there it is zero to rounding
        assert words.startswith(f"{count} of 4 pairs converged in 12 steps and 60 of the check: raise max_steps or")
        assert words.endswith("; 1 found beside pairs of larger residuals, which they inherit: lower tol")
        assert ("; 1 cannot be told from zero in float32" in words) == (dtype == torch.float32)


class Noisy(Dense):
    """Products that repeat to 10⁻⁶ only."""

    def product(self, v: Array) -> Array:
        noise = np.random.default_rng(self.passes).standard_normal(len(v))
        return self.A @ v + 1e-6 * noise / np.linalg.norm(noise)


def test_the_status_names_noise() -> None:
    pairs = top_eigenpairs(Noisy(rotated(np.concatenate([[9.0, 5.0], np.linspace(-1, 1, 100)]))), 2, 1e-9)
    assert not pairs.converged.any()
    assert re.search(r"; 2 no better than products repeat, to \de-07 of ‖H‖: loosen tol$", pairs.status)
    assert "max_steps" not in pairs.status
    loosened = top_eigenpairs(Noisy(rotated(np.concatenate([[9.0, 5.0], np.linspace(-1, 1, 100)]))), 2, 1e-5)
    assert loosened.status == "converged"


SOLVERS: dict[str, Callable[[Dense], Any]] = {
    "pairs": lambda H: top_eigenpairs(H, (2, 1), which="BE").eigenvalues,
    "block": lambda H: top_eigenpairs(H, 2, block=2).residuals,
    "density": lambda H: spectral_density(H, 2, 20).nodes,
    "trace": lambda H: _numbers(trace(H, 8)),
    "xtrace": lambda H: _numbers(trace(H, 8, method="xtrace")),
    "norm": lambda H: _numbers(frobenius_norm(H, 8)),
    "plane": lambda H: _numbers(plane_curvature(H, 4).frobenius),
    "rescaled": lambda H: _numbers(rescaled_trace(H, np.ones(len(H.A)), 8)),
}


def _numbers(estimate: Any) -> Array:
    return np.array([estimate.value, estimate.stderr])


@pytest.mark.parametrize("exponent", [-440, -300, 300, 470])
@pytest.mark.parametrize("name", SOLVERS)
def test_a_power_of_two_moves_no_bit(name: str, exponent: int) -> None:
    A = rotated(SPECTRUM)
    found, there = SOLVERS[name](Dense(A * 2.0**exponent)) * 2.0**-exponent, SOLVERS[name](Dense(A))
    if name in ("pairs", "block", "density"):  # LAPACK's eigensolvers scale small and large matrices by themselves
        np.testing.assert_allclose(found, there, atol=FLOOR * eps(torch.float64) * 8, rtol=0)
    else:
        assert found.tobytes() == there.tobytes()


@pytest.mark.parametrize("scale", [1e-30, 1e25])
@pytest.mark.parametrize("name", SOLVERS)
def test_small_and_large_norms_in_float32(name: str, scale: float) -> None:
    A = rotated(SPECTRUM)
    found, there = (SOLVERS[name](Dense(A * s, dtype=torch.float32)) / s for s in (scale, 1.0))
    # Rounded elsewhere; residuals are as small as the last Ritz value, Student errors a difference of near numbers.
    np.testing.assert_allclose(found, there, atol=100 * eps(torch.float32) * 8)


@pytest.mark.parametrize(("scale", "dtype"), [(1e-160, torch.float64), (1e160, torch.float64), (1e-42, torch.float32)])
@pytest.mark.parametrize("name", SOLVERS)
def test_what_cannot_be_squared_is_refused(name: str, scale: float, dtype: torch.dtype) -> None:
    word = "small" if scale < 1 else "large"
    with pytest.raises(InputError, match=rf"too {word} to be squared .* multiply the loss by a power of two"):
        SOLVERS[name](Dense(rotated(SPECTRUM) * scale, dtype=dtype))


def test_the_index_of_a_density_of_any_scale() -> None:
    density = spectral_density(Dense(rotated(SPECTRUM)), 3, 62)
    there = index(density)
    for exponent in (-600, 600):
        scaled = type(density)(**{**vars(density), "nodes": density.nodes * 2.0**exponent})
        assert index(scaled) == there
        assert index(scaled, 0.5 * 2.0**exponent).low == index(density, 0.5).low


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_zero_operator_has_no_scale(dtype: torch.dtype) -> None:
    operator = Dense(np.zeros((30, 30)), dtype=dtype)
    assert top_eigenpairs(operator, 2).status == "converged"
    assert trace(operator, 4).value == frobenius_norm(operator, 4).value == 0
    assert index(spectral_density(operator, 2, 5), 1.0).value == 30
