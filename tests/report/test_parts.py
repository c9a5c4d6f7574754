"""Numbers in words, smoothed densities, and the tolerance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distlandscape.convergence import FLOOR
from distlandscape.report.curves import density_panels
from distlandscape.report.numbers import as_known, number, with_error
from distlandscape.report.tables import load
from distlandscape.report.words import curve_name, gap_rank
from distlandscape.spectral import stopping
from tests.report.fabricate import C, P, make_run


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (12.0, "12.00"),
        (-0.014683, "−0.01468"),
        (999_940.0, "999,940"),
        (999_960.0, "1.000×10⁶"),
        (1.23456e7, "1.235×10⁷"),
        (-4.2e-9, "−4.200×10⁻⁹"),
        (float("nan"), "unknown"),
        (None, "unknown"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (12.03121, 0.00043, "12.03121 ± 0.00043"),
        (56.4213, 0.68, "56.42 ± 0.68"),
        (1234.5, 81.0, "1,234 ± 81"),
        (12.0, 3e-12, "12.000000 ± 0.000001"),
        (1.91585809, 4.6e-8, "1.915858 ± 0.000001"),
        (1.9158586, 1.4e-6, "1.915859 ± 0.000002"),
        (1.234e-5, 3.1e-7, "(1.234 ± 0.031)×10⁻⁵"),
        (-2.5, 4.0, "−2.5 ± 4.0"),
        (3.0, 0.0, "3.00000 (exact)"),
        (3.0, float("nan"), "3.000 (error unknown)"),
    ],
)
def test_with_error(value: float, error: float, text: str) -> None:
    assert with_error(value, error) == text


@pytest.mark.parametrize("error", [3e-9, 2.4e-7, 6e-7, 1.4e-6, 9.9e-6])
def test_a_bound_holds_for_the_value_shown(error: float) -> None:
    for value in np.random.default_rng(0).uniform(-30, 30, 200):
        mean, margin = with_error(value, error).replace("−", "-").split(" ± ")
        assert abs(float(mean) - value) + error <= float(margin) * (1 + 1e-6)


def test_as_known_keeps_the_power_of_ten() -> None:
    assert as_known(-1.234e-5, 3.1e-7) == "−1.234×10⁻⁵"
    assert as_known(8.06594, 0.0011) == "8.0659"
    assert as_known(8.0, 0.0) == "8.00000"


def test_each_panel_is_a_density(tmp_path: Path) -> None:
    view = load(make_run(tmp_path))
    whole, bulk = density_panels(view)
    assert np.trapezoid(whole.mean, whole.grid) == pytest.approx(1, abs=1e-3)
    assert 0.98 < np.trapezoid(bulk.mean, bulk.grid) < 1
    assert whole.grid[0] < bulk.grid[0] < bulk.grid[-1] < whole.grid[-1] / 10
    assert (whole.low <= whole.mean + 1e-12).all()
    assert (whole.mean <= whole.high + 1e-12).all()


def test_one_eigenvalue_is_as_high_as_the_figure_says(tmp_path: Path) -> None:
    view = load(make_run(tmp_path))
    whole = density_panels(view)[0]
    assert view.top is not None
    assert np.interp(view.top.values[0], whole.grid, whole.mean) == pytest.approx(whole.one, rel=0.02)


def test_parameters_and_classes_are_known_before_the_end(tmp_path: Path) -> None:
    view = load(make_run(tmp_path, finished=False, status=None))
    assert (view.parameters, view.classes, gap_rank(view)) == (P, C, C - 1)


def test_rows_with_the_same_k_are_one_curve(tmp_path: Path) -> None:
    view = load(make_run(tmp_path))
    assert [curve_name(curve) for curve in view.confinement] == ["k = 9 = C − 1", "k = 10 = C"]


def test_the_tolerance_line_is_that_of_the_stopping_rule(tmp_path: Path) -> None:
    view = load(make_run(tmp_path))
    assert FLOOR == stopping.FLOOR
    assert view.lowest is not None
    values = view.lowest.values
    limit = view.admissible(values)
    assert limit is not None
    assert view.tol is not None
    expected = stopping.residual_bounds(values, view.tol, view.eps, 12.0) / np.abs(values)
    np.testing.assert_allclose(limit, expected, rtol=1e-12)
