"""The page of the goldilocks study."""

from __future__ import annotations

from typing import Any

from distlandscape.report import interactive_zone, png_zone
from distlandscape.report.figure import Figure, Notice, Rows, Sentence, StudyPage
from distlandscape.report.numbers import number, with_error
from distlandscape.report.plane_curves import rows
from distlandscape.report.tables import RunView
from distlandscape.report.train import percent
from distlandscape.report.zone_curves import density_panel, plane_panel, ratio_panels, softmax_panels

FIGURES = {
    "ratio": Figure(
        "Curvature against radius",
        (
            "Tr H/‖H‖_F of random points, and the share of positive curvature in random planes of dimension d; means"
            " over the points of a radius with their standard errors. Green: where the ratio is at least half its"
            " highest. Dotted: radii of the usual initialisations.",
            "Few points make a standard error uncertain. The random model (dashed) knows the measured spread of logits"
            " and the clustering of their gradients, and has no residual term: it can follow the ratio only where H is"
            " its Gauss-Newton term.",
        ),
        lambda view: "radii" in view.tables,
        lambda view: png_zone.radius_panels(view, ratio_panels(view)),
        lambda view: interactive_zone.radius_panels(view, ratio_panels(view)),
    ),
    "softmax": Figure(
        "Softmax and the two terms",
        (
            "How far the softmax is frozen: E Σp², and shares of samples whose largest p is 1, or whose curvature"
            " diag p − p pᵀ is exactly 0, in float32. Below: norms of the Gauss-Newton and the residual term, and of"
            " the gradient.",
            "All was measured in float64. A share of samples flat in float32 says what a measurement in float32 would"
            " have lost.",
        ),
        lambda view: "radii" in view.tables,
        lambda view: png_zone.radius_panels(view, softmax_panels(view)),
        lambda view: interactive_zone.radius_panels(view, softmax_panels(view)),
    ),
    "density": Figure(
        "The density of eigenvalues",
        (
            "Shares of all eigenvalues of H at the smallest and largest radius measured and that of the highest ratio,"
            " in units of their root mean square: where most lie near 0, few outliers make up the norm.",
            "One Lanczos draw a point beside the outliers that converged; steps between its nodes are not eigenvalues.",
        ),
        lambda view: (
            "nodes" in view.tables
            and view.parameters is not None
            and any(row["ratio"] is not None for row in rows(view, "radii"))
        ),
        lambda view: png_zone.spectrum(*density_panel(view)),
        lambda view: interactive_zone.spectrum(*density_panel(view)),
    ),
    "plane": Figure(
        "The spectrum in a plane",
        (
            "All curvatures of the largest plane at one point, at the radius of the highest ratio, beside the"
            " semicircle of a matrix with that trace and norm, and the spectrum with the measured outliers taken out"
            " of the semicircle and put in where a plane shows them.",
            "A prediction takes trace and norm from as many products as the plane has dimensions; its centre is"
            " off by their error.",
        ),
        lambda view: "predicted" in view.tables and "radii" in view.tables,
        lambda view: png_zone.spectrum(*plane_panel(view)),
        lambda view: interactive_zone.spectrum(*plane_panel(view)),
    ),
    "grid": Figure(
        "Accuracy of trainings in planes",
        (
            "Mean held-out accuracy of trainings in random planes of dimension d through random points of a radius."
            " Line, where it is high enough to be in the picture: the d up to which all curvature would be positive"
            " if H had no outliers. Dashed: the ends of the zone.",
            "Training needs steps as well as curvature: the learning rate grows with the radius, the number of steps"
            " does not, and other choices move the picture.",
        ),
        lambda view: "grid" in view.tables,
        png_zone.grid,
        interactive_zone.grid,
    ),
}


def answer(view: RunView) -> Sentence:
    """The point's place if one was asked for, else the highest ratio and the zone."""
    result = view.result or {}
    point = result.get("point")
    if point is not None:
        found = any(zone["temperature"] == point["temperature"] and "level" in zone for zone in result["zones"])
        unknown = "where the zone was not looked for" if found else "with no zone found"
        where = {True: "inside the zone", False: "outside the zone", None: unknown}[point["inside"]]
        ratio = "no" if point["ratio"] is None else f"{point['ratio']:.3g}"
        return [
            ("The weights stand at ", False),
            (f"{point['multiple']:.2g} times Glorot's radius, {where}", True),
            (f", with Tr H/‖H‖_F {ratio}.", False),
        ]
    zones = [zone for zone in result.get("zones") or [] if "level" in zone]
    if not zones:
        return []
    zone: dict[str, Any] = zones[0]
    low = "the smallest radius measured" if zone["low"] is None else f"{zone['low']:.2g} times"
    high = "the largest radius measured" if zone["high"] is None else f"{zone['high']:.2g} times Glorot's"
    return [
        ("Tr H/‖H‖_F is highest, ", False),
        (f"{_highest(view, zone)}, at {zone['multiple']:.2g} times Glorot's radius", True),
        (f"; it is at least half of that from {low} to {high}.", False),
    ]


def _highest(view: RunView, zone: dict[str, Any]) -> str:
    """The highest ratio, with its standard error where the table tells it."""
    own = [row for row in rows(view, "radii") if row["ratio"] == zone["ratio"]]
    return with_error(zone["ratio"], own[0]["ratio_stderr"]) if own else number(zone["ratio"], 3)


def doubts(view: RunView) -> list[Notice]:
    """What makes the numbers mean something else."""
    found = []
    points = rows(view, "points")
    unconverged = sum(row["outlier_status"] not in ("converged", "not asked for") for row in points)
    if unconverged:
        text = f"At {unconverged} of {len(points)} points; there the predictions take out too small ones."
        found.append(Notice("Not all outliers converged.", text))
    if any(row["ratio"] is None for row in points):
        found.append(Notice("At some points H is exactly 0.", "They have no ratio, and their radius is left out."))
    return found


def _folded(view: RunView) -> list[Rows]:
    lines: list[tuple[str, ...]] = []
    for row in rows(view, "radii"):
        ratio = "–" if row["ratio"] is None else f"{number(row['ratio'], 3)} ± {number(row['ratio_stderr'], 2)}"
        model = "–" if row["model_ratio"] is None else number(row["model_ratio"], 3)
        cells = (number(row["sigma_z"], 3), number(row["sum_p2"], 3), percent(row["flat"]))
        lines.append(
            (f"{row['temperature']:g}", f"{row['multiple']:g}", number(row["radius"], 3), ratio, model, *cells)
        )
    head = ("T", "r/Glorot", "|θ|", "Tr H/‖H‖_F", "random model", "σ_z", "E Σp²", "flat")
    return [Rows("By radius", head, lines)] if lines else []


PAGE = StudyPage(
    subject=lambda view: "curvature against radius",
    answer=answer,
    figures=FIGURES,
    parts={
        "ratio": "curvature against radius",
        "softmax": "the softmax",
        "density": "the density of eigenvalues",
        "plane": "the spectrum in a plane",
        "grid": "the grid of trainings",
        "points": "the points",
        "planes": "the planes",
    },
    optional=("grid", "plane", "density"),
    doubts=doubts,
    folded=_folded,
)
