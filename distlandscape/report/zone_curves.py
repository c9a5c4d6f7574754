"""What the figures of the goldilocks study draw, paper and page alike; pictures of one temperature show the lowest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from distlandscape.report.plane_curves import rows
from distlandscape.report.style import SERIES
from distlandscape.report.tables import Array, RunView

RADIUS = "radius of the weights |θ|"
REACH = 3.0  # of the density, in root mean squares
MODES = {"sphere": "kept at their radius", "free": "free"}


@dataclass(frozen=True, eq=False)
class Line:
    """y over x, with error bars or without, with marks, without (``smooth``), or as a dashed prediction."""

    name: str
    x: Array
    y: Array
    error: Array | None
    colour: str
    dashed: bool = False
    smooth: bool = False


@dataclass(frozen=True, eq=False)
class Panel:
    """Lines over one axis, over each other panel's x."""

    label: str
    lines: list[Line]
    logarithmic: bool = False
    limits: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class GridPicture:
    """Accuracy (n, m) over radii (m,) and dimensions (n,), edges of the cells around them, boundary of the zone."""

    title: str
    radii: Array
    dimensions: Array
    radius_edges: Array
    dimension_edges: Array
    accuracy: Array
    line_radius: Array
    line_dimension: Array


def temperatures(view: RunView) -> list[float]:
    """Those that were measured, ascending."""
    return sorted({row["temperature"] for row in rows(view, "radii")})


def radii(view: RunView, temperature: float) -> list[dict[str, Any]]:
    """Rows of one temperature in order of radius."""
    return [row for row in rows(view, "radii") if row["temperature"] == temperature]


def zone_ends(view: RunView) -> tuple[float, float] | None:
    """Radii between which the zone of the lowest temperature lies; an open end is the last radius measured."""
    zones = (view.result or {}).get("zones") or []
    table = radii(view, temperatures(view)[0]) if zones else []
    if not table or "level" not in zones[0]:
        return None
    unit = table[0]["radius"] / table[0]["multiple"]
    ends = [zones[0]["low"] or table[0]["multiple"], zones[0]["high"] or table[-1]["multiple"]]
    return ends[0] * unit, ends[1] * unit


def schemes(view: RunView) -> dict[str, float]:
    """Radii of the initialisation schemes."""
    names = {"glorot": "Glorot", "he": "He", "lecun": "LeCun"}
    return {names[name]: float(radius) for name, radius in ((view.result or {}).get("schemes") or {}).items()}


def ratio_panels(view: RunView) -> list[Panel]:
    """Tr/‖·‖_F and the random model's, then the share of positive curvature of each plane."""
    ratio, positive = [], []
    for index, T in enumerate(temperatures(view)):
        table, colour = radii(view, T), SERIES[index % len(SERIES)]
        name = "measured" if len(temperatures(view)) == 1 else f"measured, T = {T:g}"
        ratio.append(_line(table, "ratio", name, colour))
        ratio.append(_line(table, "model_ratio", name.replace("measured", "random model"), colour, dashed=True))
    table = radii(view, temperatures(view)[0])
    for index, column in enumerate(c for c in table[0] if c.startswith("positive_") and not c.endswith("_stderr")):
        positive.append(_line(table, column, f"d = {column.removeprefix('positive_')}", SERIES[index % len(SERIES)]))
    point = (view.result or {}).get("point")
    if point is not None and point["ratio"] is not None:
        x, y, error = (np.array([v]) for v in (point["radius"], point["ratio"], point["ratio_stderr"]))
        ratio.append(Line("the point", x, y, error, "ink"))
    return [
        Panel("Tr H/‖H‖_F", [line for line in ratio if len(line.x)]),
        Panel("share of positive curvature", positive, limits=(-0.03, 1.03)),
    ]


def softmax_panels(view: RunView) -> list[Panel]:
    """How frozen the softmax is, and how the Hessian's terms compare."""
    table = radii(view, temperatures(view)[0])
    shares = {"sum_p2": "E Σp²", "rounded": "largest p is 1 in float32", "flat": "flat in float32"}
    norms = {"gauss_newton": "‖G‖_F", "residual": "‖H − G‖_F", "gradient": "|gradient|"}
    return [
        Panel(
            "share", [_line(table, c, n, SERIES[i]) for i, (c, n) in enumerate(shares.items())], limits=(-0.03, 1.03)
        ),
        Panel("size", [_line(table, c, n, SERIES[i], positive=True) for i, (c, n) in enumerate(norms.items())], True),
    ]


