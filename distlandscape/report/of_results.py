"""What ``plot()`` of a result draws: in pyplot, because a notebook shows what pyplot holds."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from distlandscape.report.curves import BULK, panel
from distlandscape.report.png_parts import RC, WIDTH
from distlandscape.report.style import LIGHT as INK
from distlandscape.report.tables import Array, Nodes
from distlandscape.results import Eigenpairs, SpectralDensity


def eigenpairs(pairs: Eigenpairs, axes: Axes | None) -> Axes:
    """See Eigenpairs.plot."""
    axes = axes or _new_axes()
    ends = [("largest", "blue", slice(None, pairs.top), 1), ("lowest", "vermillion", slice(pairs.top, None), -1)]
    for name, colour, part, order in ends:
        values, residuals, good = (a[part][::order] for a in (pairs.eigenvalues, pairs.residuals, pairs.converged))
        ranks = np.arange(1, len(values) + 1)
        for flag in (True, False):
            mine = good == flag
            if mine.any():
                axes.errorbar(
                    ranks[mine],
                    values[mine],
                    residuals[mine],
                    fmt="o",
                    ms=4,
                    capsize=1.8,
                    lw=1,
                    color=INK[colour],
                    mfc=INK[colour] if flag else INK["paper"],
                    label=f"{name}, {'' if flag else 'not '}converged",
                )
    axes.set(xlabel="rank, from the end inwards", ylabel="eigenvalue")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return axes


def density(density: SpectralDensity, axes: Axes | None, bandwidth: float | None) -> Axes:
    """See SpectralDensity.plot."""
    left, right = float(density.nodes[0]), float(density.nodes[-1])
    width = right - left or max(abs(left), 1.0)
    if bandwidth is not None and not bandwidth > 0:
        raise ValueError(f"bandwidth must be positive, not {bandwidth}; leave it out for 2 % of the range")
    relative = BULK if bandwidth is None else bandwidth / width
    nodes = Nodes(density.draw, density.nodes, density.weights)
    view = panel("whole", nodes, density.dim, left, right, relative)
    axes = axes or _new_axes()
    if view.draws > 1:
        axes.fill_between(view.grid, view.low, view.high, color=INK["blue-soft"], lw=0, label="from draw to draw")
    axes.plot(view.grid, view.mean, color=INK["blue"], lw=1.3, label=f"bandwidth {view.bandwidth:.3g}")
    known: Array = density.nodes[density.draw < 0]
    if len(known) and view.one is not None:
        axes.vlines(known, view.floor, view.one, color=INK["vermillion"], lw=0.9, label="known one by one")
    axes.set(xlabel="eigenvalue", ylabel="density", yscale="log")
    axes.set(xlim=(view.grid[0], view.grid[-1]), ylim=(view.floor, view.ceiling))
    axes.legend()
    return axes


def _new_axes() -> Axes:
    with mpl.rc_context(RC):
        return plt.subplots(figsize=(WIDTH, 3.4), layout="constrained")[1]
