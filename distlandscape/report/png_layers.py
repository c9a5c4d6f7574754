"""Largest eigenvalue and share of the trace, layer by layer, for paper."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from distlandscape.report import words
from distlandscape.report.layer_columns import layer_columns
from distlandscape.report.png_parts import new_figure
from distlandscape.report.style import LIGHT as INK
from distlandscape.report.tables import RunView


def layers(view: RunView) -> Figure:
    """A row a layer, the first one above: eigenvalues on the left, shares on the right."""
    columns = layer_columns(view)
    rank = np.arange(len(columns.names))
    figure = new_figure(1.3 + 0.19 * len(rank))
    left, right = figure.subplots(1, 2, sharey=True)
    left.errorbar(columns.values, rank, xerr=columns.residuals, fmt="none", ecolor=INK["vermillion"], lw=1, capsize=1.8)
    for flag, fill in ((True, INK["vermillion"]), (False, INK["paper"])):
        mine = columns.converged == flag
        if mine.any():
            label = "converged" if flag else "not converged"
            left.plot(columns.values[mine], rank[mine], "o", ms=4, mfc=fill, mec=INK["vermillion"], label=label)
    if not columns.converged.all():
        left.legend(loc="best")
    if (columns.values > 0).all():
        left.set_xscale("log")
        left.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        left.xaxis.set_major_formatter("{x:g}")
        left.xaxis.set_minor_locator(NullLocator())
    right.barh(rank, 100 * columns.shares, height=0.65, color=INK["blue"], xerr=100 * columns.share_errors)
    right.axvline(0, color=INK["muted"], lw=0.9)
    left.set_yticks(rank, columns.names, parse_math=False)
    left.set_ylim(len(rank) - 0.4, -0.6)
    left.set_xlabel(words.EIGENVALUE.replace(" (", "\n("))
    left.set_title("Largest eigenvalue of each block")
    right.set_xlabel(words.SHARE.replace(", ", "\n"))
    right.set_title("Share of the trace")
    return figure
