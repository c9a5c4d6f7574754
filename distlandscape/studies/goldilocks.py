"""The goldilocks study: curvature at random points against their radius, and where trainings in planes succeed."""

from __future__ import annotations

import copy
import functools
import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from distlandscape.config import RunConfig
from distlandscape.curvature.logit_gradients import require_logit_gradients
from distlandscape.data import BlockStore
from distlandscape.errors import InputError
from distlandscape.models import load_weights
from distlandscape.objective import Objective
from distlandscape.record.run import Run
from distlandscape.runtime import Hessian
from distlandscape.runtime.runner import Runner
from distlandscape.studies.class_samples import require_class_samples
from distlandscape.studies.goldilocks_measure import point_passes
from distlandscape.studies.goldilocks_point import at_radius, scheme_radii
from distlandscape.studies.goldilocks_tables import largest_positive_plane, write_tables, zone
from distlandscape.studies.goldilocks_task import CURVATURE, TRAINING, Task, perform
from distlandscape.studies.hyperplane_task import require_training_samples
from distlandscape.studies.progress import Progress
from distlandscape.studies.provenance import described_model
from distlandscape.studies.sweep import Sweep
from distlandscape.training.projections import choose_kind


def check(config: RunConfig, objective: Objective) -> None:
    """Raise InputError for what cannot be measured or trained."""
    g, t, P = config.goldilocks, config.train, objective.parameters
    require_class_samples(config, objective)
    Hessian(objective)
    require_logit_gradients(objective)
    at_radius(objective, scheme_radii(objective)["glorot"])
    if config.data.split == "test":
        raise InputError("data.split=test is for measuring: trainings use the train split and test on the other")
    if config.model.weights is not None:
        raise InputError(
            "goldilocks looks at random points, not at model.weights; give weights as --point to see where they stand"
        )
    if g.point is not None and not Path(g.point).is_file():
        raise InputError(f"goldilocks.point {g.point} is not an existing file; give a safetensors file or a state dict")
    if g.point is not None:
        load_weights(copy.deepcopy(objective.model), g.point)
    if max(g.planes) > P:
        raise InputError(f"goldilocks.planes={list(g.planes)} reach beyond the {P:,} parameters; lower them")
    for dim in g.dims:
        choose_kind(P, dim)
    for name in ("radii", "temperatures", "planes", "dims", "modes"):
        values = getattr(g, name)
        if len(set(values)) < len(values):
            raise InputError(f"goldilocks.{name}={list(values)} names one twice; leave the repetition out")
    if g.dims and g.point is None and not t.steps:
        raise InputError("train.steps is 0, which leaves nothing to train; set it to 1 or more, or goldilocks.dims=[]")
    require_training_samples(objective.samples, "goldilocks.hold_out", g.hold_out)


def measure(
    run: Run,
    config: RunConfig,
    objective: Objective,
    test: BlockStore | None,
    runner: Runner,
    progress: Progress,
    push: Callable[[], object],
) -> dict[str, Any]:
    """Measure all points, then train from them; returns what becomes result.json.

    With ``goldilocks.point`` the point is measured too, and nothing is trained.
    """
    g, P = config.goldilocks, objective.parameters

    def work(task: Task) -> float:
        """In gradients of a sample: a product of float64 is worth four."""
        if task.what == CURVATURE:
            return 4.0 * objective.samples * point_passes(config, objective)
        assert config.train.steps is not None, "the runner resolves train.steps"
        return float(len(task.seeds) * config.train.steps * min(config.train.batch_size, objective.samples))

    tables_so_far = functools.partial(write_tables, run)
    sweep = Sweep(run, runner, perform, progress, write_tables=tables_so_far, work=work)
    tasks = Tasks(config, objective.data, test)
    points, trainings = tasks.points(), tasks.trainings() if g.point is None else []
    given = tasks.given()
    measured = [*given, *points]
    done = {outcome["key"] for outcome in sweep.outcomes}
    progress.plan(sum(work(task) for task in (*measured, *trainings) if task.key not in done))
    progress.say(
        f"{P:,} parameters; {len(measured)} points, each of {max(g.planes)} products and more, and"
        f" {sum(len(task.seeds) for task in trainings)} trainings of {config.train.steps} steps"
    )
    sweep.complete(measured, "points")
    write_tables(run, sweep.outcomes)
    push()
    sweep.complete(trainings)
    tables = write_tables(run, sweep.outcomes)
    zones = [
        {"temperature": T, **(zone([row for row in tables["radii"] if row["temperature"] == T]) or {})}
        for T in sorted(g.temperatures)
    ]
    result = {
        "status": "done",
        "zones": zones,
        "radii": tables["radii"],
        "grid": tables["grid"],
        "planes": _planes(tables["planes"]),
        "inside": _inside(tables["grid"], zones),
        "point": place_of_point(tables, zones) if given else None,
        "schemes": scheme_radii(objective),
        "trainings": len(tables["trainings"]),
        "held_out": "the test split" if test is not None else f"the last {g.hold_out:.0%} of the samples",
        "parameters": P,
        "samples": objective.samples,
        "classes": objective.outputs,
        "data": objective.data.description,
        "model": described_model(config),
    }
    return {**result, "metrics": _metrics(zones)}


