"""The figures as PNG, for paper: matplotlib without a display and without its global figures."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from distlandscape.report import words
from distlandscape.report.course import course
from distlandscape.report.curves import Panel, density_panels
from distlandscape.report.numbers import number
from distlandscape.report.style import LIGHT as INK
from distlandscape.report.style import SERIES
from distlandscape.report.tables import Array, Pairs, RunView

DPI = 160
WIDTH = 7.2
RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK["muted"],
    "axes.labelcolor": INK["ink"],
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": INK["grid"],
    "grid.linewidth": 0.6,
    "text.color": INK["ink"],
    "xtick.color": INK["muted"],
    "ytick.color": INK["muted"],
    "xtick.labelcolor": INK["ink"],
    "ytick.labelcolor": INK["ink"],
    "legend.fontsize": 8,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "none",
}


def figures(view: RunView) -> dict[str, bytes]:
    """PNG images by name, of those figures whose tables are there."""
    draw = {"density": _density, "eigenvalues": _eigenvalues, "confinement": _confinement, "training": _training}
    with mpl.rc_context(RC):
        return {name: _png(draw[name](view)) for name in words.figure_names(view)}


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    # Without the version of matplotlib in it, equal tables give equal bytes.
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def _figure(height: float) -> Figure:
    return Figure(figsize=(WIDTH, height), layout="constrained")


def _density(view: RunView) -> Figure:
    panels = density_panels(view)
    figure = _figure(3.1 * len(panels))
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


def _eigenvalues(view: RunView) -> Figure:
    ends = words.ends(view)
    figure = _figure(4.8)
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


def _confinement(view: RunView) -> Figure:
    figure = _figure(3.7)
    axes = figure.add_subplot()
    key: list[Any] = []
    for curve, name in zip(view.confinement, SERIES, strict=False):
        colour, step = INK[name], curve.step
        low, high = curve.share - curve.share_stderr, curve.share + curve.share_stderr
        axes.fill_between(step, low, high, color=INK[f"{name}-soft"], lw=0)
        axes.plot(step, curve.share, "--", lw=1.2, color=colour)
        axes.plot(step, curve.uniform, ":", lw=1.4, color=colour)
        axes.plot(step, curve.fraction, "o-", ms=3.5, lw=1.4, color=colour)
        label = f"{words.curve_name(curve)}  (k/P = {number(float(curve.uniform[-1]), 2)})"
        key.append(Line2D([], [], color=colour, lw=4, label=label))
    for style, label in (("-", "gradient"), ("--", "share null ± 1 standard error"), (":", "uniform null k/P")):
        key.append(Line2D([], [], color=INK["ink"], lw=1.3, ls=style, label=label))
    _step_axis(axes, view.confinement[0].step)
    axes.set(ylim=(-0.03, 1.03), xlabel=words.STEP, ylabel=words.FRACTION.replace(" in", "\nin"))
    figure.legend(handles=key, loc="outside lower center", ncols=3)
    return figure


def _training(view: RunView) -> Figure:
    panels = course(view)
    figure = _figure(1.6 * len(panels))
    rows: Any = figure.subplots(len(panels), 1, sharex=True, squeeze=False)
    for axes, row in zip(rows[:, 0], panels, strict=True):
        for series in row.series:
            look: Any = {"marker": "o", "ms": 3.5, "lw": 1.4} if series.marks else {"lw": 1.0}
            axes.plot(series.step, series.values, color=INK[series.colour], label=series.name, **look)
        axes.set_ylabel(row.label.replace(" ", "\n"))
        if row.logarithmic:
            axes.set_yscale("log")
            axes.yaxis.set_minor_formatter(NullFormatter())
        if row.share:
            axes.set_ylim(-0.03, 1.03)
        if row.named:
            axes.legend(loc="best")
    _step_axis(rows[-1, 0], panels[0].series[-1].step)
    rows[-1, 0].set_xlabel(words.STEP)
    return figure


def _step_axis(axes: Axes, step: Array) -> None:
    """Logarithmic, with room for step 0."""
    axes.set_xscale("symlog", linthresh=1, linscale=0.4)
    last = max(float(step.max()), 1.0)
    axes.set_xlim(-0.15, last * 1.2)
    ticks = [0.0, *(10.0**power for power in range(9) if 10.0**power <= last)]
    axes.set_xticks(ticks, [f"{int(tick):,}" for tick in ticks])
