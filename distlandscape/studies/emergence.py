"""The emergence study: inputs and properties of Fort & Ganguli (2019) along training, predictions, and verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from distlandscape.config import RunConfig
from distlandscape.curvature.logit_gradients import require_logit_gradients
from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.results import SpectralDensity
from distlandscape.runtime import Hessian
from distlandscape.spectral import overlap, spectral_density
from distlandscape.studies.class_samples import require_class_samples
from distlandscape.studies.confinement import confinement_rows
from distlandscape.studies.context import StudyContext
from distlandscape.studies.emergence_model import model_columns
from distlandscape.studies.emergence_point import STEPS, Point, measure_point, measured_row, pairs_wanted
from distlandscape.studies.given import check_given
from distlandscape.studies.packing import pack, unpack
from distlandscape.studies.projected import compare_descents
from distlandscape.studies.provenance import described_model
from distlandscape.studies.verdicts import HOLDS, UNKNOWN, Verdict, verdicts
from distlandscape.theory import Spread
from distlandscape.theory.prediction import RANGE
from distlandscape.training import learning_rate_at

TABLES = ("checkpoints", "outliers", "confinement", "overlaps", "along")


def check(config: RunConfig, objective: Objective) -> None:
    """Raise InputError for what cannot be measured on this objective."""
    e = config.emergence
    require_class_samples(config, objective)
    k = pairs_wanted(objective)
    if e.max_steps is not None and e.max_steps < k:
        raise InputError(f"emergence.max_steps={e.max_steps} is below the {k} eigenpairs that are needed; raise it")
    if e.plane > objective.parameters:
        raise InputError(f"emergence.plane={e.plane} is above the {objective.parameters} parameters; lower it")
    Hessian(objective)
    require_logit_gradients(objective)
    if e.checkpoints is not None:
        if config.train.steps:
            raise InputError(
                f"emergence.checkpoints and train.steps={config.train.steps} ask for given weights and for a training;"
                " leave one of them out"
            )
        check_given(e.checkpoints, objective)


def planned_passes(config: RunConfig, checkpoints: int) -> float:
    """A rough count of passes, for the expected end only."""
    return checkpoints * 170 + config.emergence.density_steps


def measure(context: StudyContext, checkpoints: list[tuple[int, Path]]) -> dict[str, Any]:
    """Measure every checkpoint, fit the model, judge; returns the summary that becomes result.json."""
    e = context.config.emergence
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    earlier: list[tuple[dict[str, int], torch.Tensor]] = []
    problems: list[str] = []
    passes = 0
    for index, (step, weights) in enumerate(checkpoints):
        context.progress.say(f"checkpoint {index + 1} of {len(checkpoints)}: step {step}")
        objective = context.at(weights)
        N, C, P = objective.samples, objective.outputs, objective.parameters
        rate = learning_rate(context.config, step)
        point = measure_point(context, objective, index, rate)
        passes += point.passes
        if point.pairs.status != "converged":
            problems.append(f"step {step}: {point.pairs.status}")
        where = {"checkpoint": index, "step": step}
        row = measured_row(point, N, edge_of_stability(context.config, rate))
        columns, spread = model_columns(row, C, N, P, min(e.plane, P), e.draws, e.seed)
        tables["checkpoints"].append({**where, "learning_rate": rate, **row, **columns})
        tables["outliers"] += [{**where, **r} for r in _outlier_rows(point, spread, columns["model_edge"])]
        good = point.pairs.eigenvectors[: point.good]
        tables["confinement"] += confinement_rows(index, step, point.sizes, point.gradient, good, point.share)
        tables["overlaps"] += [{**where, **r} for r in _overlap_rows(earlier, good, C - 1)]
        earlier.append((where, good[: C - 1]))
        tables["along"] += [{**where, "alpha": a, "loss": x} for a, x in zip(STEPS, point.losses, strict=False)]
        for name, rows in tables.items():
            if rows:
                context.run.write_table(name, pa.Table.from_pylist(rows))
        context.mirror()
    context.run.write_table("eigenvalues", point.pairs.to_table())
    density = _density(context, objective, point)
    projected = None
    if e.projected_steps:
        middle, start = checkpoints[len(checkpoints) // 2]
        compared = compare_descents(context, context.at(start), middle, learning_rate(context.config, middle))
        context.run.write_table("projected", pa.Table.from_pylist(compared["rows"]))
        projected, passes = compared["summary"], passes + compared["passes"]
    judged = verdicts(tables["checkpoints"], C)
    context.run.write_table("verdicts", pa.Table.from_pylist([v.as_dict() for v in judged]))
    last = {k: v for k, v in tables["checkpoints"][-1].items() if k not in ("checkpoint", "step", "converged")}
    return {
        "weights": str(weights),
        "weights_sha256": objective.weights_sha256,
        "operator": "hessian",
        "projected": projected,
        "verdicts": [v.as_dict() for v in judged],
        "eigenvalues": point.pairs.eigenvalues.tolist(),
        "residuals": point.pairs.residuals.tolist(),
        "lowest": [],
        "lowest_residuals": [],
        "converged": point.pairs.converged.tolist(),
        **{name: _finite(value) for name, value in last.items()},
        "trace": _estimate(last, "trace"),
        "frobenius": _estimate(last, "frobenius"),
        "status": "; ".join(problems) or "converged",
        "passes": passes + density.passes,
        "finite_size": min(N, P) < RANGE * C,
        "parameters": P,
        "samples": N,
        "classes": C,
        "trust": point.pairs.trust.as_dict(),
        "data": objective.data.description,
        "model": described_model(context.config),
        "metrics": {f"verdict/{i + 1}": _score(v) for i, v in enumerate(judged) if v.verdict != UNKNOWN},
    }


def learning_rate(config: RunConfig, step: int) -> float:
    """Of the update that led to this step; of the first one at step 0, constant where nothing was trained here."""
    t = config.train
    if not t.steps:
        return t.learning_rate
    return learning_rate_at(max(step - 1, 0), t.steps, t.learning_rate, t.schedule, t.warmup_steps)


def edge_of_stability(config: RunConfig, rate: float) -> float | None:
    """2(1 + β)/η, above which gradient descent with momentum β leaves a quadratic bowl; None for Adam and η = 0."""
    if config.train.optimizer != "sgd" or not rate:
        return None
    return 2 * (1 + config.train.momentum) / rate


def _outlier_rows(point: Point, spread: Spread, edge: float) -> list[dict[str, Any]]:
    """Leading eigenvalues beside those of the model: mean of its draws, and their standard deviation."""
    model, sd = spread.leading.mean(0), spread.leading.std(0, ddof=1)
    return [
        {
            "rank": rank + 1,
            "eigenvalue": float(value),
            "residual": float(residual),
            "model": float(model[rank]) if rank < len(model) else edge,
            "model_sd": float(sd[rank]) if rank < len(model) else 0.0,
        }
        for rank, (value, residual) in enumerate(zip(point.pairs.eigenvalues, point.pairs.residuals, strict=True))
    ]


def _overlap_rows(
    earlier: list[tuple[dict[str, int], torch.Tensor]], vectors: torch.Tensor, k: int
) -> list[dict[str, Any]]:
    """Overlap of the top k eigenvectors with those of every earlier checkpoint, where both have as many."""
    now = vectors[:k]
    return [
        {"other": where["checkpoint"], "other_step": where["step"], "k": k, "overlap": overlap(now, then)}
        for where, then in earlier
        if len(now) == len(then) == k
    ]


def _density(context: StudyContext, objective: Objective, point: Point) -> SpectralDensity:
    """The spectral density of the last checkpoint, one draw beside what is known."""
    e = context.config.emergence
    operator = Hessian(objective, context.runner)
    found = context.stage(
        "density",
        lambda journal: pack(
            spectral_density(operator, 1, e.density_steps, e.seed, known=point.pairs, journal=journal)
        ),
        dim=objective.parameters,
    )
    density = unpack(SpectralDensity, found)
    context.progress.tick(density.passes)
    context.run.write_table("density", density.to_table())
    return density


def _estimate(row: dict[str, Any], name: str) -> dict[str, float]:
    return {"value": row[name], "stderr": row[f"{name}_stderr"]}


def _finite(value: Any) -> Any:
    """JSON has no nan."""
    return None if isinstance(value, float) and value != value else value


def _score(verdict: Verdict) -> float:
    return float(verdict.verdict == HOLDS)
