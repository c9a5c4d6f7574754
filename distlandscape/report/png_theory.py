"""The random model, for paper."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from distlandscape.report.model_curves import Plane, Sweep, column, plane_pictures, sweeps
from distlandscape.report.numbers import number
from distlandscape.report.png_parts import new_figure
from distlandscape.report.style import LIGHT as INK
from distlandscape.report.style import SERIES
from distlandscape.report.tables import RunView

SHOWN = 80  # eigenvalues of a spectrum


def spectrum(view: RunView) -> Figure:
    """Eigenvalues by rank, with predicted outliers and edge."""
    values, k = column(view, "model_spectrum", "eigenvalue")[:SHOWN], int(view.result["classes"]) - 1
    figure = new_figure(3.2)
    axes = figure.add_subplot()
    ranks = np.arange(1, len(values) + 1)
    axes.plot(ranks[:k], values[:k], "o", ms=4, color=INK["vermillion"], label=f"{k} leading")
    axes.plot(ranks[k:], values[k:], "o", ms=3, color=INK["blue"], label="the others")
    predicted = view.result["predicted"]
    for name, label, style in (("outlier", "predicted outliers", "--"), ("bulk_edge", "predicted edge", ":")):
        if predicted[name]:
            axes.axhline(predicted[name], color=INK["ink"], ls=style, lw=1, label=f"{label}: {number(predicted[name])}")
    axes.set(yscale="log", xlabel="rank", ylabel="eigenvalue of G")
    axes.legend(loc="upper right")
    return figure


def confinement(view: RunView) -> Figure:
    """The fraction of each draw, beside prediction and null."""
    fractions = column(view, "draws", "confinement")
    figure = new_figure(2.8)
    axes = figure.add_subplot()
    axes.plot(np.arange(1, len(fractions) + 1), fractions, "o", ms=4, color=INK["blue"], label="draws")
    mean, stderr = view.result["measured"]["confinement"], view.result["stderr"]["confinement"]
    axes.axhspan(mean - stderr, mean + stderr, color=INK["blue-soft"], lw=0, label="their mean ± 1 standard error")
    predicted = view.result["predicted"]["confinement"]
    if predicted is not None:
        axes.axhline(predicted, color=INK["ink"], ls="--", lw=1, label=f"predicted: {number(predicted)}")
    null = (int(view.result["classes"]) - 1) / int(view.config["theory"]["dim"])
    axes.axhline(null, color=INK["muted"], ls=":", lw=1.2, label=f"(C − 1)/D: {number(null, 2)}")
    axes.set(xlabel="draw", ylabel="fraction of |gradient|²\nin the C − 1 leading", ylim=(-0.03, 1.03))
    axes.legend(loc="upper right", ncols=2)
    return figure


def growth(view: RunView) -> Figure:
    """Leading eigenvalue and trace over norm against the logits' standard deviation."""
    figure = new_figure(4.6)
    rows: Any = figure.subplots(2, 1, sharex=True)
    for sweep, colour in zip(sweeps(view), SERIES, strict=False):
        _sweep(rows, sweep, INK[colour])
    rows[0].set(ylabel="leading eigenvalue", yscale="log")
    rows[0].yaxis.set_minor_formatter(NullFormatter())
    rows[1].set(ylabel="Tr G / ‖G‖_F", xlabel="standard deviation of the logits σ_z", ylim=(0, None))
    rows[0].legend(loc="best")
    return figure


def _sweep(rows: Any, sweep: Sweep, colour: str) -> None:
    for axes, line, dots in ((rows[0], sweep.outlier, sweep.drawn), (rows[1], sweep.ratio, sweep.drawn_ratio)):
        axes.plot(sweep.sigma_z, line, lw=1.4, color=colour, label=sweep.name)
        axes.plot(sweep.sigma_z, dots, "o", ms=3.5, color=colour)


def planes(view: RunView) -> Figure:
    """Histograms of curvature with their semicircles."""
    pictures = plane_pictures(view)
    figure = new_figure(2.1 * len(pictures))
    rows: Any = figure.subplots(len(pictures), 1, squeeze=False)
    for axes, picture in zip(rows[:, 0], pictures, strict=True):
        _plane(axes, picture)
    rows[-1, 0].set_xlabel("curvature in the plane")
    rows[0, 0].legend(loc="upper right")
    return figure


def _plane(axes: Any, picture: Plane) -> None:
    axes.stairs(picture.heights, picture.edges, fill=True, color=INK["blue-soft"], label="one draw")
    axes.plot(picture.grid, picture.semicircle, lw=1.4, color=INK["ink"], label="semicircle of the bulk")
    for index, place in enumerate(picture.outliers):
        axes.axvline(place, color=INK["vermillion"], lw=0.8, ls="--", label="predicted outliers" if not index else None)
    heights = np.full(len(picture.beyond), 0.04 * float(picture.semicircle.max()))
    axes.plot(picture.beyond, heights, "o", ms=4, color=INK["blue"], label="the draw's own")
    axes.set(ylabel=f"d = {picture.dimension}")
