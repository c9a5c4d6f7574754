"""The figures as PNG, for paper: matplotlib without a display and without its global figures."""

from __future__ import annotations

import io
from collections.abc import Callable

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from distlandscape.report.pages import study_page
from distlandscape.report.png_parts import DPI, RC
from distlandscape.report.tables import RunView


def figures(view: RunView) -> dict[str, bytes]:
    """PNG images by name, of those figures whose tables are there."""
    with mpl.rc_context(RC):
        return {name: _png(figure.png(view)) for name, figure in study_page(view.study).drawn(view).items()}


def drawn(draw: Callable[[], Figure], title: str) -> bytes:
    """One figure as PNG, with a title above it."""
    with mpl.rc_context(RC):
        figure = draw()
        figure.suptitle(title)
        return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    # Without the version of matplotlib in it, equal tables give equal bytes.
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
