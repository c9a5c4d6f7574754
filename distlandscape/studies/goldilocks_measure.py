"""Curvature and softmax at one point: planes, outliers, density, the two terms, and what the predictions say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from distlandscape.config import RunConfig
from distlandscape.curvature.flat_samples import flat_sums
from distlandscape.objective import Objective
from distlandscape.results import Eigenpairs, SpectralDensity
from distlandscape.runtime import GaussNewton, Hessian, LocalRunner, Residual
from distlandscape.runtime.clustering import clustering, freezing
from distlandscape.runtime.measures import loss_accuracy_gradient
from distlandscape.spectral import plane_curvature, spectral_density, top_eigenpairs, trace_and_frobenius
from distlandscape.spectral.journal import SILENT
from distlandscape.studies.goldilocks_point import radius_of
from distlandscape.theory import RandomModel, plane_spectrum

Array = npt.NDArray[np.float64]
GRID = 81  # points of a predicted distribution
ZERO = 1e-12  # of the largest curvature: rounding, where d is more than the rank of a frozen network's H
OTHER_PASSES = 4  # softmax, gradient, flat samples, clustering
TOL = 0.02  # of the outliers, which predictions take out of the bulk


def measure_point(objective: Objective, config: RunConfig, seed: int, runner: LocalRunner) -> dict[str, Any]:
    """Curvature and softmax at the objective's θ, in planes of ``seed``; numbers that do not exist (H = 0) are None."""
    g, N = config.goldilocks, objective.samples
    state = freezing(objective, runner)
    gradient = loss_accuracy_gradient(objective, runner)[2]
    flat, flat64, rounded = (float(v) / N for v in runner.map_blocks(objective, flat_sums)[0])
    H = Hessian(objective, runner)
    pairs = _outliers(H, objective, config, seed)
    outliers = [] if pairs is None else [float(v) for v in pairs.eigenvalues]
    plane = plane_curvature(H, max(g.planes), seed, known=pairs)
    norms = {
        name: trace_and_frobenius(operator(objective, runner), g.norm_probes, seed)[1]
        for name, operator in (("gauss_newton", GaussNewton), ("residual", Residual))
    }
    trace, norm = plane.trace.value, plane.frobenius.value
    density = _density(H, pairs, g.density_steps, seed)
    spectra = [plane_row(objective, plane.curvatures(d), trace, norm, outliers, d) for d in sorted(g.planes)]
    return {
        "radius": radius_of(objective),
        "loss": state.loss,
        "accuracy": state.accuracy,
        "gradient": float(gradient.double().norm()),
        "trace": plane.trace.value,
        "trace_stderr": plane.trace.stderr,
        "frobenius": plane.frobenius.value,
        "frobenius_stderr": plane.frobenius.stderr,
        "ratio": _finite(plane.ratio.value),
        "ratio_stderr": _finite(plane.ratio.stderr),
        "asymmetry": plane.asymmetry,
        "sum_p2": state.sum_p2,
        "sigma_z": state.sigma_z,
        **{name: estimate.value for name, estimate in norms.items()},
        **{f"{name}_stderr": estimate.stderr for name, estimate in norms.items()},
        "flat": flat,
        "flat_float64": flat64,
        "rounded": rounded,
        "outliers": outliers,
        "outlier_status": "not asked for" if pairs is None else pairs.status,
        "density": [] if density is None else np.column_stack([density.nodes, density.weights]).tolist(),
        "planes": spectra,
        "model": _random_model(objective, state.sigma_z, runner),
    }


def point_passes(config: RunConfig, objective: Objective) -> int:
    """Products that a point takes, at most."""
    g = config.goldilocks
    return max(g.planes) + 2 * g.norm_probes + outlier_steps(config, objective)[1] + g.density_steps + OTHER_PASSES


def outlier_steps(config: RunConfig, objective: Objective) -> tuple[int, int]:
    """Outliers of each end that are looked for, and the Lanczos steps that may take."""
    k = config.goldilocks.outliers
    k = min(objective.outputs if k is None else k, max(1, objective.parameters // 8))
    return k, min(objective.parameters, 8 * k + 40) if k else 0


def _outliers(H: Hessian, objective: Objective, config: RunConfig, seed: int) -> Eigenpairs | None:
    """Eigenpairs of both ends, descending; Ritz pairs where they did not converge, which is said.

    The residual term has as much below 0 as above, so outliers are on both sides where it is large.
    """
    k, steps = outlier_steps(config, objective)
    if k == 0:
        return None
    return top_eigenpairs(H, (k, k), TOL, "BE", max_steps=steps, seed=seed, journal=SILENT)


def _density(H: Hessian, pairs: Eigenpairs | None, steps: int, seed: int) -> SpectralDensity | None:
    """The density of all eigenvalues by one draw, beside the outliers that converged; None if not asked for."""
    if not steps:
        return None
    left = H.space.dim - (0 if pairs is None else int(pairs.converged.sum()))
    return spectral_density(H, 1, max(1, min(steps, left)), seed, known=pairs, journal=SILENT)


def plane_row(
    objective: Objective, curvatures: Array, trace: float, frobenius: float, outliers: list[float], d: int
) -> dict[str, Any]:
    """Measured curvature in a d-plane beside the spectra predicted without and with the outliers.

    ``predicted`` holds both cumulative distributions on a common grid; it is empty for H = 0.
    """
    positive = float(np.mean(curvatures > ZERO * np.abs(curvatures).max()))
    row: dict[str, Any] = {"plane": d, "positive": positive, "lowest": float(curvatures[0])}
    predicted: list[dict[str, float]] = []
    if frobenius > 0:
        P = objective.parameters
        frobenius = max(frobenius, abs(trace) / math.sqrt(P))  # estimates scatter
        width = float(curvatures[-1] - curvatures[0])
        grid = np.linspace(curvatures[0] - width / 4, curvatures[-1] + width / 4, GRID)
        columns = {"curvature": grid}
        for name, taken in (("without", []), ("with", outliers)):
            spectrum = plane_spectrum(trace, frobenius, P, d, taken)
            row |= {f"positive_{name}": spectrum.positive, f"lowest_{name}": spectrum.lowest}
            row[f"distance_{name}"] = spectrum.distance(curvatures)
            columns[name] = spectrum.cumulative(grid)
        predicted = [
            dict(zip(columns, map(float, values), strict=True)) for values in zip(*columns.values(), strict=True)
        ]
    return {**row, "curvatures": curvatures.tolist(), "predicted": predicted}


def _random_model(objective: Objective, sigma_z: float, runner: LocalRunner) -> dict[str, float | None]:
    """Clustering q_SL, and Tr/‖·‖_F of the random model with it and the measured σ_z."""
    q_sl = clustering(objective, runner).q_sl
    if not math.isfinite(q_sl):
        return {"q_sl": None, "model_ratio": None}
    share = min(max(q_sl, 0.0), 0.999)
    model = RandomModel(
        objective.outputs, objective.samples, objective.parameters, math.sqrt(share), math.sqrt(1 - share), sigma_z
    )
    return {"q_sl": q_sl, "model_ratio": model.predict().trace_over_frobenius}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
