"""Parts of plotly figures, as plain JSON. A colour is a role ('@blue'), which the page fills in for light or dark."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Json = dict[str, Any]


def floats(values: npt.NDArray[Any]) -> list[float | None]:
    """Numbers for JSON: seven digits, gaps as null."""
    return [float(f"{value:.7g}") if np.isfinite(value) else None for value in values]


def layout(height: int, legend_y: float, **more: Any) -> Json:
    """A figure ``height`` pixels high, its legend below."""
    return {
        "height": height,
        "margin": {"l": 12, "r": 12, "t": 28, "b": 12},
        "paper_bgcolor": "@paper",
        "plot_bgcolor": "@paper",
        "font": {"color": "@ink", "size": 12, "family": "system-ui, sans-serif"},
        "hoverlabel": {"bgcolor": "@paper", "bordercolor": "@muted", "font": {"color": "@ink"}},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": legend_y,
            "yanchor": "top",
            "font": {"size": 11},
        },
        "modebar": {"bgcolor": "#00000000", "color": "@muted", "activecolor": "@ink"},
        "hovermode": "closest",
        "annotations": [],
        "shapes": [],
        **more,
    }


def axis(title: str, domain: tuple[float, float], **more: Any) -> Json:
    """An axis over the part ``domain`` of the figure."""
    return {
        "title": {"text": title, "standoff": 8},
        "domain": list(domain),
        "gridcolor": "@grid",
        "linecolor": "@muted",
        "tickcolor": "@muted",
        "ticks": "outside",
        "ticklen": 4,
        "showline": True,
        "zeroline": False,
        "automargin": True,
        **more,
    }


def logarithmic(bottom: float | None = None, top: float | None = None) -> Json:
    """What makes an axis logarithmic, between the two values or where the data are."""
    if bottom is None or top is None:
        return {"type": "log", "dtick": 1, "exponentformat": "power"}
    limits = [math.log10(bottom), math.log10(top)]
    every = max(1, round((limits[1] - limits[0]) / 5))  # decades from one label to the next
    return {"type": "log", "range": limits, "dtick": every, "exponentformat": "power"}


def trace(mode: str, x: Any, y: Any, name: str = "", n: str = "", **more: Any) -> Json:
    """A line or marks in the panel with the axes ``xN`` and ``yN``; without a name it is not in the legend."""
    where = {"xaxis": f"x{n}", "yaxis": f"y{n}", "name": name, "showlegend": bool(name)}
    return {"type": "scatter", "mode": mode, "x": x, "y": y, **where, **more}


def band(x: Any, low: Any, high: Any, name: str, colour: str, **more: Any) -> list[Json]:
    """The area from ``low`` to ``high``; in the figure's CSV its two edges carry the name."""
    edge: Json = {"line": {"width": 0}, "hoverinfo": "skip", **more}
    fill: Json = {"fill": "tonexty", "fillcolor": f"@{colour}-soft"}
    lower = trace("lines", x, low, meta=f"{name}, lower edge", **edge)
    return [lower, trace("lines", x, high, meta=f"{name}, upper edge", **fill, **edge)]


def heading(text: str, n: str = "") -> Json:
    """A title above the left end of a panel."""
    at = {"x": 0, "y": 1, "xref": f"x{n} domain", "yref": f"y{n} domain", "xanchor": "left", "yanchor": "bottom"}
    return {"text": text, "showarrow": False, "align": "left", "font": {"size": 13}, **at}


def guide(x: float, text: str, anchor: str, y: float) -> tuple[Json, Json]:
    """A vertical dashed line in the first panel and the words beside it."""
    words = {"text": text, "showarrow": False, "font": {"size": 11, "color": "@muted"}}
    at = {"x": x, "y": y, "xref": "x", "yref": "y domain", "xanchor": anchor, "yanchor": "bottom"}
    return rule("x", "y domain", "dash", x0=x, x1=x, y0=0, y1=1), words | at


def rule(xref: str, yref: str, dash: str, **ends: float) -> Json:
    """A straight line between (x0, y0) and (x1, y1)."""
    line = {"color": "@muted", "width": 1, "dash": dash}
    return {"type": "line", "xref": xref, "yref": yref, "layer": "below", "line": line, **ends}
