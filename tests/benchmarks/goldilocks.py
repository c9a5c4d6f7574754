"""The runs of docs/results-goldilocks.md: curvature against radius, and trainings in planes (Markdown, a figure).

    python -m tests.benchmarks.goldilocks [FOLDER [CASE …]]    makes the runs that FOLDER (results/goldilocks) lacks,
                                                               of the cases with one of these words in their names
    python -m tests.benchmarks.goldilocks FOLDER --tables FIGURE.png    prints the tables of those that are there

A run that was cut off is resumed. One worker's worth: runtime.workers=0 and one thread.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from distlandscape.record.run import Run
from distlandscape.report.numbers import number, with_error
from distlandscape.report.style import LIGHT
from distlandscape.report.tables import RunView, load
from distlandscape.report.zone_curves import GridPicture, Line, grids, ratio_panels, schemes, zone_ends
from tests.benchmarks.cases import Case, finished, main

Row = dict[str, Any]
DIGITS = "jobs/digits-goldilocks.yaml"
FASHION = "jobs/fashion-mnist-{}-goldilocks.yaml"
CASES = [
    Case(name, "goldilocks", job, keys)
    for name, job, keys in (
        ("digits, mlp", DIGITS, []),
        ("digits, mlp, tanh", DIGITS, ["model.options={hidden: [32, 32], activation: tanh}"]),
        ("Fashion-MNIST, mlp 784-200-200-10", FASHION.format("mlp"), []),
        ("Fashion-MNIST, cnn", FASHION.format("cnn"), []),
    )
]
MODES = ("free", "sphere")


def line(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |")


def head(*names: str) -> None:
    line(*(name.replace("|", "\\|") for name in names))
    line(*["---"] * len(names))


def measured(row: Row, name: str) -> str:
    """Mean over the points of a radius and its standard error; a dash where it does not exist (H = 0)."""
    value, error = row[name], row[f"{name}_stderr"]
    if value is None:
        return "–"
    return with_error(value, error) if error else number(value, 3)


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def zone_words(zone: Row) -> str:
    """The range of radii in which the ratio is at least half its highest; open where it goes on beyond them."""
    if "level" not in zone:
        return "none"
    low, high = ("" if zone[end] is None else number(zone[end], 2) for end in ("low", "high"))
    return f"{low} – {high}" if low and high else f"up to {high}" if high else f"from {low}" if low else "all"


def tables(out: Path, figure: Path) -> None:
    """One table of all runs, two a run, and the figure."""
    runs = finished(CASES, out)
    summary(runs)
    for case, run in runs.items():
        r = run.result
        print(f"\n### {case.name}\n\n    {case.command}\n")
        print(
            f"P = {r['parameters']:,}, {r['samples']:,} samples, {r['trainings']} trainings, {r['wall_s']:.0f} s."
            f" |θ| of initialisations: Glorot {number(r['schemes']['glorot'], 3)}, He {number(r['schemes']['he'], 3)},"
            f" LeCun {number(r['schemes']['lecun'], 3)}. Kolmogorov–Smirnov distance of plane spectra from the"
            f" semicircle, and from the spectrum with outliers: "
            + "; ".join(f"d = {p['plane']}: {p['distance_without']:.2f}, {p['distance_with']:.2f}" for p in r["planes"])
            + ".\n"
        )
        by_radius(run)
        print()
        accuracies(run)
    draw(runs, figure)


def summary(runs: dict[Case, Run]) -> None:
    """Where the ratio is highest, the zone, and where trainings in planes end best; r is over Glorot's radius."""
    best = [f"best r, {which} d, {mode}" for which in ("smallest", "largest") for mode in MODES]
    head("network and data", "P", "highest Tr H/‖H‖_F", "at r", "zone", "ratio > 1 at r", *best)
    for case, run in runs.items():
        r, (zone, *_) = run.result, run.result["zones"]
        (top,) = (row for row in r["radii"] if row["multiple"] == zone["multiple"])
        over = [f"{row['multiple']:g}" for row in r["radii"] if row["ratio"] is not None and row["ratio"] > 1]
        dims = sorted({row["dimension"] for row in r["grid"]})
        cells = [
            f"{inside['best_multiple']:g}"
            for d in (dims[0], dims[-1])
            for mode in MODES
            for inside in r["inside"]
            if (inside["mode"], inside["dimension"]) == (mode, d)
        ]
        line(
            case.name, f"{r['parameters']:,}", measured(top, "ratio"), f"{zone['multiple']:g}", zone_words(zone),
            ", ".join(over) or "none", *cells,
        )  # fmt: skip


