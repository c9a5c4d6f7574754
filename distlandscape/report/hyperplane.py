"""The page of the hyperplane study."""

from __future__ import annotations

from typing import Any

from distlandscape.report import interactive_planes, png_planes
from distlandscape.report.figure import Figure, Notice, Rows, Sentence, StudyPage
from distlandscape.report.numbers import number
from distlandscape.report.plane_curves import FULL, rows, sweeps
from distlandscape.report.tables import RunView
from distlandscape.report.train import percent

FIGURES = {
    "dimensions": Figure(
        "Accuracy and loss by dimension",
        (
            "Means over the trainings of each dimension with 95 % bootstrap intervals; the mean in full space, 90 % of"
            " it, and the interval of d_int90 (grey).",
            "The intervals resample few seeds and are too narrow for that; a plane is drawn anew for every seed unless"
            " the run says otherwise. Loss and accuracy are of held-out samples, at the end of training: more steps, or"
            " another learning rate, move the curve.",
        ),
        lambda view: bool(sweeps(view, "accuracy")),
        png_planes.dimensions,
        interactive_planes.dimensions,
    ),
    "success": Figure(
        "Success by dimension",
        (
            "The share of trainings that reach the threshold, with Wilson's 95 % interval of a binomial share.",
            "With few seeds a share of 0 or 1 excludes little. Where one plane serves all seeds of a dimension, the"
            " share is that plane's own and says nothing about others.",
        ),
        lambda view: bool(sweeps(view, "success")),
        png_planes.success,
        interactive_planes.success,
    ),
    "curves": Figure(
        "Learning curves",
        (
            "Mean accuracy over the seeds of a dimension along training; at most four dimensions of the first kind.",
            "A curve that still rises at the end was cut off: its dimension may do better than the first figure says.",
        ),
        lambda view: bool(sweeps(view, "accuracy")) and "curves" in view.tables,
        png_planes.curves,
        interactive_planes.curves,
    ),
}


def answer(view: RunView) -> Sentence:
    """d_int90 in one sentence."""
    found: dict[str, Any] = (view.result or {}).get("d_int90") or {}
    if not found:
        return []
    full = f"{100 * found['baseline']:.1f} %"
    if found["value"] is None:
        return [
            ("No dimension that was tried reaches 90 % of the accuracy in full space, which is ", False),
            (full, True),
            (".", False),
        ]
    parts: Sentence = [("Training in a random plane of dimension ", False), (f"{found['value']:,.0f}", True)]
    if found["low"] is not None:
        high = "more than was tried" if found["high"] is None else f"{found['high']:,.0f}"
        parts.append((f" (95 % interval {found['low']:,.0f} to {high})", False))
    return [*parts, (" reaches 90 % of the accuracy in full space, which is ", False), (full, True), (".", False)]


def doubts(view: RunView) -> list[Notice]:
    """What makes the numbers mean something else."""
    result, h = view.result or {}, view.config["hyperplane"]
    found = []
    if result and result["status"] != "done":
        found.append(Notice("The dimension is not pinned down.", f"{result['status'].capitalize()}."))
    if result.get("budget_ended"):
        found.append(Notice("The budget ended first.", "Dimensions that lack trainings are not shown."))
    if h["shared_plane"]:
        found.append(
            Notice("One plane a dimension.", "All seeds share it, so success rates are over starts, not over planes.")
        )
    if h["stop_at_target"]:
        found.append(
            Notice("Trainings ended at their target.", "Mean accuracies saturate there; success rates do not suffer.")
        )
    return found


def _folded(view: RunView) -> list[Rows]:
    lines: list[tuple[str, ...]] = []
    for row in rows(view, "dimensions"):
        loss = "–" if row["loss"] is None else number(row["loss"], 3)
        interval = f"{percent(row['accuracy_low'])} to {percent(row['accuracy_high'])}"
        start = "full space" if row["kind"] == FULL else f"step {row['burn_in']:,}"
        cells = (f"{row['dimension']:,}", str(row["trainings"]), percent(row["accuracy"]), interval, loss)
        lines.append((row["kind"], start, *cells, percent(row.get("success"))))
    head = ("kind", "start", "d", "trainings", "accuracy", "95 % interval", "loss", "success")
    return [Rows("By dimension", head, lines)] if lines else []


PAGE = StudyPage(
    subject=lambda view: "training in random planes",
    answer=answer,
    figures=FIGURES,
    parts={
        "dimensions": "accuracy by dimension",
        "success": "success by dimension",
        "curves": "the learning curves",
        "trainings": "the trainings",
    },
    optional=("success",),
    doubts=doubts,
    folded=_folded,
)
