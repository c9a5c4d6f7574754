"""The figures for the page: plotly's JSON, written by hand."""

from __future__ import annotations

import math

from distlandscape.report import words
from distlandscape.report.course import course
from distlandscape.report.interactive_spectrum import density, eigenvalues
from distlandscape.report.numbers import number
from distlandscape.report.plotly_json import Json, axis, floats, layout, logarithmic, trace
from distlandscape.report.style import SERIES
from distlandscape.report.tables import Array, Confinement, RunView

LINEAR = 0.4  # length of the stretch from step 0 to 1, in decades


def plots(view: RunView) -> dict[str, Json]:
    """Plotly figures by name, of those whose tables are there."""
    draw = {"density": density, "eigenvalues": eigenvalues, "confinement": _confinement, "training": _training}
    return {name: draw[name](view) for name in words.figure_names(view)}


def _confinement(view: RunView) -> Json:
    figure = layout(460, legend_y=-0.17)
    figure["xaxis"] = _step_axis(view.confinement[0].step)
    figure["yaxis"] = axis(words.FRACTION, (0, 1), range=[-0.02, 1.03])
    curves = zip(view.confinement, SERIES, strict=False)
    return {"data": [part for curve, colour in curves for part in _curve(curve, colour)], "layout": figure}


def _curve(curve: Confinement, colour: str) -> list[Json]:
    """One k: the gradient, the share null with its band, the uniform null."""
    x, name = [_place(step) for step in curve.step], words.curve_name(curve)
    group: Json = {"legendgroup": name}
    shown: Json = {"customdata": floats(curve.step), **group}
    shown["hovertemplate"] = f"step %{{customdata:,}}<br>%{{y:.3~g}}<extra>{name}</extra>"
    solid: Json = {"color": f"@{colour}", "width": 2}
    uniform = f"k/P = {number(float(curve.uniform[-1]), 2)}"
    traces = [trace("lines", x, floats(curve.uniform), uniform, line={**solid, "dash": "dot"}, **shown)]
    low, high = floats(curve.share - curve.share_stderr), floats(curve.share + curve.share_stderr)
    if None not in low:
        edge: Json = {"line": {"width": 0}, "hoverinfo": "skip", **group}
        traces.append(trace("lines", x, low, **edge))
        traces.append(trace("lines", x, high, fill="tonexty", fillcolor=f"@{colour}-soft", **edge))
    share = floats(curve.share)
    if any(value is not None for value in share):
        traces.append(trace("lines", x, share, "share null ± 1 se", line={**solid, "dash": "dash"}, **shown))
    gradient, marker = floats(curve.fraction), {"size": 6}
    traces.append(trace("lines+markers", x, gradient, f"gradient, {name}", line=solid, marker=marker, **shown))
    return traces


def _training(view: RunView) -> Json:
    panels = course(view)
    figure = layout(180 * len(panels), legend_y=-0.12)
    figure["margin"]["t"] = 40
    last = panels[0].series[-1].step
    height = 1 / (len(panels) + 0.15 * (len(panels) - 1))
    figure["xaxis"] = {**_step_axis(last), "anchor": f"y{len(panels)}" if len(panels) > 1 else "y"}
    data: list[Json] = []
    for number_, row in enumerate(panels):
        n, top = "" if not number_ else str(number_ + 1), 1 - 1.15 * height * number_
        scale = {**logarithmic(), "dtick": row.ticks} if row.logarithmic else {}
        limits = {"range": [-0.03, 1.03]} if row.share else {}
        figure[f"yaxis{n}"] = axis(row.label, (max(0.0, top - height), top), **scale, **limits)
        for series in row.series:
            hover = f"{series.name}<br>step %{{customdata:,}}<br>{row.label} %{{y:.4~g}}<extra></extra>"
            line: Json = {"color": f"@{series.colour}", "width": 2 if series.marks else 1.2}
            look: Json = {"line": line, "marker": {"size": 6}, "hovertemplate": hover}
            mode = "lines+markers" if series.marks else "lines"
            x, name = [_place(s) for s in series.step], series.name if row.named and not number_ else ""
            points = trace(mode, x, floats(series.values), name, customdata=floats(series.step), **look)
            data.append({**points, "yaxis": f"y{n}"})
    return {"data": data, "layout": figure}


def _place(step: float) -> float:
    """Where a step is drawn: logarithmic from 1 on, with room for step 0 (plotly has no such axis)."""
    return LINEAR * (step - 1) if step < 1 else math.log10(step)


def _step_axis(step: Array) -> Json:
    last = max(float(step.max()), 1.0)
    ticks = [0.0, *(10.0**power for power in range(9) if 10.0**power <= last)]
    return axis(
        words.STEP,
        (0, 1),
        range=[-LINEAR - 0.08, _place(last) + 0.08],
        tickvals=[_place(tick) for tick in ticks],
        ticktext=[f"{int(tick):,}" for tick in ticks],
    )
