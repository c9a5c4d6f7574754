"""What changes along training, for paper."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from distlandscape.report import words
from distlandscape.report.numbers import number
from distlandscape.report.png_parts import new_figure, step_axis
from distlandscape.report.style import LIGHT as INK
from distlandscape.report.style import SERIES
from distlandscape.report.tables import Array, RunView


def confinement(view: RunView) -> Figure:
    """The gradient's share in the top k eigenvectors beside its nulls."""
    figure = new_figure(3.7)
    axes = figure.add_subplot()
    key: list[Any] = []
    for curve, name in zip(view.confinement, SERIES, strict=False):
        colour, step = INK[name], curve.step
        low, high = curve.share - curve.share_stderr, curve.share + curve.share_stderr
        axes.fill_between(step, low, high, color=INK[f"{name}-soft"], lw=0)
        axes.plot(step, curve.share, "--", lw=1.2, color=colour)
        axes.plot(step, curve.uniform, ":", lw=1.4, color=colour)
        if len(step) == 1:  # which has no line to be seen by
            axes.errorbar(step, curve.share, curve.share_stderr, fmt="_", ms=14, color=colour, capsize=2)
            axes.plot(step, curve.uniform, "_", ms=14, color=colour)
        axes.plot(step, curve.fraction, "o-", ms=3.5, lw=1.4, color=colour)
        label = f"{words.curve_name(curve)}  (k/P = {number(float(curve.uniform[-1]), 2)})"
        key.append(Line2D([], [], color=colour, lw=4, label=label))
    for style, label in (("-", "gradient"), ("--", "share null ± 1 standard error"), (":", "uniform null k/P")):
        key.append(Line2D([], [], color=INK["ink"], lw=1.3, ls=style, label=label))
    step_axis(axes, view.confinement[0].step)
    axes.set(ylim=(-0.03, 1.03), xlabel=words.STEP, ylabel=words.FRACTION.replace(" in", "\nin"))
    figure.legend(handles=key, loc="outside lower center", ncols=3)
    return figure


def checkpoints(view: RunView) -> Figure:
    """What the spectrum study knows of each checkpoint."""
    assert view.checkpoints is not None
    figure = new_figure(4.8)
    rows: Any = figure.subplots(len(words.CHECKPOINTS), 1, sharex=True)
    for axes, (name, (label, colour)) in zip(rows, words.CHECKPOINTS.items(), strict=True):
        values = view.checkpoints[name]
        axes.plot(view.checkpoints["step"], values, "o-", ms=3.5, lw=1.4, color=INK[colour])
        axes.set_ylabel(label.replace(" ", "\n"))
        if name == "loss":
            _loss_axis(axes, values)
        if name == "accuracy":
            axes.set_ylim(-0.03, 1.03)
    step_axis(rows[-1], view.checkpoints["step"])
    rows[-1].set_xlabel(words.STEP)
    return figure


def training(view: RunView) -> Figure:
    """Losses of mini-batches and of checkpoints, accuracy where there are classes, and the learning rate."""
    assert view.training is not None
    step, loss, rate = (view.training[name] for name in ("step", "loss", "learning_rate"))
    kept = view.checkpoints or {}
    classes = "accuracy" in kept and bool(np.isfinite(kept["accuracy"]).any())
    heights = [2.0, 1.0, 0.8] if classes else [2.0, 0.8]
    figure = new_figure(1.5 * sum(heights))
    rows: Any = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    rows[0].plot(step, loss, lw=0.7, color=INK["blue"], alpha=0.5, label=words.BATCHES)
    for prefix, (label, colour, mark) in words.MEASURED_ON.items():
        if f"{prefix}loss" in kept:
            look: Any = {"marker": mark, "ms": 4.5, "color": INK[colour]}
            rows[0].plot(kept["step"], kept[f"{prefix}loss"], ls="none", label=label, **look)
            if classes:
                rows[1].plot(kept["step"], kept[f"{prefix}accuracy"], lw=1.2, **look)
    _loss_axis(rows[0], np.concatenate([loss, kept.get("loss", []), kept.get("test_loss", [])]))
    rows[0].set_ylabel("loss")
    rows[0].legend(loc="lower left")
    if classes:
        rows[1].set(ylabel="accuracy", ylim=(-0.03, 1.03))
    rows[-1].plot(step, rate, lw=1.4, color=INK["green"])
    rows[-1].set(ylabel=words.RATE.replace(" ", "\n"), xlabel=words.STEP, ylim=(0, 1.1 * float(rate.max())))
    step_axis(rows[-1], step)
    return figure


def _loss_axis(axes: Axes, values: Array) -> None:
    if (values > 0).all():
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
