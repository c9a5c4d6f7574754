"""A comparison's figures for the page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from distlandscape.report.comparison.overlay import Curve, Overlay, Panel, colour, marks
from distlandscape.report.interactive_steps import place, step_axis
from distlandscape.report.plotly_json import Json, axis, band, floats, heading, layout, logarithmic, trace

HEIGHT = 250  # pixels of a panel
GAP = 104  # between panels: labels below the one, heading of the other


def plot(overlay: Overlay, labels: Sequence[str]) -> Json:
    """Panels above each other, each with axes of its own; a run has one entry in the legend, for all of them."""
    count = len(overlay.panels)
    inner = HEIGHT * count + GAP * (count - 1)
    figure = layout(inner + 130, legend_y=-0.17 / count)
    figure["margin"]["t"] = 46
    data: list[Json] = []
    named: set[str] = set()
    for index, panel in enumerate(overlay.panels):
        n, top = "" if not index else str(index + 1), 1 - index * (HEIGHT + GAP) / inner
        figure[f"xaxis{n}"] = {**_x_axis(panel), "anchor": f"y{n}"}
        scale: Json = logarithmic(*(panel.y_range or ())) if panel.y_log else {}
        if panel.y_range is not None and not panel.y_log:
            scale = {"range": list(panel.y_range)}
        figure[f"yaxis{n}"] = axis(panel.y_label, (max(0.0, top - HEIGHT / inner), top), anchor=f"x{n}", **scale)
        if panel.title:
            first, *second = panel.title.split("\n")
            small = "".join(f"<br><span style='font-size:11px'>{line}</span>" for line in second)
            figure["annotations"].append(heading(first + small, n))
        for run, curves in panel.curves.items():
            for curve in curves:
                data += _drawn(panel, run, curve, labels[run], n, named)
    return {"data": data, "layout": figure}


def _x_axis(panel: Panel) -> Json:
    if panel.x_axis == "steps":
        return step_axis(np.concatenate([curve.x for curves in panel.curves.values() for curve in curves]))
    more: Json = logarithmic() if panel.x_axis == "log" else {}
    more |= {} if panel.x_range is None else {"range": list(panel.x_range)}
    return axis(panel.x_label, (0, 1), **more)


def _drawn(panel: Panel, run: int, curve: Curve, label: str, n: str, named: set[str]) -> list[Json]:
    told = f"{label}, {curve.note}" if curve.note else label
    more: Json = {"legendgroup": label, "n": n}
    x = [place(step) for step in curve.x] if panel.x_axis == "steps" else floats(curve.x)
    if panel.x_axis == "steps":
        more["customdata"] = floats(curve.x)
    traces: list[Json] = []
    shaded = curve.dense or curve.reference
    if curve.bars is not None and shaded:
        low, high = (floats(edge) for edge in curve.bars)
        traces += band(x, low, high, told, _soft(run), **more)
    for converged, mine in _parts(curve):
        more["meta"] = told if converged else f"{told}, not converged"
        look = _look(panel, run, curve, converged, told)
        if curve.bars is not None and not shaded:
            down, up = (floats(np.abs(end - curve.y)[mine]) for end in curve.bars)
            look["error_y"] = {"array": up, "arrayminus": down, "symmetric": False, "thickness": 1.2, "width": 3}
        if panel.x_axis == "steps":
            more["customdata"] = floats(curve.x[mine])
        name = "" if told in named or not converged else told
        named.add(told)
        points = [value for value, kept in zip(x, mine, strict=True) if kept]
        traces.append(trace(_mode(curve), points, floats(curve.y[mine]), name, **look, **more))
    return traces


def _parts(curve: Curve) -> list[tuple[bool, npt.NDArray[np.bool_]]]:
    """The points that may be quoted, then those that may not."""
    everything = np.ones(len(curve.x), dtype=bool) if curve.converged is None else curve.converged
    return [(flag, mine) for flag, mine in ((True, everything), (False, ~everything)) if mine.any()]


def _mode(curve: Curve) -> str:
    if curve.reference and len(curve.x) == 1:
        return "markers"  # it has no line to be seen by
    if curve.dense or curve.reference:
        return "lines"
    return "lines+markers" if curve.joined else "markers"


def _look(panel: Panel, run: int, curve: Curve, converged: bool, told: str) -> Json:
    mark = "line-ew" if curve.reference else marks(run)[0]
    at = "%{customdata:,}" if panel.x_axis == "steps" else "%{x:.5~g}"
    return {
        "line": {"color": f"@{colour(run)}", "width": 1.6, "dash": "dash" if curve.reference else "solid"},
        "marker": {
            "color": f"@{colour(run)}",
            "size": 22 if curve.reference else 7,
            "symbol": mark if converged else f"{mark}-open",
            "line": {"width": 0 if converged and not curve.reference else 1.5, "color": f"@{colour(run)}"},
        },
        "hovertemplate": f"{{told}}<br>{at}<br>%{{y:.5~g}}<extra></extra>".replace("{told}", _plain(told)),
    }


def _plain(text: str) -> str:
    """Text that plotly takes for neither markup nor a place to fill in."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")


def _soft(run: int) -> str:
    """The colour of a band; black has no soft one of its own."""
    return "muted" if colour(run) == "ink" else colour(run)
