"""The verdicts of docs/results-emergence.md: the emergence study of several networks and data (Markdown, a figure).

    python -m tests.benchmarks.emergence [FOLDER [CASE …]]    makes the runs that FOLDER (results/emergence) lacks,
                                                              of the cases with one of these words in their names
    python -m tests.benchmarks.emergence FOLDER --tables FIGURE.png    prints the tables of those that are there

A run that was cut off is resumed. One worker's worth: runtime.workers=0 and one thread.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt

from distlandscape.record.run import Run
from distlandscape.report.style import LIGHT
from distlandscape.studies.verdicts import Verdict, verdicts
from tests.benchmarks.cases import Case, finished, main

DIGITS = "jobs/digits-emergence.yaml"
FASHION = "jobs/fashion-mnist-{}-emergence.yaml"
SHORT = ["data.samples=2000", "train.steps=1000", "train.checkpoints=8"]
CASES = [
    Case(name, "emergence", job, keys)
    for name, job, keys in (
        ("digits, mlp", DIGITS, []),
        ("digits, mlp, second seed", DIGITS, ["train.seed=1"]),
        ("digits, mlp, third seed", DIGITS, ["train.seed=2"]),
        (
            "digits, mlp, whole batches", DIGITS,
            ["train.batch_size=1797", "train.momentum=0", "train.learning_rate=0.25", "train.steps=2000"],
        ),
        ("digits, mlp, tanh", DIGITS, ["model.options={hidden: [32, 32], activation: tanh}"]),
        ("digits, mlp, BatchNorm (population)", DIGITS, ["model.options={hidden: [32, 32], norm: batch}"]),
        (
            "digits, mlp, BatchNorm (batch)", DIGITS,
            ["model.options={hidden: [32, 32], norm: batch}", "objective.norm=batch"],
        ),
        ("digits, mlp, random labels", DIGITS, ["data.random_labels=true", "train.steps=4000"]),
        ("digits, mlp, classes 0–2", DIGITS, ["data.classes=[0,1,2]"]),
        ("digits, mlp, classes 0–4", DIGITS, ["data.classes=[0,1,2,3,4]"]),
        ("Fashion-MNIST 10,000, cnn", FASHION.format("cnn"), []),
        ("Fashion-MNIST 2,000, cnn", FASHION.format("cnn"), SHORT),
        ("Fashion-MNIST 2,000, cnn, tanh", FASHION.format("cnn"), [*SHORT, "model.options={activation: tanh}"]),
        (
            "Fashion-MNIST 2,000, cnn, BatchNorm (population)", FASHION.format("cnn"),
            [*SHORT, "model.options={norm: batch}"],
        ),
        ("Fashion-MNIST 2,000, mlp", FASHION.format("mlp"), SHORT),
        (
            "Fashion-MNIST 500, resnet20", FASHION.format("resnet20"),
            ["data.samples=500", "train.steps=500", "train.checkpoints=6"],
        ),
    )
]  # fmt: skip
CLAIMS = ("weak", "cluster", "freezes", "outliers", "confined", "λ_max", "Goldilocks")


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def judged(run: Run) -> list[Verdict]:
    """The verdicts, from the table of checkpoints."""
    table = run.table("checkpoints")
    assert table is not None
    return verdicts(table.to_pylist(), run.result["classes"])


def cell(verdict: Verdict) -> str:
    """Network alone and with the model: over training, at how many checkpoints, at the last."""
    marks = {"holds": "✓", "does not hold": "✗", "cannot tell": "?"}
    parts = []
    for word, along in ((verdict.observed, verdict.observed_along), (verdict.verdict, verdict.along)):
        where = f"\u00a0{along.count('holds')}/{len(along)}\u00a0{marks[along[-1]]}" if along else ""
        parts.append(f"**{marks[word]}**{where}")
    return "<br>".join(parts)


def tables(out: Path, figure: Path) -> None:
    """One table a run, one of all verdicts, and the figure."""
    runs = finished(CASES, out)
    print("| network and data | " + " | ".join(CLAIMS) + " |\n|" + "---|" * (1 + len(CLAIMS)))
    for case, run in runs.items():
        cells = [cell(v) for v in judged(run)]
        print(f"| {case.name} | " + " | ".join(cells) + " |")
    for case, run in runs.items():
        r = run.result
        print(f"\n### {case.name}\n\n    {case.command}\n")
        print(
            f"P = {r['parameters']:,}; loss {r['loss']:.3g} and accuracy {100 * r['accuracy']:.1f} % at the end."
            f" {r['passes']:,} passes in {r['wall_s']:.0f} s; {r['status']}.\n"
        )
        print("| claim | measured | predicted | error | network alone | with the model | |\n|" + "---|" * 7)
        for v in judged(run):
            numbers = " | ".join(number(value) for value in (v.measured, v.predicted, v.error))
            why = v.why.replace("|", "\\|")
            print(f"| {v.claim} | {numbers} | {v.observed} | {v.verdict} | {why} |")
    draw(runs, figure)


def draw(runs: dict[Case, Run], figure: Path) -> None:
    """Eigenvalues, sharpness, confinement and the ratio of trace to norm along training; dashed: the random model."""
    blue, vermillion, muted = LIGHT["blue"], LIGHT["vermillion"], LIGHT["muted"]
    fig, axes = plt.subplots(len(runs), 4, figsize=(13, 2.3 * len(runs)), squeeze=False, layout="constrained")
    for row, (case, run) in zip(axes, runs.items(), strict=True):
        points = run.table("checkpoints").to_pylist()
        steps = [max(point["step"], 0.5) for point in points]
        outliers = run.table("outliers").to_pylist()
        ranks = 2 * run.result["classes"]
        for rank in range(1, ranks + 1):
            track = [(max(o["step"], 0.5), o["eigenvalue"]) for o in outliers if o["rank"] == rank]
            inside = rank < run.result["classes"]
            row[0].plot(*zip(*track, strict=True), color=blue if inside else muted, lw=0.8 if inside else 0.5)
        row[0].set(xscale="log", yscale="log", ylabel=case.name.replace(", ", "\n"))
        row[1].plot(steps, [p["lambda_max"] for p in points], color=blue)
        row[1].plot(steps, [p["model_lambda_max"] for p in points], color=vermillion, ls="--")
        row[1].axhline(points[-1]["edge"], color=muted, lw=0.8)
        row[1].set(xscale="log", yscale="log")
        row[2].plot(steps, [p["confinement"] for p in points], color=blue)
        row[2].plot(steps, [p["model_confinement"] for p in points], color=vermillion, ls="--")
        row[2].set(xscale="log", ylim=(0, 1))
        row[3].errorbar(steps, [p["ratio"] for p in points], [p["ratio_stderr"] for p in points], color=blue)
        row[3].plot(steps, [p["model_ratio"] for p in points], color=vermillion, ls="--")
        row[3].axhline(1, color=muted, lw=0.8)
        row[3].set(xscale="log")
    titles = (
        "leading 2C eigenvalues (blue: C − 1)", "λ_max; line: 2(1 + β)/η", "f_top, C − 1 directions", "Tr H/‖H‖_F"
    )  # fmt: skip
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("step")
    fig.savefig(figure, dpi=80)


if __name__ == "__main__":
    main(CASES, tables, "results/emergence")
