"""The random model beside one checkpoint: its fit, and what it predicts there."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from distlandscape.theory import Spread, fit_random_model, hyperplane_semicircle, model_spread, softmax_moments

EDGES = (5, 95)  # percentiles of the model's draws that figures show


def model_columns(
    row: dict[str, Any], classes: int, samples: int, parameters: int, plane: int, draws: int, seed: int
) -> tuple[dict[str, Any], Spread]:
    """Fitted scales, predictions and their scatter, as columns of the row they belong to; and the draws themselves."""
    fit = fit_random_model(
        classes,
        parameters,
        **{name: row[name] for name in ("mean_square_length", "q_sl", "q_slsc", "q_sldc", "q_dl", "q_same", "sigma_z")},
    )
    model = fit.model(classes, samples, parameters, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few samples or parameters the page tells
        told = model.predict()
    spread = model_spread(model, draws)
    moments = softmax_moments(classes, fit.sigma_z)
    within = told.threshold**2
    circle = hyperplane_semicircle(row["trace"], _norm(row, parameters), parameters, plane)
    return {
        "sigma_c": fit.sigma_c,
        "sigma_e": fit.sigma_e,
        "sigma_d": fit.sigma_d,
        "model_outlier": told.outlier,
        "model_edge": told.bulk_edge,
        "model_q_threshold": within / (within + fit.sigma_e**2) if fit.sigma_e else 0.0,
        **_scatter("model_lambda_max", spread.largest),
        **_scatter("model_confinement", spread.confinement),
        "model_ratio": told.trace_over_frobenius,
        "model_sum_p2": moments.s,
        "sum_p2_error": float(np.sqrt(max(0.0, moments.squared - moments.s**2) / samples)),
        "semicircle_positive": 1 - float(circle.cumulative(0.0)) if circle.radius else float(circle.centre > 0),
    }, spread


def _norm(row: dict[str, Any], parameters: int) -> float:
    """‖H‖_F; two estimates need not respect ‖H‖_F² ≥ (Tr H)²/P."""
    return float(max(row["frobenius"], abs(row["trace"]) / np.sqrt(parameters)))


def _scatter(name: str, draws: np.ndarray[Any, Any]) -> dict[str, float]:
    low, high = np.percentile(draws, EDGES)
    return {
        name: float(draws.mean()),
        f"{name}_sd": float(draws.std(ddof=1)),
        f"{name}_low": float(low),
        f"{name}_high": float(high),
    }
