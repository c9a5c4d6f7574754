"""Largest eigenvalue and share of the trace, layer by layer, for the page."""

from __future__ import annotations

import numpy as np

from distlandscape.report.layer_columns import layer_columns
from distlandscape.report.plotly_json import Json, axis, floats, heading, layout, logarithmic, trace
from distlandscape.report.tables import RunView


def layers(view: RunView) -> Json:
    """A row a layer, the first one above: eigenvalues on the left, shares on the right."""
    columns = layer_columns(view)
    count = len(columns.names)
    figure = layout(170 + 20 * count, legend_y=-60 / (60 + 20 * count))
    figure["margin"]["t"] = 46
    rows: Json = {"tickvals": list(range(count)), "range": [count - 0.4, -0.6], "showgrid": False}
    scale = logarithmic() if (columns.values > 0).all() else {}
    figure["xaxis"] = axis("λ of the block", (0, 0.47), anchor="y", **scale)
    figure["yaxis"] = axis("", (0, 1), anchor="x", ticktext=columns.names, **rows)
    figure["xaxis2"] = axis("% of the trace", (0.53, 1), anchor="y2", zeroline=True, zerolinecolor="@muted")
    figure["yaxis2"] = axis("", (0, 1), anchor="x2", showticklabels=False, matches="y", **rows)
    figure["annotations"] += [heading("Largest eigenvalue", ""), heading("Share of the trace", "2")]
    data: list[Json] = []
    for flag in (True, False):
        mine = columns.converged == flag
        if mine.any():
            data.append(
                trace(
                    "markers",
                    floats(columns.values[mine]),
                    np.flatnonzero(mine).tolist(),
                    "converged" if flag else "not converged",
                    error_x={"array": floats(columns.residuals[mine]), "color": "@vermillion", "thickness": 1},
                    marker={"color": "@vermillion", "size": 7, "symbol": "circle" if flag else "circle-open"},
                    customdata=[columns.names[i] for i in np.flatnonzero(mine)],
                    hovertemplate="%{customdata}<br>λ = %{x:.5~g}<extra></extra>",
                )
            )
    data.append(
        {
            **trace("", floats(100 * columns.shares), list(range(count)), n="2"),
            "type": "bar",
            "orientation": "h",
            "marker": {"color": "@blue"},
            "error_x": {"array": floats(100 * columns.share_errors), "color": "@ink", "thickness": 1},
            "customdata": columns.names,
            "hovertemplate": "%{customdata}<br>%{x:.3~g} %<extra></extra>",
        }
    )
    del data[-1]["mode"]
    return {"data": data, "layout": figure}
