"""The tables of the goldilocks study.

A row a point, a node of a density, a plane, a curvature, a place of a predicted distribution, a radius, a training, a
place of the grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from distlandscape.record.run import Run
from distlandscape.studies.goldilocks_task import CURVATURE, TRAINING
from distlandscape.studies.intrinsic import mean_interval

Row = dict[str, Any]
# Averaged over the points of a radius, with the standard error of that mean.
MEANS = (
    "trace", "frobenius", "ratio", "sum_p2", "sigma_z", "gauss_newton", "residual", "gradient", "flat", "flat_float64",
    "rounded", "loss", "accuracy", "q_sl", "model_ratio",
)  # fmt: skip
APART = ("planes", "density", "model", "seed", "radius", "outliers")  # of a point, not columns as they are
SHARE = 0.5  # of the highest mean ratio, which bounds the zone


def write_tables(run: Run, outcomes: list[Row]) -> dict[str, list[Row]]:
    """Store and return all tables; those without rows are not stored."""
    points, nodes, planes, curvatures, predicted = _points(outcomes)
    trainings = [
        {**_place(o), "mode": o["mode"], "dimension": o["dim"], **member, "seconds": o["seconds"] / len(o["members"])}
        for o in sorted((o for o in outcomes if o["what"] == TRAINING), key=_order)
        for member in o["members"]
    ]
    tables = {
        "points": points,
        "nodes": nodes,
        "planes": planes,
        "curvatures": curvatures,
        "predicted": predicted,
        "radii": _radii(points, planes),
        "trainings": trainings,
        "grid": _grid(trainings),
    }
    for name, rows in tables.items():
        if rows:
            run.write_table(name, pa.Table.from_pylist(rows))
    return tables


def zone(radii: list[Row]) -> Row | None:
    """Multiples between which the mean Tr H/‖H‖_F is at least half its highest, by radii of one temperature.

    The ends are interpolated in log r; None where the zone reaches the end of what was measured.
    """
    known = [row for row in radii if row["ratio"] is not None]
    if not known:
        return None
    ratios = [row["ratio"] for row in known]
    top = int(np.argmax(ratios))
    if ratios[top] <= 0:
        return None
    level = SHARE * ratios[top]
    peak = {"multiple": known[top]["multiple"], "ratio": ratios[top], "level": level}
    logs = [math.log(row["multiple"]) for row in known]
    low = _crossing(logs[: top + 1][::-1], ratios[: top + 1][::-1], level)
    return {**peak, "low": low, "high": _crossing(logs[top:], ratios[top:], level)}


def largest_positive_plane(row: Row) -> float | None:
    """The d up to which Tr H/‖H‖_F > 2√d, all curvature positive if there were no outliers."""
    ratio = row["ratio"]
    return None if ratio is None else (max(0.0, ratio) / 2) ** 2


def _crossing(logs: list[float], ratios: list[float], level: float) -> float | None:
    """Where the ratio falls below the level for the first time, going away from its highest value."""
    for (x0, y0), (x1, y1) in zip(
        zip(logs, ratios, strict=True), list(zip(logs, ratios, strict=True))[1:], strict=False
    ):
        if y1 < level:
            return math.exp(x0 + (y0 - level) / (y0 - y1) * (x1 - x0))
    return None


def _points(outcomes: list[Row]) -> tuple[list[Row], ...]:
    points, nodes, planes, curvatures, predicted = [], [], [], [], []
    for outcome in sorted((o for o in outcomes if o["what"] == CURVATURE), key=_order):
        (member,) = outcome["members"]
        where = {**_place(outcome), "seed": member["seed"], "radius": member["radius"]}
        plain = {k: v for k, v in member.items() if k not in APART}
        top = member["outliers"]
        ends = {"outlier_highest": top[0] if top else None, "outlier_lowest": top[-1] if top else None}
        points.append({**where, **plain, **member["model"], **ends, "seconds": outcome["seconds"]})
        nodes += [{**where, "node": node, "weight": weight} for node, weight in member["density"]]
        for plane in member["planes"]:
            planes.append({**where, **{k: v for k, v in plane.items() if k not in ("curvatures", "predicted")}})
            here = {**where, "plane": plane["plane"]}
            curvatures += [{**here, "curvature": v} for v in plane["curvatures"]]
            predicted += [{**here, **row} for row in plane["predicted"]]
    return points, nodes, planes, curvatures, predicted


def _radii(points: list[Row], planes: list[Row]) -> list[Row]:
    """Means over the random points of a radius; the given point is not among them."""
    rows = []
    for mine in _grouped(points, lambda row: (row["temperature"], row["multiple"])):
        row: Row = {name: mine[0][name] for name in ("temperature", "multiple")}
        row |= {"radius": float(np.mean([m["radius"] for m in mine])), "points": len(mine)}
        for name in MEANS:
            row |= _mean(name, [m[name] for m in mine])
        row["largest_positive_plane"] = largest_positive_plane(row)
        here = [p for p in planes if (p["temperature"], p["multiple"]) == (row["temperature"], row["multiple"])]
        for same in _grouped(here, lambda plane: (plane["plane"],)):
            row |= _mean(f"positive_{same[0]['plane']}", [p["positive"] for p in same])
        rows.append(row)
    return rows


def _grid(trainings: list[Row]) -> list[Row]:
    rows = []
    for mine in _grouped(trainings, lambda r: (r["temperature"], r["mode"], r["multiple"], r["dimension"])):
        accuracy, low, high = mean_interval([m["accuracy"] for m in mine])
        row: Row = {name: mine[0][name] for name in ("temperature", "mode", "multiple", "dimension")}
        row |= {"trainings": len(mine), "accuracy": accuracy, "accuracy_low": low, "accuracy_high": high}
        row["accuracy_before"] = float(np.mean([m["accuracy_before"] for m in mine]))
        rows.append({**row, "diverged": sum(m["status"] == "diverged" for m in mine)})
    return rows


def _mean(name: str, values: list[float | None]) -> Row:
    """Mean and its standard error; None where a value is missing, and no error of a single one."""
    known = [v for v in values if v is not None]
    if len(known) < len(values):
        return {name: None, f"{name}_stderr": None}
    error = float(np.std(known, ddof=1) / math.sqrt(len(known))) if len(known) > 1 else None
    return {name: float(np.mean(known)), f"{name}_stderr": error}


def _grouped(rows: list[Row], key: Callable[[Row], tuple[Any, ...]]) -> Iterable[list[Row]]:
    """Rows by key, ascending; those of the given point, which has no multiple, are left out."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row.get("multiple", 0) is not None:
            found.setdefault(key(row), []).append(row)
    return [found[name] for name in sorted(found)]


def _place(outcome: Row) -> Row:
    return {"temperature": outcome["temperature"], "multiple": outcome["multiple"]}


def _order(outcome: Row) -> tuple[Any, ...]:
    multiple = outcome["multiple"]
    return outcome["temperature"], multiple or 0.0, outcome["mode"], outcome["dim"], outcome["members"][0]["seed"]
