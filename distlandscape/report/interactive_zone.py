"""The goldilocks study, for the page."""

from __future__ import annotations

import math

from distlandscape.report.plotly_json import Json, axis, floats, guide, heading, layout, logarithmic, trace
from distlandscape.report.tables import RunView
from distlandscape.report.zone_curves import RADIUS, Line, Panel, grids, schemes, zone_ends


def radius_panels(view: RunView, panels: list[Panel]) -> Json:
    """Panels above each other over one axis of radii, the zone and the initialisation schemes marked."""
    figure = layout(250 * len(panels) + 60, legend_y=-0.12)
    figure["xaxis"] = axis(RADIUS, (0, 1), anchor=f"y{len(panels)}", **logarithmic())
    height = 1 / (len(panels) + 0.12 * (len(panels) - 1))
    data: list[Json] = []
    ends = zone_ends(view)
    for index, panel in enumerate(panels):
        n, top = "" if not index else str(index + 1), 1 - 1.12 * height * index
        more: Json = logarithmic() if panel.logarithmic else {}
        more |= {} if panel.limits is None else {"range": list(panel.limits)}
        figure[f"yaxis{n}"] = axis(panel.label, (max(0.0, top - height), top), **more)
        data += [{**_drawn(line), "yaxis": f"y{n}"} for line in panel.lines]
        if ends is not None:
            band = {"type": "rect", "xref": "x", "x0": ends[0], "x1": ends[1], "yref": f"y{n} domain"}
            figure["shapes"].append(
                {**band, "y0": 0, "y1": 1, "fillcolor": "@green-soft", "line": {"width": 0}, "layer": "below"}
            )
    for index, (name, radius) in enumerate(schemes(view).items()):
        line, words = guide(radius, name, "left", 1 - 0.09 * (index + 1))
        figure["shapes"].append(line)
        figure["annotations"].append({**words, "x": math.log10(radius)})
    return {"data": data, "layout": figure}


def spectrum(panel: Panel, title: str, name: str) -> Json:
    """Shares of eigenvalues, of H or in a plane; ``name`` is the axis's."""
    figure = layout(380, legend_y=-0.2)
    figure["xaxis"], figure["yaxis"] = axis(name, (0, 1)), axis(panel.label, (0, 1), range=[-0.03, 1.03])
    figure["annotations"].append(heading(title))
    return {"data": [_drawn(line) for line in panel.lines], "layout": figure}


def grid(view: RunView) -> Json:
    """Accuracy over radius and dimension."""
    pictures, ends = grids(view), zone_ends(view)
    figure = layout(420, legend_y=-0.2)
    width = 1 / (len(pictures) + 0.14 * (len(pictures) - 1))
    data: list[Json] = []
    for index, picture in enumerate(pictures):
        n, left = "" if not index else str(index + 1), 1.14 * width * index
        figure[f"xaxis{n}"] = axis("radius |θ|", (left, min(1.0, left + width)), anchor=f"y{n}", **logarithmic())
        limits = float(picture.dimension_edges[0]), float(picture.dimension_edges[-1])
        title = "dimension of the plane d" if not index else ""
        figure[f"yaxis{n}"] = axis(title, (0, 1), anchor=f"x{n}", **logarithmic(*limits))
        figure["annotations"].append(heading(picture.title, n))
        data.append(
            {
                "type": "heatmap",
                "xaxis": f"x{n}",
                "yaxis": f"y{n}",
                "x": floats(picture.radius_edges),
                "y": floats(picture.dimension_edges),
                "z": [floats(row) for row in picture.accuracy],
                "meta": {"x": floats(picture.radii), "y": floats(picture.dimensions)},
                "zmin": 0,
                "zmax": 1,
                "colorscale": [[0, "@paper"], [1, "@blue"]],
                "showscale": not index,
                "colorbar": {"title": {"text": "accuracy, held out", "side": "right"}, "thickness": 12},
            }
        )
        meta = "2√d = Tr H/‖H‖_F"
        name = "" if index else meta
        look: Json = {"line": {"color": "@vermillion", "width": 2}, "meta": meta}
        data.append(
            trace("lines+markers", floats(picture.line_radius), floats(picture.line_dimension), name, n, **look)
        )
        for end in ends or ():
            line = {"color": "@green", "width": 1.5, "dash": "dash"}
            look = {"line": line, "hoverinfo": "skip"}
            data.append(trace("lines", [end, end], list(limits), "", n, **look))
    return {"data": data, "layout": figure}


def _drawn(line: Line) -> Json:
    look: Json = {"line": {"color": f"@{line.colour}", "width": 1.6, "dash": "dash" if line.dashed else "solid"}}
    if line.error is not None:
        look["error_y"] = {"type": "data", "array": floats(line.error), "thickness": 1.2}
    return trace(
        "lines" if line.dashed or line.smooth else "lines+markers", floats(line.x), floats(line.y), line.name, **look
    )
