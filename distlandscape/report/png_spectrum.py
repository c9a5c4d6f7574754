"""Density and eigenvalues for paper."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from distlandscape.report import words
from distlandscape.report.curves import Panel, density_panels
from distlandscape.report.png_parts import new_figure
from distlandscape.report.style import LIGHT as INK
from distlandscape.report.tables import Array, Pairs, RunView


def density(view: RunView) -> Figure:
    """The whole range and, where it would be a mere spike there, the bulk enlarged."""
    panels = density_panels(view)
    figure = new_figure(3.1 * len(panels))
    for index, panel in enumerate(panels):
        axes = figure.add_subplot(len(panels), 1, index + 1)
        if panel.kind == "whole" and len(panels) > 1:
            bulk = panels[1].grid
            axes.axvspan(bulk[0], bulk[-1], color=INK["muted-soft"], lw=0, label="enlarged below")
        _density_panel(axes, view, panel)
        axes.set_title(words.density_title(view, panel))
        axes.set(xlabel=words.EIGENVALUE, ylabel=words.DENSITY.replace(" per", "\nper"), yscale="log")
        axes.set(ylim=(panel.floor, panel.ceiling), xlim=(panel.grid[0], panel.grid[-1]))
        axes.legend(loc="upper right")
    return figure


def _density_panel(axes: Axes, view: RunView, panel: Panel) -> None:
    if panel.draws > 1:
        axes.fill_between(
            panel.grid, panel.low, panel.high, color=INK["blue-soft"], lw=0, label=words.draws_note(panel)
        )
    axes.plot(panel.grid, panel.mean, color=INK["blue"], lw=1.3, label=words.bandwidth_note(panel))
    if panel.one is not None:
        axes.axhline(panel.one, color=INK["muted"], lw=0.9, ls=":", label="height of one eigenvalue")
        for name, pairs, colour in words.ends(view):
            _stems(axes, pairs, panel, INK[colour], name)
    rank = words.gap_rank(view)
    if panel.kind == "whole" and rank is not None and view.top is not None:
        at = float(view.top.values[rank - 1 : rank + 1].mean())
        axes.axvline(at, color=INK["muted"], lw=0.9, ls="--")
        _note(axes, at, 0.5, f" C − 1 = {rank} largest →", "left")


def _note(axes: Axes, x: float, y: float, text: str, side: str) -> None:
    axes.annotate(text, (x, y), xycoords=("data", "axes fraction"), color=INK["muted"], fontsize=8, ha=side)


def _stems(axes: Axes, pairs: Pairs, panel: Panel, colour: str, name: str) -> None:
    assert panel.one is not None
    shown = (pairs.values >= panel.grid[0]) & (pairs.values <= panel.grid[-1])
    axes.vlines(pairs.values[shown], panel.floor / 100, panel.one, color=colour, lw=0.9)
    for flag in (True, False):
        mine = shown & (pairs.converged == flag)
        if mine.any():
            heights = np.full(int(mine.sum()), panel.one)
            _marks(axes, pairs.values[mine], heights, colour, flag, words.mark_name(name, flag))


def _marks(axes: Axes, x: Array, y: Array, colour: str, converged: bool, label: str) -> None:
    """Filled where converged, hollow where not."""
    axes.plot(x, y, "o", ms=4, mfc=colour if converged else INK["paper"], mec=colour, label=label)


def eigenvalues(view: RunView) -> Figure:
    """Each end of the spectrum against rank, and the residuals below."""
    ends = words.ends(view)
    figure = new_figure(4.8)
    grid = figure.add_gridspec(2, len(ends), width_ratios=[2.6, 1.0][: len(ends)], height_ratios=[1.5, 1.0])
    first: Axes | None = None
    for column, (name, pairs, colour) in enumerate(ends):
        upper = figure.add_subplot(grid[0, column])
        lower = figure.add_subplot(grid[1, column], sharex=upper, sharey=first)
        first = first or lower
        upper.errorbar(pairs.ranks, pairs.values, pairs.residuals, fmt="none", ecolor=INK[colour], capsize=1.8, lw=1)
        for flag, note in ((True, "converged"), (False, "not converged")):
            mine = pairs.converged == flag
            if mine.any():
                _marks(upper, pairs.ranks[mine], pairs.values[mine], INK[colour], flag, note)
                _marks(lower, pairs.ranks[mine], pairs.relative[mine], INK[colour], flag, note)
        limit = view.admissible(pairs.values)
        if limit is not None:
            ranks = np.append(pairs.ranks - 0.5, pairs.ranks[-1] + 0.5)
            lower.stairs(limit, ranks, color=INK["ink"], ls="--", baseline=None, label=words.tolerance_name(view))
        upper.set_title(words.end_title(view, name, pairs))
        upper.tick_params(labelbottom=False)
        if column == 0 or not pairs.converged.all():
            upper.legend(loc="best")
        lower.set(xlabel="rank", yscale="log", xlim=(0.4, len(pairs.values) + 0.6))
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        if name == "largest":
            _top_extras(upper, view, pairs)
        if column == 0:
            upper.set_ylabel(words.EIGENVALUE.replace(" (", "\n("))
            lower.set_ylabel(words.RESIDUAL)
            lower.legend(*([item[-1:] for item in lower.get_legend_handles_labels()]), loc="best")
    return figure


def _top_extras(axes: Axes, view: RunView, pairs: Pairs) -> None:
    if pairs.positive:
        axes.set_yscale("log")
    rank = words.gap_rank(view)
    if rank is not None:
        axes.axvline(rank + 0.5, color=INK["muted"], lw=0.9, ls="--")
        _note(axes, rank + 0.5, 0.04, f"C − 1 = {rank} ", "right")
