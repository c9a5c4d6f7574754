"""The index: bounds that hold for every draw, intervals that hold for 95 % of them, exact counts where known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from distlandscape.errors import InputError
from distlandscape.results import Index, SpectralDensity
from distlandscape.spectral import index, spectral_density, top_eigenpairs
from distlandscape.spectral.density import DRAW
from distlandscape.spectral.index import _above, _bounds
from distlandscape.spectral.probes import probe_entries
from tests.spectral.conftest import Net
from tests.spectral.helpers import DTYPES, Array, Dense, nothing_known, rotated

RNG = np.random.default_rng(4)
NET = np.concatenate([0.05 * RNG.gamma(0.3, size=240) * RNG.choice([1, -0.3], 240), [9.0, 6.0, 3.0, -2.0]])
SPECTRA = {
    "even": np.linspace(-1, 2, 200),
    "few negative": np.concatenate([np.linspace(0.1, 2, 190), np.linspace(-0.5, -0.1, 4)]),
    "half zero": np.concatenate([np.zeros(100), np.linspace(-1, -0.2, 30), np.linspace(0.1, 1, 70)]),
    "outliers and bulk": NET,
}


def negative(values: Array) -> int:
    return int((values < 0).sum())


def holds(found: Index, values: Array) -> bool:
    return found.low <= negative(values) <= found.high


@given(st.integers(2, 40), st.integers(1, 12), st.floats(-1.5, 1.5), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_the_quadrature_bounds_the_measure_of_its_draw(dim: int, steps: int, border: float, seed: int) -> None:
    """Against the weights of the start vector on the dense eigenvectors."""
    values = np.random.default_rng(seed).uniform(-1, 1, dim)
    A = rotated(values, seed)
    z = probe_entries(seed, DRAW, "normal", 0, dim)
    exact, V = np.linalg.eigh(A)
    measure = (V.T @ (z / np.linalg.norm(z))) ** 2
    density = spectral_density(Dense(A), 1, steps, seed, known=nothing_known(dim))
    nodes, weights = density.nodes, density.weights
    total = np.concatenate([[0.0], np.cumsum(weights)])
    for at in (border, float(nodes[len(nodes) // 2])):  # a node of the rule is the border at which it is its own
        middle, low, high = _bounds(nodes, weights, at, 0.0)
        assert low - 1e-10 <= measure[exact < at - 1e-12].sum()
        assert measure[exact <= at].sum() <= high + 1e-10
        assert 0 <= low <= middle <= high <= 1
        # Never wider than by the weights of the nodes beside the border.
        below = int(np.searchsorted(nodes, at))
        assert low >= total[max(below - 1, 0)] - 1e-9
        assert high <= (total[min(below + 1, len(nodes))] if below < len(nodes) else 1) + 1e-9


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize(("draws", "steps"), [(1, 15), (3, 8)])
def test_covered(name: str, draws: int, steps: int) -> None:
    values = SPECTRA[name]
    operator, runs = Dense(rotated(values)), 30
    known = top_eigenpairs(operator, (3, 1), 1e-6, "BE") if name == "outliers and bulk" else None
    found = [index(spectral_density(operator, draws, steps, seed, known=known)) for seed in range(runs)]
    assert sum(holds(i, values) for i in found) >= 25  # binomial(30, 0.95): below has a probability of 3e-3
    assert all(0 <= i.low <= i.value <= i.high <= len(values) for i in found)
    if name == "even":  # two nodes of a weight of π/2 over the steps, and four standard deviations of a direction
        width = np.pi / steps + 4 * np.sqrt(2 * (1 / 3) * (2 / 3) / 202 / draws)
        assert np.mean([i.high - i.low for i in found]) < width * len(values)
    if name == "half zero":
        assert all(i.quadrature >= 60 for i in found)


def test_draws_alone_are_covered_as_often_as_they_should_be() -> None:
    """Random directions whose measure is known exactly: the quadrature leaves two eigenvalues open, of 20,002."""
    rng, runs = np.random.default_rng(0), 300
    levels = np.concatenate([np.linspace(-2, -1, 5), [-0.01, 0.01], np.linspace(0.5, 3, 17)])
    counts = np.concatenate([np.full(5, 600), [1, 1], np.full(17, 1000)])
    values, found = np.repeat(levels, counts), []
    for _ in range(runs):
        squares = rng.chisquare(counts, (2, len(counts)))
        shares = squares / squares.sum(1, keepdims=True) / 2
        draw = np.repeat([0, 1], len(levels))
        found.append(index(SpectralDensity(np.tile(levels, 2), shares.ravel(), draw, 2, 24, len(values), 24, 0)))
    covered = sum(holds(i, values) for i in found)
    assert 271 <= covered <= 296  # binomial(300, 0.95): outside with a probability below 2e-3


@pytest.mark.parametrize("dtype", DTYPES)
def test_definite_operators(dtype: torch.dtype) -> None:
    values = np.linspace(0.5, 3, 150)
    for sign, expected in ((1, 0), (-1, 150)):
        found = index(spectral_density(Dense(sign * rotated(values), dtype=dtype), 3, 20))
        assert found.low == found.value == expected if sign > 0 else found.high == found.value == expected
        assert found.high - found.low < 15


def test_known_eigenvalues_are_counted() -> None:
    values = np.array([3.0, 2.0, 1.0, -1.0, -4.0])
    operator = Dense(rotated(values))
    density = spectral_density(operator, 2, 5, known=top_eigenpairs(operator, 5, 1e-8))
    passes = operator.passes
    assert (index(density).value, index(density).low, index(density).high) == (2, 2, 2)
    assert index(density).status == "exact"
    assert index(density).fraction == (0.4, 0.4, 0.4)
    assert index(density, 2.5).value == 4
    assert operator.passes == passes
    zero = spectral_density(Dense(rotated([0.0, 1.0, -1.0])), 1, 3)
    assert (index(zero).low, index(zero).high) == (1, 2)  # a zero may be rounding of either sign


def test_the_probability_is_that_of_the_beta_distribution() -> None:
    """Against draws of directions: one draw exactly, the mean of several by simulation."""
    rng = np.random.default_rng(0)
    squares = rng.standard_normal((20_000, 3, 25)) ** 2
    shares = squares[:, :, :4].sum(2) / squares.sum(2)
    assert _above(4, 25, 1, 0.2) == pytest.approx(beta.sf(0.2, 2, 10.5))
    assert _above(4, 25, 1, 0.2) == pytest.approx(np.mean(shares[:, 0] >= 0.2), abs=0.015)
    assert _above(4, 25, 3, 0.2) == pytest.approx(np.mean(shares.mean(1) >= 0.2), abs=0.015)
    assert (_above(0, 25, 1, 0.1), _above(25, 25, 1, 1.0), _above(3, 25, 1, 0.0)) == (0, 1, 1)


def test_of_a_trained_net(net: Net) -> None:
    known = top_eigenpairs(net.H, 12, 1e-6)
    border = -1e-3 * float(net.eigenvalues[-1])
    exact = int((net.eigenvalues < border).sum())
    found = index(spectral_density(net.H, 3, 40, known=known), border)
    assert found.low <= exact <= found.high
    assert found.high - found.low < 0.4 * found.dim
    assert found.below == border
    assert "raise" in found.status


def test_more_steps_and_more_draws_narrow_the_band_as_the_status_says() -> None:
    operator = Dense(rotated(SPECTRA["even"]))
    few_steps = index(spectral_density(operator, 8, 6))
    assert few_steps.status.endswith("raise steps")
    assert (lambda i: i.high - i.low)(index(spectral_density(operator, 8, 40))) < few_steps.high - few_steps.low
    few_draws = index(spectral_density(operator, 2, 100))
    assert few_draws.status.endswith("raise draws")
    assert (lambda i: i.high - i.low)(index(spectral_density(operator, 16, 100))) < few_draws.high - few_draws.low


def test_bad_input() -> None:
    density = spectral_density(Dense(np.eye(9)), 1, 3)
    for level in (0.0, 1.0, 95.0):
        with pytest.raises(InputError, match=r"level=.* must lie between 0 and 1"):
            index(density, level=level)
    with pytest.raises(InputError, match="below=nan must be a finite number"):
        index(density, float("nan"))
