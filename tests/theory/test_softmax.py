"""Softmax moments by two methods, and in closed form where there is one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distlandscape.errors import InputError
from distlandscape.theory import freezing_scale, softmax_moments


def test_freezing_scale():
    assert [round(freezing_scale(C), 3) for C in (10, 100, 1000)] == [2.146, 3.035, 3.717]


@pytest.mark.parametrize(("sigma", "s"), [(0.5, 0.1233), (1, 0.1945), (2, 0.390), (3, 0.540), (5, 0.704), (10, 0.848)])
def test_table_of_ten_classes(sigma, s):
    # The table has three or four digits, from a simulation.
    assert softmax_moments(10, sigma).s == pytest.approx(s, abs=6e-4)


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5, 8.0])
def test_quadrature_and_monte_carlo_agree(classes, sigma):
    exact, drawn = softmax_moments(classes, sigma), softmax_moments(classes, sigma, "monte_carlo", draws=40_000, seed=1)
    assert abs(exact.s - drawn.s) < 5 * drawn.stderr
    for name in ("cubes", "squared", "m2", "spread"):
        a, b = getattr(exact, name), getattr(drawn, name)
        assert abs(a - b) < 8 * drawn.stderr + 1e-4 * abs(a), name


@pytest.mark.parametrize("sigma", [0.2, 1.0, 4.0])
def test_two_classes_by_one_integral(sigma):
    """For C = 2, p is a logistic function of one Gaussian number of variance 2σ²."""
    x = np.linspace(-12, 12, 200_001)
    weight = np.exp(-0.5 * x**2)
    p = 1 / (1 + np.exp(-math.sqrt(2) * sigma * x))
    squares = p**2 + (1 - p) ** 2
    moments = softmax_moments(2, sigma)
    assert moments.s == pytest.approx(float((weight @ squares) / weight.sum()), rel=1e-9)
    assert moments.cubes == pytest.approx(float((weight @ (p**3 + (1 - p) ** 3)) / weight.sum()), rel=1e-9)
    assert moments.squared == pytest.approx(float((weight @ squares**2) / weight.sum()), rel=1e-9)


def test_limits():
    assert softmax_moments(10, 0).s == 0.1
    small = softmax_moments(10, 0.01).s
    assert small == pytest.approx(0.1 * (1 + 0.9 * 1e-4), rel=1e-7)
    # Large σ_z: 1 − S = h_C/σ_z, h_10 = 1.539; next order is O(σ_z⁻³).
    assert (1 - softmax_moments(10, 60).s) * 60 == pytest.approx(1.539, abs=2e-3)
    # Frozen for large C: 1 − σ*/σ_z, approached slowly.
    gaps = [abs(softmax_moments(C, 2 * freezing_scale(C)).s - 0.5) for C in (10, 100, 10_000)]
    assert gaps[2] < gaps[1] < gaps[0] < 0.2


@given(classes=st.integers(2, 200), sigma=st.floats(0, 30))
@settings(deadline=None, max_examples=20)
def test_bounds(classes, sigma):
    moments = softmax_moments(classes, sigma)
    assert 1 / classes - 1e-9 <= moments.s <= 1 + 1e-9
    assert moments.s**2 - 1e-9 <= moments.squared <= moments.s + 1e-9
    assert moments.m2 >= -1e-9
    assert moments.spread + 1e-9 >= 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: softmax_moments(1, 1.0), "classes=1 must be a whole number of at least 2"),
        (lambda: softmax_moments(2.5, 1.0), "classes=2.5"),
        (lambda: softmax_moments(10, -1.0), "sigma_z=-1.0 must be a finite number, 0 or positive"),
        (lambda: softmax_moments(10, math.inf), "sigma_z=inf"),
        (lambda: softmax_moments(10, math.nan), "sigma_z=nan"),
        (lambda: softmax_moments(10, 1.0, "guess"), "known: quadrature, monte_carlo"),
        (lambda: softmax_moments(10, 1.0, "monte_carlo", draws=1), "draws=1 must be at least 2"),
        (lambda: freezing_scale(0), "classes=0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_both_sums_meet(classes):
    """Narrow and wide Gaussians are summed in different ways; the moments go on smoothly where they meet."""
    below, above = softmax_moments(classes, 0.8), softmax_moments(classes, 0.8 + 1e-9)
    for name in ("s", "cubes", "squared"):
        assert getattr(below, name) == pytest.approx(getattr(above, name), rel=1e-7)
