"""What the figure of training draws, PNG and page alike: rows of panels over the training step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distlandscape.report.tables import Array, RunView


@dataclass(frozen=True, eq=False)
class Series:
    """Values against steps; ``marks`` where they were measured at chosen steps only."""

    name: str
    step: Array
    values: Array
    colour: str
    marks: bool


@dataclass(frozen=True)
class Row:
    """One panel; ``share`` is an axis from 0 to 1."""

    label: str
    series: tuple[Series, ...]
    share: bool = False
    may_be_logarithmic: bool = False

    @property
    def logarithmic(self) -> bool:
        """Whether the axis can be, and should be."""
        return self.may_be_logarithmic and all((s.values[np.isfinite(s.values)] > 0).all() for s in self.series)

    @property
    def ticks(self) -> int | str:
        """Plotly's labels of a logarithmic axis: decades, or 1, 2, 5 where there are too few of them."""
        values = np.concatenate([s.values[np.isfinite(s.values)] for s in self.series])
        return 1 if values.max() > 100 * values.min() else "D2"

    @property
    def named(self) -> bool:
        """Whether the series need a legend."""
        return len(self.series) > 1


# Label of the panel; its columns of the checkpoints, with name and colour; whether it may be logarithmic.
PANELS = (
    ("mean loss", (("loss", "train", "blue"), ("test_loss", "test", "vermillion")), True),
    ("accuracy", (("accuracy", "train", "blue"), ("test_accuracy", "test", "vermillion")), False),
    ("largest eigenvalue", (("lambda_max", "largest eigenvalue", "vermillion"),), False),
)


def course(view: RunView) -> list[Row]:
    """The panels whose values are there; none for fewer than two checkpoints."""
    kept = view.checkpoints
    if kept is None or len(kept["step"]) < 2:
        return []
    rows = []
    for label, columns, logarithmic in PANELS:
        series = [
            Series(name, kept["step"], kept[column], colour, True)
            for column, name, colour in columns
            if column in kept and np.isfinite(kept[column]).any()
        ]
        if label == "mean loss" and view.curve is not None:
            series.insert(0, Series("mini-batches", view.curve["step"], view.curve["loss"], "muted", False))
        if series:
            rows.append(Row(label, tuple(series), label == "accuracy", logarithmic))
    if view.curve is not None:
        rate = Series("learning rate", view.curve["step"], view.curve["learning_rate"], "green", False)
        rows.append(Row("learning rate", (rate,)))
    return rows
