"""Where a threshold is crossed, and intervals: against counting, simulation and known values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from distlandscape.studies.intrinsic import Crossing, crossing, mean_interval, next_dims, wilson


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_against_scipy(pair):
    interval = binomtest(*pair).proportion_ci(0.95, method="wilson")
    assert wilson(*pair) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_wilson_covers_what_it_should():
    random = np.random.default_rng(0)
    for share in (0.1, 0.5, 0.8):
        draws = random.binomial(20, share, 4000)
        covered = np.mean([low <= share <= high for low, high in (wilson(int(k), 20) for k in draws)])
        assert 0.92 < covered < 0.985


def test_mean_interval_covers_and_shrinks():
    random = np.random.default_rng(1)
    covered = 0
    for trial in range(300):
        mean, low, high = mean_interval(random.standard_normal(30), seed=trial)
        assert low <= mean <= high
        covered += low <= 0 <= high
    assert 0.89 < covered / 300 < 0.98
    wide, narrow = (np.ptp(mean_interval(random.standard_normal(n))[1:]) for n in (20, 2000))
    assert wide / narrow == pytest.approx(10, rel=0.4)


def test_crossing_without_scatter():
    accuracies = {10: [0.25] * 3, 100: [0.625] * 3, 1000: [0.875] * 3}  # no rounding in their means
    found = crossing(accuracies, [1.0] * 3, 0.75)
    middle = math.exp(0.5 * (math.log(100) + math.log(1000)))
    assert found == Crossing(pytest.approx(middle), pytest.approx(middle), pytest.approx(middle), below=100, at=1000)
    assert crossing(accuracies, [1.25] * 3, 0.5).value == pytest.approx(100)
    assert crossing(accuracies, None, 0.625).at == 100
    assert crossing(accuracies, None, 0.95) == Crossing(None, None, None, None, None)
    assert crossing(accuracies, None, 0.1) == Crossing(10, None, 10, None, 10)  # at most 10


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 10**5), min_size=1, max_size=7, unique=True),
    st.floats(0.05, 0.95),
    st.integers(0, 2**32),
)
def test_crossing_is_bracketed_and_its_interval_ordered(dims, threshold, seed):
    random = np.random.default_rng(seed)
    accuracies = {d: random.uniform(0, 1, 4) for d in dims}
    found = crossing(accuracies, None, threshold, seed)
    means = {d: group.mean() for d, group in accuracies.items()}
    reached = [d for d in sorted(dims) if means[d] >= threshold]
    assert found.at == (reached[0] if reached else None)
    if found.at is not None:
        assert (found.below or found.at) <= found.value * (1 + 1e-12)
        assert found.value <= found.at * (1 + 1e-12)
    if found.low is not None and found.high is not None:
        assert min(dims) * (1 - 1e-12) <= found.low <= found.high <= max(dims) * (1 + 1e-12)


def test_interval_covers_the_crossing_of_the_true_means():
    """Twelve trainings a dimension around a line in log d, many times over."""
    dims, random, covered = [50, 100, 200, 400, 800], np.random.default_rng(3), 0
    truth = 200 * math.sqrt(2)
    for trial in range(200):
        accuracies = {d: 0.5 + 0.1 * math.log2(d / truth) + 0.05 * random.standard_normal(12) for d in dims}
        baseline = 0.5 / 0.9 + 0.03 * random.standard_normal(12)
        found = crossing(accuracies, baseline, 0.9, trial)
        covered += found.low <= truth <= found.high
    assert 0.85 < covered / 200 <= 0.99


def test_interval_after_refinement_with_five_seeds_covers_less_than_it_says():
    """The whole procedure, a grid and three rounds: 0.95 is not kept, about 0.85 is (docs/hyperplanes.md)."""
    truth, random, covered = 125, np.random.default_rng(0), 0
    for trial in range(150):
        baseline = 0.97 + 0.004 * random.standard_normal(5)
        accuracies, new = {}, [5, 10, 20, 40, 80, 160]
        for _ in range(4):
            for d in new:
                mean = min(1.0, max(0.1, 0.9 + 0.12 * math.log2(d / truth))) * 0.97
                accuracies[d] = mean + 0.02 * random.standard_normal(5)
            found = crossing(accuracies, baseline, 0.9, trial)
            new = next_dims(found, sorted(accuracies))
        covered += (found.low or 0) <= truth <= (found.high or math.inf)
    assert 0.75 < covered / 150 < 0.93


def test_an_interval_that_is_open_above():
    random = np.random.default_rng(0)
    noisy = 0.5 + 0.2 * random.standard_normal(6)
    found = crossing({10: [0.0] * 6, 100: noisy}, None, float(noisy.mean()) - 0.01)
    assert found.at == 100
    assert found.low is not None
    assert found.high is None


def test_an_interval_that_is_open_below():
    """A mean just below the threshold in the smallest dimension: many resamples reach it there, or below."""
    noisy = 0.5 + 0.2 * np.random.default_rng(0).standard_normal(6)
    found = crossing({10: noisy, 100: [1.0] * 6}, None, float(noisy.mean()) + 0.01)
    assert (found.below, found.at, found.low) == (10, 100, None)
    assert 10 < found.value < found.high < 100


def test_next_dimensions_cut_the_bracket():
    assert next_dims(Crossing(20, 15, 25, 10, 80), [10, 80]) == [20, 40]
    assert next_dims(Crossing(20, 15, 25, 10, 80), [10, 40, 80]) == [20]
    assert next_dims(Crossing(105, 100, 110, 100, 109), [100, 109]) == []
    assert next_dims(Crossing(2, 1, 3, 1, 2), [1, 2]) == []
    assert next_dims(Crossing(10, 10, 10, None, 10), [10]) == []
    assert next_dims(Crossing(None, None, None, None, None), [10]) == []