def density_panel(view: RunView) -> tuple[Panel, str, str]:
    """Share of all eigenvalues up to x at the smallest and largest radius and that of the highest ratio; title, axis.

    In units of ‖H‖_F/√P, the root mean square eigenvalue; a mean over the points of a radius.
    """
    table = [row for row in radii(view, temperatures(view)[0]) if row["ratio"] is not None]
    chosen = {table[0]["multiple"], max(table, key=lambda row: float(row["ratio"]))["multiple"], table[-1]["multiple"]}
    names = ("temperature", "multiple", "seed")
    P = view.parameters
    assert P is not None, "the figure is not drawn without"
    units = {tuple(row[k] for k in names): row["frobenius"] / math.sqrt(P) for row in rows(view, "points")}
    x, lines = np.linspace(-REACH, REACH, 121), []
    for row, colour in zip((row for row in table if row["multiple"] in chosen), SERIES, strict=False):
        mine = [n for n in rows(view, "nodes") if (n["temperature"], n["multiple"]) == tuple(row[k] for k in names[:2])]
        where = np.array([n["node"] / units[tuple(n[k] for k in names)] for n in mine])
        order, weights = np.argsort(where), np.array([n["weight"] for n in mine]) / row["points"]
        total = np.concatenate([[0.0], np.cumsum(weights[order])])
        share = total[np.searchsorted(where[order], x, side="right")]
        lines.append(Line(f"|θ| = {row['radius']:.3g}", x, share, None, colour, smooth=True))
    title = "all eigenvalues, those beyond counted"
    return Panel("share of eigenvalues up to it", lines, limits=(-0.03, 1.03)), title, "eigenvalue over ‖H‖_F/√P"


def plane_panel(view: RunView) -> tuple[Panel, str, str]:
    """Shares of curvature up to x in the largest plane where the ratio is highest, and predicted ones; title, axis."""
    table = [row for row in radii(view, temperatures(view)[0]) if row["ratio"] is not None]
    best = max(table, key=lambda row: float(row["ratio"]))
    where = {name: best[name] for name in ("temperature", "multiple")}
    drawn = [row for row in rows(view, "predicted") if all(row[k] == v for k, v in where.items())]
    plane, seed = max(row["plane"] for row in drawn), min(row["seed"] for row in drawn)
    where |= {"plane": plane, "seed": seed}

    def mine(name: str) -> list[dict[str, Any]]:
        return [row for row in rows(view, name) if all(row[k] == v for k, v in where.items())]

    predicted = mine("predicted")
    x = np.array([row["curvature"] for row in predicted])
    lines = [
        Line(name, x, np.array([row[column] for row in predicted]), None, colour, dashed=True)
        for column, name, colour in (
            ("without", "semicircle, no outliers", "vermillion"),
            ("with", "with the measured outliers", "green"),
        )
    ]
    values = np.sort([row["curvature"] for row in mine("curvatures")])
    lines.append(Line("measured", values, (np.arange(len(values)) + 0.5) / len(values), None, "blue"))
    title = f"d = {plane}, |θ| = {best['radius']:.3g}"
    return Panel("share of curvature up to it", lines, limits=(-0.03, 1.03)), title, "curvature"


def grids(view: RunView) -> list[GridPicture]:
    """A picture a mode, of the lowest temperature."""
    table = [row for row in rows(view, "grid") if row["temperature"] == temperatures(view)[0]]
    known = {row["multiple"]: row for row in radii(view, temperatures(view)[0])}
    pictures = []
    for mode, name in MODES.items():
        mine = {(row["dimension"], row["multiple"]): row["accuracy"] for row in table if row["mode"] == mode}
        dims, multiples = (sorted({key[i] for key in mine}) for i in (0, 1))
        if not mine:
            continue
        cells = np.array([[mine.get((d, m), np.nan) for m in multiples] for d in dims])
        line = [known[m] for m in multiples if known[m]["largest_positive_plane"] is not None]
        boundary = (np.array([row[k] for row in line]) for k in ("radius", "largest_positive_plane"))
        r, d = np.array([known[m]["radius"] for m in multiples]), np.array(dims, dtype=np.float64)
        pictures.append(GridPicture(name, r, d, _edges(r), _edges(d), cells, *boundary))
    return pictures


def _line(
    table: list[dict[str, Any]], column: str, name: str, colour: str, dashed: bool = False, positive: bool = False
) -> Line:
    known = [row for row in table if row[column] is not None and (not positive or row[column] > 0)]
    errors = [row[f"{column}_stderr"] for row in known]
    bars = None if dashed or any(e is None for e in errors) else np.array(errors, dtype=np.float64)
    x, y = (np.array([row[k] for row in known], dtype=np.float64) for k in ("radius", column))
    return Line(name, x, y, bars, colour, dashed)


def _edges(centres: Array) -> Array:
    """Edges of cells around values on a logarithmic axis."""
    logs = np.log(centres)
    between = (logs[1:] + logs[:-1]) / 2
    half = (logs[1] - logs[0], logs[-1] - logs[-2]) if len(logs) > 1 else (1.0, 1.0)
    edges: Array = np.exp(np.concatenate([[logs[0] - half[0] / 2], between, [logs[-1] + half[1] / 2]]))
    return edges
