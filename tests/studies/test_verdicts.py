"""Verdicts: every answer can come out, bounds and errors count as written, chance alone turns none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distlandscape.studies.verdicts import FAILS, HOLDS, UNKNOWN, agrees, confined, exceeds, verdicts
from distlandscape.theory import RandomModel, model_spread

C = 10
GOOD = {
    "step": 0,
    "residual_share": 0.1,
    "residual_share_stderr": 0.01,
    "q_sl": 0.5,
    "q_slsc": 0.7,
    "q_dl": 0.02,
    "q_sl_error": 0.02,
    "q_slsc_error": 0.02,
    "q_dl_error": 0.005,
    "model_q_threshold": 0.01,
    "sum_p2": 0.4,
    "model_sum_p2": 0.42,
    "sum_p2_error": 0.01,
    "sigma_z": 2.0,
    "outliers": 9,
    "model_outlier": 5.0,
    "converged": True,
    "confinement": 0.9,
    "model_confinement": 0.8,
    "model_confinement_sd": 0.1,
    "confinement_null": 0.7,
    "lambda_max": 10.0,
    "lambda_max_residual": 0.01,
    "model_lambda_max": 9.5,
    "model_lambda_max_sd": 0.5,
    "ratio": 3.0,
    "ratio_stderr": 0.1,
    "model_ratio": 3.2,
    "positive": 1.0,
}


def along_training(**changes):
    """Eight checkpoints on which everything holds, but for the changes."""
    curve = [(4.0, 0.3), (6.0, 0.5), (9.0, 1.0), (10.0, 2.0), (8.0, 3.0), (6.0, 4.0), (5.0, 5.0), (4.0, 6.0)]
    return [
        {**GOOD, "step": 10 * i, "lambda_max": top, "sigma_z": spread, **changes}
        for i, (top, spread) in enumerate(curve)
    ]


def words(rows):
    return [v.verdict for v in verdicts(rows, C)]


def observed(rows):
    return [v.observed for v in verdicts(rows, C)]


def test_all_hold():
    assert words(along_training()) == [HOLDS] * 7


@pytest.mark.parametrize(
    ("claim", "changes", "verdict"),
    [
        (0, {"residual_share": 0.8}, FAILS),
        (0, {"residual_share_stderr": 0.3}, UNKNOWN),
        (1, {"q_sl": 0.02}, FAILS),  # not above 5 |q_DL|
        (1, {"q_sl": 0.005, "q_dl": 0.0, "q_sl_error": 1e-4, "q_dl_error": 1e-4}, FAILS),  # too little for outliers
        (1, {"q_slsc": 0.3}, FAILS),
        (1, {"q_sl": 0.11}, UNKNOWN),
        (2, {"sum_p2": 0.7}, FAILS),
        (2, {"sigma_z": 2.0}, FAILS),  # does not grow
        (2, {"sum_p2_error": 0.2}, UNKNOWN),
        (3, {"outliers": 10}, HOLDS),
        (3, {"outliers": 1}, FAILS),
        (3, {"model_outlier": None}, FAILS),
        (3, {"converged": False}, UNKNOWN),
        (4, {"confinement": 0.3}, FAILS),
        (4, {"confinement": 0.55, "model_confinement": 0.9}, FAILS),
        (4, {"confinement": None}, UNKNOWN),
        (5, {"lambda_max": 10.0}, FAILS),  # neither rises nor falls
        (5, {"model_lambda_max": 4.0}, FAILS),
        (5, {"model_lambda_max_sd": 5.0}, UNKNOWN),
        (6, {"ratio": 0.2}, FAILS),
        (6, {"model_ratio": 6.0}, FAILS),
        (6, {"ratio_stderr": 2.0}, UNKNOWN),
    ],
)
def test_each_claim_turns_on_its_own_numbers(claim, changes, verdict):
    found = words(along_training(**changes))
    assert found[claim] == verdict
    assert all(word == HOLDS for index, word in enumerate(found) if index != claim)


@pytest.mark.parametrize(
    "changes",
    [
        {"sum_p2": 0.7},
        {"model_outlier": None},
        {"confinement": 0.55, "model_confinement": 0.9},
        {"model_lambda_max": 4.0},
        {"model_ratio": 6.0},
    ],
)
def test_a_model_that_errs_takes_nothing_from_the_network(changes):
    assert FAILS in words(along_training(**changes))
    assert observed(along_training(**changes)) == [HOLDS] * 7


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        (0, {"residual_share": 0.8}),
        (2, {"sigma_z": 2.0}),
        (3, {"outliers": 1}),
        (4, {"confinement": 0.3}),
        (5, {"lambda_max": 10.0}),
        (6, {"ratio": 0.2}),
    ],
)
def test_what_the_network_lacks_no_model_mends(claim, changes):
    assert observed(along_training(**changes))[claim] == FAILS


def test_three_quarters_of_the_checkpoints_have_to_hold():
    rows = along_training()
    for index, expected in enumerate([HOLDS, HOLDS, FAILS, FAILS]):
        rows[index]["outliers"] = 2
        found = verdicts(rows, C)[3]
        assert found.verdict == expected
        assert f"holds at {7 - index} of 8" in found.why
        assert found.along == [FAILS] * (index + 1) + [HOLDS] * (7 - index)
    assert found.measured == 2
    assert found.step == 30


def test_a_claim_about_the_whole_of_training_has_no_answer_at_a_step():
    assert [len(v.along) for v in verdicts(along_training(), C)] == [8, 8, 8, 8, 8, 0, 8]


def test_one_checkpoint_shows_no_rise_and_fall():
    assert words([GOOD]) == [*[HOLDS] * 5, UNKNOWN, HOLDS]


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(0, 5), st.floats(0, 1))
def test_answers_do_not_contradict_each_other(a, b, error, tolerance):
    """Without error there is always an answer; a larger error never turns one answer into the other."""
    assert agrees(a, b, 0.0, tolerance) != UNKNOWN
    assert agrees(a, b, error, tolerance) in (agrees(a, b, 0.0, tolerance), UNKNOWN)
    assert exceeds(a, b, error) in (exceeds(a, b, 0.0), UNKNOWN)
    assert exceeds(a, b, 0.0) == (HOLDS if a >= b else FAILS)
    assert agrees(a, float("nan"), error) == exceeds(float("nan"), b, error) == UNKNOWN


def test_confinement_holds_on_nearly_all_draws_of_the_model():
    model = RandomModel(6, 100, 200, 1.0, 0.4, 1.0)
    spread = model_spread(model, 200).confinement
    told = {"model_confinement": spread.mean(), "model_confinement_sd": spread.std(ddof=1), "confinement_null": 0.8}
    draws = [confined({**told, "confinement": replace(model, seed=s).sample().confinement}) for s in range(20)]
    assert sum(d.verdict == HOLDS for d in draws) >= 17
