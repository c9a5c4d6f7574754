"""Density and eigenvalues for the page."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distlandscape.report import words
from distlandscape.report.curves import Panel, density_panels
from distlandscape.report.plotly_json import Json, axis, floats, guide, heading, layout, logarithmic, trace
from distlandscape.report.tables import Pairs, RunView

PANELS = {"whole": "Whole range", "bulk": "The bulk, enlarged"}
VALUE = "%{customdata[0]} %{customdata[1]}<br>λ = %{customdata[2]:.6~g} ± %{customdata[3]:.2~g}<extra></extra>"


def density(view: RunView) -> Json:
    """The density over the whole range and, below, the bulk enlarged."""
    panels = density_panels(view)
    rows = [(0.0, 1.0)] if len(panels) == 1 else [(0.6, 1.0), (0.0, 0.4)]
    height = 400 if len(panels) == 1 else 660
    figure = layout(height, legend_y=-0.2 if len(panels) == 1 else -0.11)
    figure["margin"]["t"] = 46
    data: list[Json] = []
    for n, panel, row in zip(("", "2"), panels, rows, strict=False):
        limits = floats(panel.grid[[0, -1]])
        figure[f"xaxis{n}"] = axis(words.EIGENVALUE, (0, 1), anchor=f"y{n}", range=limits)
        scale = logarithmic(panel.floor, panel.ceiling)
        figure[f"yaxis{n}"] = axis("share per unit of λ", row, anchor=f"x{n}", **scale)
        title = f"{PANELS[panel.kind]}<br><span style='font-size:11px'>{words.bandwidth_note(panel)}</span>"
        figure["annotations"].append(heading(title, n))
        data += _panel(view, panel, n)
    rank = words.gap_rank(view)
    if rank is not None and view.top is not None:
        at = float(view.top.values[rank - 1 : rank + 1].mean())
        line, text = guide(at, f" C − 1 = {rank} largest →", "left", 0.5)
        figure["shapes"].append(line)
        figure["annotations"].append(text)
    return {"data": data, "layout": figure}


def _panel(view: RunView, panel: Panel, n: str) -> list[Json]:
    x, first = floats(panel.grid), n == ""
    traces: list[Json] = []
    if panel.draws > 1:
        edge: Json = {"line": {"width": 0}, "hoverinfo": "skip", "legendgroup": "band"}
        name = words.draws_note(panel) if first else ""
        low, high = ({"meta": f"density, {end} of the draws"} for end in ("smallest", "largest"))
        traces.append(trace("lines", x, floats(panel.low), n=n, **low, **edge))
        filled: Json = {"fill": "tonexty", "fillcolor": "@blue-soft", **high}
        traces.append(trace("lines", x, floats(panel.high), name, n, **filled, **edge))
    look: Json = {"line": {"color": "@blue", "width": 2, "simplify": False}, "legendgroup": "density"}
    hover = "λ = %{x:.4~g}<br>density %{y:.3~g}<extra></extra>"
    traces.append(trace("lines", x, floats(panel.mean), "density" if first else "", n, hovertemplate=hover, **look))
    if panel.one is not None:
        ends = floats(panel.grid[[0, -1]])
        dotted: Json = {
            "line": {"color": "@muted", "width": 1.2, "dash": "dot"},
            "legendgroup": "one",
            "hoverinfo": "skip",
        }
        traces.append(trace("lines", ends, [panel.one] * 2, "height of one eigenvalue" if first else "", n, **dotted))
        for name, pairs, colour in words.ends(view):
            traces += _stems(panel, pairs, name, colour, n)
    return traces


def _stems(panel: Panel, pairs: Pairs, name: str, colour: str, n: str) -> list[Json]:
    """Eigenvalues known one by one, as high as one eigenvalue is when smoothed."""
    x: list[float | None] = []
    y: list[float | None] = []
    shown = (pairs.values >= panel.grid[0]) & (pairs.values <= panel.grid[-1])
    for value in floats(pairs.values[shown]):
        x += [value, value, None]
        y += [panel.floor / 10, panel.one, None]
    line = {"color": f"@{colour}", "width": 1}
    traces = [trace("lines", x, y, n=n, line=line, hoverinfo="skip", legendgroup=name)]
    for flag in (True, False):
        mine = shown & (pairs.converged == flag)
        if mine.any():
            label = words.mark_name(name, flag) if n == "" else ""
            heights = [panel.one] * int(mine.sum())
            look = _marks(pairs, mine, name, colour, flag)
            traces.append(trace("markers", floats(pairs.values[mine]), heights, label, n, legendgroup=name, **look))
    return traces


def _marks(pairs: Pairs, mine: npt.NDArray[np.bool_], name: str, colour: str, converged: bool) -> Json:
    """Filled where converged, hollow where not; pointing at one tells its value."""
    columns = (pairs.ranks[mine], pairs.values[mine], pairs.residuals[mine])
    rows = [[name, int(rank), float(value), float(error)] for rank, value, error in zip(*columns, strict=True)]
    symbol = "circle" if converged else "circle-open"
    return {
        "customdata": rows,
        "hovertemplate": VALUE,
        "marker": {"color": f"@{colour}", "size": 7, "symbol": symbol, "line": {"width": 1.5, "color": f"@{colour}"}},
    }


def eigenvalues(view: RunView) -> Json:
    """Eigenvalue against rank for each end, and below the residual relative to it."""
    ends = words.ends(view)
    columns = [(0.0, 1.0)] if len(ends) == 1 else [(0.0, 0.59), (0.79, 1.0)]
    figure = layout(540, legend_y=-0.14)
    figure["margin"]["t"] = 46
    residuals = logarithmic(*_relative_range(view))
    data: list[Json] = []
    for column, ((name, pairs, colour), domain) in enumerate(zip(ends, columns, strict=True)):
        n, below = ("", "3") if column == 0 else ("2", "4")
        span = [0.3, len(pairs.values) + 0.7]
        first = column == 0
        ranks: Json = {"tickformat": "d", "nticks": 8 if first else 4, "tickangle": 0}
        scale = logarithmic() if name == "largest" and pairs.positive else {}
        figure[f"xaxis{n}"] = axis(
            "", domain, anchor=f"y{n}", range=span, nticks=8 if first else 4, showticklabels=False
        )
        figure[f"yaxis{n}"] = axis("eigenvalue λ" if first else "", (0.46, 1.0), anchor=f"x{n}", **scale)
        figure[f"xaxis{below}"] = axis("rank", domain, anchor=f"y{below}", range=span, **ranks)
        title = words.RESIDUAL if first else ""
        figure[f"yaxis{below}"] = axis(title, (0.0, 0.38), anchor=f"x{below}", **residuals)
        figure["annotations"].append(heading(f"{name.capitalize()} {len(pairs.values)}", n))
        data += _ranked(view, name, pairs, colour, n, below)
    rank = words.gap_rank(view)
    if rank is not None:
        line, text = guide(rank + 0.5, f"C − 1 = {rank} ", "right", 0.02)
        figure["shapes"].append(line)
        figure["annotations"].append(text)
    return {"data": data, "layout": figure}


def _relative_range(view: RunView) -> tuple[float, float]:
    """What the axis of the relative residuals has to hold, tolerance included."""
    everything = [pairs.relative for _, pairs, _ in words.ends(view)]
    everything += [limit for _, pairs, _ in words.ends(view) if (limit := view.admissible(pairs.values)) is not None]
    values = np.concatenate(everything)
    values = values[values > 0]
    return (float(values.min()) / 3, float(values.max()) * 3) if len(values) else (1e-16, 1.0)


def _ranked(view: RunView, name: str, pairs: Pairs, colour: str, n: str, below: str) -> list[Json]:
    traces: list[Json] = []
    for flag in (True, False):
        mine = pairs.converged == flag
        if mine.any():
            look = _marks(pairs, mine, name, colour, flag)
            ranks = pairs.ranks[mine].tolist()
            bars = {"array": floats(pairs.residuals[mine]), "color": f"@{colour}", "thickness": 1.2, "width": 3}
            label = words.mark_name(name, flag)
            group: Json = {"legendgroup": label}
            traces.append(trace("markers", ranks, floats(pairs.values[mine]), label, n, error_y=bars, **look, **group))
            traces.append(trace("markers", ranks, floats(pairs.relative[mine]), "", below, **look, **group))
    limit = view.admissible(pairs.values)
    if limit is not None:
        ranks = [pairs.ranks[0] - 0.5, *pairs.ranks.tolist(), pairs.ranks[-1] + 0.5]
        steps = floats(np.concatenate([limit[:1], limit, limit[-1:]]))
        line = {"color": "@ink", "width": 1.2, "dash": "dash", "shape": "hvh"}
        label = words.tolerance_name(view) if n == "" else ""
        more: Json = {"hoverinfo": "skip", "legendgroup": "tolerance"}
        traces.append(trace("lines", [float(rank) for rank in ranks], steps, label, below, line=line, **more))
    return traces
