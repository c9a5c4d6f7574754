"""The numbers of docs/results-hyperplane.md: the hyperplane study of several networks and data (Markdown, a figure).

    python -m tests.benchmarks.hyperplane [FOLDER [CASE …]]    makes the runs that FOLDER (results/hyperplane) lacks,
                                                               of the cases with one of these words in their names
    python -m tests.benchmarks.hyperplane FOLDER --tables FIGURE.png    prints the tables of those that are there

A run that was cut off is resumed. One worker's worth: runtime.workers=0 and one thread.
"""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

from distlandscape.record.run import Run
from distlandscape.report.plane_curves import FULL, series_name
from distlandscape.report.style import LIGHT, SERIES
from tests.benchmarks.cases import Case, finished, main

DIGITS = "jobs/digits-hyperplane.yaml"
FASHION = "jobs/fashion-mnist-{}-hyperplane.yaml"
CASES = [
    Case(name, "hyperplane", job, keys)
    for name, job, keys in (
        ("digits, mlp", DIGITS, []),
        (
            "digits, mlp, kinds compared", DIGITS,
            ["hyperplane.kinds=[dense, sparse, hashed, fastfood, cosine]", "hyperplane.rounds=1"],
        ),
        ("digits, mlp, starts compared", DIGITS, ["hyperplane.burn_in=[0, 20, 100]", "hyperplane.rounds=1"]),
        (
            "digits, mlp, planes of the network", DIGITS,
            [
                "hyperplane.kinds=[auto, trajectory, hessian]", "hyperplane.dims=[1, 2, 5, 10, 20, 40, 80]",
                "hyperplane.rounds=1",
            ],
        ),
        ("Fashion-MNIST, mlp 784-200-200-10", FASHION.format("mlp"), []),
        ("Fashion-MNIST, lenet", FASHION.format("lenet"), []),
    )
]  # fmt: skip
COLOURS = [LIGHT[name] for name in (*SERIES, "muted")]


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def crossing(found: dict[str, Any]) -> str:
    """The dimension of a crossing with its interval; ∞ where over 2.5 % of the resamples never reach the threshold."""
    if found["value"] is None:
        return "not reached"
    if found["below"] is None:
        return f"≤ {found['at']:,}, the smallest tried"
    low, high = ("∞" if end is None else f"{end:,.0f}" for end in (found["low"], found["high"]))
    return f"{found['value']:,.0f} ({low} to {high})"


def stderr(values: list[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values))


def print_row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |")


def print_head(*cells: str) -> None:
    print_row(*cells)
    print("|" + "---|" * len(cells))


def summary(runs: dict[Case, Run]) -> None:
    """A row a series of each run."""
    names = ("network and data", "planes", "P", "trainings", "full space", "threshold", "d_int90", "P/d_int90")
    print_head(*names, "target", "its d")
    for case, run in runs.items():
        r = run.result
        for series in r["series"]:
            own, target = series["d_int90"], series["target"]
            size = (f"{r['parameters']:,}", f"{r['trainings']:,}")
            full = (f"{percent(own['baseline'])} %", f"{percent(own['threshold'])} %")
            ratio = "" if own["below"] is None else f"{r['parameters'] / own['value']:,.0f}"
            absolute = ("", "") if target is None else (f"{percent(target['threshold'])} %", crossing(target))
            print_row(case.name, series_name(series), *size, *full, crossing(own), ratio, *absolute)


def by_dimension(case: Case, run: Run) -> None:
    """A row a dimension of each series, full space first."""
    r, trainings = run.result, run.table("trainings").to_pylist()
    steps, seconds = max(t["steps"] for t in trainings), sum(t["seconds"] for t in trainings)
    print(f"\n### {case.name}\n\n    {case.command}\n")
    print(f"{r['trainings']:,} trainings of {steps:,} steps in {seconds:,.0f} s; held out: {r['held_out']}.\n")
    print_head("planes", "made as", "d", "n", "accuracy, %", "95 %", "loss", "95 %", "success", "95 %")
    for row in sorted(r["dimensions"], key=lambda row: row["kind"] != FULL):
        mine = [t for t in trainings if all(t[key] == row[key] for key in ("kind", "burn_in", "dimension"))]
        full = row["kind"] == FULL
        planes = ("full space", "") if full else (series_name(row), mine[0]["made"])
        accuracy = f"{percent(row['accuracy'])} ± {percent(stderr([t['accuracy'] for t in mine]))}"
        interval = f"{percent(row['accuracy_low'])} to {percent(row['accuracy_high'])}"
        loss = ("", "")  # where one diverged
        if row["loss"] is not None:
            loss = (f"{row['loss']:.3g}", f"{row['loss_low']:.3g} to {row['loss_high']:.3g}")
        success = (f"{row['success']:.2f}", f"{row['success_low']:.2f} to {row['success_high']:.2f}")
        print_row(*planes, f"{row['dimension']:,}", row["trainings"], accuracy, interval, *loss, *success)


def tables(out: Path, figure: Path) -> None:
    """One table of all runs, one a run by dimension, and the figure."""
    runs = finished(CASES, out)
    summary(runs)
    for case, run in runs.items():
        by_dimension(case, run)
    draw(runs, figure)


def draw(runs: dict[Case, Run], figure: Path) -> None:
    """Accuracy and success against dimension; lines: full space, threshold; band: the interval of d_int90."""
    fig, axes = plt.subplots(len(runs), 2, figsize=(12.5, 3 * len(runs)), squeeze=False, layout="constrained")
    for row, (case, run) in zip(axes, runs.items(), strict=True):
        named: dict[str, list[dict[str, Any]]] = {}
        for one in run.result["dimensions"]:
            if one["kind"] != FULL:
                named.setdefault(series_name(one), []).append(one)
        for axis, quantity in zip(row, ("accuracy", "success"), strict=True):
            for place, ((name, mine), colour) in enumerate(zip(named.items(), COLOURS, strict=False)):
                values = [one[quantity] for one in mine]
                bars = [[abs(one[quantity] - one[f"{quantity}_{end}"]) for one in mine] for end in ("low", "high")]
                # Beside each other, so that bars of several series at one dimension can be told apart.
                dims = [one["dimension"] * 1.03 ** (place - (len(named) - 1) / 2) for one in mine]
                axis.errorbar(dims, values, bars, fmt="o-", ms=3, lw=1, capsize=2, color=colour, label=name)
            axis.set(xscale="log", ylabel=quantity)
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter("{x:g}")
            axis.xaxis.set_minor_formatter(NullFormatter())
        found = run.result["d_int90"]
        row[0].axhline(found["baseline"], color=LIGHT["muted"], lw=0.8)
        row[0].axhline(found["threshold"], color=LIGHT["muted"], lw=0.8, ls="--")
        if len(named) == 1 and found["low"] is not None and found["high"] is not None:
            row[0].axvspan(found["low"], found["high"], color=LIGHT["grid"], lw=0)
        row[1].set(ylim=(-0.05, 1.05))
        row[0].set_title(case.name, fontsize=9, loc="left")
        row[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    for axis in axes[-1]:
        axis.set_xlabel("dimension of the plane d")
    fig.savefig(figure, dpi=80)


if __name__ == "__main__":
    main(CASES, tables, "results/hyperplane")
