"""Every spike formula against simulation at three sizes, the closed forms against the one for any bulk."""

from __future__ import annotations

import numpy as np
import pytest

from distlandscape.errors import InputError
from distlandscape.theory import (
    additive_spike,
    goe_spike,
    marchenko_pastur,
    multiplicative_spike,
    rectangular_spike,
    spiked_covariance,
    wishart_spike,
)
from tests.theory import simulations

SIZES = (60, 180, 540)


@pytest.mark.parametrize("name", simulations.CASES)
def test_error_falls_with_size(name):
    """Root mean square errors of position and overlaps over draws fall like a power of the size."""
    errors = np.array([simulations.errors(name, n, draws=24 if n < 500 else 10) for n in SIZES])
    assert (errors[-1] < 0.75 * errors[0]).all(), errors
    assert (errors[-1] < 0.08).all(), errors


@pytest.mark.parametrize("theta", [0.6, 1.0, 1.3, 3.0, 20.0])
def test_closed_forms_are_the_general_one(theta):
    """The general formulas on quantiles of the limiting bulk."""
    n, gamma = 4000, 0.4
    law = marchenko_pastur(gamma)
    x = np.linspace(law.lower, law.upper, 400_001)
    cumulative = np.cumsum(law.density(x))
    bulk = np.interp((np.arange(n) + 0.5) / n, cumulative / cumulative[-1], x)
    semicircle = np.linspace(-2, 2, 400_001)
    cumulative = np.cumsum(np.sqrt(4 - semicircle**2))
    goe = np.interp((np.arange(n) + 0.5) / n, cumulative / cumulative[-1], semicircle)
    pairs = [
        (additive_spike(theta, bulk), wishart_spike(theta, gamma)),
        (multiplicative_spike(theta, bulk), spiked_covariance(1 + theta, gamma)),
        (additive_spike(theta, goe), goe_spike(theta)),
    ]
    for general, closed in pairs:
        limit = closed.threshold - (1 if closed.threshold > 1.5 else 0)
        assert general.threshold == pytest.approx(limit, rel=0.06)
        if theta > 1.2 * limit:
            assert general.value == pytest.approx(closed.value, rel=3e-3)
            assert general.overlap == pytest.approx(closed.overlap, abs=0.02)
        if theta < 0.9 * limit:
            assert general.value is None
            assert closed.value is None
            assert general.overlap == closed.overlap == 0


@pytest.mark.parametrize(
    ("spike", "threshold"),
    [
        (lambda t: goe_spike(t, 2.0), 2.0),
        (lambda t: wishart_spike(t, 0.25), 0.75),
        (lambda t: spiked_covariance(t, 0.25), 1.5),
        (lambda t: rectangular_spike(t, 0.25), 0.25**0.25),
    ],
)
def test_no_outlier_below_the_threshold(spike, threshold):
    below, above = spike(0.999 * threshold), spike(1.001 * threshold)
    assert below.value is None
    assert below.threshold == pytest.approx(threshold)
    assert above.value > 0
    overlap = above.left if hasattr(above, "left") else above.overlap
    assert 0 < overlap < 0.02


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: goe_spike(0), "theta=0 must be positive"),
        (lambda: goe_spike(1, -1), "sigma=-1 must be"),
        (lambda: spiked_covariance(2, 0), "gamma=0 must be positive"),
        (lambda: additive_spike(1, []), "two different, finite eigenvalues"),
        (lambda: additive_spike(1, [2, 2]), "two different"),
        (lambda: additive_spike(1, [1, np.nan]), "finite"),
        (lambda: additive_spike(np.inf, [1, 2]), "theta=inf"),
        (lambda: multiplicative_spike(1, [-1, 2]), "without negative"),
        (lambda: rectangular_spike(1, -2), "ratio=-2"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
