"""Stochastic Lanczos quadrature: identities, degenerate operators, atoms, repeatability."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh_tridiagonal

from distlandscape.errors import InputError
from distlandscape.results import SpectralDensity
from distlandscape.spectral import spectral_density, top_eigenpairs
from distlandscape.spectral.density import DRAW
from distlandscape.spectral.probes import probe_entries
from tests.spectral.helpers import DTYPES, Array, Dense, MemoryJournal, rotated, spaces

BULK = np.linspace(-1, 1, 300)
WITH_OUTLIERS = np.concatenate([BULK, [5.0, 8.0, 13.0], [-6.0]])


def check_measure(density: SpectralDensity) -> None:
    """What holds for every density: a probability measure, in order, smoothed and summed consistently."""
    assert density.weights.sum() == pytest.approx(1, abs=1e-12)
    assert (density.weights >= 0).all()
    assert (np.diff(density.nodes) >= 0).all()
    assert len(density.nodes) == len(density.weights) == len(density.draw)
    scale = max(float(np.abs(density.nodes).max()), 1.0)
    grid = np.linspace(-2 * scale, 2 * scale, 4001)
    cumulative = density.cumulative(grid)
    assert cumulative[0] == 0
    assert cumulative[-1] == pytest.approx(1, abs=1e-12)
    assert (np.diff(cumulative) >= 0).all()
    bandwidth = 0.02 * scale
    smooth = density.density(grid, bandwidth)
    assert (smooth >= 0).all()
    assert np.trapezoid(smooth, grid) == pytest.approx(1, abs=1e-9)
    mean = density.mean()
    assert np.trapezoid(smooth * grid, grid) == pytest.approx(mean.value, abs=1e-9 * scale)
    variance = density.weights @ (density.nodes - mean.value) ** 2
    assert np.trapezoid(smooth * (grid - mean.value) ** 2, grid) == pytest.approx(variance + bandwidth**2, rel=1e-6)
    assert density.to_table().num_rows == len(density.nodes)


@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(0, 4))
@settings(max_examples=60, deadline=None)
def test_every_density_is_a_probability_measure(dim: int, draws: int, steps: int, seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(dim) if not levels else rng.integers(0, levels, dim).astype(float)
    operator = Dense(rotated(values, seed))
    density = spectral_density(operator, draws, steps, seed)
    check_measure(density)
    assert density.passes == operator.passes <= draws * min(steps, dim)
    assert density.nodes.min() >= values.min() - 1e-12
    assert density.nodes.max() <= values.max() + 1e-12
    if steps >= dim and not levels:
        np.testing.assert_allclose(density.nodes, np.sort(values), atol=1e-10)
        np.testing.assert_allclose(density.weights, 1 / dim)


def test_one_draw_without_atoms_is_gauss_quadrature_of_its_start_vector() -> None:
    """Naive twin: plain Lanczos on the dense matrix; then the moments a Gauss rule must match."""
    A, steps = rotated(BULK), 12
    density = spectral_density(Dense(A), 1, steps, seed=4)
    z = probe_entries(4, DRAW, "normal", 0, len(A))
    q = z / np.linalg.norm(z)
    Q, alphas, betas = [q], [], []
    for _ in range(steps):
        w = A @ Q[-1]
        alphas.append(w @ Q[-1])
        for _ in range(2):
            w -= np.stack(Q, 1) @ (np.stack(Q) @ w)
        betas.append(np.linalg.norm(w))
        Q.append(w / betas[-1])
    nodes, S = eigh_tridiagonal(alphas, betas[:-1])
    np.testing.assert_allclose(density.nodes, nodes, atol=1e-12)
    np.testing.assert_allclose(density.weights, S[0] ** 2, atol=1e-12)
    power = q
    for degree in range(2 * steps):
        assert density.weights @ density.nodes**degree == pytest.approx(q @ power, abs=1e-12)
        power = A @ power


@pytest.mark.parametrize("dtype", DTYPES)
def test_outliers_become_atoms_of_weight_one_in_p(dtype: torch.dtype) -> None:
    for draws in (1, 3):
        density = spectral_density(Dense(rotated(WITH_OUTLIERS), dtype=dtype), draws, 40)
        check_measure(density)
        atoms = density.draw == -1
        np.testing.assert_allclose(density.nodes[atoms][[0, -3, -2, -1]], [-6, 5, 8, 13], atol=1e-4)
        np.testing.assert_array_equal(density.weights[atoms], 1 / len(WITH_OUTLIERS))
        assert density.draws == max(draws - 1, 1)  # the first draw found the atoms
        assert density.passes == (40 if draws == 1 else 80)  # the further draws share their passes


def test_a_double_outlier_keeps_its_weight_when_there_are_other_draws() -> None:
    values = np.concatenate([BULK, [9.0, 9.0]])
    density = spectral_density(Dense(rotated(values)), 30, 12)
    assert density.weights[density.nodes > 5].sum() == pytest.approx(2 / len(values), rel=0.3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize("dim", [1, 2, 5, 100])
@pytest.mark.parametrize("value", [0.0, 1.0, -3.0])
def test_multiples_of_the_identity(value: float, dim: int, draws: int, dtype: torch.dtype) -> None:
    operator = Dense(value * np.eye(dim), dtype=dtype)
    density = spectral_density(operator, draws, 80)
    check_measure(density)
    np.testing.assert_allclose(density.nodes, value, atol=1e-5)
    assert operator.passes == density.passes <= draws  # a breakdown ends a draw


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ones", [1, 3, 50, 99])
@pytest.mark.parametrize("seed", range(2))
def test_projectors(ones: int, seed: int, dtype: torch.dtype) -> None:
    dim = 100
    operator = Dense(rotated(np.repeat([1.0, 0.0], [ones, dim - ones]), seed), dtype=dtype)
    for draws in (1, 12):
        density = spectral_density(operator, draws, 60, seed)
        check_measure(density)
        assert np.minimum(np.abs(density.nodes), np.abs(density.nodes - 1)).max() <= 1e-5
        # The share of a random direction in a subspace is beta distributed.
        sd = np.sqrt(2 * ones * (dim - ones) / (dim**2 * (dim + 2)) / max(draws - 1, 1))
        assert abs(density.weights[density.nodes > 0.5].sum() - ones / dim) <= 4.5 * sd


@pytest.mark.parametrize("ones", [3, 50])
@pytest.mark.parametrize("seed", range(3))
def test_projector_with_known_pairs_of_the_same_seed(ones: int, seed: int) -> None:
    """The pairs' run and the draws must start apart: a known pair takes all its start has of an eigenspace."""
    dim = 100
    operator = Dense(rotated(np.repeat([1.0, 0.0], [ones, dim - ones]), seed))
    known = top_eigenpairs(operator, 3, 1e-8, seed=seed)
    density = spectral_density(operator, 4, 60, seed, known=known)
    check_measure(density)
    left = ones - 3
    sd = np.sqrt(2 * left * (97 - left) / (97**2 * 99) / 4) * 97 / dim
    assert abs(density.weights[density.nodes > 0.5].sum() - ones / dim) <= 4.5 * sd + 1e-12


