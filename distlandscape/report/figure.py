"""What the page of a study consists of, beside what all pages share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure as Drawing

from distlandscape.report.plotly_json import Json
from distlandscape.report.tables import RunView

Sentence = list[tuple[str, bool]]  # pieces of text; True marks those to stress


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        title: what stands above it.
        caption: what it shows, and how it can mislead.
        there: whether it can be drawn.
        png: draws it for paper.
        plot: draws it for the page.
    """

    title: str
    caption: tuple[str, str]
    there: Callable[[RunView], bool]
    png: Callable[[RunView], Drawing]
    plot: Callable[[RunView], Json]


@dataclass(frozen=True)
class Notice:
    """A message at the top of the page."""

    title: str
    text: str


@dataclass(frozen=True)
class Rows:
    """A table of texts."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    words: tuple[str, ...] = ()  # names of columns that hold words, not numbers

    @property
    def marks(self) -> bool:
        """Whether each cell but the first of a row is a single sign, so that many of them fit beside each other."""
        return all(len(cell) < 2 for row in self.rows for cell in row[1:])


@dataclass(frozen=True)
class StudyPage:
    """One kind of page.

    Attributes:
        subject: what was measured, without model and data.
        answer: the result in one sentence; empty without one.
        figures: by name, in their order.
        parts: names of figures and tables that a run of this study holds, in words.
        optional: those of them that a finished run may lack.
        doubts: what stands between the reader and the numbers of a run that ended well.
        folded: further tables.
        of_a_network: whether the subject is that of a model on data.
        first: tables that stand above all figures.
    """

    subject: Callable[[RunView], str]
    answer: Callable[[RunView], Sentence]
    figures: dict[str, Figure]
    parts: dict[str, str]
    optional: tuple[str, ...]
    doubts: Callable[[RunView], list[Notice]]
    folded: Callable[[RunView], list[Rows]]
    of_a_network: bool = True
    first: Callable[[RunView], list[Rows]] = lambda view: []

    def drawn(self, view: RunView) -> dict[str, Figure]:
        """The figures that can be drawn from the tables there are."""
        return {name: figure for name, figure in self.figures.items() if figure.there(view)}

    def missing(self, view: RunView) -> list[str]:
        """Names of parts that the run does not hold."""
        there = {*self.drawn(view), *(name for name in view.tables if name not in self.figures)}
        return [name for name in self.parts if name not in there]
