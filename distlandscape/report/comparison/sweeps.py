"""Sweeps of several runs over each other: over the dimension of planes, the radius of the weights, and ranks."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from distlandscape.report.comparison.overlay import Curve, Overlay, Panel, all_positive, overlay, shared
from distlandscape.report.plane_curves import sweeps
from distlandscape.report.tables import RunView
from distlandscape.report.zone_curves import RADIUS, Line, ratio_panels

SHOWN = 80


def dimensions(views: Sequence[RunView]) -> Overlay | None:
    """Accuracy, loss and success of trainings in planes by dimension."""
    panels = []
    for quantity, label in (("accuracy", "accuracy"), ("loss", "loss"), ("success", "share that succeeds")):
        found = shared(views, functools.partial(_sweeps, quantity=quantity))
        limits = (-0.03, 1.03) if quantity != "loss" else None
        log = quantity == "loss" and all_positive(found)
        panels.append(Panel("", label, "dimension of the plane d", found, "log", y_log=log, y_range=limits))
    caption = (
        "Accuracy and loss on held-out samples (with hyperplane.evaluate_on=train, on those trained on), and the share"
        " of trainings that reach their threshold, by the dimension of the plane; bars are 95 % intervals.",
        "Thresholds are each run's own. The intervals of means resample few seeds and are too narrow for that.",
    )
    return overlay("dimensions", "Training in planes", caption, panels)


def _sweeps(view: RunView, quantity: str) -> list[Curve]:
    found = sweeps(view, quantity)
    notes = [one.name if len(found) > 1 else "" for one in found]
    return [Curve(s.dimension, s.value, (s.low, s.high), note=note) for s, note in zip(found, notes, strict=True)]


def radii(views: Sequence[RunView]) -> Overlay | None:
    """Tr/‖·‖_F and the share of positive curvature against the radius of the weights."""
    there = [view for view in views if "radii" in view.tables]
    common = [set(_planes(view)) for view in there]
    planes = set.intersection(*common) if common else set()
    plane = max(planes, default=None)
    ratio = shared(views, lambda view: _lines(view, 0, None))
    positive = shared(views, lambda view: _lines(view, 1, plane)) if plane is not None else {}
    caption = (
        "Tr H/‖H‖_F of random points by their radius, beside the random model's (dashed); and the share of positive"
        " curvature in random planes of the largest dimension that all runs have. Bars are standard errors.",
        "Few points make a standard error uncertain.",
    )
    share = f"share of positive curvature, d = {plane}"
    panels = [
        Panel("", "Tr H/‖H‖_F", RADIUS, ratio, "log"),
        Panel("", share, RADIUS, positive, "log", y_range=(-0.03, 1.03)),
    ]
    return overlay("radii", "Curvature against radius", caption, panels)


def _planes(view: RunView) -> list[int]:
    names = (name.removeprefix("positive_") for name in view.tables["radii"].column_names if "positive_" in name)
    return [int(name) for name in names if name.isdigit()]


def _lines(view: RunView, panel: int, plane: int | None) -> list[Curve]:
    if "radii" not in view.tables:
        return []
    lines = ratio_panels(view)[panel].lines
    kept = [line for line in lines if plane is None or line.name == f"d = {plane}"]
    return [_curve(line, "" if line.name == "measured" or plane is not None else line.name) for line in kept]


def _curve(line: Line, note: str) -> Curve:
    bars = None if line.error is None else (line.y - line.error, line.y + line.error)
    return Curve(line.x, line.y, bars, note=note, reference=line.dashed)


def model_spectrum(views: Sequence[RunView]) -> Overlay | None:
    """Eigenvalues of a draw of the random model, beside the predicted outliers."""
    found = shared(views, _drawn)
    caption = (
        "Eigenvalues of one draw of G by rank, beside the predicted outliers (dashed).",
        "One draw scatters.",
    )
    panel = Panel("", "eigenvalue of G", "rank", found, y_log=all_positive(found))
    return overlay("model_spectrum", "The random model's spectrum", caption, [panel])


def _drawn(view: RunView) -> list[Curve]:
    if "model_spectrum" not in view.tables:
        return []
    values = np.array(view.tables["model_spectrum"]["eigenvalue"].to_pylist(), dtype=np.float64)[:SHOWN]
    curves = [Curve(np.arange(1.0, len(values) + 1), values, joined=False)]
    outlier = ((view.result or {}).get("predicted") or {}).get("outlier")
    if outlier is not None:
        ends = np.array([1.0, float(len(values))])
        curves.append(Curve(ends, np.full(2, outlier), note="predicted outliers", reference=True))
    return curves
