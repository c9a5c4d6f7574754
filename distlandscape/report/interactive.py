"""The figures for the page: plotly's JSON, written by hand."""

from __future__ import annotations

import math

from distlandscape.report import words
from distlandscape.report.interactive_spectrum import density, eigenvalues
from distlandscape.report.numbers import number
from distlandscape.report.plotly_json import Json, axis, floats, layout, logarithmic, trace
from distlandscape.report.style import SERIES
from distlandscape.report.tables import Array, RunView

LINEAR = 0.4  # length of the stretch from step 0 to 1, in decades


def plots(view: RunView) -> dict[str, Json]:
    """Plotly figures by name, of those whose tables are there."""
    draw = {"density": density, "eigenvalues": eigenvalues, "confinement": _confinement, "training": _training}
    return {name: draw[name](view) for name in words.figure_names(view)}


def _confinement(view: RunView) -> Json:
    step = view.confinement[0].step
    figure = layout(460, legend_y=-0.17)
    figure["xaxis"] = _step_axis(step)
    figure["yaxis"] = axis(words.FRACTION, (0, 1), range=[-0.02, 1.03])
    data: list[Json] = []
    for curve, colour in zip(view.confinement, SERIES, strict=False):
        name, line = words.curve_name(curve), {"color": f"@{colour}", "width": 2}
        x, group = [_place(s) for s in curve.step], {"legendgroup": f"{curve.k}"}
        steps = {
            "customdata": floats(curve.step),
            "hovertemplate": f"step %{{customdata:,}}<br>%{{y:.3f}}<extra>{name}</extra>",
        }
        edge = {"line": {"width": 0}, "hoverinfo": "skip", **group}
        data += [
            trace("lines", x, floats(curve.share - curve.share_stderr), **edge),
            trace(
                "lines",
                x,
                floats(curve.share + curve.share_stderr),
                fill="tonexty",
                fillcolor=f"@{colour}-soft",
                **edge,
            ),
            trace(
                "lines",
                x,
                floats(curve.uniform),
                f"k/P = {number(float(curve.uniform[-1]), 2)}",
                line=line | {"dash": "dot"},
                **steps,
                **group,
            ),
            trace("lines", x, floats(curve.share), "share null ± 1 se", line=line | {"dash": "dash"}, **steps, **group),
            trace(
                "lines+markers",
                x,
                floats(curve.fraction),
                f"gradient, {name}",
                line=line,
                marker={"size": 6},
                **steps,
                **group,
            ),
        ]
    return {"data": data, "layout": figure}


def _training(view: RunView) -> Json:
    assert view.checkpoints is not None
    step = view.checkpoints["step"]
    figure = layout(540, legend_y=0, showlegend=False)
    figure["margin"]["t"] = 40
    rows = ((0.70, 1.0), (0.35, 0.65), (0.0, 0.30))
    figure["xaxis"] = _step_axis(step) | {"anchor": "y3"}
    data: list[Json] = []
    for n, row, (name, (label, colour)) in zip(("", "2", "3"), rows, words.TRAINING.items(), strict=True):
        values = view.checkpoints[name]
        scale = logarithmic() if name == "loss" and (values > 0).all() else {}
        limits = {"range": [-0.03, 1.03]} if name == "accuracy" else {}
        figure[f"yaxis{n}"] = axis(label, row, **scale, **limits)
        points = trace("lines+markers", [_place(s) for s in step], floats(values), label, n)
        hover = f"step %{{customdata:,}}<br>{label} %{{y:.4~g}}<extra></extra>"
        look = {"line": {"color": f"@{colour}", "width": 2}, "marker": {"size": 6}}
        data.append(points | {"xaxis": "x", "customdata": floats(step), "hovertemplate": hover} | look)
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
