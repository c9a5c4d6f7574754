"""The page of the hyperplane study."""

from __future__ import annotations

from typing import Any

from distlandscape.report import interactive_planes, png_planes
from distlandscape.report.figure import Figure, Notice, Rows, Sentence, StudyPage
from distlandscape.report.numbers import number
from distlandscape.report.plane_curves import FULL, crossing_words, rows, series_name, sweeps
from distlandscape.report.tables import RunView
from distlandscape.report.train import percent

# Kinds that are not random, in the answer's sentence.
PLANES = {"trajectory": "a plane of its own trajectory", "hessian": "a plane of the Hessian's leading eigenvectors"}
FIGURES = {
    "dimensions": Figure(
        "Accuracy and loss by dimension",
        (
            "Means over the trainings of each dimension with 95 % bootstrap intervals; the mean in full space, 90 % of"
            " it, and the interval of d_int90 (grey).",
            "The intervals resample few seeds and are too narrow for that; a plane is drawn anew for every seed unless"
            " the run says otherwise. Loss and accuracy are of the samples named at the axes, at the end of training:"
            " more steps, or another learning rate, move the curve.",
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
    nothing = (view.result or {}).get("nothing_to_reach")  # runs made before this was asked do not have it
    if nothing:
        return [("There is no dimension to look for: ", False), (nothing, True), (".", False)]
    full = f"{100 * found['baseline']:.1f} %"
    if found["value"] is None:
        return [
            ("No dimension that was tried reaches 90 % of the accuracy in full space, which is ", False),
            (full, True),
            (".", False),
        ]
    plane = PLANES.get((view.result or {})["series"][0]["kind"], "a random plane")
    parts: Sentence = [(f"Training in {plane} of dimension ", False), (f"{found['value']:,.0f}", True)]
    words = crossing_words(found)
    interval = ", the smallest tried," if found["below"] is None else f" (95 % interval {words.partition('(')[2]}"
    parts.append((f"{interval} reaches 90 % of the accuracy in full space, which is ", False))
    return [*parts, (full, True), (".", False)]


def doubts(view: RunView) -> list[Notice]:
    """What makes the numbers mean something else."""
    result, h = view.result or {}, view.config["hyperplane"]
    found = []
    if result and result["status"] != "done" and not result.get("nothing_to_reach"):
        found.append(Notice("The dimension is not pinned down.", f"{result['status'].capitalize()}."))
    if result.get("budget_ended"):
        found.append(Notice("The budget ended first.", "Dimensions that lack trainings are not shown."))
    short = _short_of_it(view)
    if short:
        found.append(
            Notice(
                "Accuracy falls again.",
                f"d_int90 is where the threshold is first reached; beyond it {short} fall short. Trust the interval"
                " more than the value, or train with more hyperplane.seeds.",
            )
        )
    if h["shared_plane"]:
        found.append(
            Notice("One plane a dimension.", "All seeds share it, so success rates are over starts, not over planes.")
        )
    if h["stop_at_target"]:
        found.append(
            Notice("Trainings ended at their target.", "Mean accuracies saturate there; success rates do not suffer.")
        )
    return found


def _short_of_it(view: RunView) -> str:
    """Dimensions of the first kind and start beyond d_int90 whose mean accuracy is below the threshold, in words."""
    result = view.result or {}
    found, series = result.get("d_int90") or {}, result.get("series") or []
    if not series or found["at"] is None or found["threshold"] is None:
        return ""
    first = (series[0]["kind"], series[0]["burn_in"])
    mine = [row for row in rows(view, "dimensions") if (row["kind"], row["burn_in"]) == first]
    short = [row for row in mine if row["dimension"] > found["at"] and row["accuracy"] < found["threshold"]]
    return " and ".join(f"d = {row['dimension']:,}" for row in short)


def _series(view: RunView) -> list[Rows]:
    """The dimensions that are enough, where more than one is asked for."""
    result = view.result or {}
    series = result.get("series") or []
    targets = [one["target"] for one in series if one["target"] is not None]
    if len(series) + len(targets) < 2:
        return []
    head: tuple[str, ...] = ("planes", "d_int90 (95 % interval)")
    if targets:
        head = (*head, f"dimension for {percent(view.config['hyperplane']['target_accuracy'])}")
    lines = []
    for one in series:
        asked = [one["d_int90"]] + [one["target"]] * bool(targets)
        lines.append((series_name(one), *(crossing_words(found) for found in asked)))
    return [Rows("Dimensions that are enough", head, lines, words=head)]


def _folded(view: RunView) -> list[Rows]:
    lines: list[tuple[str, ...]] = []
    for row in rows(view, "dimensions"):
        loss = "–" if row["loss"] is None else number(row["loss"], 3)
        interval = f"{percent(row['accuracy_low'])} to {percent(row['accuracy_high'])}"
        start = "full space" if row["kind"] == FULL else f"step {row['burn_in']:,}"
        cells = (f"{row['dimension']:,}", str(row["trainings"]), percent(row["accuracy"]), interval, loss)
        lines.append((row["kind"], start, *cells, percent(row.get("success"))))
    head = ("kind", "start", "d", "trainings", "accuracy", "95 % interval", "loss", "success")
    return [Rows("By dimension", head, lines), *_reasons(view)] if lines else []


def _reasons(view: RunView) -> list[Rows]:
    """What ``auto`` took, and why."""
    # Runs made before the reason was recorded have no such column.
    found = {row["dimension"]: row["why"] for row in rows(view, "dimensions") if row.get("why")}
    head = ("d", "taken by auto, and why")
    lines: list[tuple[str, ...]] = [(f"{d:,}", found[d]) for d in sorted(found)]
    return [Rows("The choice of planes", head, lines, words=head[1:])] if lines else []


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
    first=_series,
)
