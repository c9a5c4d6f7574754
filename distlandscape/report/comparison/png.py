"""A comparison's figures for paper."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D

from distlandscape.report.comparison.overlay import Curve, Overlay, Panel, colour, marks
from distlandscape.report.png_parts import DPI, RC, new_figure, step_axis
from distlandscape.report.style import LIGHT as INK


def image(overlay: Overlay, labels: Sequence[str]) -> bytes:
    """The panels above each other, a run with one entry in the legend, as PNG."""
    with mpl.rc_context(RC):
        figure = new_figure(2.4 * len(overlay.panels) + 0.25 * len(overlay.runs) + 0.3)
        FigureCanvasAgg(figure)
        column: Any = figure.subplots(len(overlay.panels), 1, squeeze=False)[:, 0]
        for axes, panel in zip(column, overlay.panels, strict=True):
            _panel(axes, panel)
        key = [
            Line2D([], [], color=INK[colour(run)], marker=marks(run)[1], ms=5, label=_plain(labels[run]))
            for run in sorted(overlay.runs)
        ]
        figure.legend(handles=key, loc="outside lower left", ncols=1)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def _panel(axes: Axes, panel: Panel) -> None:
    for run, curves in panel.curves.items():
        for curve in curves:
            _draw(axes, run, curve)
    if panel.y_log:
        axes.set_yscale("log")
    if panel.x_axis == "steps":
        step_axis(axes, np.concatenate([curve.x for curves in panel.curves.values() for curve in curves]))
    else:
        axes.set_xscale(panel.x_axis)
    axes.set(xlabel=panel.x_label, ylabel=panel.y_label, title=panel.title)
    if panel.x_range is not None:
        axes.set_xlim(*panel.x_range)
    if panel.y_range is not None:
        axes.set_ylim(*panel.y_range)


def _draw(axes: Axes, run: int, curve: Curve) -> None:
    ink, mark = INK[colour(run)], marks(run)[1]
    if curve.reference or curve.dense:
        if curve.bars is not None:
            axes.fill_between(curve.x, *curve.bars, color=ink, alpha=0.16, lw=0)
        mark = "_" if len(curve.x) == 1 else ""  # a single point has no line to be seen by
        axes.plot(curve.x, curve.y, marker=mark, ms=14, ls="--" if curve.reference else "-", lw=1.2, color=ink)
        return
    if curve.bars is not None:
        spread = np.abs(np.stack(curve.bars) - curve.y)
        axes.errorbar(curve.x, curve.y, spread, fmt="none", ecolor=ink, capsize=1.8, lw=1)
    if curve.joined:
        axes.plot(curve.x, curve.y, lw=1.3, color=ink)
    good = np.ones(len(curve.x), dtype=bool) if curve.converged is None else curve.converged
    for mine, face in ((good, ink), (~good, INK["paper"])):
        axes.plot(curve.x[mine], curve.y[mine], mark, ms=4.5, mfc=face, mec=ink)


def _plain(text: str) -> str:
    """Text that matplotlib does not take for mathematics, nor for an entry to hide."""
    return text.replace("$", r"\$").lstrip("_")
