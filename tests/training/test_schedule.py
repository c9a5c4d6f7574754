"""Learning rates by formula, and the steps at which curves are kept."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import distlandscape as dl
from distlandscape.training import curve_steps, learning_rate_at


def rates(steps, *arguments):
    return [learning_rate_at(step, steps, *arguments) for step in range(steps)]


def test_constant_is_the_number_itself():
    assert rates(7, 0.3) == [0.3] * 7


def test_cosine_falls_to_zero_at_the_end():
    expected = [0.1 * (1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)]
    assert rates(8, 0.1, "cosine") == pytest.approx(expected, rel=1e-14)
    assert learning_rate_at(8, 8, 0.1, "cosine") == pytest.approx(0, abs=1e-17)


def test_step_is_a_tenth_after_one_half_and_again_after_three_quarters():
    assert rates(8, 2.0, "step") == pytest.approx([2.0] * 4 + [0.2] * 2 + [0.02] * 2, rel=1e-14)
    assert rates(5, 2.0, "step") == pytest.approx([2.0] * 3 + [0.2] + [0.02], rel=1e-14)  # 2.5 and 3.75


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_the_rise_is_linear_and_ends_at_the_peak(schedule):
    with_rise = rates(20, 0.8, schedule, 4)
    assert with_rise[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8], rel=1e-14)
    assert with_rise[4] == 0.8
    if schedule == "cosine":  # over what the rise leaves
        assert with_rise[4:] == rates(16, 0.8, "cosine")
    else:
        assert with_rise[4:] == rates(20, 0.8, schedule)[4:]


@given(
    steps=st.integers(1, 3000),
    share=st.floats(0, 1),
    schedule=st.sampled_from(["constant", "cosine", "step"]),
    data=st.data(),
)
def test_rates_are_positive_and_at_most_the_peak(steps, share, schedule, data):
    step = data.draw(st.integers(0, steps - 1))
    assert 0 < learning_rate_at(step, steps, 0.7, schedule, int(share * steps)) <= 0.7


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(dl.InputError, match=r"train\.schedule='linear' is unknown; known: constant, cosine, step"):
        learning_rate_at(0, 5, 0.1, "linear")
    with pytest.raises(dl.InputError, match=r"train\.warmup_steps=6 is more than train\.steps=5; lower it"):
        learning_rate_at(0, 5, 0.1, "cosine", 6)


@given(steps=st.integers(0, 200_000))
def test_curve_steps(steps):
    kept = curve_steps(steps)
    assert kept == sorted(set(kept))
    assert len(kept) <= 2000
    if steps <= 2000:
        assert kept == list(range(1, steps + 1))
    else:
        assert (kept[0], kept[-1]) == (1, steps)
        assert kept[:50] == list(range(1, 51))
