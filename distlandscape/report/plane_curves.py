"""What the figures of the hyperplane study draw, paper and page alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from distlandscape.report.tables import Array, RunView

FULL = "full"
CURVES = 4  # dimensions whose learning curves are drawn, evenly chosen of all: one a colour


@dataclass(frozen=True, eq=False)
class Sweep:
    """One kind and start: dimensions (n,), and a quantity with the ends of its interval, (n,) each."""

    name: str
    dimension: Array
    value: Array
    low: Array
    high: Array


@dataclass(frozen=True, eq=False)
class Learning:
    """Mean accuracy over seeds along the training of one dimension."""

    name: str
    step: Array
    accuracy: Array


def rows(view: RunView, name: str) -> list[dict[str, Any]]:
    """Rows of a table; none where it is not there."""
    found: list[dict[str, Any]] = view.tables[name].to_pylist() if name in view.tables else []
    return found


def sweeps(view: RunView, quantity: str) -> list[Sweep]:
    """The quantity by dimension, a sweep a series; dimensions without it are left out."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows(view, "dimensions"):
        if row["kind"] != FULL and row.get(quantity) is not None:
            found.setdefault(series_name(row), []).append(row)
    columns = ("dimension", quantity, f"{quantity}_low", f"{quantity}_high")
    return [
        Sweep(name, *(np.array([row[c] for row in mine], dtype=np.float64) for c in columns))
        for name, mine in found.items()
    ]


def full_space(view: RunView, quantity: str) -> float | None:
    """The mean of the quantity over trainings in full space."""
    found = [row.get(quantity) for row in rows(view, "dimensions") if row["kind"] == FULL]
    return None if not found or found[0] is None else float(found[0])


def series_name(row: dict[str, Any]) -> str:
    """Kind and starting point, in words."""
    return f"{row['kind']}, from {'random weights' if not row['burn_in'] else 'step ' + format(row['burn_in'], ',')}"


def crossing_words(found: dict[str, Any]) -> str:
    """A d_int90, or the dimension of a target, with its interval; ends that lie outside what was tried are said so."""
    if found["threshold"] is None:
        return "nothing to reach"
    if found["value"] is None:
        return "none that was tried"
    if found["below"] is None:
        return f"at most {found['at']:,}, the smallest tried"
    low = "less than was tried" if found["low"] is None else f"{found['low']:,.0f}"
    high = "more than was tried" if found["high"] is None else f"{found['high']:,.0f}"
    return f"{found['value']:,.0f} ({low} to {high})"


def evaluated(view: RunView) -> str:
    """Which samples accuracy and loss are of, for axes."""
    return "trained on" if view.config["hyperplane"].get("evaluate_on") == "train" else "held out"


def learning(view: RunView) -> list[Learning]:
    """Learning curves of the first series and of full space; members that ended early count with their last value."""
    table = rows(view, "curves")
    first = next((row for row in rows(view, "dimensions") if row["kind"] != FULL), None)
    if first is None:
        return []
    grouped: dict[tuple[str, int], dict[int, list[tuple[int, float]]]] = {}
    for row in table:
        if row["kind"] == FULL or (row["kind"], row["burn_in"]) == (first["kind"], first["burn_in"]):
            mine = grouped.setdefault((row["kind"], row["dimension"]), {})
            mine.setdefault(row["seed"], []).append((row["step"], row["accuracy"]))
    keys = sorted(key for key in grouped if key[0] != FULL)
    chosen = [keys[i] for i in sorted({round(i) for i in np.linspace(0, len(keys) - 1, min(CURVES, len(keys)))})]
    named = [(f"d = {key[1]:,}", grouped[key]) for key in chosen]
    named += [("full space", members) for key, members in grouped.items() if key[0] == FULL]
    return [_mean(name, members) for name, members in named]


def _mean(name: str, members: dict[int, list[tuple[int, float]]]) -> Learning:
    steps = np.array(sorted({step for points in members.values() for step, _ in points}), dtype=np.float64)
    total = np.zeros(len(steps))
    for points in members.values():
        at, accuracy = np.array(sorted(points), dtype=np.float64).T
        total += accuracy[np.searchsorted(at, steps, side="right") - 1]
    return Learning(name, steps, total / len(members))
