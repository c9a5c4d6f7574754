"""Trainings in random planes, for the page."""

from __future__ import annotations

from distlandscape.report.plane_curves import Sweep, evaluated, full_space, learning, sweeps
from distlandscape.report.plotly_json import Json, axis, floats, layout, logarithmic, trace
from distlandscape.report.style import MARKS, SERIES
from distlandscape.report.tables import RunView

DIMENSION = "dimension of the plane d"


def dimensions(view: RunView) -> Json:
    """Accuracy and loss against dimension."""
    figure = layout(560, legend_y=-0.12)
    figure["xaxis"] = axis(DIMENSION, (0, 1), anchor="y2", **logarithmic())
    figure["yaxis"] = axis(f"accuracy, {evaluated(view)}", (0.55, 1))
    figure["yaxis2"] = axis(f"loss, {evaluated(view)}", (0, 0.45), **{**logarithmic(), "dtick": "D2"})
    data: list[Json] = []
    for n, quantity in (("", "accuracy"), ("2", "loss")):
        drawn = sweeps(view, quantity)
        data += [{**one, "yaxis": f"y{n}"} for one in _sweeps(drawn, named=not n)]
        level = full_space(view, quantity)
        if level is not None and drawn:
            name = "full space" if not n else ""
            data.append({**_level(drawn, level, name, "solid"), "yaxis": f"y{n}"})
    found, drawn = (view.result or {}).get("d_int90"), sweeps(view, "accuracy")
    if found and found["threshold"] is not None and drawn:
        data.append(_level(drawn, found["threshold"], "90 % of it", "dash"))
        if found["low"] is not None and found["high"] is not None:
            band = {"type": "rect", "xref": "x", "x0": found["low"], "x1": found["high"], "yref": "y domain"}
            figure["shapes"].append(
                {**band, "y0": 0, "y1": 1, "fillcolor": "@grid", "line": {"width": 0}, "layer": "below"}
            )
    return {"data": data, "layout": figure}


def success(view: RunView) -> Json:
    """Share of trainings that succeed."""
    figure = layout(360, legend_y=-0.22)
    figure["xaxis"] = axis(DIMENSION, (0, 1), **logarithmic())
    figure["yaxis"] = axis("share of trainings that succeed", (0, 1), range=[-0.03, 1.03])
    return {"data": _sweeps(sweeps(view, "success"), named=True), "layout": figure}


def curves(view: RunView) -> Json:
    """Accuracy along training."""
    figure = layout(400, legend_y=-0.2)
    figure["xaxis"] = axis("training step", (0, 1))
    figure["yaxis"] = axis(f"accuracy, {evaluated(view)}", (0, 1))
    data = []
    for index, one in enumerate(learning(view)):
        full = one.name == "full space"
        colour = "@ink" if full else f"@{SERIES[index % len(SERIES)]}"
        line: Json = {"color": colour, "width": 1.6, "dash": "dash" if full else "solid"}
        data.append(trace("lines", floats(one.step), floats(one.accuracy), one.name, line=line))
    return {"data": data, "layout": figure}


def _sweeps(drawn: list[Sweep], named: bool) -> list[Json]:
    data = []
    for index, sweep in enumerate(drawn):
        colour = f"@{SERIES[index % len(SERIES)]}"
        up, down = (floats((ends).clip(min=0)) for ends in (sweep.high - sweep.value, sweep.value - sweep.low))
        bars: Json = {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "thickness": 1.2}
        mark = MARKS[index // len(SERIES) % len(MARKS)][0]  # there may be more curves than colours
        look: Json = {"line": {"color": colour, "width": 1.6}, "marker": {"size": 6, "color": colour, "symbol": mark}}
        look |= {"error_y": bars, "legendgroup": sweep.name}
        name = sweep.name if named else ""
        data.append(trace("lines+markers", floats(sweep.dimension), floats(sweep.value), name, **look))
    return data


def _level(drawn: list[Sweep], level: float, name: str, dash: str) -> Json:
    ends = [min(float(one.dimension.min()) for one in drawn), max(float(one.dimension.max()) for one in drawn)]
    return trace(
        "lines", ends, [level] * 2, name, meta=name or "full space", line={"color": "@ink", "width": 1.3, "dash": dash}
    )
