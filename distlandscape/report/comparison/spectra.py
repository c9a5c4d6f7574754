"""Spectra of several runs over each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distlandscape.report import words
from distlandscape.report.comparison.overlay import Curve, Overlay, Panel, all_positive, overlay, shared
from distlandscape.report.curves import BULK, SPIKE, SPIKE_WIDTH, bulk_range, draw_curves
from distlandscape.report.numbers import number
from distlandscape.report.tables import Pairs, RunView

POINTS = 1200


def eigenvalues(views: Sequence[RunView]) -> Overlay | None:
    """Eigenvalues by rank, the most extreme first, with residuals."""
    ends = (("Largest", lambda view: _pairs(view.top)), ("Lowest", lambda view: _pairs(view.lowest)))
    panels = []
    for name, curves in ends:
        found = shared(views, curves)
        log = name == "Largest" and all_positive(found)
        panels.append(Panel(f"{name} eigenvalues", "eigenvalue λ", "rank", found, y_log=log))
    caption = (
        "Eigenvalues at each end of the spectrum against their rank, with residual bars, often smaller than the marks.",
        "Hollow marks have not converged: do not quote them. Equal ranks of two runs need not belong to the same"
        " direction.",
    )
    return overlay("eigenvalues", "Eigenvalues", caption, panels)


def _pairs(pairs: Pairs | None) -> list[Curve]:
    if pairs is None:
        return []
    bars = pairs.values - pairs.residuals, pairs.values + pairs.residuals
    return [Curve(pairs.ranks.astype(float), pairs.values, bars, pairs.converged, joined=False)]


def density(views: Sequence[RunView]) -> Overlay | None:
    """Densities on one grid, smoothed alike: the whole range, and the bulks enlarged where they are spikes there."""
    mine = {index: view for index, view in enumerate(views) if view.density is not None}
    if len(mine) < 2:
        return None
    ranges = [_range(view) for view in mine.values()]
    whole = min(low for low, _ in ranges), max(high for _, high in ranges)
    bulks = [bulk for view in mine.values() if (bulk := bulk_range(view)) is not None]
    bulk = (min(low for low, _ in bulks), max(high for _, high in bulks)) if bulks else whole
    spike = 0 < bulk[1] - bulk[0] < SPIKE_WIDTH * (whole[1] - whole[0])
    panels = [_panel("Whole range", mine, whole, SPIKE if spike else BULK)]
    if spike:
        panels.append(_panel("The bulks, enlarged", mine, bulk, BULK))
    caption = (
        "How the eigenvalues are distributed, smoothed by the same width for all runs; bands go from the smallest to"
        " the largest draw. Each curve ends where less than a fifth of one eigenvalue is left.",
        "A single eigenvalue stands lower the more parameters a network has. Bumps as wide as the bandwidth may be"
        " single nodes.",
    )
    return overlay("density", "Eigenvalue density", caption, panels)


def _range(view: RunView) -> tuple[float, float]:
    assert view.density is not None
    known = [pairs.values for pairs in (view.top, view.lowest) if pairs is not None]
    everything = np.concatenate([view.density.node, *known])
    return float(everything.min()), float(everything.max())


def _panel(name: str, views: dict[int, RunView], limits: tuple[float, float], relative: float) -> Panel:
    width = limits[1] - limits[0] or max(abs(limits[0]), 1.0)
    bandwidth = relative * width
    grid = np.linspace(limits[0] - 4 * bandwidth, limits[1] + 4 * bandwidth, POINTS)
    curves, floors, highest = {}, [], 0.0
    for index, view in views.items():
        assert view.density is not None
        drawn = draw_curves(view.density, grid, bandwidth)
        mean = drawn.mean(axis=0)
        one = 1 / (bandwidth * np.sqrt(2 * np.pi) * view.parameters) if view.parameters else 5e-6 * float(mean.max())
        floors.append(one / 5)
        highest = max(highest, float(drawn.max()))
        mean, low, high = (np.maximum(y, one / 50) for y in (mean, drawn.min(axis=0), drawn.max(axis=0)))
        band = (low, high) if len(drawn) > 1 else None
        curves[index] = [Curve(grid, mean, band, dense=True)]
    title = f"{name}\nGaussian bandwidth {number(bandwidth, 2)}, {100 * relative:g} % of the range"
    ends, heights = (float(grid[0]), float(grid[-1])), (min(floors), 3 * max(highest, 10 * min(floors)))
    x_label = words.EIGENVALUE
    return Panel(title, "share per unit of λ", x_label, curves, y_log=True, x_range=ends, y_range=heights)
