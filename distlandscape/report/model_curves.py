"""What the figures of the random model draw, PNG and page alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distlandscape.report.numbers import number
from distlandscape.report.tables import Array, RunView


@dataclass(frozen=True, eq=False)
class Sweep:
    """One growth law: predictions and draws against σ_z."""

    name: str
    sigma_z: Array
    outlier: Array
    ratio: Array
    drawn: Array
    drawn_ratio: Array


@dataclass(frozen=True, eq=False)
class Plane:
    """Curvatures in one plane, as a histogram with what lies beyond it, and what is predicted of them."""

    dimension: int
    edges: Array
    heights: Array
    beyond: Array
    grid: Array
    semicircle: Array
    outliers: Array


def column(view: RunView, table: str, name: str) -> Array:
    """A column of numbers."""
    return np.array(view.tables[table][name].to_pylist(), dtype=np.float64)


def sweeps(view: RunView) -> list[Sweep]:
    """One a growth law."""
    alpha = column(view, "growth", "alpha")
    names = ("sigma_z", "predicted_outlier", "predicted_ratio", "outlier", "ratio")
    columns = [column(view, "growth", name) for name in names]
    return [Sweep(f"α = {number(float(a), 2)}", *(c[alpha == a] for c in columns)) for a in np.unique(alpha)]


def plane_pictures(view: RunView) -> list[Plane]:
    """One a plane."""
    dimension, curvature = column(view, "planes", "plane"), column(view, "planes", "curvature")
    pictures = []
    for told in view.result["planes"]:
        d, centre, radius = int(told["plane"]), float(told["centre"]), float(told["radius"])
        values = curvature[dimension == d]
        inside = values[values <= centre + 2 * radius]  # the others are marked one by one
        counts, edges = np.histogram(inside, bins=max(6, min(30, d // 5)))
        heights = counts / (len(values) * np.diff(edges))
        grid = np.linspace(centre - radius, centre + radius, 201)
        circle = 2 / (np.pi * radius**2) * np.sqrt(np.maximum(radius**2 - (grid - centre) ** 2, 0))
        beyond = values[values > centre + 2 * radius]
        pictures.append(Plane(d, edges, heights, beyond, grid, circle, np.array(told["outliers"], dtype=np.float64)))
    return pictures