def test_only_converged_known_pairs_are_atoms() -> None:
    operator = Dense(rotated(WITH_OUTLIERS))
    known = top_eigenpairs(operator, 10, 1e-8, max_steps=14)
    assert 0 < known.converged.sum() < 10
    density = spectral_density(operator, 2, 30, known=known)
    check_measure(density)
    np.testing.assert_array_equal(
        np.sort(density.nodes[density.draw == -1]), np.sort(known.eigenvalues[known.converged])
    )
    assert density.draws == 2


def test_all_eigenvalues_known_leave_nothing_to_draw() -> None:
    values = np.array([3.0, 2.0, 2.0, -1.0])
    operator = Dense(rotated(values))
    known = top_eigenpairs(operator, 4, 1e-8)
    before = operator.passes
    density = spectral_density(operator, 5, 10, known=known)
    assert operator.passes == before
    np.testing.assert_allclose(density.nodes, np.sort(values))
    np.testing.assert_array_equal(density.weights, 0.25)
    mean = density.mean()
    assert mean.value == pytest.approx(1.5)
    most = top_eigenpairs(operator, 3, 1e-8)
    np.testing.assert_allclose(spectral_density(operator, 2, 10, known=most).cumulative([-0.99, 2.01]), [0.25, 0.75])


@pytest.mark.parametrize("known", [False, True])
def test_the_mean_is_the_trace_within_its_error(known: bool) -> None:
    values = np.concatenate([np.random.default_rng(0).gamma(0.5, size=120), [20.0, 30.0]])
    operator = Dense(rotated(values))
    pairs = top_eigenpairs(operator, 2, 1e-8) if known else None
    means = [spectral_density(operator, 8, 8, seed, known=pairs).mean() for seed in range(24)]
    found, errors = np.array([m.value for m in means]), np.array([m.stderr for m in means])
    assert abs(found.mean() - values.mean()) <= 4.5 * found.std(ddof=1) / np.sqrt(24)  # unbiased
    assert 0.6 < errors.mean() / found.std(ddof=1) < 1.5  # known to 15 %, the spread of 24 values
    single = spectral_density(operator, 1, 10).mean()
    assert np.isnan(single.stderr)