def by_radius(run: Run) -> None:
    """What was measured at the points of each radius; predicted shares are means over its points as well."""
    rows, planes = run.table("radii").to_pylist(), run.table("planes").to_pylist()
    dims = sorted({plane["plane"] for plane in planes})
    positive = [f"positive, d = {d}: measured; semicircle; with outliers" for d in dims]
    head("r", "|θ|", "Tr H/‖H‖_F", "random model", *positive, "‖R‖/‖G‖", "E Σp²", "σ_z²", "flat", "p = 1")
    for row in rows:
        cells = []
        for d in dims:
            mine = [p for p in planes if (p["multiple"], p["plane"]) == (row["multiple"], d)]
            told = [[p.get(f"positive_{name}") for p in mine] for name in ("without", "with")]
            means = [None if None in values else float(np.mean(values)) for values in told]
            cells.append("; ".join(percent(v) for v in (row[f"positive_{d}"], *means)))
        terms = row["residual"] / row["gauss_newton"] if row["gauss_newton"] else None
        line(
            f"{row['multiple']:g}", number(row["radius"], 3), measured(row, "ratio"), measured(row, "model_ratio"),
            *cells, "–" if terms is None else number(terms, 2), number(row["sum_p2"], 3),
            number(row["sigma_z"] ** 2, 3), percent(row["flat"]), percent(row["rounded"]),
        )  # fmt: skip


def accuracies(run: Run) -> None:
    """Mean held-out accuracy by radius, mode and dimension; the best of a row is bold."""
    grid = run.result["grid"]
    multiples = sorted({row["multiple"] for row in grid})
    head("trainings", "d", *(f"r = {m:g}" for m in multiples), "inside the zone", "outside")
    for mode in MODES:
        for inside in run.result["inside"]:
            if inside["mode"] != mode:
                continue
            d = inside["dimension"]
            here = {r["multiple"]: r["accuracy"] for r in grid if (r["mode"], r["dimension"]) == (mode, d)}
            cells = [f"**{percent(v)}**" if m == inside["best_multiple"] else percent(v) for m, v in here.items()]
            line(mode, d, *cells, percent(inside["inside"]), percent(inside["outside"]))


def draw(runs: dict[Case, Run], figure: Path) -> None:
    """A row a run: ratio, positive share, and accuracy over radius and dimension of both modes, each with the zone."""
    fig, axes = plt.subplots(len(runs), 4, figsize=(14, 2.7 * len(runs)), squeeze=False, layout="constrained")
    for row, (case, run) in zip(axes, runs.items(), strict=True):
        view = load(run)
        for axis, panel in zip(row, ratio_panels(view), strict=False):
            for drawn in panel.lines:
                curve(axis, drawn)
            mark(axis, view)
            axis.legend(fontsize=7)
        row[0].axhline(1, color=LIGHT["muted"], lw=0.8)
        row[0].set_ylabel(case.name.replace(", ", "\n"))
        row[1].set_ylim(-0.03, 1.03)
        mesh = None
        for axis, picture in zip(row[2:], sorted(grids(view), key=lambda p: p.title), strict=True):
            mesh = heat(axis, picture, view)
        fig.colorbar(mesh, ax=row[3])
    titles = (
        "Tr H/‖H‖_F; dashed: random model", "share of positive curvature in planes", "accuracy in planes (%), free",
        "accuracy in planes (%), constant |θ|",
    )  # fmt: skip
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9, pad=14)
    for axis in axes[-1]:
        axis.set_xlabel("radius |θ|")
    fig.savefig(figure, dpi=80)


def curve(axis: Any, drawn: Line) -> None:
    style = "--" if drawn.dashed else "o-"
    axis.errorbar(
        drawn.x, drawn.y, drawn.error, fmt=style, ms=3, lw=1, capsize=2, color=LIGHT[drawn.colour], label=drawn.name
    )


def mark(axis: Any, view: RunView) -> None:
    """The zone in green, and the radii of initialisation schemes."""
    if (ends := zone_ends(view)) is not None:
        axis.axvspan(*ends, color=LIGHT["green-soft"], lw=0)
    for name, radius in schemes(view).items():
        axis.axvline(radius, color=LIGHT["muted"], lw=0.7, ls=":")
        side = {"LeCun": "right", "Glorot": "center", "He": "left"}[name]
        axis.annotate(name[0], (radius, 1.01), xycoords=("data", "axes fraction"), size=7, ha=side, va="bottom")
    plain_radii(axis)


def heat(axis: Any, picture: GridPicture, view: RunView) -> Any:
    """Accuracy, the ends of the zone, and the d up to which a Hessian without outliers would curve upwards only."""
    colours = LinearSegmentedColormap.from_list("roles", [LIGHT["paper"], LIGHT["blue"]])
    mesh = axis.pcolormesh(
        picture.radius_edges, picture.dimension_edges, picture.accuracy, cmap=colours, vmin=0, vmax=1
    )
    for end in zone_ends(view) or ():
        axis.axvline(end, color=LIGHT["green"], lw=1.2, ls="--")
    axis.plot(picture.line_radius, picture.line_dimension, "o-", ms=3, color=LIGHT["vermillion"])
    for (row, column), value in np.ndenumerate(picture.accuracy):
        where = picture.radii[column], picture.dimensions[row]
        axis.annotate(f"{100 * value:.0f}", where, size=6, ha="center", va="center", color=LIGHT["ink"])
    axis.set(yscale="log", ylim=(picture.dimension_edges[0], picture.dimension_edges[-1]), ylabel="d")
    axis.set_yticks(picture.dimensions, [f"{d:g}" for d in picture.dimensions])
    axis.yaxis.set_minor_formatter(NullFormatter())
    plain_radii(axis)
    return mesh


def plain_radii(axis: Any) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axis.xaxis.set_minor_formatter(NullFormatter())


if __name__ == "__main__":
    main(CASES, tables, "results/goldilocks")
