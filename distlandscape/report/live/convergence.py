"""The residual of each wanted pair against the step, for the page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distlandscape.report import words
from distlandscape.report.live.pursuit import Look, Pursuit
from distlandscape.report.numbers import number
from distlandscape.report.plotly_json import Json, axis, floats, layout, logarithmic, trace


def convergence(found: Pursuit, looks: Sequence[Look]) -> Json:
    """One line a pair; below the dashed one it has converged."""
    figure = layout(340, legend_y=-0.25)
    steps = [look.step for look in looks]
    figure["xaxis"] = axis("Lanczos step", (0, 1), anchor="y", tickformat="d", rangemode="tozero")
    figure["yaxis"] = axis(words.RESIDUAL, (0, 1), anchor="x", **logarithmic())
    data: list[Json] = []
    for name, colour, count in (("top", "vermillion", found.top), ("lowest", "purple", found.low)):
        label = "largest" if name == "top" else name
        by_rank = np.array([getattr(look, name) for look in looks]).reshape(len(looks), count)
        for rank in range(count):
            relative = by_rank[:, rank]
            relative = np.where(relative > 0, relative, np.nan)  # a logarithmic axis has no place for 0
            look: Json = {
                "line": {"color": f"@{colour}", "width": 1.2},
                "marker": {"color": f"@{colour}", "size": 3},
                "legendgroup": label,
                "hovertemplate": f"{label} {rank + 1}<br>step %{{x}}, residual/|λ| %{{y:.2~g}}<extra></extra>",
            }
            shown = f"{label} {count}" if rank == 0 else ""
            data.append(trace("lines+markers", steps, floats(relative), shown, **look))
    line: Json = {"line": {"color": "@ink", "width": 1.2, "dash": "dash"}, "hoverinfo": "skip"}
    ends = [0, max(steps)]
    data.append(trace("lines", ends, [found.tol] * 2, f"tolerance {number(found.tol, 1)}", **line))
    return {"data": data, "layout": figure}
