"""Class geometry, for paper."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from distlandscape.report import words
from distlandscape.report.class_curves import CORNERS, LEVELS, Heat, StepPanel, level_spectra, simplex_pictures, steps
from distlandscape.report.png_parts import new_figure, step_axis
from distlandscape.report.style import LIGHT as INK
from distlandscape.report.style import SERIES
from distlandscape.report.tables import RunView


def step_panels(view: RunView, panels: list[StepPanel]) -> Figure:
    """Panels above each other, over one axis of steps."""
    figure = new_figure(3.4 if len(panels) == 1 else 1.7 * len(panels) + 0.4)
    rows: Any = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    step = steps(view)
    for axes, panel in zip(rows, panels, strict=True):
        for curve in panel.curves:
            colour = INK[curve.colour]
            if curve.spread is not None:
                low, high = curve.values - curve.spread, curve.values + curve.spread
                axes.fill_between(step, low, high, color=INK[f"{curve.colour}-soft"], lw=0)
            style = "--" if curve.dashed else "-"
            axes.plot(step, curve.values, f"o{style}", ms=3.5, lw=1.4, color=colour, label=curve.name or None)
        axes.set_ylabel(panel.label)
        if panel.decades:
            axes.set_yscale("log")
        if panel.limits is not None:
            axes.set_ylim(*panel.limits)
        if any(curve.name for curve in panel.curves):
            axes.legend(loc="best")
    step_axis(rows[-1], step)
    rows[-1].set_xlabel(words.STEP)
    return figure


def heat(table: Heat) -> Figure:
    """Numbers as colours, and as numbers where there is room."""
    rows, columns = table.values.shape
    figure = new_figure(min(7.5, 1.6 + 0.32 * rows))
    axes = figure.add_subplot()
    ends = [INK["blue"], INK["paper"], INK["vermillion"]] if table.signed else [INK["paper"], INK["blue"]]
    low = -table.reach if table.signed else 0.0
    colours = LinearSegmentedColormap.from_list("roles", ends)
    picture = axes.imshow(table.values, cmap=colours, vmin=low, vmax=table.reach, aspect="auto")
    axes.grid(visible=False)
    axes.set(xlabel=table.column_label, ylabel=table.row_label)
    if columns <= 20:
        axes.set_xticks(range(columns), table.columns)
    if rows <= 30:
        axes.set_yticks(range(rows), table.rows)
    if columns <= 12 and rows <= 30:
        for i, j in np.ndindex(table.values.shape):
            value = table.values[i, j]
            dark = abs(value) > 0.75 * table.reach
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", size=7, color=INK["paper" if dark else "ink"])
    figure.colorbar(picture, ax=axes, label=table.value_label)
    return figure


def levels(view: RunView) -> Figure:
    """Leading eigenvalues by rank."""
    figure = new_figure(3.6)
    axes = figure.add_subplot()
    for name, values in level_spectra(view):
        ranks = np.arange(1, len(values) + 1)
        axes.plot(ranks, values, "o-", ms=4, lw=0.8, color=INK[LEVELS[name]], label=name)
    if "dual_spectrum" in view.tables:
        table = view.tables["dual_spectrum"]
        most = int(max((len(values) for _, values in level_spectra(view)), default=10))
        ranks, values = (np.array(table[name].to_pylist())[:most] for name in ("rank", "eigenvalue"))
        axes.plot(ranks, values, "x", ms=5, color=INK["ink"], label="G, from the kernel")
    axes.set(yscale="log", xlabel="rank", ylabel="eigenvalue")
    axes.legend(loc="upper right", ncols=2)
    return figure


def simplex(view: RunView) -> Figure:
    """Probabilities as points of a triangle."""
    pictures = simplex_pictures(view)
    figure = new_figure(3.0)
    columns: Any = figure.subplots(1, len(pictures), squeeze=False)[0]
    edge = np.array([*CORNERS, CORNERS[0]])
    for axes, picture in zip(columns, pictures, strict=True):
        axes.plot(*edge.T, lw=0.8, color=INK["muted"])
        for k, colour in enumerate(SERIES[:3]):
            mine = picture.labels == k
            axes.plot(picture.x[mine], picture.y[mine], "o", ms=2.5, alpha=0.5, mew=0, color=INK[colour])
        axes.set(aspect="equal", title=picture.title)
        axes.axis("off")
    key = [Line2D([], [], ls="", marker="o", color=INK[c], label=f"class {k}") for k, c in enumerate(SERIES[:3])]
    figure.legend(handles=key, loc="outside lower center", ncols=3)
    return figure
