"""What changes along training, for the page."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from distlandscape.report import words
from distlandscape.report.numbers import number
from distlandscape.report.plotly_json import Json, axis, band, floats, layout, logarithmic, trace
from distlandscape.report.style import SERIES
from distlandscape.report.tables import Array, Confinement, RunView
from distlandscape.report.thinning import extremes

LINEAR = 0.4  # length of the stretch from step 0 to 1, in decades


def confinement(view: RunView) -> Json:
    """The gradient's share in the top k eigenvectors beside its nulls."""
    figure = layout(460, legend_y=-0.17)
    figure["xaxis"] = step_axis(view.confinement[0].step)
    figure["yaxis"] = axis(words.FRACTION, (0, 1), range=[-0.02, 1.03])
    curves = zip(view.confinement, SERIES, strict=False)
    return {"data": [part for curve, colour in curves for part in _curve(curve, colour)], "layout": figure}


def _curve(curve: Confinement, colour: str) -> list[Json]:
    """One k: the gradient, the share null with its band, the uniform null."""
    x, name = [place(step) for step in curve.step], words.curve_name(curve)
    group: Json = {"legendgroup": name}
    shown: Json = {"customdata": floats(curve.step), **group}
    shown["hovertemplate"] = f"step %{{customdata:,}}<br>%{{y:.3~g}}<extra>{name}</extra>"
    solid: Json = {"color": f"@{colour}", "width": 2}
    uniform = f"k/P = {number(float(curve.uniform[-1]), 2)}"
    mode = "lines" if len(x) > 1 else "markers"  # a single point has no line to be seen by
    dash: Json = {"marker": {"symbol": "line-ew", "size": 22, "line": {"color": f"@{colour}", "width": 2}}}
    nulls: Json = {**shown, **({} if len(x) > 1 else dash)}
    traces = [trace(mode, x, floats(curve.uniform), uniform, line={**solid, "dash": "dot"}, **nulls)]
    low, high = floats(curve.share - curve.share_stderr), floats(curve.share + curve.share_stderr)
    if None not in low:
        traces += band(x, low, high, f"share null, {name}", colour, customdata=floats(curve.step), **group)
    share = floats(curve.share)
    if any(value is not None for value in share):
        bars: Json = {} if len(x) > 1 else {"error_y": {"array": floats(curve.share_stderr), "color": f"@{colour}"}}
        line: Json = {**solid, "dash": "dash"}
        traces.append(trace(mode, x, share, "share null ± 1 se", line=line, **nulls, **bars))
    gradient, marker = floats(curve.fraction), {"size": 6}
    traces.append(trace("lines+markers", x, gradient, f"gradient, {name}", line=solid, marker=marker, **shown))
    return traces


def checkpoints(view: RunView) -> Json:
    """What the spectrum study knows of each checkpoint."""
    assert view.checkpoints is not None
    step = view.checkpoints["step"]
    figure = layout(540, legend_y=0, showlegend=False)
    figure["margin"]["t"] = 40
    rows = ((0.70, 1.0), (0.35, 0.65), (0.0, 0.30))
    figure["xaxis"] = {**step_axis(step), "anchor": "y3"}
    data: list[Json] = []
    for n, row, (name, (label, colour)) in zip(("", "2", "3"), rows, words.CHECKPOINTS.items(), strict=True):
        values = view.checkpoints[name]
        scale = logarithmic() if name == "loss" and (values > 0).all() else {}
        limits = {"range": [-0.03, 1.03]} if name == "accuracy" else {}
        figure[f"yaxis{n}"] = axis(label, row, **scale, **limits)
        hover = f"step %{{customdata:,}}<br>{label} %{{y:.4~g}}<extra></extra>"
        look: Json = {"line": {"color": f"@{colour}", "width": 2}, "marker": {"size": 6}, "hovertemplate": hover}
        points = trace("lines+markers", [place(s) for s in step], floats(values), customdata=floats(step), **look)
        data.append({**points, "yaxis": f"y{n}"})
    return {"data": data, "layout": figure}


def training(view: RunView) -> Json:
    """Losses of mini-batches and of checkpoints, accuracy where there are classes, and the learning rate."""
    assert view.training is not None
    step, loss, rate = (view.training[name] for name in ("step", "loss", "learning_rate"))
    kept = view.checkpoints or {}
    classes = "accuracy" in kept and bool(np.isfinite(kept["accuracy"]).any())
    domains = [(0.56, 1.0), (0.28, 0.50), (0.0, 0.22)] if classes else [(0.34, 1.0), (0.0, 0.26)]
    last = len(domains)
    figure = layout(560, legend_y=-0.14)
    figure["xaxis"] = {**step_axis(step), "anchor": f"y{last}"}
    losses = np.concatenate([loss, kept.get("loss", []), kept.get("test_loss", [])])
    scale = logarithmic() if (losses > 0).all() else {}
    figure["yaxis"] = axis("loss", domains[0], **scale)
    at = np.array([place(s) for s in step])
    kept_losses, kept_rates = extremes(at, loss), extremes(at, rate)
    batches = words.BATCHES if len(kept_losses) == len(loss) else f"{words.BATCHES}, extremes of each stretch"
    look: Json
    thin: Json = {"line": {"color": "@blue", "width": 1}, "opacity": 0.6}
    data = [_line(step[kept_losses], loss[kept_losses], "", "loss", batches, **thin)]
    for prefix, (label, colour, _) in words.MEASURED_ON.items():
        if f"{prefix}loss" in kept:
            marks: Json = {"marker": {"color": f"@{colour}", "size": 8}}
            data.append(_line(kept["step"], kept[f"{prefix}loss"], "", "loss", label, "markers", **marks))
            if classes:
                look = {"line": {"color": f"@{colour}", "width": 2}, "marker": {"size": 7}}
                accuracy = kept[f"{prefix}accuracy"]
                data.append(
                    _line(kept["step"], accuracy, "2", f"accuracy, {label}", "", "lines+markers", meta=label, **look)
                )
    if classes:
        figure["yaxis2"] = axis("accuracy", domains[1], range=[-0.03, 1.03])
    figure[f"yaxis{last}"] = axis(words.RATE, domains[-1], rangemode="tozero")
    look = {"line": {"color": "@green", "width": 2}}
    data.append(_line(step[kept_rates], rate[kept_rates], str(last), words.RATE, **look))
    return {"data": data, "layout": figure}


def _line(step: Array, values: Array, n: str, what: str, name: str = "", mode: str = "lines", **look: Any) -> Json:
    """Values against steps in the panel with the axis ``yN``; all panels share one axis of steps."""
    hover = f"step %{{customdata:,}}<br>{what} %{{y:.4~g}}<extra></extra>"
    points = trace(mode, [place(s) for s in step], floats(values), name, customdata=floats(step), **look)
    return {**points, "yaxis": f"y{n}", "hovertemplate": hover}


def place(step: float) -> float:
    """Where a step is drawn: logarithmic from 1 on, with room for step 0 (plotly has no such axis)."""
    return LINEAR * (step - 1) if step < 1 else math.log10(step)


def step_axis(step: Array) -> Json:
    """The axis of steps; values go through ``place``."""
    last = max(float(step.max()), 1.0)
    ticks = [0.0, *(10.0**power for power in range(9) if 10.0**power <= last)]
    return axis(
        words.STEP,
        (0, 1),
        range=[-LINEAR - 0.08, place(last) + 0.08],
        tickvals=[place(tick) for tick in ticks],
        ticktext=[f"{int(tick):,}" for tick in ticks],
    )
