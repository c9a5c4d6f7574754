"""Class geometry, for the page."""

from __future__ import annotations

import numpy as np

from distlandscape.report.class_curves import CORNERS, LEVELS, Heat, StepPanel, level_spectra, simplex_pictures, steps
from distlandscape.report.interactive_steps import place, step_axis
from distlandscape.report.plotly_json import Json, axis, band, floats, heading, layout, logarithmic, trace
from distlandscape.report.style import SERIES
from distlandscape.report.tables import RunView


def step_panels(view: RunView, panels: list[StepPanel]) -> Json:
    """Panels above each other, over one axis of steps."""
    step, count = steps(view), len(panels)
    figure = layout(420 if count == 1 else 210 * count + 40, legend_y=-0.17 if count == 1 else -0.1)
    height = 1 / (count + 0.15 * (count - 1))
    figure["xaxis"] = {**step_axis(step), "anchor": f"y{count if count > 1 else ''}"}
    data: list[Json] = []
    named: set[tuple[str, str, bool]] = set()
    x = [place(s) for s in step]
    for index, panel in enumerate(panels):
        n, top = "" if not index else str(index + 1), 1 - 1.15 * height * index
        limits: Json = {} if panel.limits is None else {"range": list(panel.limits)}
        if panel.decades:
            limits = logarithmic()
        figure[f"yaxis{n}"] = axis(panel.label, (max(0.0, top - height), top), **limits)
        for curve in panel.curves:
            if curve.spread is not None:
                low, high = floats(curve.values - curve.spread), floats(curve.values + curve.spread)
                area = band(x, low, high, curve.name or panel.label, curve.colour, customdata=floats(step))
                data += [{**edge, "yaxis": f"y{n}"} for edge in area]
            line: Json = {"color": f"@{curve.colour}", "width": 2, "dash": "dash" if curve.dashed else "solid"}
            told = f"step %{{customdata:,}}<br>{curve.name or panel.label} %{{y:.4~g}}<extra></extra>"
            look: Json = {"line": line, "marker": {"size": 6}, "hovertemplate": told, "customdata": floats(step)}
            # A name in two panels means the same, and stands in the legend once.
            key = (curve.name, curve.colour, curve.dashed)
            look["meta"] = curve.name or panel.label
            drawn = trace("lines+markers", x, floats(curve.values), "" if key in named else curve.name, **look)
            named.add(key)
            data.append({**drawn, "yaxis": f"y{n}"})
    return {"data": data, "layout": figure}


def heat(table: Heat) -> Json:
    """Numbers as colours."""
    rows, columns = table.values.shape
    figure = layout(min(760, 130 + 28 * rows), legend_y=-0.2)
    figure["xaxis"] = axis(table.column_label, (0, 1), type="category", showgrid=False)
    figure["yaxis"] = axis(table.row_label, (0, 1), type="category", showgrid=False, autorange="reversed")
    signed = [[0, "@blue"], [0.5, "@paper"], [1, "@vermillion"]]
    scale = signed if table.signed else [[0, "@paper"], [1, "@blue"]]
    told = f"{table.row_label} %{{y}}<br>{table.column_label} %{{x}}<br>{table.value_label} %{{z:.4f}}<extra></extra>"
    picture: Json = {
        "type": "heatmap",
        "x": table.columns,
        "y": table.rows,
        "z": [floats(row) for row in table.values],
        "zmin": -table.reach if table.signed else 0.0,
        "zmax": table.reach,
        "colorscale": scale,
        "colorbar": {"title": {"text": table.value_label, "side": "right"}, "thickness": 12, "outlinewidth": 0},
        "hovertemplate": told,
    }
    if columns <= 12 and rows <= 30:
        picture |= {"texttemplate": "%{z:.2f}", "textfont": {"size": 10}}
    return {"data": [picture], "layout": figure}


def levels(view: RunView) -> Json:
    """Leading eigenvalues by rank."""
    figure = layout(430, legend_y=-0.17)
    figure["xaxis"], figure["yaxis"] = axis("rank", (0, 1)), axis("eigenvalue", (0, 1), **logarithmic())
    data: list[Json] = []
    most = 10
    for name, values in level_spectra(view):
        most = max(most, len(values))
        look: Json = {"line": {"color": f"@{LEVELS[name]}", "width": 1}, "marker": {"size": 7}}
        data.append(trace("lines+markers", floats(np.arange(1.0, len(values) + 1)), floats(values), name, **look))
    if "dual_spectrum" in view.tables:
        table = view.tables["dual_spectrum"]
        ranks, values = (np.array(table[name].to_pylist(), dtype=np.float64)[:most] for name in ("rank", "eigenvalue"))
        cross: Json = {"marker": {"size": 8, "symbol": "x-thin", "line": {"color": "@ink", "width": 1.5}}}
        data.append(trace("markers", floats(ranks), floats(values), "G, from the kernel", **cross))
    return {"data": data, "layout": figure}


def simplex(view: RunView) -> Json:
    """Probabilities as points of a triangle."""
    pictures = simplex_pictures(view)
    figure = layout(320, legend_y=-0.05)
    edge = np.array([*CORNERS, CORNERS[0]])
    width = 1 / (len(pictures) + 0.08 * (len(pictures) - 1))
    hidden: Json = {"visible": False}
    data: list[Json] = []
    for index, picture in enumerate(pictures):
        n, left = "" if not index else str(index + 1), 1.08 * width * index
        figure[f"xaxis{n}"] = axis("", (left, min(1.0, left + width)), anchor=f"y{n}", **hidden)
        figure[f"yaxis{n}"] = axis("", (0, 1), anchor=f"x{n}", scaleanchor=f"x{n}", **hidden)
        figure["annotations"].append(heading(picture.title, n))
        data.append(
            trace(
                "lines",
                floats(edge[:, 0]),
                floats(edge[:, 1]),
                "",
                n,
                hoverinfo="skip",
                line={"color": "@muted", "width": 1},
            )
        )
        for k, colour in enumerate(SERIES[:3]):
            mine = picture.labels == k
            marks: Json = {"marker": {"size": 5, "opacity": 0.5, "color": f"@{colour}"}, "hoverinfo": "skip"}
            marks["meta"] = f"class {k}"
            name = f"class {k}" if not index else ""
            data.append(trace("markers", floats(picture.x[mine]), floats(picture.y[mine]), name, n, **marks))
    return {"data": data, "layout": figure}