@pytest.mark.parametrize("dtype", DTYPES)
def test_draws_repeat_and_do_not_depend_on_the_space(dtype: torch.dtype) -> None:
    A = rotated(WITH_OUTLIERS)
    seen = set()
    for space in [*spaces(len(A), dtype).values(), *spaces(len(A), dtype).values()]:
        density = spectral_density(Dense(A, space), 3, 30, seed=5)
        seen.add((density.nodes.tobytes(), density.weights.tobytes()))
    assert len(seen) == 1
    other = spectral_density(Dense(A, space), 3, 30, seed=6)
    assert other.nodes.tobytes() not in {nodes for nodes, _ in seen}


def test_draws_differ_from_each_other() -> None:
    density = spectral_density(Dense(rotated(BULK)), 3, 10)
    nodes = [density.nodes[density.draw == d] for d in range(3)]
    assert all(len(n) == 10 for n in nodes)
    assert not np.allclose(nodes[0], nodes[1])
    assert not np.allclose(nodes[1], nodes[2])


def test_bad_input() -> None:
    operator = Dense(np.eye(20))
    for target in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(InputError, match=r"target=.* must lie between 0 and 1"):
            spectral_density(operator, target=target)
    with pytest.raises(InputError, match=r"max_draws=3 leaves no room to reach a target from draws=4; give at least 4"):
        spectral_density(operator, 4, target=0.1, max_draws=3)
    for draws, steps in [(0, 10), (-1, 10), (1, 0)]:
        with pytest.raises(InputError, match=r"draws=.* and steps=.* must both be at least 1"):
            spectral_density(operator, draws, steps)
    foreign = top_eigenpairs(Dense(np.eye(10)), 2)
    with pytest.raises(InputError, match="known pairs have 10 entries, the operator 20"):
        spectral_density(operator, known=foreign)
    assert operator.passes == 0
    density = spectral_density(operator, 1, 3)
    for bandwidth in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="bandwidth must be positive"):
            density.density([0.0], bandwidth)


def test_progress_names_draw_and_step() -> None:
    operator = Dense(rotated(BULK))
    journal = MemoryJournal(operator.space)
    spectral_density(operator, 2, 3, journal=journal)
    assert journal.notes[-1] == ("draw-1", 3, "draw 2, step 3 of 3")


def test_infinite_products_are_named() -> None:
    class Overflow(Dense):
        def product(self, v: Array) -> Array:
            return np.full_like(v, np.inf)

    with pytest.raises(FloatingPointError, match="product of step 1 is not finite"):
        spectral_density(Overflow(np.eye(9)), 1, 3)
