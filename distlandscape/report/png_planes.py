"""Trainings in random planes, for paper."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from distlandscape.report.plane_curves import Sweep, evaluated, full_space, learning, sweeps
from distlandscape.report.png_parts import new_figure
from distlandscape.report.style import LIGHT as INK
from distlandscape.report.style import MARKS, SERIES
from distlandscape.report.tables import RunView

DIMENSION = "dimension of the plane d"


def dimensions(view: RunView) -> Figure:
    """Accuracy and loss against dimension."""
    figure = new_figure(5.2)
    axes: Any = figure.subplots(2, 1, sharex=True)
    for panel, quantity in zip(axes, ("accuracy", "loss"), strict=True):
        _sweeps(panel, sweeps(view, quantity))
        baseline = full_space(view, quantity)
        if baseline is not None:
            panel.axhline(baseline, color=INK["ink"], lw=1, label="full space")
    found = (view.result or {}).get("d_int90")
    if found and found["threshold"] is not None:
        axes[0].axhline(found["threshold"], color=INK["ink"], lw=1, ls="--", label="90 % of it")
        if found["low"] is not None and found["high"] is not None:
            axes[0].axvspan(found["low"], found["high"], color=INK["grid"], lw=0, label="d_int90")
    axes[0].set(ylabel=f"accuracy, {evaluated(view)}", xscale="log")
    axes[1].set(ylabel=f"loss, {evaluated(view)}", xlabel=DIMENSION, yscale="log")
    axes[0].legend(loc="lower right")
    return figure


def success(view: RunView) -> Figure:
    """Share of trainings that succeed."""
    figure = new_figure(2.8)
    axes = figure.add_subplot()
    _sweeps(axes, sweeps(view, "success"))
    axes.set(xscale="log", xlabel=DIMENSION, ylabel="share of trainings that succeed", ylim=(-0.03, 1.03))
    axes.legend(loc="lower right")
    return figure


def curves(view: RunView) -> Figure:
    """Accuracy along training."""
    drawn = learning(view)
    figure = new_figure(3.2)
    axes = figure.add_subplot()
    for index, one in enumerate(drawn):
        full = one.name == "full space"
        colour = INK["ink"] if full else INK[SERIES[index % len(SERIES)]]
        axes.plot(one.step, one.accuracy, lw=1.3, color=colour, ls="--" if full else "-", label=one.name)
    axes.set(xlabel="training step", ylabel=f"accuracy, {evaluated(view)}")
    axes.legend(loc="lower right", ncols=2)
    return figure


def _sweeps(axes: Any, drawn: list[Sweep]) -> None:
    for index, sweep in enumerate(drawn):
        colour, mark = SERIES[index % len(SERIES)], MARKS[index // len(SERIES) % len(MARKS)][1]
        bars = np.stack([sweep.value - sweep.low, sweep.high - sweep.value]).clip(min=0)
        axes.errorbar(
            sweep.dimension,
            sweep.value,
            bars,
            fmt=f"{mark}-",
            ms=3.5,
            lw=1.2,
            capsize=2,
            color=INK[colour],
            label=sweep.name,
        )