class Tasks:
    """What a run consists of, in its order."""

    def __init__(self, config: RunConfig, data: BlockStore, test: BlockStore | None) -> None:
        self._config, self._g = config, config.goldilocks
        self._train = (str(data.path), data.digest)
        self._test = None if test is None else (str(test.path), test.digest)

    def points(self) -> list[Task]:
        """A task a random point."""
        seeds = range(self._g.seed, self._g.seed + self._g.points)
        return [
            self._task(CURVATURE, T, r, (s,))
            for T in self._g.temperatures
            for r in sorted(self._g.radii)
            for s in seeds
        ]

    def given(self) -> list[Task]:
        """The point that is asked about, at the first temperature."""
        if self._g.point is None:
            return []
        weights = (self._g.point, hashlib.sha256(Path(self._g.point).read_bytes()).hexdigest())
        return [self._task(CURVATURE, self._g.temperatures[0], None, (self._g.seed,), weights=weights)]

    def trainings(self) -> list[Task]:
        """A task a place of the grid: its seeds train together."""
        seeds = tuple(range(self._g.seed, self._g.seed + self._g.trainings))
        return [
            self._task(TRAINING, T, r, seeds, mode=mode, dim=d)
            for T in self._g.temperatures
            for mode in self._g.modes
            for r in sorted(self._g.radii)
            for d in sorted(self._g.dims)
        ]

    def _task(
        self,
        what: str,
        temperature: float,
        multiple: float | None,
        seeds: tuple[int, ...],
        weights: tuple[str, str] | None = None,
        mode: str = "",
        dim: int = 0,
    ) -> Task:
        where = (self._config, self._train, self._test)
        return Task(*where, what, temperature, multiple, weights, seeds, mode, dim)


def _planes(planes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean distance of the measured plane spectra from the semicircle, without and with outliers, by d."""
    rows = []
    for d in sorted({row["plane"] for row in planes}):
        mine = [row for row in planes if row["plane"] == d and row.get("distance_with") is not None]
        if mine:
            told = {
                f"distance_{name}": float(np.mean([row[f"distance_{name}"] for row in mine]))
                for name in ("without", "with")
            }
            rows.append({"plane": d, "spectra": len(mine), **told})
    return rows


def _inside(grid: list[dict[str, Any]], zones: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean accuracy of trainings that begin inside and outside the zone, by temperature, mode and dimension."""
    rows = []
    ends = {z["temperature"]: (z["low"] or 0.0, z["high"] or math.inf) for z in zones if "level" in z}
    for T, mode, d in sorted({(row["temperature"], row["mode"], row["dimension"]) for row in grid}):
        if T not in ends:
            continue
        low, high = ends[T]
        mine = [r for r in grid if (r["temperature"], r["mode"], r["dimension"]) == (T, mode, d)]
        best = max(mine, key=lambda row: float(row["accuracy"]))
        row = {"temperature": T, "mode": mode, "dimension": d, "best_multiple": best["multiple"]}
        for name, chosen in (("inside", True), ("outside", False)):
            some = [r["accuracy"] for r in mine if (low <= r["multiple"] <= high) == chosen]
            row[name] = float(np.mean(some)) if some else None
        rows.append(row)
    return rows


def place_of_point(tables: dict[str, list[dict[str, Any]]], zones: list[dict[str, Any]]) -> dict[str, Any]:
    """The given point beside random points of its radius and temperature, interpolated in log r.

    ``inside`` is None without a zone, and beyond the radii measured where the zone goes on there.
    """
    (point,) = [row for row in tables["points"] if row["multiple"] is None]
    T = point["temperature"]
    (found,) = [one for one in zones if one["temperature"] == T]
    radii = [row for row in tables["radii"] if row["temperature"] == T]
    known = [row for row in radii if row["ratio"] is not None]
    expected = None
    if known and known[0]["radius"] <= point["radius"] <= known[-1]["radius"]:
        logs, ratios = np.log([row["radius"] for row in known]), [row["ratio"] for row in known]
        expected = float(np.interp(math.log(point["radius"]), logs, ratios))
    multiple = point["radius"] * radii[0]["multiple"] / radii[0]["radius"]
    names = ("temperature", "radius", "ratio", "ratio_stderr", "sum_p2", "flat", "loss", "accuracy")
    return {
        **{name: point[name] for name in names},
        "multiple": multiple,
        "random_ratio": expected,
        "inside": _is_inside(multiple, found, radii) if "level" in found else None,
        "largest_positive_plane": largest_positive_plane(point),
        "positive": {str(row["plane"]): row["positive"] for row in tables["planes"] if row["multiple"] is None},
    }


def _is_inside(multiple: float, found: dict[str, Any], radii: list[dict[str, Any]]) -> bool | None:
    low, high = found["low"], found["high"]
    if (low is None and multiple < radii[0]["multiple"]) or (high is None and multiple > radii[-1]["multiple"]):
        return None
    return (low or 0.0) <= multiple <= (high or math.inf)


def _metrics(zones: list[dict[str, Any]]) -> dict[str, float]:
    found = {}
    for one in zones:
        for name in ("ratio", "multiple", "low", "high"):
            if one.get(name) is not None:
                found[f"zone/{name}-T{one['temperature']:g}"] = one[name]
    return found
