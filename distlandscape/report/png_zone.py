"""The goldilocks study, for paper."""

from __future__ import annotations

from typing import Any

from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from distlandscape.report.png_parts import new_figure
from distlandscape.report.style import LIGHT as INK
from distlandscape.report.tables import RunView
from distlandscape.report.zone_curves import RADIUS, Panel, grids, schemes, zone_ends


def radius_panels(view: RunView, panels: list[Panel]) -> Figure:
    """Panels above each other over one axis of radii, the zone and the initialisation schemes marked."""
    figure = new_figure(2.4 * len(panels) + 0.4)
    column: Any = figure.subplots(len(panels), 1, sharex=True)
    ends = zone_ends(view)
    for axes, panel in zip(column, panels, strict=True):
        if ends is not None:
            axes.axvspan(*ends, color=INK["green-soft"], lw=0)
        for radius in schemes(view).values():
            axes.axvline(radius, color=INK["muted"], lw=0.7, ls=":")
        _panel(axes, panel)
    for name, radius in schemes(view).items():
        column[0].annotate(name, (radius, 1), xycoords=("data", "axes fraction"), size=7, rotation=60, va="bottom")
    column[-1].set(xscale="log", xlabel=RADIUS)
    _plain_radii(column[-1])
    return figure


def spectrum(panel: Panel, title: str, axis: str) -> Figure:
    """Shares of eigenvalues, of H or in a plane."""
    figure = new_figure(3.0)
    axes = figure.add_subplot()
    _panel(axes, panel)
    axes.set(xlabel=axis, title=title)
    return figure


def grid(view: RunView) -> Figure:
    """Accuracy over radius and dimension."""
    pictures = grids(view)
    figure = new_figure(3.2)
    drawn: list[Any] = []
    row: Any = figure.subplots(1, len(pictures), squeeze=False, sharey=True)[0]
    colours = LinearSegmentedColormap.from_list("roles", [INK["paper"], INK["blue"]])
    ends = zone_ends(view)
    for axes, picture in zip(row, pictures, strict=True):
        edges = picture.radius_edges, picture.dimension_edges
        drawn.append(axes.pcolormesh(*edges, picture.accuracy, cmap=colours, vmin=0, vmax=1))
        axes.plot(
            picture.line_radius, picture.line_dimension, "o-", ms=3, color=INK["vermillion"], label="2√d = Tr H/‖H‖_F"
        )
        for end in ends or ():
            axes.axvline(end, color=INK["green"], lw=1.2, ls="--")
        bottom = picture.dimension_edges[0]
        axes.set(
            xscale="log", yscale="log", xlabel=RADIUS, title=picture.title, ylim=(bottom, picture.dimension_edges[-1])
        )
        axes.grid(visible=False)
        _plain_radii(axes)
    row[0].set_ylabel("dimension of the plane d")
    row[0].legend(loc="upper left")
    figure.colorbar(drawn[0], ax=list(row), label="accuracy, held out")
    return figure


def _plain_radii(axes: Any) -> None:
    """Radii span a decade or two: 1, 2 and 5 times a power of ten, without exponents."""
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _panel(axes: Any, panel: Panel) -> None:
    for line in panel.lines:
        style = "--" if line.dashed else "-" if line.smooth else "o-"
        axes.errorbar(
            line.x, line.y, line.error, fmt=style, ms=3.5, lw=1.2, capsize=2, color=INK[line.colour], label=line.name
        )
    axes.set_ylabel(panel.label)
    if panel.logarithmic:
        axes.set_yscale("log")
    if panel.limits is not None:
        axes.set_ylim(*panel.limits)
    axes.legend(loc="best")
