"""The theory study: draws of the random model beside what is predicted of them; no network, no data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from distlandscape.config import RunConfig
from distlandscape.errors import InputError
from distlandscape.record.run import Run, Stage
from distlandscape.runtime.runner import Runner
from distlandscape.studies.progress import Progress
from distlandscape.theory import RandomModel, goe_spike, hyperplane_semicircle
from distlandscape.theory.experiments import Task, perform

PARAMETERS = ("classes", "examples", "dim", "sigma_c", "sigma_e", "sigma_z")
# Quantities of a prediction, and what of a draw they are compared with.
COLUMNS = {
    "outlier": "top",
    "bulk_edge": "bulk",
    "overlap": "overlap",
    "confinement": "confinement",
    "trace": "trace",
    "frobenius": "frobenius",
}
SCALARS = ("top", "bulk", "overlap", "confinement", "trace", "frobenius")


def check(config: RunConfig) -> None:
    """Raise InputError for what cannot be drawn."""
    t = config.theory
    sets_of(config)
    if max(t.planes, default=0) > t.dim:
        raise InputError(f"theory.planes={list(t.planes)} reach beyond theory.dim={t.dim}; lower them")
    numbers = max(m.classes * m.examples * m.dim for m in (model_of(config), *sets_of(config)))
    if numbers > 2**28:
        raise InputError(
            f"theory: classes × examples × dim is {numbers:,} numbers a draw, more than {2**28:,}; lower one of them"
        )


def model_of(config: RunConfig) -> RandomModel:
    """The model of a configuration."""
    t = config.theory
    return RandomModel(t.classes, t.examples, t.dim, t.sigma_c, t.sigma_e, t.sigma_z, labels=t.labels, seed=t.seed)


def sets_of(config: RunConfig) -> list[RandomModel]:
    """The models of the further parameter sets."""
    base = model_of(config)
    return [dataclasses.replace(base, **s.model_dump(exclude_none=True)) for s in config.theory.sets]


def measure(run: Run, config: RunConfig, runner: Runner, progress: Progress) -> dict[str, Any]:
    """Draw, sweep, cut with planes; returns the summary that becomes result.json."""
    t, model = config.theory, model_of(config)
    growth = _growth_models(config, model)
    sets = sets_of(config)
    progress.plan(t.draws * (1 + len(sets)) + len(growth) + len(t.planes))

    def stage(name: str, tasks: list[Task], pack: Callable[[list[dict[str, Any]]], Stage]) -> Stage:
        committed = run.stage(name)
        if committed is None:
            committed = pack(runner.map_tasks(perform, tasks, lambda index, _: progress.step(f"{name}: {index + 1}")))
            run.commit_stage(name, committed)
        progress.tick(len(tasks))
        return committed

    seeds = [dataclasses.replace(model, seed=t.seed + i) for i in range(t.draws)]
    draws = stage("draws", [Task("draw", m) for m in seeds], _pack_draws)
    grown = stage("growth", [Task("draw", m) for _, m in growth], _pack_draws)
    planes = stage("planes", [Task("plane", model, d) for d in t.planes], _pack_planes)
    others = [dataclasses.replace(m, seed=t.seed + i) for m in sets for i in range(t.draws)]
    further = stage("sets", [Task("draw", m) for m in others], _pack_draws) if sets else None
    predicted = dataclasses.asdict(model.predict())
    _write_draws(run, draws)
    _write_growth(run, growth, grown)
    if further is not None:
        _write_sets(run, sets, further, t.draws)
    pictures = _write_planes(run, config, draws, planes)
    means = {name: float(draws.arrays[name].mean()) for name in SCALARS}
    errors = {name: float(draws.arrays[name].std(ddof=1) / np.sqrt(t.draws)) for name in SCALARS}
    ratio = draws.arrays["trace"] / draws.arrays["frobenius"]
    means["trace_over_frobenius"] = float(ratio.mean())
    errors["trace_over_frobenius"] = float(ratio.std(ddof=1) / np.sqrt(t.draws))
    return {
        "status": "done",
        "predicted": predicted,
        "measured": means,
        "stderr": errors,
        "planes": pictures,
        "draws": t.draws,
        "classes": t.classes,
        "metrics": {
            **{f"predicted/{name}": value for name, value in predicted.items() if value is not None},
            **{f"measured/{name}": value for name, value in means.items()},
        },
    }


def _growth_models(config: RunConfig, model: RandomModel) -> list[tuple[float, RandomModel]]:
    """Exponent and model of every point of the sweep: σ_c² ∝ σ_z^α, equal to the given σ_c at σ_z = 1."""
    t = config.theory
    grid = np.linspace(t.largest_sigma_z / t.points, t.largest_sigma_z, t.points)
    return [
        (alpha, dataclasses.replace(model, sigma_z=float(z), sigma_c=float(t.sigma_c * z ** (alpha / 2))))
        for alpha in t.growth
        for z in grid
    ]


def _pack_draws(results: list[dict[str, Any]]) -> Stage:
    columns = {name: np.array([result[name] for result in results]) for name in SCALARS}
    return Stage({**columns, "eigenvalues": results[0]["eigenvalues"]}, {})


def _pack_planes(results: list[dict[str, Any]]) -> Stage:
    return Stage({f"plane-{index:03d}": result["curvatures"] for index, result in enumerate(results)}, {})


def _write_draws(run: Run, draws: Stage) -> None:
    columns = {name: draws.arrays[name] for name in SCALARS}
    run.write_table("draws", pa.table({"draw": np.arange(len(draws.arrays["top"])), **columns}))
    values = draws.arrays["eigenvalues"]
    run.write_table("model_spectrum", pa.table({"rank": np.arange(1, len(values) + 1), "eigenvalue": values}))


def _write_growth(run: Run, growth: list[tuple[float, RandomModel]], grown: Stage) -> None:
    rows = []
    for index, (alpha, model) in enumerate(growth):
        predicted = model.predict()
        rows.append(
            {
                "alpha": alpha,
                "sigma_z": model.sigma_z,
                "sigma_c": model.sigma_c,
                "predicted_outlier": predicted.outlier if predicted.outlier is not None else predicted.bulk_edge,
                "predicted_ratio": predicted.trace_over_frobenius,
                "outlier": float(grown.arrays["top"][index]),
                "ratio": float(grown.arrays["trace"][index] / grown.arrays["frobenius"][index]),
            }
        )
    run.write_table("growth", pa.Table.from_pylist(rows))


def _write_sets(run: Run, sets: list[RandomModel], further: Stage, draws: int) -> None:
    """One row a parameter set: prediction, mean of the draws, its standard error."""
    rows = []
    for index, model in enumerate(sets):
        told = dataclasses.asdict(model.predict())
        mine = {name: further.arrays[name][index * draws : (index + 1) * draws] for name in SCALARS}
        row: dict[str, Any] = {name: getattr(model, name) for name in PARAMETERS}
        for name, column in COLUMNS.items():
            row |= {f"predicted_{name}": told[name], name: float(mine[column].mean())}
            row[f"{name}_stderr"] = float(mine[column].std(ddof=1) / np.sqrt(draws))
        rows.append(row)
    run.write_table("sets", pa.Table.from_pylist(rows))


def _write_planes(run: Run, config: RunConfig, draws: Stage, planes: Stage) -> list[dict[str, Any]]:
    """Curvatures in each plane, and the semicircle and outliers predicted from the spectrum of the same draw."""
    t, k = config.theory, config.theory.classes - 1
    values = draws.arrays["eigenvalues"]
    outliers, bulk = values[:k], values[k:]
    rows, pictures = [], []
    for index, d in enumerate(t.planes):
        curvatures = planes.arrays[f"plane-{index:03d}"]
        rows += [{"plane": d, "curvature": float(value)} for value in curvatures]
        circle = hyperplane_semicircle(float(bulk.sum()), float(np.sqrt(np.square(bulk).sum())), t.dim, d)
        pictures.append(
            {
                "plane": d,
                "centre": circle.centre,
                "radius": circle.radius,
                "outliers": _outliers_in_plane(outliers * d / t.dim, circle.centre, circle.radius),
                "positive": float(np.mean(curvatures > 0)),
            }
        )
    run.write_table("planes", pa.Table.from_pylist(rows))
    return pictures


def _outliers_in_plane(strengths: np.ndarray[Any, Any], centre: float, radius: float) -> list[float]:
    """Where outliers of the whole matrix show in a plane, in which a direction has d/D of its strength."""
    spikes = [goe_spike(float(strength), radius / 2) for strength in strengths if strength > 0 and radius > 0]
    return [centre + spike.value for spike in spikes if spike.value is not None]
