"""What one figure of a comparison consists of, PNG and page alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from distlandscape.report.style import MARKS
from distlandscape.report.tables import Array, RunView

Axis = Literal["linear", "log", "steps"]
# A run keeps its colour and its mark in all figures; both differ between neighbours, for those who see no colours.
COLOURS = ("blue", "vermillion", "green", "purple", "ink")


@dataclass(frozen=True, eq=False)
class Curve:
    """One run's values y (n,) over x (n,).

    Attributes:
        bars: lower and upper ends (n,) of error bars, or of a band where ``dense`` or ``reference``.
        converged: (n,) False where a value must not be quoted; None: all may be.
        note: what it is, where a run has several.
        reference: a prediction or a null, drawn dashed and without marks.
        dense: a smooth curve, without marks.
        joined: whether a line joins the marks.
    """

    x: Array
    y: Array
    bars: tuple[Array, Array] | None = None
    converged: npt.NDArray[np.bool_] | None = None
    note: str = ""
    reference: bool = False
    dense: bool = False
    joined: bool = True


@dataclass(frozen=True, eq=False)
class Panel:
    """Curves by run over one pair of axes; a second line of the title is a note."""

    title: str
    y_label: str
    x_label: str
    curves: dict[int, list[Curve]]
    x_axis: Axis = "linear"
    y_log: bool = False
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Overlay:
    """Panels above each other."""

    name: str
    title: str
    caption: tuple[str, str]
    panels: list[Panel] = field(default_factory=list)

    @property
    def runs(self) -> set[int]:
        """The runs that are in it."""
        return {run for panel in self.panels for run in panel.curves}


def colour(run: int) -> str:
    """The colour of the run with this number."""
    return COLOURS[run % len(COLOURS)]


def marks(run: int) -> tuple[str, str]:
    """The mark of the run with this number, by its name for the page and for paper."""
    return MARKS[run % len(MARKS)]


def shared(views: Sequence[RunView], curves: Callable[[RunView], list[Curve]]) -> dict[int, list[Curve]]:
    """The curves of the runs that have them, where at least two do."""
    found = {index: mine for index, view in enumerate(views) if (mine := [c for c in curves(view) if len(c.x)])}
    return found if len(found) > 1 else {}


def all_positive(curves: dict[int, list[Curve]]) -> bool:
    """Whether a logarithmic axis can show all values."""
    return all((curve.y[np.isfinite(curve.y)] > 0).all() for mine in curves.values() for curve in mine)


def overlay(name: str, title: str, caption: tuple[str, str], panels: list[Panel]) -> Overlay | None:
    """A figure of those panels that hold something; None without any."""
    kept = [panel for panel in panels if panel.curves]
    return Overlay(name, title, caption, kept) if kept else None
