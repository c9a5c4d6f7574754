"""The fit of the random model, and its scatter, against draws of the model itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distlandscape.errors import InputError
from distlandscape.theory import RandomModel, fit_random_model, model_spread

MODEL = RandomModel(5, 120, 300, 0.5, 1.0, 1.0)


def cosines(J_NCD, y_N):
    """Means over pairs of samples, naively: the whole Gram matrix."""
    N, C, _ = J_NCD.shape
    unit = J_NCD / np.linalg.norm(J_NCD, axis=2, keepdims=True)
    gram = np.einsum("nkd,mld->nkml", unit, unit)
    other = ~np.eye(N, dtype=bool)
    same = np.stack([gram[:, k, :, k] for k in range(C)])
    cross = ~np.eye(C, dtype=bool)
    own = [same[k][np.ix_(y_N == k, y_N == k)] for k in range(C)]
    pairs = [(g.sum() - np.trace(g), len(g) * (len(g) - 1)) for g in own]
    different = (y_N[:, None] != y_N[None]) & other
    return {
        "q_sl": same[:, other].mean(),
        "q_slsc": sum(a for a, _ in pairs) / sum(b for _, b in pairs),
        "q_sldc": same[:, different].mean(),
        "q_dl": gram.transpose(0, 2, 1, 3)[other][:, cross].mean(),
        "q_same": np.stack([gram[n, :, n][cross] for n in range(N)]).mean(),
        "mean_square_length": np.square(J_NCD).sum(2).mean(),
    }


@pytest.mark.parametrize("shared", [0.0, 2.0])
def test_scales_come_back_from_a_draw(shared):
    """What all logits share changes neither G nor the fit."""
    model = RandomModel(5, 60, 2000, 0.7, 1.0, 1.3, sigma_d=0.4, seed=1)
    _, y_N, _, J_NCD = model._gradients()
    if shared:
        rng = np.random.default_rng(0)
        J_NCD = J_NCD + shared * (rng.standard_normal(2000) + rng.standard_normal((60, 1, 2000)))
    fit = fit_random_model(5, 2000, sigma_z=1.3, **cosines(J_NCD, y_N))
    # q_SL holds 1/C of the σ_d part
    clustered = np.sqrt(0.7**2 + 0.4**2 / 5)
    assert fit.sigma_c == pytest.approx(clustered, rel=0.05)
    assert fit.sigma_e == pytest.approx(np.sqrt(1 + 0.4**2 * 0.8), rel=0.05)
    assert fit.sigma_d == pytest.approx(0.4, rel=0.15)
    assert fit.shared == pytest.approx(2 * shared**2 / (1.65 + 2 * shared**2), abs=0.03)
    assert fit.model(5, 60, 2000).sigma_d == 0


@settings(max_examples=30)
@given(st.floats(0.01, 5), st.floats(0.01, 5), st.integers(2, 40), st.integers(10, 10**6), st.floats(0, 20))
def test_exact_cosines_give_exact_scales(sigma_c, sigma_e, C, D, sigma_z):
    q = RandomModel(C, 10, D, sigma_c, sigma_e, sigma_z).clustering
    fit = fit_random_model(C, D, mean_square_length=D * (sigma_c**2 + sigma_e**2), q_same=0.0, sigma_z=sigma_z, **q)
    assert (fit.sigma_c, fit.sigma_e, fit.sigma_z, fit.sigma_d) == pytest.approx((sigma_c, sigma_e, sigma_z, 0))


@pytest.mark.parametrize("sigma_c", [0.0, 0.5])
def test_spread_is_that_of_whole_draws(sigma_c):
    model = replace(MODEL, sigma_c=sigma_c)
    drawn = [replace(model, seed=seed).sample() for seed in range(12)]
    spread = model_spread(model, 200)
    largest = np.array([d.eigenvalues[0] for d in drawn])
    mean_error = largest.std(ddof=1) / np.sqrt(len(drawn))
    assert abs(spread.largest.mean() - largest.mean()) < 4 * mean_error + 0.03 * largest.mean()
    confinement = np.array([d.confinement for d in drawn])
    error = confinement.std(ddof=1) / np.sqrt(len(drawn))
    assert abs(spread.confinement.mean() - confinement.mean()) < 4 * error
    assert spread.confinement.mean() == pytest.approx(model.predict().confinement, abs=0.03)
    if sigma_c:
        last = np.mean([d.eigenvalues[3] for d in drawn])
        assert spread.leading[:, 3].mean() == pytest.approx(last, rel=0.04)
        assert 1 / 3 < spread.confinement.std() / confinement.std(ddof=1) < 3
        assert 1 / 3 < spread.largest.std() / largest.std(ddof=1) < 3


@settings(max_examples=4)
@given(st.floats(0.05, 3), st.floats(0, 2), st.integers(2, 8))
def test_spread_is_ordered_and_repeatable(sigma_e, sigma_c, C):
    model = RandomModel(C, 100, 200, sigma_c, sigma_e, 1.0)
    first, again = model_spread(model, 5), model_spread(model, 5)
    assert (first.leading == again.leading).all()
    assert (np.diff(first.leading, axis=1) <= 1e-12 * first.leading.max()).all()
    assert ((first.confinement >= 0) & (first.confinement <= 1)).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"q_sl": 1.5}, "no mean of cosines"),
        ({"q_dl": float("nan")}, "no mean of cosines"),
        ({"sigma_z": -1.0}, "sigma_z"),
        ({"mean_square_length": float("inf")}, "mean_square_length"),
    ],
)
def test_what_cannot_be_fitted(change, words):
    good = {"q_sl": 0.5, "q_slsc": 0.5, "q_sldc": 0.5, "q_dl": 0.0, "q_same": 0.0}
    with pytest.raises(InputError, match=words):
        fit_random_model(3, 10, **{**good, "mean_square_length": 1.0, "sigma_z": 1.0, **change})


def test_what_has_no_spread():
    with pytest.raises(InputError, match="sigma_d"):
        model_spread(replace(MODEL, sigma_d=1.0))
    with pytest.raises(InputError, match="at least 2"):
        model_spread(MODEL, 1)
