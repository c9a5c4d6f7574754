"""The page of the emergence study: verdicts first, then one figure a property, measurement and prediction together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from distlandscape.report import interactive_classes, png_classes
from distlandscape.report.class_curves import StepPanel
from distlandscape.report.emergence_curves import (
    confinement_panels,
    goldilocks_panels,
    input_panels,
    outlier_panels,
    overlap_heat,
    sharpness_panels,
)
from distlandscape.report.figure import Figure, Notice, Rows, Sentence, StudyPage
from distlandscape.report.numbers import number
from distlandscape.report.spectrum import FIGURES as SPECTRUM
from distlandscape.report.tables import RunView
from distlandscape.report.train import percent


def _along_training(
    title: str, caption: tuple[str, str], panels: Callable[[RunView], list[StepPanel]], needs: str = "checkpoints"
) -> Figure:
    return Figure(
        title,
        caption,
        lambda view: view.checkpoints is not None and needs in view.tables,
        lambda view: png_classes.step_panels(view, panels(view)),
        lambda view: interactive_classes.step_panels(view, panels(view)),
    )


FIGURES = {
    "outliers": _along_training(
        "Property 1: outliers",
        (
            "The last eigenvalue expected above the gap and the one below where it may be, beside the random model with"
            " the scales fitted at each checkpoint; and the number of eigenvalues above the largest gap.",
            "The gap is the largest ratio of neighbours among the leading eigenvalues, at least 1.5; 0 says there is"
            " none. A first eigenvalue far above the others is a gap, too.",
        ),
        outlier_panels,
        "outliers",
    ),
    "confined": _along_training(
        "Property 2: gradient confinement",
        (
            "The part of the gradient in the top C − 1 eigenvectors: measured, in the random model, and what labels"
            " sampled from the network's own probabilities would give; and the cosine of the gradient and its image.",
            "The gradient of one network is one draw, so compare with the band. True labels can do more than sampled"
            " ones: the difference is what the network still gets wrong in a structured way.",
        ),
        confinement_panels,
    ),
    "sharpness": _along_training(
        "Property 3: the largest eigenvalue",
        (
            "λ_max, beside the random model and the value at which descent with this step size becomes unstable; and"
            " Σ θ² H_ii, which rescaling a ReLU net's layers does not change.",
            "The model's C − 1 clusters are alike but for chance, a network's need not be: then λ_max lies above it.",
        ),
        sharpness_panels,
    ),
    "goldilocks": _along_training(
        "Property 4: positive curvature",
        (
            "Tr H/‖H‖_F beside the random model; the share of positive curvature in one random plane beside the"
            " semicircle that the measured trace and norm give.",
            "The semicircle knows nothing of outliers. The model's ratio falls with σ_z only through the finite number"
            " of samples.",
        ),
        goldilocks_panels,
    ),
    "inputs": _along_training(
        "The three inputs",
        (
            "Residual term beside the Hessian, and what the Gauss-Newton term makes of λ_max; mean cosines of logit"
            " gradients; E Σp² beside Gaussian logits of the same spread.",
            "With weight decay λ, λI belongs to H and to the Gauss-Newton term.",
        ),
        input_panels,
    ),
    "overlaps": Figure(
        "How far the top subspace turns",
        (
            "Overlap of the spans of the top C − 1 eigenvectors at every two checkpoints: 1 for the same subspace.",
            "Random subspaces have about (C − 1)/P. Where eigenvalues C − 1 and C are close the space is not well"
            " defined, and turns for no reason.",
        ),
        lambda view: "overlaps" in view.tables,
        lambda view: png_classes.heat(overlap_heat(view)),
        lambda view: interactive_classes.heat(overlap_heat(view)),
    ),
    "density": SPECTRUM["density"],
}


def answer(view: RunView) -> Sentence:
    """How many of the claims hold, and which do not."""
    found = view.result.get("verdicts")
    if not found:
        return []
    by = {word: [v["claim"] for v in found if v["verdict"] == word] for word in ("does not hold", "cannot tell")}
    count = len(found)
    parts: Sentence = [(f"{count - sum(map(len, by.values()))} of {count}", True)]
    parts.append((" claims of the paper hold on this network as the random model predicts, ", False))
    parts += [(f"{[v['observed'] for v in found].count('holds')} of {count}", True), (" on the network alone", False)]
    if by["does not hold"]:
        parts += [("; not: ", False), ("; ".join(by["does not hold"]), True)]
    if by["cannot tell"]:
        parts += [("; open: ", False), ("; ".join(by["cannot tell"]), False)]
    return [*parts, (".", False)]


def _verdicts(view: RunView) -> list[Rows]:
    found = view.result.get("verdicts")
    if not found:
        return []
    head = ("claim", "verdict", "network alone", "quantity", "measured", "predicted", "error", "why")
    rows = [
        (
            v["claim"],
            v["verdict"],
            v["observed"],
            f"{v['quantity']}, step {v['step']:,}",
            *(number(v[name], 3) for name in ("measured", "predicted", "error")),
            v["why"],
        )
        for v in found
    ]
    judged = Rows("Claims and verdicts", head, rows, ("verdict", "network alone", "quantity", "why"))
    return [judged, *_along(view, found), *_projected(view)]


def _along(view: RunView, found: list[dict[str, Any]]) -> list[Rows]:
    """Every claim at every checkpoint: where in training it begins to hold, or ceases to."""
    if view.checkpoints is None or len(view.checkpoints["step"]) < 2:
        return []
    steps = [f"{int(step):,}" for step in view.checkpoints["step"]]
    rows = [
        (v["claim"], *(_mark(*pair) for pair in zip(v["along"], v["observed_along"], strict=True)))
        for v in found
        if v["along"]
    ]
    return [
        Rows("By step of training: ✓ holds, ○ on the network alone, ✗ does not, ? cannot tell", ("claim", *steps), rows)
    ]


def _mark(verdict: str, observed: str) -> str:
    if verdict == "does not hold" and observed == "holds":
        return "○"
    return {"holds": "✓", "does not hold": "✗", "cannot tell": "?"}[verdict]


def _projected(view: RunView) -> list[Rows]:
    """Does training need the top directions?"""
    found = view.result.get("projected")
    if not found:
        return []
    title = f"Does training need the top directions? Full-gradient descent of {found['steps']:,} steps from step"
    head = ("gradient", "loss before", "loss after", "part of the full descent")
    words = {"full": "whole", "onto": "only onto the top C − 1 eigenvectors", "out of": "only out of them"}
    rows: list[tuple[str, ...]] = [
        (told, number(found["before"], 4), number(found["after"][v], 4), _part(found["share_of_full"][v]))
        for v, told in words.items()
    ]
    return [Rows(f"{title} {found['from_step']:,}", head, rows)]


def _part(share: float | None) -> str:
    return "unknown" if share is None else percent(share)


def _rows(view: RunView) -> list[Rows]:
    found: list[Rows] = []
    table = view.tables.get("checkpoints")
    if table is not None:
        names = ("lambda_max", "outliers", "confinement", "ratio", "sigma_c", "sigma_e", "sigma_d", "sigma_z")
        head = ("step", "accuracy", "λ_max", "outliers", "confinement", "Tr/‖·‖_F", "σ_c", "σ_E", "σ_d", "σ_z")
        rows = [
            (f"{row['step']:,}", percent(row["accuracy"]), *(number(row[name], 3) for name in names))
            for row in table.sort_by("step").to_pylist()
        ]
        found.append(Rows("Checkpoints, and the scales of the random model", head, rows))
    if "along" in view.tables:
        rows = [
            (f"{row['step']:,}", number(row["alpha"], 2), number(row["loss"], 5))
            for row in view.tables["along"].to_pylist()
        ]
        found.append(Rows("Loss along v₁, in steps α of gradient descent", ("step", "α", "loss"), rows))
    return found


def _doubts(view: RunView) -> list[Notice]:
    doubts = []
    if view.result.get("finite_size"):
        doubts.append(
            Notice(
                "The model's predictions are rough here.",
                "They hold for many more samples and parameters than classes; here one is less than six times as many.",
            )
        )
    if view.result and view.result["status"] != "converged":
        doubts.append(Notice("Not everything converged.", f"{view.result['status']}."))
    return doubts


PAGE = StudyPage(
    subject=lambda view: "emergent properties",
    answer=answer,
    figures=FIGURES,
    parts={
        "outliers": "the outliers",
        "confined": "the confinement of the gradient",
        "sharpness": "the largest eigenvalue",
        "goldilocks": "positive curvature",
        "inputs": "the inputs",
        "overlaps": "overlaps between checkpoints, of which there must be two",
        "density": "the density",
    },
    optional=("overlaps",),
    doubts=_doubts,
    folded=_rows,
    first=_verdicts,
)
