"""Limiting laws against draws, solvable nets against dense matrices, the gap finder on planted gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from distlandscape.errors import InputError
from distlandscape.theory import (
    deep_linear_modes,
    find_gap,
    hyperplane_semicircle,
    marchenko_pastur,
    softmax_regression_hessian,
)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("variance", [1.0, 2.5])
def test_marchenko_pastur(gamma, variance):
    law = marchenko_pastur(gamma, variance)
    root = np.linspace(np.sqrt(law.lower), np.sqrt(law.upper), 200_001)  # x = root²: no singularity at 0
    mass = np.trapezoid(law.density(root**2) * 2 * root, root)
    assert mass == pytest.approx(1 - law.atom, abs=1e-4)
    p = 600
    n = int(p / gamma)
    X = np.sqrt(variance) * np.random.default_rng(0).standard_normal((n, p))
    values = np.linalg.eigvalsh(X.T @ X / n)
    assert np.mean(values < 1e-9) == pytest.approx(law.atom, abs=2e-3)
    assert values[-1] == pytest.approx(law.upper, rel=0.05)
    median = np.median(values[values > 1e-9])
    grid = np.linspace(np.sqrt(law.lower), np.sqrt(median), 200_001)
    below = np.trapezoid(law.density(grid**2) * 2 * grid, grid) / (1 - law.atom)
    assert below == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("mean", [0.0, 3.0])
def test_semicircle_of_a_random_plane(mean):
    """Eigenvalues of VᵀHV for a random matrix without outliers, by the Kolmogorov–Smirnov distance."""
    rng = np.random.default_rng(0)
    D, d = 1500, 60
    G = rng.standard_normal((D, D))
    H = (G + G.T) / 2 + mean * np.eye(D)
    law = hyperplane_semicircle(float(np.trace(H)), float(np.linalg.norm(H)), D, d)
    values = []
    for _ in range(6):
        V = np.linalg.qr(rng.standard_normal((D, d)))[0]
        values.append(np.linalg.eigvalsh(V.T @ H @ V))
    values = np.sort(np.concatenate(values))
    distance = np.abs(law.cumulative(values) - (np.arange(len(values)) + 0.5) / len(values)).max()
    assert distance < 0.04
    x = np.linspace(law.centre - law.radius, law.centre + law.radius, 10_001)
    assert np.trapezoid(law.density(x), x) == pytest.approx(1, abs=1e-5)
    assert law.cumulative([law.centre]) == pytest.approx(0.5)


def test_all_curvature_is_positive_beyond_twice_the_root():
    D = 10_000
    for d in (4, 25, 400):
        for factor, positive in ((0.9, False), (1.1, True)):
            frobenius = 7.0
            trace = factor * 2 * np.sqrt(d) * frobenius
            assert hyperplane_semicircle(trace, frobenius, D, d).all_positive == positive


def test_softmax_regression():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 4))
    W = rng.standard_normal((3, 4))

    def gradient(w):
        z = x @ w.reshape(3, 4).T
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        return ((p - np.eye(3)[np.arange(30) % 3])[:, :, None] * x[:, None, :]).mean(0).ravel()

    step = 1e-6
    numeric = np.stack(
        [(gradient(W.ravel() + step * e) - gradient(W.ravel() - step * e)) / (2 * step) for e in np.eye(12)]
    )
    assert np.allclose(softmax_regression_hessian(x, W), numeric, atol=1e-8)
    at_zero = np.linalg.eigvalsh(softmax_regression_hessian(x, np.zeros((3, 4))))
    expected = np.concatenate([np.zeros(4), np.repeat(np.linalg.eigvalsh(x.T @ x / 30), 2) / 3])
    assert np.allclose(at_zero, np.sort(expected), atol=1e-14)


def test_deep_linear_modes():
    modes = deep_linear_modes([3.0, 1.0, 0.5], initial=0.01, tau=2.0)
    times = np.linspace(0, 30, 7)
    solved = solve_ivp(
        lambda t, u: 2 / modes.tau * u * (modes.singular_values - u), (0, 30), [0.01] * 3, t_eval=times, rtol=1e-10
    )
    assert np.allclose(modes.strengths(times), solved.y.T, atol=1e-7)
    assert modes.hessian_eigenvalues().tolist() == [6, 4, 4, 3.5, 3.5, 2, 1.5, 1.5, 1]
    assert np.isfinite(modes.strengths([0, 1e6])).all()


@given(
    outliers=st.integers(1, 12),
    ratio=st.floats(2, 100),
    bulk=st.lists(st.floats(0.5, 1), min_size=2, max_size=20),
    scale=st.floats(1e-6, 1e6),
    seed=st.integers(0, 99),
)
def test_planted_gaps_are_found(outliers, ratio, bulk, scale, seed):
    """Outliers within a factor of 1.4 of their neighbours, a bulk within a factor of 2 in all, a gap between them."""
    top = ratio * max(bulk) * 1.4 ** np.arange(outliers)
    values = scale * np.concatenate([top, bulk])
    np.random.default_rng(seed).shuffle(values)
    gap = find_gap(values)
    if ratio > 2.0:
        assert gap.outliers == outliers
        assert gap.bulk_edge == pytest.approx(scale * max(bulk))
        assert gap.ratio == pytest.approx(ratio)


def test_where_there_is_no_gap():
    gap = find_gap([1.3, 1.2, 1.1, 1.0])
    assert (gap.outliers, gap.bulk_edge, gap.width) == (0, 1.3, 0)
    assert find_gap([-1, -2, -3]).outliers == 0
    assert find_gap([5, 1, 0.9], residuals=[0.1, 4.5, 0]).outliers == 0  # the gap may not be there
    assert find_gap([5, 1, 0.9], residuals=[0.1, 0.1, 0]).outliers == 1
    assert find_gap([100, 50, 1, 0.9], most=1).outliers == 1
    assert find_gap([4, 3, -0.5]).outliers == 2  # what follows is not positive


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: marchenko_pastur(0), "gamma=0 must be positive"),
        (lambda: marchenko_pastur(1, -1), "variance=-1"),
        (lambda: hyperplane_semicircle(1, 1, 0, 1), "dim=0"),
        (lambda: hyperplane_semicircle(1, 1, 10, 11), "plane=11 is above dim=10"),
        (lambda: hyperplane_semicircle(10, 1, 4, 2), "no matrix of dimension 4 has trace 10"),
        (lambda: hyperplane_semicircle(float("nan"), 1, 4, 2), "trace=nan"),
        (lambda: softmax_regression_hessian(np.ones(3), np.ones((2, 3))), r"x must be \(N, F\)"),
        (lambda: softmax_regression_hessian(np.ones((3, 2)), np.ones((2, 3))), "must be"),
        (lambda: softmax_regression_hessian(np.full((3, 2), np.nan), np.ones((2, 2))), "must be finite"),
        (lambda: deep_linear_modes([], 1), "must be positive"),
        (lambda: deep_linear_modes([1, -1], 1), "must be positive"),
        (lambda: deep_linear_modes([1], 0), "must be positive"),
        (lambda: find_gap([1]), "at least two finite"),
        (lambda: find_gap([1, np.nan]), "at least two finite"),
        (lambda: find_gap([1, 2], [1]), "2 eigenvalues have 1 residuals"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
