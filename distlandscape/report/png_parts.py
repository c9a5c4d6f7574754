"""What the PNG figures have in common."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from distlandscape.report.style import LIGHT as INK
from distlandscape.report.tables import Array

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


def new_figure(height: float) -> Figure:
    """An empty figure of the common width."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def step_axis(axes: Axes, step: Array) -> None:
    """Make the axis of steps logarithmic, with room for step 0."""
    axes.set_xscale("symlog", linthresh=1, linscale=0.4)
    last = max(float(step.max()), 1.0)
    axes.set_xlim(-0.15, last * 1.2)
    ticks = [0.0, *(10.0**power for power in range(9) if 10.0**power <= last)]
    axes.set_xticks(ticks, [f"{int(tick):,}" for tick in ticks])
