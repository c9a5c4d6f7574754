"""The plane spectrum against random matrices, without and with planted outliers, and its own identities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distlandscape.errors import InputError
from distlandscape.theory import hyperplane_semicircle, plane_spectrum

D = 600


def in_plane(values, plane, random):
    """Eigenvalues of VᵀHV; V is uniform, so H may be diagonal."""
    V = np.linalg.qr(random.standard_normal((len(values), plane)))[0]
    return np.linalg.eigvalsh(V.T @ (values[:, None] * V))


def matrix(outliers, mean=0.4, seed=0):
    values = mean + np.random.default_rng(seed).uniform(-1, 1, D)
    values[: len(outliers)] = outliers
    return values


def predicted(values, plane, outliers=()):
    return plane_spectrum(values.sum(), np.linalg.norm(values), D, plane, outliers)


@pytest.mark.parametrize(
    "outliers",
    [[], list(np.linspace(30, 90, 9)), [60.0, 40.0, -50.0], [35.0] * 25],
    ids=["none", "nine", "both signs", "nearly as many as dimensions"],
)
def test_spectrum_in_a_plane(outliers, capsys):
    values, plane, random = matrix(outliers), 30, np.random.default_rng(1)
    drawn = np.concatenate([in_plane(values, plane, random) for _ in range(16)])
    told = predicted(values, plane, outliers).distance(drawn)
    without = predicted(values, plane).distance(drawn)
    with capsys.disabled():
        print(f"\n  {len(outliers)} outliers: distance {told:.3f}, {without:.3f} by a semicircle alone")
    assert told < 1.63 / np.sqrt(len(drawn))  # the 1 % point for independent values; eigenvalues repel, so are closer
    if outliers:
        assert without > 4 * told


@pytest.mark.parametrize("outliers", [[], [50.0] * 6], ids=["without", "with outliers"])
def test_all_positive_begins_where_predicted(outliers):
    """The mean of the bulk at which half of all planes are positive is that at which the lowest eigenvalue is 0."""
    plane, means = 24, np.linspace(0.05, 0.45, 9)
    spectra = [predicted(matrix(outliers, mean), plane, outliers) for mean in means]
    begins = np.interp(0, [s.lowest for s in spectra], means)
    assert [s.all_positive for s in spectra] == [s.lower_edge > 0 for s in spectra]
    random = np.random.default_rng(2)
    shares = [np.mean([in_plane(matrix(outliers, m, k), plane, random)[0] > 0 for k in range(12)]) for m in means]
    assert shares[0] == 0
    assert shares[-1] == 1
    assert np.interp(0.5, np.maximum.accumulate(shares), means) == pytest.approx(begins, abs=0.05)


def test_outliers_hide_what_is_positive():
    """Outliers fill the norm: Tr/‖·‖_F is far below 2√d, and yet all curvature is positive, as the bulk's own says."""
    outliers = [80.0] * 9
    values, plane = matrix(outliers, 0.5), 20
    assert values.sum() / np.linalg.norm(values) < 2 * np.sqrt(plane)
    assert not predicted(values, plane).all_positive
    assert predicted(values, plane, outliers).all_positive
    assert in_plane(values, plane, np.random.default_rng(3))[0] > 0


@settings(max_examples=12, deadline=None)
@given(st.floats(-3, 3), st.floats(0.1, 4), st.integers(2, 200))
def test_without_outliers_it_is_the_semicircle(mean, deviation, plane):
    trace, norm = mean * D, np.sqrt(D * (mean**2 + deviation**2))
    spectrum, circle = plane_spectrum(trace, norm, D, plane), hyperplane_semicircle(trace, norm, D, plane)
    x = circle.centre + circle.radius * np.linspace(-1.2, 1.2, 13)
    np.testing.assert_allclose(spectrum.cumulative(x), circle.cumulative(x), atol=1e-3)
    assert spectrum.lower_edge == pytest.approx(circle.centre - circle.radius, abs=1e-6 * circle.radius + 1e-9)
    assert spectrum.all_positive == circle.all_positive


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(-60, 60), max_size=6), st.integers(5, 60))
def test_mean_and_mirror(outliers, plane):
    """The mean is Tr/D exactly; −H has the mirrored spectrum; the cumulative rises from 0 to 1 as the density says."""
    values = matrix(outliers)
    spectrum = predicted(values, plane, outliers)
    mirrored = plane_spectrum(-values.sum(), np.linalg.norm(values), D, plane, [-v for v in outliers])
    low, high = spectrum._range()
    x = np.linspace(low, high, 601)
    share = spectrum.cumulative(x)
    assert (np.diff(share) > -1e-6).all()
    assert share[0] == pytest.approx(0, abs=1e-4)
    assert share[-1] == pytest.approx(1, abs=1e-4)
    assert high - np.trapezoid(share, x) == pytest.approx(values.mean(), abs=2e-3 * (high - low))
    np.testing.assert_allclose(mirrored.cumulative(-x), 1 - share, atol=1e-5)
    assert (spectrum.density(x) >= 0).all()


def test_positive_is_one_minus_the_share_below_zero():
    spectrum = predicted(matrix([40.0, -40.0]), 20, [40.0, -40.0])
    assert spectrum.positive == pytest.approx(1 - spectrum.cumulative([0.0])[0])
    assert 0.5 < spectrum.positive < 1


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((1.0, 1.0, 10, 20), "plane=20"),
        ((100.0, 1.0, 10, 5), "no matrix"),
        ((1.0, 1.0, 10, 5, [float("nan")]), "finite"),
        ((1.0, 1.0, 10, 5, [2.0]), "larger than the norm"),
    ],
)
def test_what_cannot_be(arguments, word):
    with pytest.raises(InputError, match=word):
        plane_spectrum(*arguments)
