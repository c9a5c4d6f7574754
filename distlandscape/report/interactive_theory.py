"""The random model, for the page."""

from __future__ import annotations

import numpy as np

from distlandscape.report.model_curves import column, plane_pictures, sweeps
from distlandscape.report.numbers import number
from distlandscape.report.plotly_json import Json, axis, floats, heading, layout, logarithmic, rule, trace
from distlandscape.report.style import SERIES
from distlandscape.report.tables import Array, RunView

SHOWN = 80


def spectrum(view: RunView) -> Json:
    """Eigenvalues by rank, with predicted outliers and edge."""
    values, k = column(view, "model_spectrum", "eigenvalue")[:SHOWN], int(view.result["classes"]) - 1
    ranks = np.arange(1.0, len(values) + 1)
    figure = layout(400, legend_y=-0.2)
    figure["xaxis"], figure["yaxis"] = axis("rank", (0, 1)), axis("eigenvalue of G", (0, 1), **logarithmic())
    data = [
        _dots(ranks[:k], values[:k], f"{k} leading", "vermillion"),
        _dots(ranks[k:], values[k:], "the others", "blue"),
    ]
    predicted = view.result["predicted"]
    for name, label, dash in (("outlier", "predicted outliers", "dash"), ("bulk_edge", "predicted edge", "dot")):
        if predicted[name]:
            ends = floats(ranks[[0, -1]])
            line: Json = {"color": "@ink", "width": 1.3, "dash": dash}
            data.append(trace("lines", ends, [predicted[name]] * 2, f"{label}: {number(predicted[name])}", line=line))
    return {"data": data, "layout": figure}


def confinement(view: RunView) -> Json:
    """The fraction of each draw, beside prediction and null."""
    fractions = column(view, "draws", "confinement")
    ranks = np.arange(1.0, len(fractions) + 1)
    figure = layout(360, legend_y=-0.22)
    figure["xaxis"] = axis("draw", (0, 1))
    figure["yaxis"] = axis("fraction in the C − 1 leading", (0, 1), range=[-0.03, 1.03])
    mean, stderr = view.result["measured"]["confinement"], view.result["stderr"]["confinement"]
    band = {"type": "rect", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": mean - stderr, "y1": mean + stderr}
    figure["shapes"].append({**band, "fillcolor": "@blue-soft", "line": {"width": 0}, "layer": "below"})
    data = [_dots(ranks, fractions, "draws (band: mean ± 1 standard error)", "blue")]
    predicted = view.result["predicted"]["confinement"]
    null = (int(view.result["classes"]) - 1) / int(view.config["theory"]["dim"])
    for value, label, dash in ((predicted, "predicted", "dash"), (null, "(C − 1)/D", "dot")):
        if value is not None:
            line: Json = {"color": "@ink", "width": 1.3, "dash": dash}
            data.append(trace("lines", floats(ranks[[0, -1]]), [value] * 2, f"{label}: {number(value, 3)}", line=line))
    return {"data": data, "layout": figure}


def growth(view: RunView) -> Json:
    """Leading eigenvalue and trace over norm against the logits' standard deviation."""
    figure = layout(560, legend_y=-0.12)
    figure["xaxis"] = axis("standard deviation of the logits σ_z", (0, 1), anchor="y2")
    figure["yaxis"] = axis("leading eigenvalue", (0.55, 1), **{**logarithmic(), "dtick": "D2"})
    figure["yaxis2"] = axis("Tr G / ‖G‖_F", (0, 0.45), rangemode="tozero")
    data: list[Json] = []
    for sweep, colour in zip(sweeps(view), SERIES, strict=False):
        x, group = floats(sweep.sigma_z), {"legendgroup": sweep.name}
        for n, line, dots in (("", sweep.outlier, sweep.drawn), ("2", sweep.ratio, sweep.drawn_ratio)):
            name = sweep.name if not n else ""
            drawn: Json = {"line": {"color": f"@{colour}", "width": 2}, **group}
            drawn["meta"] = f"{sweep.name}, predicted"
            data.append({**trace("lines", x, floats(line), name, **drawn), "yaxis": f"y{n}"})
            marks: Json = {"marker": {"size": 6, "color": f"@{colour}"}, "meta": f"{sweep.name}, one draw", **group}
            data.append({**trace("markers", x, floats(dots), **marks), "yaxis": f"y{n}"})
    return {"data": data, "layout": figure}


def planes(view: RunView) -> Json:
    """Histograms of curvature with their semicircles."""
    pictures = plane_pictures(view)
    figure = layout(230 * len(pictures), legend_y=-0.12)
    height = 1 / (len(pictures) + 0.35 * (len(pictures) - 1))
    data: list[Json] = []
    for index, picture in enumerate(pictures):
        n, top = "" if not index else str(index + 1), 1 - 1.35 * height * index
        title = "curvature in the plane" if index == len(pictures) - 1 else ""
        figure[f"xaxis{n}"] = axis(title, (0, 1), anchor=f"y{n}")
        figure[f"yaxis{n}"] = axis("density", (max(0.0, top - height), top), anchor=f"x{n}")
        figure["annotations"].append(heading(f"d = {picture.dimension}", n))
        centres = (picture.edges[1:] + picture.edges[:-1]) / 2
        bars: Json = {"type": "bar", "x": floats(centres), "y": floats(picture.heights), "name": "one draw"}
        bars |= {"width": floats(np.diff(picture.edges)), "marker": {"color": "@blue-soft"}, "showlegend": not index}
        data.append({**bars, "xaxis": f"x{n}", "yaxis": f"y{n}"})
        circle: Json = {"line": {"color": "@ink", "width": 1.6}, "meta": "semicircle of the bulk"}
        name = "semicircle of the bulk" if not index else ""
        data.append(trace("lines", floats(picture.grid), floats(picture.semicircle), name, n, **circle))
        low = np.full(len(picture.beyond), 0.04 * float(picture.semicircle.max()))
        own: Json = {"marker": {"size": 6, "color": "@blue"}, "meta": "the draw's own"}
        data.append(
            trace("markers", floats(picture.beyond), floats(low), "the draw's own" if not index else "", n, **own)
        )
        figure["shapes"] += [rule(f"x{n}", f"y{n} domain", "dash", x0=x, x1=x, y0=0, y1=1) for x in picture.outliers]
    return {"data": data, "layout": figure}


def _dots(x: Array, y: Array, name: str, colour: str) -> Json:
    return trace("markers", floats(x), floats(y), name, marker={"size": 6, "color": f"@{colour}"})
